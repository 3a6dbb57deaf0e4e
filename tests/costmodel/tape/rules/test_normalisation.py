"""Rules of the family normalisation beside torch itself."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from one_function import ROWS, STACK, Case, check, check_refused, parametrized, refusals
from torch import Tensor, nn

VOLUMES = (2, 4, 3, 3, 3)


def innermost(x: Tensor) -> Tensor:
    """A batch of volumes whose channels lie innermost."""
    return x.to(memory_format=torch.channels_last_3d)


CASES: dict[str, Case] = {
    "normalize of rows": Case(lambda x: F.normalize(x, dim=-1)),
    "local_response_norm of volumes": Case(lambda x: F.local_response_norm(x, 2), VOLUMES, layouts="plain step"),
    "batch_norm": Case(lambda x: F.batch_norm(x, None, None, training=True)),
    "torch.batch_norm": Case(lambda x: torch.batch_norm(x, None, None, None, None, True, 0.1, 1e-5, True)),
    "instance_norm": Case(F.instance_norm),
    "torch.instance_norm": Case(lambda x: torch.instance_norm(x, None, None, None, None, True, 0.1, 1e-5, True)),
    "group_norm": Case(lambda x: F.group_norm(x, 2)),
    "torch.group_norm": Case(lambda x: torch.group_norm(x, 2)),
    "layer_norm": Case(lambda x: F.layer_norm(x, (6, 6))),
    "group_norm of rows": Case(lambda x, w, b: F.group_norm(x, 3, w, b), ROWS, ((6,), (6,))),
    "batch_norm of rows": Case(lambda x, w: F.batch_norm(x, None, None, w, training=True), ROWS, ((6,),)),
    "weight_norm": Case(lambda x, v, g: F.linear(x, torch._weight_norm(v, g, 0)), ROWS, ((5, 6), (5, 1))),
    "rms_norm(x, (6,6))": Case(lambda x: F.rms_norm(x, (6, 6)), layouts="plain cl t step"),
    "rms_norm(x, (6,), w)": Case(lambda x, w: F.rms_norm(x, (6,), w), parameters=((6,),), layouts="plain cl t wide"),
    "rms_norm 1 in bfloat16": Case(lambda x, w: F.rms_norm(x, (6,), w, 1e-5), parameters=((6,),), dtype=torch.bfloat16),
    "rms_norm 2 in float16": Case(
        lambda x, w: F.rms_norm(x, (6,), w, 1e-5), parameters=((6,),), layouts="plain", dtype=torch.float16
    ),
    "rms_norm 3 in float64": Case(
        lambda x, w: F.rms_norm(x, (6,), w, 1e-5), parameters=((6,),), layouts="plain", dtype=torch.float64
    ),
    "rms_norm(x, (6,)) of 2 axes in bfloat16": Case(lambda x: F.rms_norm(x, (6,)), ROWS, dtype=torch.bfloat16),
    "local_response_norm(x, 3)": Case(lambda x: F.local_response_norm(x, 3), layouts="plain cl t step"),
    "local_response_norm(x, 2) of 3 axes": Case(lambda x: F.local_response_norm(x, 2), STACK, layouts="plain t step"),
    "normalize": Case(F.normalize, layouts="plain cl t step wide"),
    "instance_norm 1": Case(
        lambda x, w, b: F.instance_norm(x, torch.zeros(4), torch.ones(4), w, b),
        parameters=((4,), (4,)),
        layouts="plain cl t step",
    ),
    "instance_norm 2": Case(
        lambda x, w, b: F.instance_norm(x, None, None, w, b), parameters=((4,), (4,)), layouts="plain cl t step"
    ),
    "instance_norm 3": Case(
        lambda x, w, b: F.instance_norm(x, torch.zeros(4), torch.ones(4), w, b, use_input_stats=False),
        parameters=((4,), (4,)),
    ),
    "instance_norm 4": Case(lambda x, w, b: F.instance_norm(x, None, None, w, b), STACK, ((4,), (4,))),
    "instance_norm 5": Case(lambda x, w, b: F.instance_norm(x, None, None, w, b), (2, 4, 3, 3, 3), ((4,), (4,))),
    "batch_norm 1": Case(
        lambda x, w, b: F.batch_norm(x, None, None, w, b, True), STACK, ((4,), (4,)), layouts="plain t step"
    ),
    "batch_norm 2": Case(
        lambda x, w, b: F.batch_norm(x, None, None, w, b, True), (3, 4), ((4,), (4,)), layouts="plain t step"
    ),
    "batch_norm 3": Case(
        lambda x, w, b: F.batch_norm(x, None, None, w, b, True), (2, 4, 3, 3, 3), ((4,), (4,)), layouts="plain t step"
    ),
    "batch_norm 4": Case(
        lambda x, w, b: F.batch_norm(innermost(x), None, None, w, b, True),
        (2, 4, 3, 3, 3),
        ((4,), (4,)),
        layouts="plain",
    ),
    "batch_norm 5": Case(
        lambda x, w, b: F.batch_norm(x, None, None, w, b, True), parameters=((4,), (4,)), layouts="plain cl t step wide"
    ),
    "batch_norm 6": Case(
        lambda x, w, b: F.batch_norm(x, torch.zeros(4), torch.ones(4), w, b, False),
        parameters=((4,), (4,)),
        layouts="plain cl t step wide",
    ),
    "batch_norm 7": Case(
        lambda x, w, b: F.batch_norm(x, torch.zeros(4), torch.ones(4), w.detach(), b, True) * w.sum(),
        parameters=((4,), (4,)),
        layouts="plain cl",
    ),
    "batch_norm 8": Case(
        lambda x, w, b: F.batch_norm(x, None, None, w, b.detach(), True) * b.sum(),
        parameters=((4,), (4,)),
        layouts="plain cl",
    ),
    "batch_norm 9": Case(
        lambda x, w, b: F.batch_norm(x.detach(), None, None, w, b, True) * x.sum(),
        parameters=((4,), (4,)),
        layouts="plain cl",
    ),
    "batch_norm 10": Case(
        lambda x, w, b: F.batch_norm(x.detach(), None, None, None, b, True) * x.sum() * w.sum(),
        parameters=((4,), (4,)),
        layouts="plain cl",
    ),
    "batch_norm 11 in bfloat16": Case(
        lambda x, w, b: F.batch_norm(x, None, None, w, b, True), parameters=((4,), (4,)), dtype=torch.bfloat16
    ),
    "batch_norm 12 in float64": Case(
        lambda x, w, b: F.batch_norm(x, None, None, w, b, True), parameters=((4,), (4,)), dtype=torch.float64
    ),
    "batch_norm 13": Case(lambda x, w, b: F.batch_norm(x.bfloat16(), None, None, w, b, True), parameters=((4,), (4,))),
    "batch_norm 14": Case(
        lambda x, w, b: F.batch_norm(x.bfloat16(), torch.zeros(4), torch.ones(4), w, b, False), parameters=((4,), (4,))
    ),
    "group_norm 1": Case(
        lambda x, w, b: F.group_norm(x, 2, w, b), parameters=((4,), (4,)), layouts="plain cl t step wide"
    ),
    "group_norm 2 in bfloat16": Case(
        lambda x, w, b: F.group_norm(x, 2, w, b), parameters=((4,), (4,)), dtype=torch.bfloat16
    ),
    "group_norm 3": Case(lambda x, w, b: F.group_norm(x.bfloat16(), 2, w, b), parameters=((4,), (4,))),
    "group_norm 4": Case(lambda x, w, b: F.group_norm(x, 2, w, b), STACK, ((4,), (4,)), layouts="plain t step"),
    "group_norm 5": Case(
        lambda x, w, b: F.group_norm(x, 2, w, b), (2, 4, 3, 3, 3), ((4,), (4,)), layouts="plain t step"
    ),
    "group_norm 6": Case(
        lambda x, w, b: F.group_norm(innermost(x), 2, w, b), (2, 4, 3, 3, 3), ((4,), (4,)), layouts="plain"
    ),
    "group_norm 7": Case(
        lambda x, w, b: F.group_norm(x, 2, w, b.detach()) * b.sum(), parameters=((4,), (4,)), layouts="plain cl"
    ),
    "group_norm(x, 2, w)": Case(lambda x, w: F.group_norm(x, 2, w), parameters=((4,),), layouts="plain cl"),
    "layer_norm 1": Case(
        lambda x, w, b: F.layer_norm(x, (6,), w, b), parameters=((6,), (6,)), layouts="plain cl t step wide"
    ),
    "layer_norm 2 in bfloat16": Case(
        lambda x, w, b: F.layer_norm(x, (6,), w, b), parameters=((6,), (6,)), layouts="plain cl", dtype=torch.bfloat16
    ),
    "layer_norm 3": Case(
        lambda x, w, b: F.layer_norm(x.bfloat16(), (6,), w, b), parameters=((6,), (6,)), layouts="plain"
    ),
    "layer_norm 4": Case(
        lambda x, w, b: F.layer_norm(x, (6,), w, b.detach()) * b.sum(), parameters=((6,), (6,)), layouts="plain"
    ),
    "layer_norm 5": Case(
        lambda x, w, b: F.layer_norm(x.detach(), (6,), w, b) * x.sum(), parameters=((6,), (6,)), layouts="plain"
    ),
    "layer_norm(x, (6,6), w)": Case(lambda x, w: F.layer_norm(x, (6, 6), w), parameters=((6, 6),), layouts="plain"),
    "conv2d 1": Case(
        lambda x, v, g: F.conv2d(x, torch._weight_norm(v, g, 1)),
        parameters=((5, 4, 3, 3), (1, 4, 1, 1)),
        layouts="plain",
    ),
    "conv2d 2": Case(
        lambda x, v, g: F.conv2d(x, torch._weight_norm(v, g, 0)),
        parameters=((5, 4, 3, 3), (5, 1, 1, 1)),
        layouts="plain",
    ),
    "conv2d 3": Case(
        lambda x, v, g: F.conv2d(x, torch._weight_norm(v, g, 3)),
        parameters=((5, 4, 3, 3), (1, 1, 1, 3)),
        layouts="plain",
    ),
    "conv2d 4": Case(
        lambda x, v, g: F.conv2d(x, torch._weight_norm(v, g, 2)),
        parameters=((5, 4, 3, 3), (1, 1, 3, 1)),
        layouts="plain",
    ),
    "conv2d 5": Case(
        lambda x, v, g: F.conv2d(x, torch._weight_norm(v, g, -1)), parameters=((5, 4, 3, 3), (1,)), layouts="plain"
    ),
    "conv2d 6": Case(
        lambda x, v, g: F.conv2d(x, torch._weight_norm(v, g.detach(), 1)) * g.sum(),
        parameters=((5, 4, 3, 3), (1, 4, 1, 1)),
        layouts="plain",
    ),
    "conv2d 7": Case(
        lambda x, v, g: F.conv2d(x, torch._weight_norm(v, g.detach(), 0)) * g.sum(),
        parameters=((5, 4, 3, 3), (5, 1, 1, 1)),
        layouts="plain",
    ),
    "norm_except_dim 1": Case(
        lambda x, v: torch.norm_except_dim(v, 2, 0) * x.sum(), parameters=((5, 4, 3, 3),), layouts="plain"
    ),
    "norm_except_dim 2": Case(
        lambda x, v: torch.norm_except_dim(v, 2, 1).sum() * x.sum(), parameters=((5, 4, 3, 3),), layouts="plain"
    ),
    "norm_except_dim 3": Case(
        lambda x, v: torch.norm_except_dim(v, 2, 3) * x.sum(), parameters=((5, 4, 3, 3),), layouts="plain"
    ),
    "norm_except_dim 4": Case(
        lambda x, v: torch.norm_except_dim(v, 2, -1) * x.sum(), parameters=((5, 4, 3, 3),), layouts="plain"
    ),
}

MODULES: dict[str, Callable[[], nn.Module]] = {
    "BatchNorm2d": lambda: nn.BatchNorm2d(4),
    "BatchNorm2d frozen": lambda: nn.BatchNorm2d(4).requires_grad_(False),
    "BatchNorm2d without statistics": lambda: nn.BatchNorm2d(4, track_running_stats=False),
    "BatchNorm2d without weights": lambda: nn.BatchNorm2d(4, affine=False),
    "SyncBatchNorm in a single process": lambda: nn.SyncBatchNorm(4),
    "GroupNorm": lambda: nn.GroupNorm(2, 4),
    "GroupNorm without weights": lambda: nn.GroupNorm(2, 4, affine=False),
    "LayerNorm": lambda: nn.LayerNorm((6, 6)),
    "LayerNorm without bias": lambda: nn.LayerNorm(6, bias=False),
    "LayerNorm without weights": lambda: nn.LayerNorm(6, elementwise_affine=False),
    "InstanceNorm2d": lambda: nn.InstanceNorm2d(4),
    "InstanceNorm2d with all": lambda: nn.InstanceNorm2d(4, affine=True, track_running_stats=True),
    "RMSNorm": lambda: nn.RMSNorm(6),
    "LocalResponseNorm": lambda: nn.LocalResponseNorm(2),
    "weight_norm": lambda: nn.utils.parametrizations.weight_norm(nn.Conv2d(4, 5, 3)),
    "weight_norm of inputs": lambda: nn.utils.parametrizations.weight_norm(nn.Conv2d(4, 5, 3), dim=1),
    "weight_norm by a hook": lambda: _hooked(nn.utils.weight_norm, nn.Conv2d(4, 5, 3)),
    "weight_norm of inputs by a hook": lambda: _hooked(nn.utils.weight_norm, nn.Conv2d(4, 5, 3), dim=1),
    "weight_norm of all by a hook": lambda: _hooked(nn.utils.weight_norm, nn.Conv2d(4, 5, 3), dim=None),
    "spectral_norm": lambda: nn.utils.parametrizations.spectral_norm(nn.Conv2d(4, 5, 3)),
    "spectral_norm by a hook": lambda: nn.utils.spectral_norm(nn.Conv2d(4, 5, 3)),
}

# Of other shapes than images.
OTHERS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "BatchNorm1d": (lambda: nn.BatchNorm1d(4), STACK),
    "BatchNorm1d of rows": (lambda: nn.BatchNorm1d(6), ROWS),
    "BatchNorm3d": (lambda: nn.BatchNorm3d(4), VOLUMES),
    "InstanceNorm1d": (lambda: nn.InstanceNorm1d(4), STACK),
    "InstanceNorm1d of a signal": (lambda: nn.InstanceNorm1d(4), (4, 6)),
    "InstanceNorm3d": (lambda: nn.InstanceNorm3d(4, affine=True), VOLUMES),
    "LayerNorm": (lambda: nn.LayerNorm(6), ROWS),
    "RMSNorm": (lambda: nn.RMSNorm(6), ROWS),
    "spectral_norm by a hook": (lambda: nn.utils.spectral_norm(nn.Linear(6, 5)), ROWS),
    "weight_norm by a hook": (lambda: _hooked(nn.utils.weight_norm, nn.Linear(6, 5)), ROWS),
}

REFUSED: dict[str, list[Case]] = {
    "value of a tensor": [Case(nn.BatchNorm2d(4, momentum=None), (3, 4, 6, 6))],
    "more than one value per channel": [Case(lambda x: F.batch_norm(x, None, None, training=True), (1, 4))],
    "the normalised axes": [Case(lambda x: F.rms_norm(x, (5,)), ROWS)],
    "normalisation": [Case(nn.GroupNorm(3, 6), (3, 3, 4))],
}


def _hooked(norm: Callable[..., nn.Module], layer: nn.Module, **how: int | None) -> nn.Module:
    """A layer whose weight a hook makes, which can be copied: the first weight has no history."""
    with torch.no_grad():
        return norm(layer, **how)


@parametrized(CASES, MODULES, OTHERS)
def test_a_rule_is_what_torch_does(make: Callable[[], nn.Module] | None, case: Case, layout: str) -> None:
    check(make, case, layout)


@refusals(REFUSED)
def test_what_is_refused(message: str, case: Case) -> None:
    check_refused(message, case)
