"""Rules of the family convolution beside torch itself."""

from __future__ import annotations

from collections.abc import Callable

import torch.nn.functional as F
from one_function import Case, check, parametrized
from torch import nn

CASES: dict[str, Case] = {
    "conv2d": Case(F.conv2d, parameters=((5, 4, 3, 3), (5,))),
    "conv2d with groups": Case(lambda x, w: F.conv2d(x, w, groups=2, padding=1), parameters=((6, 2, 3, 3),)),
    "conv_transpose2d": Case(F.conv_transpose2d, parameters=((4, 5, 3, 3), (5,))),
}  # fmt: skip


@parametrized(CASES)
def test_a_rule_is_what_torch_does(make: Callable[[], nn.Module] | None, case: Case, layout: str) -> None:
    check(make, case, layout)
