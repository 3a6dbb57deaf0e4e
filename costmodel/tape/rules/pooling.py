"""Rules of pooling and of upsampling: reductions over parts of an image, and their like."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from .. import layout
from ..errors import Mismatch, refused
from ..graph import attach
from ..table import rule
from ..tape import Shape, Size
from ..tensor import Tensor
from .convolution import _each
from .factories import filled
from .kernels import image_strides
from .reductions import mean
from .views import squeeze, unsqueeze, view


def _kernel(name: str, read: Sequence[Tensor], of: Tensor, sizes: Shape, flops: Size, dtype: Any = None) -> Tensor:
    """A kernel that makes an image batch, laid out as ``of``."""
    out = of.new(sizes, dtype, image_strides(of, sizes))
    of.tape.kernel(name, "pointwise", [*read, out], flops=flops)
    return out


def _pooled_side(side: Size, kernel: Size, stride: Size, padding: Size, dilation: Size, ceil_mode: bool) -> Size:
    span = side + 2 * padding - dilation * (kernel - 1) - 1
    if not ceil_mode:
        return span // stride + 1
    if not isinstance(span, int):
        raise refused("pooling with ceil_mode of symbolic sizes")
    count = -(-span // stride) + 1
    return count - ((count - 1) * stride >= side + padding)  # the last part must start inside


def _pooled(x: Tensor, kernel: Any, stride: Any, padding: Any, dilation: Any, ceil_mode: bool) -> Shape:
    """The sizes after pooling the two last sides."""
    kernels = _each(kernel, 2)
    given = _each(stride, 2) if stride not in (None, (), []) else kernels
    parameters = zip(x.sizes[-2:], kernels, given, _each(padding, 2), _each(dilation, 2), strict=True)
    sides = [_pooled_side(*each, ceil_mode) for each in parameters]
    if any(isinstance(side, int) and side < 1 for side in sides):
        raise Mismatch(f"pooling by {kernels} takes a larger image than {x.sizes[-2:]}")
    return (*x.sizes[:-2], *sides)


@rule("torch.nn.functional.max_pool2d", "torch.max_pool2d", "torch.nn.functional.max_pool2d_with_indices")
def max_pool2d(
    x: Tensor, kernel_size: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1, ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:  # fmt: skip
    """The maximum of each part of an image; saves x and where it was found, in 8 bytes."""
    sizes = _pooled(x, kernel_size, stride, padding, dilation, ceil_mode)
    return _maximum("max_pool2d_with_indices", x, sizes, return_indices)


@rule("torch.nn.functional.adaptive_max_pool2d", "torch.nn.functional.adaptive_max_pool2d_with_indices")
def adaptive_max_pool2d(x: Tensor, output_size: Any, return_indices: bool = False) -> Any:
    return _maximum("adaptive_max_pool2d", x, _adapted(x, output_size), return_indices)


def _adapted(x: Tensor, output_size: Any) -> Shape:
    asked = output_size if isinstance(output_size, (tuple, list)) else (output_size,) * 2
    return (*x.sizes[:-2], *(have if side is None else side for side, have in zip(asked, x.sizes[-2:], strict=True)))


def _maximum(name: str, x: Tensor, sizes: Shape, return_indices: bool) -> Any:
    strides = image_strides(x, sizes)
    out, indices = x.new(sizes, None, strides), x.new(sizes, torch.int64, strides)
    x.tape.kernel(name, "pointwise", [x, out, indices], flops=x.elements)

    def backward(saved: Sequence[Tensor], g: Tensor) -> list[Tensor]:
        return [_kernel(f"{name}_backward", [g, *saved], saved[0], saved[0].sizes, 0)]

    attach([out], [x], [x, indices], backward)
    return (out, indices) if return_indices else out


@rule("torch.nn.functional.avg_pool2d")
def avg_pool2d(
    x: Tensor, kernel_size: Any, stride: Any = None, padding: Any = 0, ceil_mode: bool = False, *_: Any, **__: Any
) -> Tensor:
    return _average("avg_pool2d", x, _pooled(x, kernel_size, stride, padding, 1, ceil_mode))


@rule("torch.nn.functional.avg_pool1d", "torch.avg_pool1d")
def avg_pool1d(
    x: Tensor, kernel_size: Any, stride: Any = None, padding: Any = 0, ceil_mode: bool = False, *_: Any, **__: Any
) -> Tensor:
    """As images of one row."""
    kernel = _each(kernel_size, 1)
    step = _each(stride, 1) if stride not in (None, (), []) else kernel
    sizes = _pooled(unsqueeze(x.alias(), -2), (1, *kernel), (1, *step), (0, *_each(padding, 1)), 1, ceil_mode)
    return squeeze(_average("avg_pool2d", unsqueeze(x, -2), sizes), -2)


@rule("torch.nn.functional.adaptive_avg_pool2d")
def adaptive_avg_pool2d(x: Tensor, output_size: Any) -> Tensor:
    """The mean of each part of an image; of the whole image it is torch.mean, laid out as x."""
    sizes = _adapted(x, output_size)
    if sizes[-2:] != (1, 1):
        return _average("_adaptive_avg_pool2d", x, sizes)
    out = mean(x, (-2, -1), keepdim=True)
    strides = image_strides(x, sizes)
    return out if strides is None else _strided(out, strides)


def _strided(x: Tensor, strides: layout.Strides) -> Tensor:
    """x (b, c, 1, 1) by other strides, which autograd undoes by a copy."""
    out = x.view_of(x.sizes, strides)
    sizes = x.sizes

    def backward(_: object, g: Tensor) -> list[Tensor]:
        flat = filled("new_zeros", g.tape, (g.elements,), g.dtype)
        g.tape.kernel("copy_", "pointwise", [flat, g, flat], flops=0)
        return [view(flat, sizes)]

    attach([out], [x], [], backward)
    return out


def _average(name: str, x: Tensor, sizes: Shape) -> Tensor:
    out = _kernel(name, [x], x, sizes, x.elements)

    def backward(saved: Sequence[Tensor], g: Tensor) -> list[Tensor]:
        (x,) = saved
        return [_kernel(f"{name}_backward", [g, x], x, x.sizes, x.elements)]

    attach([out], [x], [x], backward)
    return out


@rule("torch.nn.functional.interpolate")
def interpolate(
    x: Tensor, size: Any = None, scale_factor: Any = None, mode: str = "nearest", align_corners: Any = None,
    recompute_scale_factor: Any = None, antialias: bool = False,
) -> Tensor:  # fmt: skip
    """Each pixel several times: a copy, whose gradient sums."""
    if mode != "nearest" or x.rank != 4:
        raise refused(f"interpolation of mode {mode!r} of a tensor with {x.rank} axes")
    sides = x.sizes[2:]
    if size is not None:
        grown = _each(size, 2)
    else:
        grown = tuple(_scaled_side(side, factor) for side, factor in zip(sides, _each(scale_factor, 2), strict=True))
    if len(grown) != len(sides):
        raise Mismatch(f"interpolation to {len(grown)} sides of an image with {len(sides)}")
    before = x.sizes
    out = _kernel("upsample_nearest2d", [x], x, (*before[:2], *grown), 0)
    name = "upsample_nearest2d_backward"
    attach([out], [x], [], lambda _, g: [_kernel(name, [g], g, before, g.elements)])
    return out


def _scaled_side(side: Size, factor: Any) -> Size:
    if isinstance(factor, float) and factor.is_integer():
        factor = int(factor)
    if not isinstance(side, int) and not isinstance(factor, int):
        raise refused("interpolation of symbolic sizes by a fraction")
    return int(side * factor) if isinstance(side, int) else side * factor
