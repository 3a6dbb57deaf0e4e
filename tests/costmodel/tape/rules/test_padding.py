"""Rules of the family padding beside torch itself."""

from __future__ import annotations

from collections.abc import Callable

import torch.nn.functional as F
from one_function import Case, check, parametrized
from torch import nn

CASES: dict[str, Case] = {
    "pad": Case(lambda x: F.pad(x, (1, 2, 3, 4))),
    "reflect": Case(lambda x: F.pad(x, (1, 2, 3, 4), mode="reflect")),
    "replicate": Case(lambda x: F.pad(x, (1, 2, 3, 4), mode="replicate")),
    "circular": Case(lambda x: F.pad(x, (1, 2, 3, 4), mode="circular")),
    "pixel_unshuffle": Case(lambda x: F.pixel_unshuffle(x, 2)),
    "pixel_shuffle": Case(lambda x: F.pixel_shuffle(x, 2)),
}  # fmt: skip

MODULES: dict[str, Callable[[], nn.Module]] = {
    "Conv2d reflect": lambda: nn.Conv2d(4, 5, 3, padding=1, padding_mode="reflect"),
    "Conv2d replicate": lambda: nn.Conv2d(4, 5, 3, padding=1, padding_mode="replicate"),
}  # fmt: skip


@parametrized(CASES, MODULES)
def test_a_rule_is_what_torch_does(make: Callable[[], nn.Module] | None, case: Case, layout: str) -> None:
    check(make, case, layout)
