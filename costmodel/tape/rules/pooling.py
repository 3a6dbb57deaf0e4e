"""Rules of pooling: reductions over parts of a signal, an image or a volume."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import inf, prod
from typing import Any

import torch

from .. import layout
from ..errors import Mismatch, refused
from ..graph import attach
from ..sizes import fit
from ..table import active, rule
from ..tape import Shape, Size, Storage, pinned
from ..tensor import Tensor
from ..versions import since
from .convolution import _each
from .copies import contiguous
from .factories import filled, zeros_like
from .kernels import image_strides, moved
from .pointwise import unary
from .reductions import mean
from .views import reshape, squeeze, unsqueeze, view

NAMES = "torch.nn.functional"
PLAIN = {  # kernels whose results lie without gaps, the last axis innermost, however their inputs lie
    "_adaptive_avg_pool3d", "adaptive_max_pool3d", "avg_pool3d", "fractional_max_pool2d", "fractional_max_pool3d",
    "max_unpool3d",
}  # fmt: skip


def kernel(name: str, read: Sequence[Tensor], of: Tensor, sizes: Shape, flops: Size) -> Tensor:
    """A kernel that makes an image batch, laid out as ``of``."""
    out = of.new(sizes, None, _strides(name, of, sizes))
    of.tape.kernel(name, "pointwise", [*read, out], flops=flops)
    return out


def _strides(name: str, of: Tensor, sizes: Shape) -> layout.Strides | None:
    return None if name.removesuffix("_backward") in PLAIN else image_strides(of, sizes)


def _pooled_side(side: Size, kernel: Size, stride: Size, padding: Size, dilation: Size, ceil_mode: bool) -> Size:
    span = side + 2 * padding - dilation * (kernel - 1) - 1
    if not ceil_mode:
        return span // stride + 1
    count = (span + stride - 1) // stride + 1
    outside = active().holds((count - 1) * stride >= side + padding)  # the last part must start inside
    return count - 1 if outside else count


def _pooled(count: int, x: Tensor, kernel: Any, stride: Any, padding: Any, ceil_mode: bool, dilation: Any = 1) -> Shape:
    """The sizes after pooling the ``count`` last sides."""
    _check_rank(count, x)
    kernels = _each(kernel, count)
    given = _each(stride, count) if stride not in (None, (), []) else kernels
    parameters = zip(x.sizes[-count:], kernels, given, _each(padding, count), _each(dilation, count), strict=True)
    sides = [_pooled_side(*each, ceil_mode) for each in parameters]
    if not all(x.tape.holds(side >= 1) for side in sides):
        raise Mismatch(f"pooling by {kernels} takes a larger image than {x.sizes[-count:]}")
    return (*x.sizes[:-count], *sides)


def _check_rank(count: int, x: Tensor) -> None:
    if x.rank not in (count + 1, count + 2):
        raise Mismatch(f"pooling of {count} sides takes inputs of rank {count + 1} or {count + 2}, got {x.sizes}")


def _adapted(count: int, x: Tensor, output_size: Any) -> Shape:
    """The sizes after pooling the ``count`` last sides to these, None for a side as it is."""
    _check_rank(count, x)
    asked = output_size if isinstance(output_size, (tuple, list)) else (output_size,) * count
    kept = zip(asked, x.sizes[-count:], strict=True)
    return (*x.sizes[:-count], *(have if side is None else side for side, have in kept))


def _as_image(x: Tensor, pool: Callable[[Tensor], Any]) -> Any:
    """What is pooled over one side, as images of one row."""
    out = pool(unsqueeze(x, -2))
    return tuple(squeeze(each, -2) for each in out) if isinstance(out, tuple) else squeeze(out, -2)


# Maxima.


def _maxima(count: int) -> None:
    """The maximum of each part; saves x and where it was found, in 8 bytes."""
    name = f"max_pool{count}d"

    @rule(f"{NAMES}.{name}_with_indices", f"torch.{name}_with_indices")
    def with_indices(
        input: Tensor, kernel_size: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1,
        ceil_mode: bool = False, return_indices: bool = False,
    ) -> tuple[Tensor, Tensor]:  # fmt: skip
        sizes = _pooled(count, input, kernel_size, stride, padding, ceil_mode, dilation)
        if count > 1:
            return _maximum(f"{name}_with_indices", input, sizes)
        image = (*sizes[:-1], 1, sizes[-1])
        return _as_image(input, lambda x: _maximum("max_pool2d_with_indices", x, image))  # type: ignore[no-any-return]

    @rule(f"{NAMES}.{name}", f"torch.{name}")
    def pool(
        input: Tensor, kernel_size: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1,
        ceil_mode: bool = False, return_indices: bool = False,
    ) -> Any:  # fmt: skip
        if count == 1 and not (return_indices or (input.requires_grad and torch.is_grad_enabled())):
            sizes = _pooled(count, input, kernel_size, stride, padding, ceil_mode, dilation)
            return _maximum_of_signal(input, sizes)
        both = with_indices(input, kernel_size, stride, padding, dilation, ceil_mode)
        return both if return_indices else both[0]

    @rule(f"{NAMES}.adaptive_{name}_with_indices", f"torch.adaptive_{name}")
    def adaptive_with_indices(input: Tensor, output_size: Any, return_indices: bool = False) -> tuple[Tensor, Tensor]:
        sizes = _adapted(count, input, output_size)
        if count > 1:
            return _maximum(f"adaptive_{name}", input, sizes)
        image = (*sizes[:-1], 1, sizes[-1])
        return _as_image(input, lambda x: _maximum("adaptive_max_pool2d", x, image))  # type: ignore[no-any-return]

    @rule(f"{NAMES}.adaptive_{name}")
    def adaptive(input: Tensor, output_size: Any, return_indices: bool = False) -> Any:
        both = adaptive_with_indices(input, output_size)
        return both if return_indices else both[0]


def _maximum(name: str, x: Tensor, sizes: Shape, *read: Tensor) -> tuple[Tensor, Tensor]:
    strides = _strides(name, x, sizes)
    out, indices = x.new(sizes, None, strides), x.new(sizes, torch.int64, strides)
    x.tape.kernel(name, "pointwise", [x, *read, out, indices], flops=x.elements)

    def backward(saved: Sequence[Tensor], g: Tensor) -> list[Tensor]:
        return [kernel(f"{name}_backward", [g, *saved], saved[0], saved[0].sizes, 0)]

    attach([out], [x], [x, indices], backward)
    return out, indices


def _maximum_of_signal(x: Tensor, sizes: Shape) -> Tensor:
    """Without a gradient, plain eager mode makes x plain and does not note where the maxima are.

    Under a dispatch mode it runs what it runs with a gradient; so the kernel counts.
    """
    tape = x.tape
    plain = None if x.is_plain or not tape.in_place else x.new(x.sizes)
    out = x.new(sizes)
    uncounted = pinned(Storage(tape.nbytes(sizes, torch.int64.itemsize))) if tape.in_place else None
    indices = Tensor(tape, sizes, torch.int64, uncounted)
    tape.kernel("max_pool2d_with_indices", "pointwise", [x, out, indices], flops=x.elements)
    del plain
    return out


def _unpooling(count: int) -> None:
    @rule(f"{NAMES}.max_unpool{count}d")
    def unpool(
        input: Tensor, indices: Tensor, kernel_size: Any, stride: Any = None, padding: Any = 0, output_size: Any = None
    ) -> Tensor:
        """Each maximum back where it was found, among zeros."""
        kernels = _each(kernel_size, count)
        steps = _each(stride, count) if stride is not None else kernels
        each = zip(input.sizes[-count:], kernels, steps, _each(padding, count), strict=True)
        sides = tuple((n - 1) * s + k - 2 * p for n, k, s, p in each)
        if output_size is not None:
            sides = tuple(output_size)[-count:]
        if count > 1:
            return _unpooled(f"max_unpool{count}d", input, indices, sides)
        return squeeze(_unpooled("max_unpool2d", unsqueeze(input, -1), unsqueeze(indices, -1), (*sides, 1)), -1)

    if count > 1:
        rule(f"torch._C._nn.max_unpool{count}d")(
            lambda input, indices, output_size, *_: _unpooled(f"max_unpool{count}d", input, indices, output_size)
        )


def _unpooled(name: str, x: Tensor, indices: Tensor, sides: Shape) -> Tensor:
    for have, want in zip(indices.sizes, x.sizes, strict=True):
        fit(have, want, "maxima and their places")
    lead, sizes = x.sizes[: -len(sides)], x.sizes
    out = kernel(name, [x, indices], x, (*lead, *sides), 0)

    def backward(saved: Sequence[Tensor], g: Tensor) -> list[Tensor]:
        places = view(saved[0], (*lead, -1))
        if not since(2, 14):
            g = contiguous(g, memory_format=layout.format_of(saved[0].hints, saved[0].strides))
        flat = reshape(g, (*lead, -1))
        return [view(moved("gather", [flat, places], places.sizes, g.dtype), sizes)]

    attach([out], [x], [indices], backward)
    return out


def _fractional(count: int) -> None:
    name = f"fractional_max_pool{count}d"

    @rule(f"{NAMES}.{name}_with_indices")
    def with_indices(
        input: Tensor, kernel_size: Any, output_size: Any = None, output_ratio: Any = None,
        return_indices: bool = False, _random_samples: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:  # fmt: skip
        """The maxima of parts that are drawn at random; how many there are is known."""
        _check_rank(count, input)
        if output_size is None:
            ratios = zip(input.sizes[-count:], _each(output_ratio, count), strict=True)
            output_size = tuple(_fraction(side, ratio) for side, ratio in ratios)
        batch = 1 if input.rank == count + 1 else input.sizes[0]
        draw = (batch, input.sizes[-count - 1], count)
        samples = filled("rand", input.tape, draw, input.dtype) if _random_samples is None else _random_samples
        return _maximum(name, input, (*input.sizes[:-count], *_each(output_size, count)), samples)

    @rule(f"{NAMES}.{name}")
    def pool(input: Tensor, *arguments: Any, return_indices: bool = False, **named: Any) -> Any:
        both = with_indices(input, *arguments, **named)
        return both if return_indices else both[0]


def _fraction(side: Size, ratio: float) -> int:
    if not isinstance(side, int):
        raise refused("fractional pooling of symbolic sizes by a ratio")
    return int(side * ratio)


# Averages.


def _averages(count: int) -> Any:
    name = f"avg_pool{count}d"

    @rule(f"{NAMES}.{name}", f"torch.{name}")
    def pool(
        input: Tensor, kernel_size: Any, stride: Any = None, padding: Any = 0, ceil_mode: bool = False, *_: Any,
        **__: Any,
    ) -> Tensor:  # fmt: skip
        sizes = _pooled(count, input, kernel_size, stride, padding, ceil_mode)
        if count > 1:
            return _average(name, input, sizes)
        image = (*sizes[:-1], 1, sizes[-1])
        return _as_image(input, lambda x: _average("avg_pool2d", x, image))  # type: ignore[no-any-return]

    @rule(f"{NAMES}.adaptive_{name}", f"torch.adaptive_{name}")
    def adaptive(input: Tensor, output_size: Any) -> Tensor:
        if count == 1:
            side = output_size[0] if isinstance(output_size, (tuple, list)) else output_size
            _check_rank(count, input)
            return _as_image(input, lambda x: _adaptive_average(2, x, (1, side)))  # type: ignore[no-any-return]
        return _adaptive_average(count, input, output_size)

    return pool


def _adaptive_average(count: int, x: Tensor, output_size: Any) -> Tensor:
    """The mean of each part of an image; of the whole image it is torch.mean, laid out as x."""
    sizes = _adapted(count, x, output_size)
    if sizes[-count:] != (1,) * count:
        return _average(f"_adaptive_avg_pool{count}d", x, sizes)
    out = mean(x, tuple(range(-count, 0)), keepdim=True)
    strides = image_strides(x, sizes)
    return out if strides is None or x.rank == count + 1 else _strided(out, strides)


def _strided(x: Tensor, strides: layout.Strides) -> Tensor:
    """x (b, c, 1, …) by other strides, which autograd undoes by a copy."""
    out = x.view_of(x.sizes, strides)
    sizes = x.sizes

    def backward(_: object, g: Tensor) -> list[Tensor]:
        flat = filled("new_zeros", g.tape, (g.elements,), g.dtype)
        g.tape.kernel("copy_", "pointwise", [flat, g, flat], flops=0)
        return [view(flat, sizes)]

    attach([out], [x], [], backward)
    return out


def _average(name: str, x: Tensor, sizes: Shape) -> Tensor:
    out = kernel(name, [x], x, sizes, x.elements)

    def backward(saved: Sequence[Tensor], g: Tensor) -> list[Tensor]:
        (x,) = saved
        return [kernel(f"{name}_backward", [g, x], x, x.sizes, x.elements)]

    attach([out], [x], [x], backward)
    return out


def _powers(count: int) -> None:
    average, maximum = (getattr(torch.nn.functional, f"{name}_pool{count}d") for name in ("avg", "max"))

    @rule(f"{NAMES}.lp_pool{count}d")
    def pool(input: Any, norm_type: Any, kernel_size: Any, stride: Any = None, ceil_mode: bool = False) -> Tensor:
        """The p-norm of each part, by the mean of the powers."""
        if norm_type == inf and since(2, 13):
            return maximum(input.abs(), kernel_size, stride, 0, 1, ceil_mode)  # type: ignore[no-any-return]
        if norm_type == -inf and since(2, 13):
            return -maximum(-input.abs(), kernel_size, stride, 0, 1, ceil_mode)  # type: ignore[no-any-return]
        out = average(input.pow(norm_type), kernel_size, stride, 0, ceil_mode)
        return (_sign(out) * out.abs().relu()).mul(prod(_each(kernel_size, count))).pow(1.0 / norm_type)  # type: ignore[no-any-return]


def _sign(x: Tensor) -> Tensor:
    return unary("sign", x, lambda g, *_: zeros_like(g), "")


for _count in (1, 2, 3):
    _maxima(_count)
    _unpooling(_count)
    _powers(_count)
avg_pool1d, avg_pool2d, avg_pool3d = (_averages(_count) for _count in (1, 2, 3))
for _count in (2, 3):
    _fractional(_count)
