"""Rules of interpolation of signals, images and volumes to other sizes."""

from __future__ import annotations

from math import prod
from typing import Any

import torch

from ..errors import Mismatch, refused
from ..graph import attach
from ..table import rule
from ..tape import Shape, Size
from ..tensor import Tensor
from .convolution import _each
from .pooling import kernel

# The kernel of each mode for so many sides.
KERNELS = {
    ("nearest", 1): "upsample_nearest1d",
    ("nearest", 2): "upsample_nearest2d",
    ("nearest", 3): "upsample_nearest3d",
    ("nearest-exact", 1): "_upsample_nearest_exact1d",
    ("nearest-exact", 2): "_upsample_nearest_exact2d",
    ("nearest-exact", 3): "_upsample_nearest_exact3d",
    ("linear", 1): "upsample_linear1d",
    ("bilinear", 2): "upsample_bilinear2d",
    ("bicubic", 2): "upsample_bicubic2d",
    ("trilinear", 3): "upsample_trilinear3d",
}
COPIES = ("nearest", "nearest-exact")
SMOOTHED = ("bilinear", "bicubic")


@rule("torch.nn.functional.interpolate")
def interpolate(
    input: Tensor, size: Any = None, scale_factor: Any = None, mode: str = "nearest", align_corners: Any = None,
    recompute_scale_factor: Any = None, antialias: bool = False,
) -> Tensor:  # fmt: skip
    """Each pixel from its neighbours: pointwise, or a copy of the nearest; the gradient sums."""
    sides = input.sizes[2:]
    count = len(sides)
    if size is not None:
        grown = _each(size, count)
    else:
        grown = tuple(
            _scaled_side(side, factor) for side, factor in zip(sides, _each(scale_factor, count), strict=True)
        )
    if len(grown) != count:
        raise Mismatch(f"interpolation to {len(grown)} sides of an image with {count}")
    if not all(input.tape.holds(side >= 1) for side in grown):
        raise Mismatch(f"interpolation of an image with sides {sides} to {grown}")
    if mode == "area":
        averaged: Tensor = getattr(torch.nn.functional, f"adaptive_avg_pool{count}d")(input, grown)
        return averaged
    name = KERNELS.get((mode, count))
    if name is None or (antialias and mode not in SMOOTHED):
        raise refused(f"interpolation of mode {mode!r} of a tensor with {input.rank} axes")
    return _resized(f"_{name}_aa" if antialias else name, input, (*input.sizes[:2], *grown), mode in COPIES)


def _resized(name: str, x: Tensor, sizes: Shape, copies: bool) -> Tensor:
    before = x.sizes
    out = kernel(name, [x], x, sizes, 0 if copies else prod(sizes))
    attach([out], [x], [], lambda _, g: [kernel(f"{name}_backward", [g], g, before, g.elements)])
    return out


def _scaled_side(side: Size, factor: Any) -> Size:
    if isinstance(factor, float) and factor.is_integer():
        factor = int(factor)
    if not isinstance(side, int) and not isinstance(factor, int):
        raise refused("interpolation of symbolic sizes by a fraction")
    return int(side * factor) if isinstance(side, int) else side * factor
