"""Rules of the family pointwise beside torch itself."""

from __future__ import annotations

from collections.abc import Callable

import torch
from one_function import Case, check, parametrized
from torch import nn

CASES: dict[str, Case] = {
    "neg": Case(torch.neg),
    "exp": Case(torch.exp),
    "sqrt": Case(lambda x: x.sqrt()),
    "abs": Case(torch.abs),
    "sin": Case(torch.sin),
    "cos": Case(torch.cos),
    "log": Case(torch.log),
    "square": Case(torch.square),
    "pow": Case(lambda x: x**3),
    "reciprocal": Case(torch.reciprocal),
    "rsqrt": Case(torch.rsqrt),
    "clamp": Case(lambda x: x.clamp(-1, 1)),
    "clamp_min": Case(lambda x: x.clamp_min(0.1)),
    "numbers": Case(lambda x: 1 - 2 * x / 3 + 4),
    "over": Case(lambda x: 2 / x),
    "where": Case(lambda x: torch.where(x > 0, x, 0.0)),
    "masked_fill": Case(lambda x: x.masked_fill(x < 0, 1.0)),
    "maximum": Case(lambda x: torch.maximum(x, 2 * x)),
    "with itself": Case(lambda x: x * x + x),
    "broadcast": Case(lambda x: x * x.mean((2, 3), keepdim=True)),
    "twice": Case(lambda x: x + x.mT + x),
    "scaled": Case(lambda x, w: x * w, parameters=((4, 1, 1),)),
    "shifted": Case(lambda x, w: x + w, parameters=((4, 1, 1),)),
    "over a scale": Case(lambda x, w: x / w, parameters=((4, 1, 1),)),
}  # fmt: skip


@parametrized(CASES)
def test_a_rule_is_what_torch_does(make: Callable[[], nn.Module] | None, case: Case, layout: str) -> None:
    check(make, case, layout)
