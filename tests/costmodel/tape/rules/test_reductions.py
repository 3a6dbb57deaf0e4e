"""Rules of the family reductions beside torch itself."""

from __future__ import annotations

from collections.abc import Callable

from one_function import Case, check, parametrized
from torch import nn

CASES: dict[str, Case] = {
    "mean": Case(lambda x: x.mean((2, 3))),
    "sum": Case(lambda x: x.sum(1)),
    "mean of all": Case(lambda x: x.mean()),
    "amax": Case(lambda x: x.amax((2, 3))),
    "max": Case(lambda x: x.max(1)[0]),
    "norm": Case(lambda x: x / x.norm()),
}  # fmt: skip


@parametrized(CASES)
def test_a_rule_is_what_torch_does(make: Callable[[], nn.Module] | None, case: Case, layout: str) -> None:
    check(make, case, layout)
