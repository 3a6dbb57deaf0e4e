"""Rules of the family parts beside torch itself."""

from __future__ import annotations

from collections.abc import Callable

import torch
from one_function import ROWS, STACK, Case, check, parametrized
from torch import nn

EVERY = "plain cl t step wide"
CASES: dict[str, Case] = {
    "diagonal": Case(lambda x: x.diagonal(dim1=2, dim2=3) * 2),
    "diagonal above": Case(lambda x: x.diagonal(2, 1, 3) * 2, layouts=EVERY),
    "diagonal below": Case(lambda x: torch.diagonal(x, -1, 3, 1) * 2),
    "diagonal beyond": Case(lambda x: x.diagonal(9), ROWS),
    "linalg.diagonal": Case(lambda x: torch.linalg.diagonal(x, offset=1) * 2),
    "diag": Case(lambda x: x.diag(1), ROWS, layouts=EVERY),
    "diag of a row": Case(lambda x: x.diag(-1), (6,), layouts=EVERY),
    "diag_embed": Case(lambda x: x.diag_embed(1), ROWS, layouts=EVERY),
    "diag_embed elsewhere": Case(lambda x: torch.diag_embed(x, -1, 0, 2), STACK),
    "diagflat": Case(lambda x: x.diagflat(), ROWS, layouts=EVERY),
    "unfold": Case(lambda x: x.unfold(2, 3, 2) * 2, layouts=EVERY),
    "unfold that overlaps": Case(lambda x: x.unfold(1, 3, 1).unfold(-1, 2, 1) * 2),
}


@parametrized(CASES)
def test_a_rule_is_what_torch_does(make: Callable[[], nn.Module] | None, case: Case, layout: str) -> None:
    check(make, case, layout)
