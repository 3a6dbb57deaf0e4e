"""Rules of the family copies beside torch itself."""

from __future__ import annotations

from collections.abc import Callable

import torch
from one_function import Case, check, parametrized
from torch import nn

CASES: dict[str, Case] = {
    "flip": Case(lambda x: x.flip(2)),
    "contiguous": Case(lambda x: x.contiguous() * 2),
    "channels last": Case(lambda x: x.contiguous(memory_format=torch.channels_last) * 2),
    "double": Case(lambda x: x.double() * 2),
}  # fmt: skip


@parametrized(CASES)
def test_a_rule_is_what_torch_does(make: Callable[[], nn.Module] | None, case: Case, layout: str) -> None:
    check(make, case, layout)
