"""Rules of the family indexing beside torch itself."""

from __future__ import annotations

from collections.abc import Callable

from one_function import Case, check, parametrized
from torch import nn

CASES: dict[str, Case] = {
    "slice": Case(lambda x: x[:, 1:, ::2] * 2),
    "select": Case(lambda x: x[1] * 2),
}  # fmt: skip


@parametrized(CASES)
def test_a_rule_is_what_torch_does(make: Callable[[], nn.Module] | None, case: Case, layout: str) -> None:
    check(make, case, layout)
