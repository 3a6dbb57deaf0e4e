"""Programs that run backward passes themselves, or again what a checkpoint left out, beside torch itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from one_function import ROWS, Case, Of, check, check_refused, parametrized, predicted, refusals
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint as checkpoint_of


def checkpoint(function: Callable[..., Any], *inputs: Tensor) -> Any:
    """A part that the backward runs again; without the random state, which a dispatch mode does not see."""
    return checkpoint_of(function, *inputs, use_reentrant=False, preserve_rng_state=False)


def _changed_after(x: Tensor) -> Tensor:
    y = x.detach() * x.detach()
    checkpoint(lambda y: y.repeat_interleave(2, 0), y)
    return y.mul_(x)


def _unused(x: Tensor) -> Tensor:
    y = x.exp()
    checkpoint(lambda y: y.repeat(1, 2), y)
    y.clamp_(0.1, 2.0)
    return checkpoint(lambda x: x.unbind(-1), x)[2]


CASES: dict[str, Case] = {
    "checkpoint": Case(lambda x, y: checkpoint(lambda x, y: (x * y).exp().sin(), x, y) * 2, ROWS, (ROWS,)),
    "checkpoint of a closure": Case(lambda x, y: checkpoint(lambda x: (x * y).exp().sin(), x), ROWS, (ROWS,)),
    "checkpoint in a checkpoint": Case(
        lambda x: checkpoint(lambda x: checkpoint(lambda x: x.exp().sin(), x).cos().exp(), x), ROWS
    ),
    "checkpoint whose input changes later": Case(_changed_after, (6,)),
    "checkpoint without use": Case(_unused, ROWS),
}


@parametrized(CASES)
def test_a_rule_is_what_torch_does(make: Callable[[], nn.Module] | None, case: Case, layout: str) -> None:
    check(make, case, layout)


def _again(x: Tensor, **how: Any) -> Tensor:
    y = (x * 2).sum()
    y.backward(**how)
    return y


REFUSED: dict[str, list[Case]] = {
    "create_graph or inputs": [
        Case(lambda x: _again(x, create_graph=True), ROWS), Case(lambda x: _again(x, inputs=[x]), ROWS),
    ],
}  # fmt: skip


@refusals(REFUSED)
def test_other_uses_are_refused_by_name(message: str, case: Case) -> None:
    check_refused(message, case)


def test_what_asks_for_no_gradient_has_no_backward() -> None:
    with pytest.raises(RuntimeError, match="asks for no gradient"):
        predicted(Of(lambda x: _again(x.detach()), dtype=torch.float32), ROWS, "train")
