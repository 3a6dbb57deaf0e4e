"""Rules of the family losses beside torch itself."""

from __future__ import annotations

from collections.abc import Callable

import torch.nn.functional as F
from one_function import Case, check, parametrized
from torch import nn

CASES: dict[str, Case] = {
    "softmax": Case(lambda x: x.softmax(1)),
    "log_softmax": Case(lambda x: F.log_softmax(x, dim=-1)),
}  # fmt: skip


@parametrized(CASES)
def test_a_rule_is_what_torch_does(make: Callable[[], nn.Module] | None, case: Case, layout: str) -> None:
    check(make, case, layout)
