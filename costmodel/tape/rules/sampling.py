"""Rules of sampling an image or a volume at given places."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

from ..errors import Mismatch, refused
from ..graph import attach
from ..sizes import fit
from ..table import rule
from ..tape import Shape, Size
from ..tensor import Tensor
from .factories import filled
from .linalg import bmm
from .views import reshape, transpose, view


@rule("torch.nn.functional.grid_sample", "torch.grid_sampler")
def grid_sample(input: Tensor, grid: Tensor, *_: Any, **__: Any) -> Tensor:
    """x (b, c, …) at the places of a grid (b, …, sides): (b, c, …); the places' gradient is computed in any case."""
    sides = input.rank - 2
    if grid.rank != input.rank or sides not in (2, 3):
        raise Mismatch(f"grid_sample of an input of shape {input.sizes} by a grid of shape {grid.sizes}")
    fit(grid.sizes[-1], sides, "a grid's coordinates and the sides of what is sampled")
    fit(grid.sizes[0], input.sizes[0], "batches of an input and its grid")
    name = f"grid_sampler_{sides}d"
    out = input.new((*input.sizes[:2], *grid.sizes[1:-1]))
    input.tape.kernel(name, "pointwise", [input, grid, out], flops=out.elements)
    of_input = input.is_followed

    def backward(saved: Sequence[Tensor], g: Tensor) -> list[Tensor | None]:
        gradients = [g.new(each.sizes) if need else None for each, need in zip(saved, (of_input, True), strict=True)]
        written = [each for each in gradients if each is not None]
        g.tape.kernel(f"{name}_backward", "pointwise", [g, *saved, *written], flops=written[0].elements)
        return gradients

    attach([out], [input, grid], [input, grid], backward)
    return out


@rule("torch.nn.functional.affine_grid", "torch.affine_grid_generator")
def affine_grid(theta: Tensor, size: Any, align_corners: bool | None = None) -> Tensor:
    """The places (b, …, sides) that affine maps (b, sides, sides + 1) give to the pixels of images (b, c, …)."""
    b, _, *sides = size
    count = len(sides)
    if count not in (2, 3):
        raise Mismatch(f"affine_grid makes grids of two or three sides, got the size {tuple(size)}")
    for have, want in zip(theta.sizes, (b, count, count + 1), strict=True):
        fit(have, want, "affine maps and the size of their grid")
    out = theta.new((b, *sides, count))
    theta.tape.kernel("affine_grid_generator", "pointwise", [theta, out], flops=out.elements)

    def backward(_: object, g: Tensor) -> list[Tensor]:
        pixels = _pixels(g, (b, *sides, count + 1), bool(align_corners))
        rows = transpose(view(pixels, (b, prod(sides), count + 1)), 1, 2)
        return [transpose(bmm(rows, reshape(g, (b, prod(sides), count))), 1, 2)]

    attach([out], [theta], [], backward)
    return out


def _pixels(like: Tensor, sizes: Shape, align_corners: bool) -> Tensor:
    """The places of pixels before a map: a coordinate for each side, from the last one on, and a one."""
    tape, out = like.tape, like.new(sizes)
    plane = out.view_of(sizes[:-1], out.strides[:-1])
    for side in reversed(sizes[1:-1]):
        along = _from_minus_one(like, side, align_corners)
        tape.kernel("copy_", "pointwise", [plane, along, plane], flops=0)
        del along
    tape.kernel("fill_", "pointwise", [plane, plane], flops=0)
    return out


def _from_minus_one(like: Tensor, side: Size, align_corners: bool) -> Tensor:
    if not like.tape.holds(side > 1):
        raise refused("the gradient of affine_grid of a side of one pixel")
    steps: Any = filled("linspace", like.tape, (side,), like.dtype)
    if not align_corners:
        steps = steps * 2 / 2
    return steps  # type: ignore[no-any-return]
