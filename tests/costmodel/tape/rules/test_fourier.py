"""Rules of the family fourier beside torch itself."""

from __future__ import annotations

from collections.abc import Callable

import torch
from one_function import Case, check, parametrized
from torch import nn

CASES: dict[str, Case] = {
    "transform": Case(lambda x: torch.fft.rfft2(x).real * 2),
}  # fmt: skip


@parametrized(CASES)
def test_a_rule_is_what_torch_does(make: Callable[[], nn.Module] | None, case: Case, layout: str) -> None:
    check(make, case, layout)
