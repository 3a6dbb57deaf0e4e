"""Rules of the family norms beside torch itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from one_function import ROWS, Case, check, parametrized
from torch import nn

EVERY = "plain cl t step wide"
ORDERS = (0, 0.5, 1, 1.5, 2, 3, float("inf"), -float("inf"), -1)


def _norm(order: float, **how: Any) -> Callable[[torch.Tensor], torch.Tensor]:
    return lambda x: x * torch.linalg.vector_norm(x, order, 1, keepdim=True, **how)


def _by_all(order: float) -> Callable[[torch.Tensor], torch.Tensor]:
    return lambda x: x / x.norm(order)


CASES: dict[str, Case] = {
    **{f"order {order}": Case(_norm(order), layouts="plain cl t") for order in ORDERS},
    **{f"complex, order {order}": Case(_norm(order), ROWS, dtype=torch.complex64) for order in ORDERS},
    **{f"order {order} of all": Case(_by_all(order), ROWS, layouts="plain t wide") for order in ORDERS},
    "norm": Case(lambda x: x / x.norm(), layouts=EVERY),
    "norm over an axis": Case(lambda x: x.norm(dim=1), layouts=EVERY),
    "norm over two axes": Case(lambda x: torch.norm(x, p=2, dim=(2, 3)), layouts=EVERY),
    "norm in double": Case(lambda x: x.norm(2, 1, dtype=torch.float64)),
    "norm of order 3 in double": Case(_norm(3, dtype=torch.float64), ROWS),
    "fro": Case(torch.linalg.matrix_norm, layouts=EVERY),
    "fro by norm": Case(lambda x: x * torch.norm(x, "fro"), ROWS),
    "matrix of order 1": Case(lambda x: torch.linalg.matrix_norm(x, 1), layouts=EVERY),
    "matrix of order -1": Case(lambda x: torch.linalg.matrix_norm(x, -1, (0, 1), True)),
    "matrix of order inf": Case(lambda x: torch.linalg.matrix_norm(x, float("inf"), keepdim=True), layouts=EVERY),
    "matrix of order -inf": Case(lambda x: torch.linalg.matrix_norm(x, -float("inf"), (1, 0))),
    "linalg.norm": Case(lambda x: x * torch.linalg.norm(x)),
    "linalg.norm of a matrix": Case(lambda x: x * torch.linalg.norm(x, 1), ROWS),
    "linalg.norm of vectors": Case(lambda x: torch.linalg.norm(x, 1, 1)),
    "linalg.norm of matrices": Case(lambda x: torch.linalg.norm(x, "fro", (1, 2))),
    "dist": Case(lambda x, y: x * torch.dist(x, y), ROWS, (ROWS,)),
    "dist of order 1": Case(lambda x, y: x.dist(y, 1), ROWS, (ROWS,)),
    "dist to itself twice": Case(lambda x: x.dist(2 * x, 3), ROWS),
    "dist from a constant": Case(lambda x: torch.dist(torch.ones(3, 6), x), ROWS),
}  # fmt: skip


@parametrized(CASES)
def test_a_rule_is_what_torch_does(make: Callable[[], nn.Module] | None, case: Case, layout: str) -> None:
    check(make, case, layout)
