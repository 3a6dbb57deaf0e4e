"""Rules of the family pooling beside torch itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import pytest
import torch
import torch.nn.functional as F
from one_function import STACK, Case, Of, check, check_refused, parametrized, predicted, refusals
from torch import Tensor, nn

from lipcost.validate import measure_memory

SIGNAL, IMAGE, VOLUME, VOLUMES = (4, 6), (4, 6, 6), (3, 4, 4, 4), (2, 3, 4, 4, 4)


def innermost(x: Tensor) -> Tensor:
    """A batch of volumes whose channels lie innermost."""
    return x.to(memory_format=torch.channels_last_3d)


CASES: dict[str, Case] = {
    "max_pool2d 3/2/1": Case(lambda x: F.max_pool2d(x, 3, stride=2, padding=1)),
    "max_pool2d ceil": Case(lambda x: F.max_pool2d(x, (4, 3), stride=(3, 2), ceil_mode=True)),
    "max_pool2d dilated": Case(lambda x: F.max_pool2d(x, 2, dilation=2)),
    "max_pool2d with indices": Case(lambda x: F.max_pool2d(x, 2, return_indices=True)[0]),
    "max_pool2d_with_indices": Case(lambda x: F.max_pool2d_with_indices(x, 2)[0]),
    "avg_pool2d": Case(lambda x: F.avg_pool2d(x, 2)),
    "avg_pool2d 3/2/1": Case(lambda x: F.avg_pool2d(x, 3, stride=2, padding=1, count_include_pad=False)),
    "avg_pool2d ceil": Case(lambda x: F.avg_pool2d(x, 4, stride=3, ceil_mode=True)),
    "adaptive_avg_pool2d": Case(lambda x: F.adaptive_avg_pool2d(x, (3, 2))),
    "adaptive_avg_pool2d to 1": Case(lambda x: F.adaptive_avg_pool2d(x, 1)),
    "adaptive_avg_pool2d one side": Case(lambda x: F.adaptive_avg_pool2d(x, (None, 2))),
    "adaptive_max_pool2d": Case(lambda x: F.adaptive_max_pool2d(x, 2)),
    "adaptive_max_pool2d to 1": Case(lambda x: F.adaptive_max_pool2d(x, 1)),
    "adaptive_avg_pool1d(x, 1) of 3 axes": Case(lambda x: F.adaptive_avg_pool1d(x, 1), STACK, layouts="plain t step"),
    "adaptive_avg_pool1d(x, 1) of 2 axes": Case(lambda x: F.adaptive_avg_pool1d(x, 1), SIGNAL, layouts="plain t step"),
    "adaptive_avg_pool1d(x, 2) of 3 axes": Case(lambda x: F.adaptive_avg_pool1d(x, 2), STACK, layouts="plain t step"),
    "adaptive_avg_pool2d 1": Case(lambda x: F.adaptive_avg_pool2d(x, (2, 3)), IMAGE, layouts="plain t step"),
    "adaptive_avg_pool2d(x, 1) of 3 axes": Case(lambda x: F.adaptive_avg_pool2d(x, 1), IMAGE, layouts="plain t step"),
    "adaptive_avg_pool3d 1": Case(lambda x: F.adaptive_avg_pool3d(x, (2, None, 1)), VOLUMES, layouts="plain t step"),
    "adaptive_avg_pool3d 2": Case(lambda x: F.adaptive_avg_pool3d(x, 1), VOLUMES, layouts="plain t step"),
    "adaptive_avg_pool3d 3": Case(lambda x: F.adaptive_avg_pool3d(x, 1), VOLUME, layouts="plain cl t step"),
    "adaptive_avg_pool3d 4": Case(lambda x: F.adaptive_avg_pool3d(x, 2), VOLUMES, layouts="plain t step"),
    "adaptive_avg_pool3d 5": Case(lambda x: F.adaptive_avg_pool3d(x, 2), VOLUME, layouts="plain cl t step"),
    "adaptive_avg_pool3d 6": Case(lambda x: F.adaptive_avg_pool3d(innermost(x), 1), VOLUMES, layouts="plain"),
    "adaptive_avg_pool3d 7": Case(lambda x: F.adaptive_avg_pool3d(innermost(x), 2), VOLUMES, layouts="plain"),
    "adaptive_max_pool1d 1": Case(
        lambda x: F.adaptive_max_pool1d(x, 1, return_indices=True)[0], SIGNAL, layouts="plain t step"
    ),
    "adaptive_max_pool1d(x, 2) of 3 axes": Case(lambda x: F.adaptive_max_pool1d(x, 2), STACK, layouts="plain t step"),
    "adaptive_max_pool2d(x, 2) of 3 axes": Case(lambda x: F.adaptive_max_pool2d(x, 2), IMAGE, layouts="plain t step"),
    "adaptive_max_pool3d 1": Case(lambda x: F.adaptive_max_pool3d(x, 2), VOLUMES, layouts="plain t step"),
    "adaptive_max_pool3d(x, 2) of 4 axes": Case(lambda x: F.adaptive_max_pool3d(x, 2), VOLUME, layouts="plain t step"),
    "adaptive_max_pool3d 2": Case(lambda x: F.adaptive_max_pool3d(innermost(x), 2), VOLUMES, layouts="plain"),
    "avg_pool1d(x, 2) of 3 axes": Case(lambda x: F.avg_pool1d(x, 2), STACK, layouts="plain t step"),
    "avg_pool1d(x, 2) of 2 axes": Case(lambda x: F.avg_pool1d(x, 2), SIGNAL, layouts="plain t step"),
    "avg_pool1d 1": Case(lambda x: F.avg_pool1d(x, 3, 2, 1, True), STACK, layouts="plain t step"),
    "avg_pool2d(x, 2) of 3 axes": Case(lambda x: F.avg_pool2d(x, 2), IMAGE, layouts="plain t step"),
    "avg_pool2d 1": Case(lambda x: F.avg_pool2d(x, 2, 2, 0, False, True, 3), layouts="plain cl t step"),
    "avg_pool3d(x, 2) of 5 axes": Case(lambda x: F.avg_pool3d(x, 2), VOLUMES, layouts="plain t step"),
    "avg_pool3d(x, 2) of 4 axes": Case(lambda x: F.avg_pool3d(x, 2), VOLUME, layouts="plain cl t step"),
    "avg_pool3d 1": Case(lambda x: F.avg_pool3d(innermost(x), 3, 2, 1, True), VOLUMES, layouts="plain"),
    "fractional_max_pool2d 1": Case(
        lambda x: F.fractional_max_pool2d(x, 2, output_ratio=(0.5, 0.5), return_indices=True)[0], IMAGE
    ),
    "fractional_max_pool2d 2": Case(lambda x: F.fractional_max_pool2d(x, 2, output_size=3), layouts="plain cl t step"),
    "fractional_max_pool3d 1": Case(lambda x: F.fractional_max_pool3d(x, 2, output_size=2), VOLUMES),
    "fractional_max_pool3d 2": Case(lambda x: F.fractional_max_pool3d(x, 2, output_size=2), VOLUME),
    "lp_pool1d(x, 3, 2) of 3 axes": Case(lambda x: F.lp_pool1d(x, 3, 2), STACK, layouts="plain"),
    "lp_pool2d(x, 2, 2)": Case(lambda x: F.lp_pool2d(x, 2, 2)),
    "lp_pool2d(x, 2, 2, ceil_mode=True)": Case(lambda x: F.lp_pool2d(x, 2, 2, ceil_mode=True)),
    "lp_pool2d(x, float(inf), 2)": Case(lambda x: F.lp_pool2d(x, float("inf"), 2)),
    "lp_pool3d(x, 2, 2, stride=1) of 5 axes": Case(lambda x: F.lp_pool3d(x, 2, 2, stride=1), VOLUMES),
    "max_pool1d(x, 2) of 3 axes": Case(lambda x: F.max_pool1d(x, 2), STACK, layouts="plain step"),
    "max_pool1d(x, 2) of 2 axes": Case(lambda x: F.max_pool1d(x, 2), SIGNAL, layouts="plain t step"),
    "max_pool1d 1": Case(lambda x: F.max_pool1d(x, 2, return_indices=True)[0], STACK, layouts="plain t step"),
    "max_pool1d 2": Case(lambda x: F.max_pool1d(x, 2, return_indices=True)[0], SIGNAL, layouts="plain t step"),
    "max_pool1d 3": Case(lambda x: F.max_pool1d(x, 3, 2, 1, ceil_mode=True), STACK, layouts="t", modes=("inference",)),
    "max_pool1d 4": Case(
        lambda x: F.max_pool1d(x, 3, 2, 1, ceil_mode=True).sum(), STACK, layouts="t", modes=("train",)
    ),
    "max_pool2d(x, 2)": Case(lambda x: F.max_pool2d(x, 2), layouts="plain cl t step wide"),
    "max_pool2d 1 in bfloat16": Case(
        lambda x: F.max_pool2d(x, 2), layouts="plain cl t step wide", dtype=torch.bfloat16
    ),
    "max_pool2d(x, 2) of 3 axes": Case(lambda x: F.max_pool2d(x, 2), IMAGE, layouts="plain t step"),
    "max_pool3d(x, 2) of 5 axes": Case(lambda x: F.max_pool3d(x, 2), VOLUMES, layouts="plain t step"),
    "max_pool3d(x, 2) of 4 axes": Case(lambda x: F.max_pool3d(x, 2), VOLUME, layouts="plain t step"),
    "max_pool3d 1": Case(lambda x: F.max_pool3d(innermost(x), 2), VOLUMES, layouts="plain"),
    "max_pool3d 2": Case(
        lambda x: F.max_pool3d(innermost(x), 3, 2, 1, ceil_mode=True, return_indices=True)[0], VOLUMES, layouts="plain"
    ),
    "max_unpool2d 1": Case(
        lambda x: torch._C._nn.max_unpool2d(*F.max_pool2d(x, 2, return_indices=True), (6, 6)), IMAGE
    ),
    "max_unpool2d 2": Case(
        lambda x: torch._C._nn.max_unpool2d(*F.max_pool2d(x, 2, return_indices=True), (6, 6)), layouts="plain cl t step"
    ),
    "max_unpool3d 1": Case(
        lambda x: torch._C._nn.max_unpool3d(*F.max_pool3d(x, 2, return_indices=True), (4, 4, 4), (2, 2, 2), (0, 0, 0)),
        VOLUMES,
    ),
    "max_unpool3d 2": Case(
        lambda x: torch._C._nn.max_unpool3d(
            *F.max_pool3d(innermost(x), 2, return_indices=True), (4, 4, 4), (2, 2, 2), (0, 0, 0)
        ),
        VOLUMES,
        layouts="plain",
    ),
    "adaptive_max_pool1d 2": Case(lambda x: torch.adaptive_max_pool1d(x, 1)[0], SIGNAL, layouts="plain t step"),
}

MODULES: dict[str, Callable[[], nn.Module]] = {
    "MaxPool2d": lambda: nn.MaxPool2d(3, 2, 1),
    "AvgPool2d": lambda: nn.AvgPool2d(2),
    "AdaptiveAvgPool2d": lambda: nn.AdaptiveAvgPool2d(3),
    "AdaptiveMaxPool2d": lambda: nn.AdaptiveMaxPool2d((None, 2)),
    "LPPool2d": lambda: nn.LPPool2d(2, 2),
    "FractionalMaxPool2d": lambda: nn.FractionalMaxPool2d(2, output_ratio=0.5),
}

# Of other shapes than images.
OTHERS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "MaxPool1d": (lambda: nn.MaxPool1d(2), STACK),
    "AvgPool1d": (lambda: nn.AvgPool1d(2), STACK),
    "AdaptiveAvgPool1d": (lambda: nn.AdaptiveAvgPool1d(2), STACK),
    "AdaptiveMaxPool1d": (lambda: nn.AdaptiveMaxPool1d(2), STACK),
    "MaxPool3d": (lambda: nn.MaxPool3d(2), VOLUMES),
    "AvgPool3d": (lambda: nn.AvgPool3d(2), VOLUMES),
    "AdaptiveAvgPool3d": (lambda: nn.AdaptiveAvgPool3d(1), VOLUMES),
    "AdaptiveMaxPool3d": (lambda: nn.AdaptiveMaxPool3d(2), VOLUMES),
    "LPPool1d": (lambda: nn.LPPool1d(3, 2), STACK),
    "FractionalMaxPool3d": (lambda: nn.FractionalMaxPool3d(2, output_size=2), VOLUMES),
}

# Functions that cannot be traced, of which only memory is measured.
UNTRACED: dict[str, tuple[Callable[[Tensor], Tensor], tuple[int, ...]]] = {
    "max_unpool1d": (lambda x: F.max_unpool1d(*F.max_pool1d(x, 2, return_indices=True), 2), STACK),
    "max_unpool2d": (lambda x: F.max_unpool2d(*F.max_pool2d(x, 2, return_indices=True), 2), (3, 4, 6, 6)),
    "max_unpool2d to": (lambda x: F.max_unpool2d(*F.max_pool2d(x, 2, 1, return_indices=True), 2, 1, 0, (6, 6)), IMAGE),
    "max_unpool3d": (lambda x: F.max_unpool3d(*F.max_pool3d(x, 2, return_indices=True), 2), VOLUMES),
    "MaxUnpool2d": (lambda x: nn.MaxUnpool2d(2)(*nn.MaxPool2d(2, return_indices=True)(x)), (3, 4, 6, 6)),
}

REFUSED: dict[str, list[Case]] = {
    "rank 3 or 4": [Case(lambda x: F.max_pool2d(x, 2), SIGNAL)],
    "larger image": [Case(lambda x: F.avg_pool2d(x, 5), VOLUME)],
}


@parametrized(CASES, MODULES, OTHERS)
def test_a_rule_is_what_torch_does(make: Callable[[], nn.Module] | None, case: Case, layout: str) -> None:
    check(make, case, layout)


@refusals(REFUSED)
def test_what_is_refused(message: str, case: Case) -> None:
    check_refused(message, case)


@pytest.mark.parametrize("mode", ["train", "inference"])
@pytest.mark.parametrize(("function", "shape"), UNTRACED.values(), ids=UNTRACED)
def test_memory_is_what_torch_takes(
    function: Callable[[Tensor], Tensor], shape: tuple[int, ...], mode: Literal["train", "inference"]
) -> None:
    net = Of(function, dtype=torch.float32)
    found, memory = predicted(net, shape, mode), measure_memory(net, torch.rand(shape), mode)
    of_torch = memory.saved_bytes, memory.tracker_peak_bytes, memory.profiler_peak_bytes
    assert (found["saved"], found["tracker_peak"], found["profiler_peak"]) == of_torch
