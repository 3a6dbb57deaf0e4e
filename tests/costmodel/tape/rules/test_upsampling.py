"""Rules of the family upsampling beside torch itself."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from one_function import STACK, Case, check, check_refused, parametrized, refusals
from torch import Tensor, nn

VOLUMES = (2, 3, 4, 4, 4)


def innermost(x: Tensor) -> Tensor:
    """A batch of volumes whose channels lie innermost."""
    return x.to(memory_format=torch.channels_last_3d)


CASES: dict[str, Case] = {
    "interpolate": Case(lambda x: F.interpolate(x, scale_factor=2)),
    "interpolate to": Case(lambda x: F.interpolate(x, (7, 9))),
    "interpolate 1.5": Case(lambda x: F.interpolate(x, scale_factor=(1.5, 0.5))),
    "interpolate 1": Case(lambda x: F.interpolate(x, 9, mode="nearest"), STACK, layouts="plain t step"),
    "interpolate 2": Case(
        lambda x: F.interpolate(x, scale_factor=1.5, mode="nearest-exact"), STACK, layouts="plain t step"
    ),
    "interpolate 3": Case(
        lambda x: F.interpolate(x, 9, mode="linear", align_corners=True), STACK, layouts="plain t step"
    ),
    "interpolate 4": Case(lambda x: F.interpolate(x, 9, mode="area"), STACK, layouts="plain t step"),
    "interpolate(x, 9, mode=nearest)": Case(lambda x: F.interpolate(x, 9, mode="nearest"), layouts="plain cl t step"),
    "interpolate 5": Case(lambda x: F.interpolate(x, 9, mode="nearest-exact"), layouts="plain cl t step"),
    "interpolate 6": Case(
        lambda x: F.interpolate(x, 9, mode="bilinear", align_corners=True), layouts="plain cl t step"
    ),
    "interpolate 7": Case(
        lambda x: F.interpolate(x, scale_factor=1.5, mode="bilinear", antialias=True), layouts="plain cl t step"
    ),
    "interpolate 8": Case(
        lambda x: F.interpolate(x, scale_factor=0.7, mode="bilinear", recompute_scale_factor=True),
        layouts="plain cl t step",
    ),
    "interpolate 9": Case(lambda x: F.interpolate(x, (9, 4), mode="bicubic"), layouts="plain cl t step"),
    "interpolate 10": Case(lambda x: F.interpolate(x, 9, mode="bicubic", antialias=True), layouts="plain cl t step"),
    "interpolate(x, 9, mode=area)": Case(lambda x: F.interpolate(x, 9, mode="area"), layouts="plain cl t step"),
    "interpolate 11": Case(lambda x: F.interpolate(x, 5, mode="area"), VOLUMES, layouts="plain t step"),
    "interpolate 12": Case(lambda x: F.interpolate(x, 5, mode="trilinear"), VOLUMES, layouts="plain t step"),
    "interpolate 13": Case(lambda x: F.interpolate(x, 5, mode="nearest"), VOLUMES, layouts="plain t step"),
    "interpolate 14": Case(lambda x: F.interpolate(x, 5, mode="nearest-exact"), VOLUMES, layouts="plain t step"),
    "interpolate 15": Case(lambda x: F.interpolate(innermost(x), 5, mode="trilinear"), VOLUMES, layouts="plain"),
    "interpolate 16": Case(lambda x: F.interpolate(innermost(x), 5, mode="nearest"), VOLUMES, layouts="plain"),
    "interpolate 17": Case(lambda x: F.interpolate(innermost(x), 5, mode="nearest-exact"), VOLUMES, layouts="plain"),
    "upsample(x, scale_factor=2)": Case(lambda x: F.upsample(x, scale_factor=2), layouts="plain cl t step"),
    "upsample_bilinear 1": Case(lambda x: F.upsample_bilinear(x, scale_factor=2), layouts="plain cl t step"),
    "upsample_nearest 1": Case(lambda x: F.upsample_nearest(x, scale_factor=2), layouts="plain cl t step"),
}

MODULES: dict[str, Callable[[], nn.Module]] = {
    "Upsample": lambda: nn.Upsample(scale_factor=3),
    "Upsample bicubic": lambda: nn.Upsample((5, 9), mode="bicubic"),
    "UpsamplingNearest2d": lambda: nn.UpsamplingNearest2d(scale_factor=2),
    "UpsamplingBilinear2d": lambda: nn.UpsamplingBilinear2d(scale_factor=2),
}

# Of other shapes than images.
OTHERS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "Upsample of signals": (lambda: nn.Upsample(scale_factor=2, mode="linear"), STACK),
    "Upsample of volumes": (lambda: nn.Upsample(scale_factor=2, mode="trilinear"), VOLUMES),
}

REFUSED: dict[str, list[Case]] = {
    "mode 'bilinear' of a tensor with 3": [Case(lambda x: F.interpolate(x, 9, mode="bilinear"), STACK)],
    "mode 'nearest'": [Case(lambda x: F.interpolate(x, 9, antialias=True), (3, 4, 6, 6))],
    "3 sides of an image with 2": [Case(lambda x: F.interpolate(x, (9, 9, 9)), (3, 4, 6, 6))],
}


@parametrized(CASES, MODULES, OTHERS)
def test_a_rule_is_what_torch_does(make: Callable[[], nn.Module] | None, case: Case, layout: str) -> None:
    check(make, case, layout)


@refusals(REFUSED)
def test_what_is_refused(message: str, case: Case) -> None:
    check_refused(message, case)
