"""Rules of the family reductions beside torch itself."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from one_function import ROWS, Case, Of, check, parametrized, predicted
from torch import nn

from lipcost.costmodel.tape.errors import UnruledFunction

EVERY = "plain cl t step wide"
BARE = ("inference",)  # of what has no gradient

CASES: dict[str, Case] = {
    "sum": Case(lambda x: x.sum(1), layouts=EVERY),
    "sum of all": Case(lambda x: x.sum(), layouts=EVERY),
    "sum in double": Case(lambda x: x.sum((0, -1), keepdim=True, dtype=torch.float64)),
    "sum of a number": Case(lambda x: (x[0, 0].sum(0) * 2), ROWS, layouts="plain"),
    "sum over axis": Case(lambda x: torch.sum(x, axis=1)),
    "sum of truths": Case(lambda x: x * (x > 0).sum(1, keepdim=True)),
    "complex sum": Case(lambda x: x.sum(-1), ROWS, dtype=torch.complex64),
    "conjugate sum": Case(lambda x: x.conj().sum(-1), ROWS, dtype=torch.complex64, layouts="plain"),
    "mean": Case(lambda x: x.mean((2, 3)), layouts=EVERY),
    "mean of all": Case(lambda x: x.mean(), layouts=EVERY),
    "mean in double": Case(lambda x: x.mean(1, dtype=torch.float64)),
    "nansum": Case(lambda x: x.nansum(1), layouts=EVERY),
    "nansum of all": Case(lambda x: x.nansum()),
    "nansum in double": Case(lambda x: x.nansum((0, 1), True, dtype=torch.float64)),
    "nanmean": Case(lambda x: x.nanmean(1, keepdim=True)),
    "nanmean of all": Case(torch.nanmean),
    "prod": Case(lambda x: x.prod(1), layouts=EVERY, modes=BARE),
    "prod of all": Case(lambda x: x.prod(), modes=BARE),
    "prod of integers": Case(lambda x: (x > 0).prod(1, keepdim=True), modes=BARE),
    "var": Case(lambda x: x.var((2, 3)), layouts=EVERY),
    "var of all": Case(lambda x: x.var(), layouts=EVERY),
    "biased var": Case(lambda x: x.var(1, unbiased=False)),
    "biased var of all": Case(lambda x: torch.var(x, False)),
    "corrected var": Case(lambda x: torch.var(x, dim=-1, correction=2, keepdim=True)),
    "corrected var of all": Case(lambda x: torch.var(x, correction=0)),
    "var of a row": Case(lambda x: x.var(0), (6,), layouts="plain step"),
    "complex var": Case(lambda x: x.var(1), ROWS, dtype=torch.complex64),
    "std": Case(lambda x: x.std((2, 3)), layouts=EVERY),
    "std of all": Case(lambda x: x.std(), layouts=EVERY),
    "corrected std": Case(lambda x: torch.std(x, 1, correction=0, keepdim=True)),
    "complex std": Case(lambda x: x.std(1), ROWS, dtype=torch.complex64),
    "var_mean": Case(lambda x: torch.mul(*torch.var_mean(x, 1)), layouts=EVERY),
    "var_mean of all": Case(lambda x: torch.mul(*torch.var_mean(x))),
    "var of var_mean": Case(lambda x: torch.var_mean(x, 1, keepdim=True)[0] * 2),
    "mean of var_mean": Case(lambda x: torch.var_mean(x, 1, keepdim=True)[1] * 2),
    "std_mean": Case(lambda x: torch.mul(*torch.std_mean(x, (0, 2, 3), correction=0)), layouts=EVERY),
    "logsumexp": Case(lambda x: x.logsumexp(1), layouts=EVERY),
    "logsumexp of two axes": Case(lambda x: torch.logsumexp(x, (0, 1), keepdim=True)),
    "complex logsumexp": Case(lambda x: x.logsumexp(1), ROWS, dtype=torch.complex64),
    "any": Case(lambda x: (x > 0).any(1), layouts=EVERY, modes=BARE),
    "any of numbers": Case(lambda x: x.any(), modes=BARE),
    "any over axes": Case(lambda x: x.any((1, 2), keepdim=True), modes=BARE),
    "all": Case(lambda x: torch.all(x > 0, 1), modes=BARE),
    "all of all": Case(lambda x: (x > 0).all(), modes=BARE),
    "all of bytes": Case(lambda x: (x > 0).to(torch.uint8).all(1), modes=BARE),
    "count_nonzero": Case(lambda x: x.count_nonzero(1), layouts=EVERY, modes=BARE),
    "count_nonzero of all": Case(torch.count_nonzero, modes=BARE),
    "bfloat16": Case(lambda x: x.sum(1) + x.mean(1) + x.var(1) + x.logsumexp(1), dtype=torch.bfloat16),
}  # fmt: skip


@parametrized(CASES)
def test_a_rule_is_what_torch_does(make: Callable[[], nn.Module] | None, case: Case, layout: str) -> None:
    check(make, case, layout)


def test_a_gradient_that_values_decide_is_refused() -> None:
    with pytest.raises(UnruledFunction, match="the gradient of prod: whether a value"):
        predicted(Of(lambda x: x.prod(1), dtype=torch.float32), ROWS, "train")
