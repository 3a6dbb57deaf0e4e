"""Rules of the family pooling beside torch itself."""

from __future__ import annotations

from collections.abc import Callable

import torch.nn.functional as F
from one_function import Case, check, parametrized
from torch import nn

CASES: dict[str, Case] = {
    "max_pool2d": Case(lambda x: F.max_pool2d(x, 2)),
    "avg_pool2d": Case(lambda x: F.avg_pool2d(x, 2)),
    "max_pool2d 3/2/1": Case(lambda x: F.max_pool2d(x, 3, stride=2, padding=1)),
    "max_pool2d ceil": Case(lambda x: F.max_pool2d(x, (4, 3), stride=(3, 2), ceil_mode=True)),
    "max_pool2d dilated": Case(lambda x: F.max_pool2d(x, 2, dilation=2)),
    "max_pool2d with indices": Case(lambda x: F.max_pool2d(x, 2, return_indices=True)[0]),
    "avg_pool2d 3/2/1": Case(lambda x: F.avg_pool2d(x, 3, stride=2, padding=1, count_include_pad=False)),
    "avg_pool2d ceil": Case(lambda x: F.avg_pool2d(x, 4, stride=3, ceil_mode=True)),
    "adaptive_avg_pool2d": Case(lambda x: F.adaptive_avg_pool2d(x, (3, 2))),
    "adaptive_avg_pool2d to 1": Case(lambda x: F.adaptive_avg_pool2d(x, 1)),
    "adaptive_avg_pool2d one side": Case(lambda x: F.adaptive_avg_pool2d(x, (None, 2))),
    "adaptive_max_pool2d": Case(lambda x: F.adaptive_max_pool2d(x, 2)),
    "adaptive_max_pool2d to 1": Case(lambda x: F.adaptive_max_pool2d(x, 1)),
    "interpolate": Case(lambda x: F.interpolate(x, scale_factor=2)),
    "interpolate to": Case(lambda x: F.interpolate(x, (7, 9))),
    "interpolate 1.5": Case(lambda x: F.interpolate(x, scale_factor=(1.5, 0.5))),
}  # fmt: skip

MODULES: dict[str, Callable[[], nn.Module]] = {
    "Upsample": lambda: nn.Upsample(scale_factor=3),
    "MaxPool2d": lambda: nn.MaxPool2d(3, 2, 1),
}  # fmt: skip


@parametrized(CASES, MODULES)
def test_a_rule_is_what_torch_does(make: Callable[[], nn.Module] | None, case: Case, layout: str) -> None:
    check(make, case, layout)
