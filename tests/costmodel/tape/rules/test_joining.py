"""Rules of the family joining beside torch itself."""

from __future__ import annotations

from collections.abc import Callable

import torch
from one_function import Case, check, parametrized
from torch import nn

CASES: dict[str, Case] = {
    "cat": Case(lambda x: torch.cat([x, 2 * x], 1)),
    "stack": Case(lambda x: torch.stack([x, x * 2])),
    "chunk": Case(lambda x: torch.mul(*x.chunk(2, 1))),
    "unbind": Case(lambda x: x.unbind(1)[0] * 2),
    "split": Case(lambda x: x.split(2, 1)[0] * 2),
    "stack behind": Case(lambda x: torch.stack([x, x * 2], 1)),
    "stack inside": Case(lambda x: torch.stack([x, x * 2], -1)),
}  # fmt: skip


@parametrized(CASES)
def test_a_rule_is_what_torch_does(make: Callable[[], nn.Module] | None, case: Case, layout: str) -> None:
    check(make, case, layout)
