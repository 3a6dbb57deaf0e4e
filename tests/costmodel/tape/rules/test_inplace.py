"""Rules of the family inplace beside torch itself."""

from __future__ import annotations

from collections.abc import Callable

from one_function import Case, check, parametrized
from torch import nn

CASES: dict[str, Case] = {
    "add_": Case(lambda x: (2 * x).add_(x)),
    "sub_": Case(lambda x: (2 * x).sub_(x)),
    "mul_": Case(lambda x: (2 * x).mul_(3)),
    "div_": Case(lambda x: (2 * x).div_(3)),
}  # fmt: skip


@parametrized(CASES)
def test_a_rule_is_what_torch_does(make: Callable[[], nn.Module] | None, case: Case, layout: str) -> None:
    check(make, case, layout)
