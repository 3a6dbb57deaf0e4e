"""Rules of the family cumulative beside torch itself."""

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
    "cumsum": Case(lambda x: x.cumsum(1), layouts=EVERY),
    "cumsum of one": Case(lambda x: x[:, :1].cumsum(1) * 2),
    "cumsum in double": Case(lambda x: torch.cumsum(x, -1, dtype=torch.float64)),
    "cumsum of truths": Case(lambda x: x * (x > 0).cumsum(0)),
    "cumsum of a number": Case(lambda x: x[0, 0].cumsum(0) * 2, ROWS, layouts="plain"),
    "cumprod": Case(lambda x: x.cumprod(1), layouts=EVERY, modes=BARE),
    "cummax": Case(lambda x: x.cummax(1).values, layouts=EVERY),
    "cummin": Case(lambda x: x * torch.cummin(x, 1)[1]),
    "logcumsumexp": Case(lambda x: x.logcumsumexp(1), layouts=EVERY),
    "diff": Case(lambda x: x.diff(), layouts=EVERY),
    "second diff": Case(lambda x: torch.diff(x, 2, 1)),
    "diff with ends": Case(lambda x: torch.diff(x, prepend=x[..., :1], append=2 * x[..., :1])),
    "diff of truths": Case(lambda x: x[..., 1:] * (x > 0).diff()),
    "trapezoid": Case(lambda x: torch.trapezoid(x, dx=0.5, dim=1), layouts=EVERY),
    "trapezoid of points": Case(lambda x: torch.trapezoid(x, x[0]), ROWS),
    "trapezoid of points that move": Case(lambda x, w: torch.trapezoid(x, w, dim=1), parameters=((4,),)),
    "cumulative trapezoid of points": Case(lambda x, w: torch.cumulative_trapezoid(x, w, dim=1), parameters=((4,),)),
    "cumulative trapezoid": Case(lambda x: torch.cumulative_trapezoid(x, dim=1)),
}  # fmt: skip


@parametrized(CASES)
def test_a_rule_is_what_torch_does(make: Callable[[], nn.Module] | None, case: Case, layout: str) -> None:
    check(make, case, layout)


def test_a_gradient_that_values_decide_is_refused() -> None:
    with pytest.raises(UnruledFunction, match="the gradient of cumprod: whether a value"):
        predicted(Of(lambda x: x.cumprod(1), dtype=torch.float32), ROWS, "train")
