"""Rules of the family views beside torch itself."""

from __future__ import annotations

from collections.abc import Callable

from one_function import Case, check, parametrized
from torch import nn

CASES: dict[str, Case] = {
    "flatten": Case(lambda x: x.flatten(1) * 2),
    "mT": Case(lambda x: x.mT * x),
    "permute": Case(lambda x: x.permute(0, 2, 3, 1) * 2),
    "expand": Case(lambda x: x[:, :1].expand(-1, 3, -1, -1) + 1),
    "diagonal": Case(lambda x: x.diagonal(dim1=2, dim2=3) * 2),
    "a view of a sum": Case(lambda x: x.flatten(1) * 3 + (x * 2).flatten(1)),
    "a sum of views": Case(lambda x: (x * 2).flatten(1) + x.flatten(1) * 3),
}  # fmt: skip


@parametrized(CASES)
def test_a_rule_is_what_torch_does(make: Callable[[], nn.Module] | None, case: Case, layout: str) -> None:
    check(make, case, layout)
