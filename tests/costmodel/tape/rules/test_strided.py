"""Rules of the family strided beside torch itself."""

from __future__ import annotations

from collections.abc import Callable

import torch
from one_function import ROWS, Case, check, parametrized
from torch import nn


def _doubled_view(x: torch.Tensor) -> torch.Tensor:
    y = x * 2
    rows = y.expand(2, 3, 6)
    y[0] = x[1]
    return rows * 3


def _changed_part(whole: torch.Tensor, by: torch.Tensor) -> torch.Tensor:
    whole[1].scatter_add_(0, torch.arange(6), by)
    return whole


def _view_of_a_view(x: torch.Tensor) -> torch.Tensor:
    y = x * 2
    part = y[1:, ::2]
    inner = part.t()
    inner[1] = 0.0
    return part * 3


CASES: dict[str, Case] = {
    "as_strided": Case(lambda x: torch.as_strided(x, (2, 3), (3, 1), 1) * 2, ROWS, layouts="plain"),
    "from the beginning": Case(lambda x: x.as_strided((2, 3), (6, 2)) * 2, ROWS, layouts="plain t step"),
    "overlapping": Case(lambda x: x.as_strided((4, 3), (1, 1)) * 2, ROWS, layouts="plain t step"),
    "repeated": Case(lambda x: x.as_strided((4, 1, 3), (0, 5, 1)) * 2, ROWS, layouts="plain t"),
    "of what overlaps": Case(lambda x: x.as_strided((4, 3), (1, 1)).as_strided((2, 2), (2, 1)) * 2, ROWS),
    "a view of what was written": Case(_doubled_view, ROWS),
    "a view of what no gradient reaches": Case(
        lambda x: _changed_part(x.detach() * 2, x[0]), ROWS, layouts="plain t step"
    ),
    "a view of a view": Case(_view_of_a_view, ROWS, layouts="plain t step"),
}  # fmt: skip


@parametrized(CASES)
def test_a_rule_is_what_torch_does(make: Callable[[], nn.Module] | None, case: Case, layout: str) -> None:
    check(make, case, layout)
