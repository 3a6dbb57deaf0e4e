"""Rules of the family random beside torch itself."""

from __future__ import annotations

from collections.abc import Callable

import torch.nn.functional as F
from one_function import Case, check, parametrized
from torch import nn

CASES: dict[str, Case] = {
    "dropout_": Case(lambda x: F.dropout(2 * x, 0.3, inplace=True)),
    "dropout2d": Case(lambda x: F.dropout2d(x, 0.3)),
    "dropout": Case(lambda x: F.dropout(x, 0.3)),
    "no dropout": Case(lambda x: F.dropout(x, 0.3, training=False) * 2),
}  # fmt: skip

MODULES: dict[str, Callable[[], nn.Module]] = {
    "Dropout": nn.Dropout,
    "Dropout2d": nn.Dropout2d,
}  # fmt: skip


@parametrized(CASES, MODULES)
def test_a_rule_is_what_torch_does(make: Callable[[], nn.Module] | None, case: Case, layout: str) -> None:
    check(make, case, layout)
