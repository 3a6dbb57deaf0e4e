"""Rules of the family normalisation beside torch itself."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from one_function import ROWS, Case, check, parametrized
from torch import nn

CASES: dict[str, Case] = {
    "normalize": Case(F.normalize),
    "of rows": Case(lambda x: F.normalize(x, dim=-1)),
    "batch_norm": Case(lambda x: F.batch_norm(x, None, None, training=True)),
    "instance_norm": Case(F.instance_norm),
    "group_norm": Case(lambda x: F.group_norm(x, 2)),
    "layer_norm": Case(lambda x: F.layer_norm(x, (6, 6))),
    "layer_norm with weights": Case(lambda x, w, b: F.layer_norm(x, (6,), w, b), parameters=((6,), (6,))),
    "group_norm with weights": Case(lambda x, w, b: F.group_norm(x, 2, w, b), parameters=((4,), (4,))),
    "group_norm of rows": Case(lambda x, w, b: F.group_norm(x, 3, w, b), ROWS, ((6,), (6,))),
    "batch_norm of rows": Case(lambda x, w: F.batch_norm(x, None, None, w, training=True), ROWS, ((6,),)),
    "weight_norm": Case(lambda x, v, g: F.linear(x, torch._weight_norm(v, g, 0)), ROWS, ((5, 6), (5, 1))),
}  # fmt: skip

MODULES: dict[str, Callable[[], nn.Module]] = {
    "BatchNorm2d": lambda: nn.BatchNorm2d(4),
    "BatchNorm2d frozen": lambda: nn.BatchNorm2d(4).requires_grad_(False),
    "BatchNorm2d without statistics": lambda: nn.BatchNorm2d(4, track_running_stats=False),
    "BatchNorm2d without weights": lambda: nn.BatchNorm2d(4, affine=False),
    "GroupNorm": lambda: nn.GroupNorm(2, 4),
    "LayerNorm": lambda: nn.LayerNorm((6, 6)),
    "LayerNorm without bias": lambda: nn.LayerNorm(6, bias=False),
    "InstanceNorm2d": lambda: nn.InstanceNorm2d(4),
    "weight_norm": lambda: nn.utils.parametrizations.weight_norm(nn.Conv2d(4, 5, 3)),
    "spectral_norm": lambda: nn.utils.parametrizations.spectral_norm(nn.Conv2d(4, 5, 3)),
}  # fmt: skip


@parametrized(CASES, MODULES)
def test_a_rule_is_what_torch_does(make: Callable[[], nn.Module] | None, case: Case, layout: str) -> None:
    check(make, case, layout)
