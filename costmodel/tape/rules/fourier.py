"""Rules of Fourier transforms. FLOPs: 5 N log2 N for N complex points, half that from or to real ones."""

from __future__ import annotations

import math
from collections.abc import Sequence
from math import prod
from typing import Any

from .. import layout
from ..graph import attach
from ..sizes import halved, same
from ..table import rule
from ..tape import DType, Shape, Size
from ..tensor import Tensor
from .copies import to
from .factories import filled
from .indexing import written
from .kernels import in_place
from .padding import constant_pad
from .views import narrowed, real, renamed


def _transformed(name: str, x: Tensor, sizes: Shape, dtype: DType, axes: Sequence[int], points: Size) -> Tensor:
    """One kernel over ``axes``. The transformed axes go inside, the others keep their order in memory."""
    x = x.resolved()
    out = x.new(sizes, dtype)
    if x._strides is not None:
        order = layout.order_of(x.strides)
        outer = [a for a in order if a not in axes]
        inner = (
            [a for a in order if a in axes[:-1]] + [axes[-1]] if name != "_fft_c2c" else [a for a in order if a in axes]
        )
        out._strides = layout.contiguous(out.hints, outer + inner)
    batch = prod(size for a, size in enumerate(sizes) if a not in axes)
    flops = 5 * batch * points * log2(points, exact=x.tape.symbolic)
    x.tape.kernel(name, "fft", [x, out], flops=flops if name == "_fft_c2c" else flops / 2)
    return out


def log2(n: Size, exact: bool) -> Size:
    """The binary logarithm: a float, or an exact expression."""
    if not exact:
        return math.log2(n)
    import sympy  # noqa: PLC0415  (a prediction must not wait for it)

    return sympy.log(n, 2)


def _resized(x: Tensor, sizes: Sequence[Size] | None, axes: Sequence[int]) -> Tensor:
    """x cut, and then zero-padded, to ``sizes`` along ``axes``."""
    if sizes is None:
        return x
    widths, padded = [0] * (2 * x.rank), False
    asked = list(x.sizes)
    for axis, size in zip(axes, sizes, strict=True):
        have = x.sizes[axis]
        if (isinstance(size, int) and size == -1) or same(size, have):
            continue
        asked[axis] = size
        if x.tape.holds(have < size):
            widths[2 * (x.rank - 1 - axis) + 1], padded = size - have, True
        elif x.tape.holds(have > size):
            x = narrowed(x, axis, size)
    if padded:
        return constant_pad(x, widths)
    return renamed(x, tuple(asked))


def _axes(x: Tensor, dim: Any, s: Any) -> list[int]:
    if dim is None:
        return list(range(x.rank))[-len(s) :] if s is not None else list(range(x.rank))
    return [x.axis(a) for a in ((dim,) if isinstance(dim, int) else dim)]


def _complex_to_complex(x: Tensor, axes: Sequence[int]) -> Tensor:
    out = _transformed("_fft_c2c", x, x.sizes, x.dtype, axes, prod(x.sizes[a] for a in axes))
    attach([out], [x], [], lambda _, g: [_complex_to_complex(g, axes)])
    return out


def _real_to_half(x: Tensor, axes: Sequence[int]) -> Tensor:
    """Half the spectrum of a real x; saves x, for its size."""
    tape, sizes, last = x.tape, x.sizes, axes[-1]
    half = _with(sizes, last, halved(sizes[last]) + 1)
    out = _transformed("_fft_r2c", x, half, x.dtype.to_complex(), axes, prod(sizes[a] for a in axes))
    complex_dtype = out.dtype

    def backward(_: object, g: Tensor) -> list[Tensor]:
        if not tape.holds(sizes[last] > 2):  # the half spectrum is the whole
            return [real(_complex_to_complex(renamed(g, sizes), axes))]
        g = g.resolved()
        full = filled("new_zeros", tape, sizes, complex_dtype)
        written(full.view_of(g.sizes, full.strides), g)
        return [real(_complex_to_complex(full, axes))]

    attach([out], [x], [x], backward)
    return out


def _half_to_real(z: Tensor, axes: Sequence[int], side: Size) -> Tensor:
    tape, half, last = z.tape, z.sizes, axes[-1]
    sizes = _with(half, last, side)
    points = prod(sizes[a] for a in axes)
    dtype = z.dtype
    out = _transformed("_fft_c2r", z, sizes, dtype.to_real(), axes, points)

    def backward(_: object, g: Tensor) -> list[Tensor]:
        out = _transformed("_fft_r2c", g, half, dtype, axes, points)
        if tape.holds(side > 2):
            doubled = out.view_of(_with(half, last, side - (halved(side) + 1)), out.strides)
            in_place("mul_", doubled)
        return [out]

    attach([out], [z], [], backward)
    return out


def _with(sizes: Shape, axis: int, size: Size) -> Shape:
    return (*sizes[:axis], size, *sizes[axis + 1 :])


@rule("torch.fft.fftn")
def fftn(x: Tensor, s: Any = None, dim: Any = None, norm: str | None = None) -> Tensor:
    """The full spectrum; a real x is made complex first."""
    axes = _axes(x, dim, s)
    if not x.dtype.is_complex:
        x = to(x, x.dtype.to_complex())
    return _complex_to_complex(_resized(x, s, axes), axes)


@rule("torch.fft.rfftn")
def rfftn(x: Tensor, s: Any = None, dim: Any = None, norm: str | None = None) -> Tensor:
    axes = _axes(x, dim, s)
    return _real_to_half(_resized(x, s, axes), axes)


@rule("torch.fft.irfftn")
def irfftn(z: Tensor, s: Any = None, dim: Any = None, norm: str | None = None) -> Tensor:
    axes = _axes(z, dim, s)
    side = 2 * (z.sizes[axes[-1]] - 1) if s is None or (isinstance(s[-1], int) and s[-1] == -1) else s[-1]
    sizes = [*(z.sizes[a] for a in axes[:-1])] if s is None else list(s[:-1])
    return _half_to_real(_resized(z, [*sizes, halved(side) + 1], axes), axes, side)


@rule("torch.fft.fft2", "torch.fft.ifft2")
def fft2(x: Tensor, s: Any = None, dim: Any = (-2, -1), norm: str | None = None) -> Tensor:
    return fftn(x, s, dim)


@rule("torch.fft.rfft2")
def rfft2(x: Tensor, s: Any = None, dim: Any = (-2, -1), norm: str | None = None) -> Tensor:
    return rfftn(x, s, dim)


@rule("torch.fft.irfft2")
def irfft2(z: Tensor, s: Any = None, dim: Any = (-2, -1), norm: str | None = None) -> Tensor:
    return irfftn(z, s, dim)


@rule("torch.fft.fft", "torch.fft.ifft")
def fft(x: Tensor, n: Size | None = None, dim: int = -1, norm: str | None = None) -> Tensor:
    return fftn(x, None if n is None else (n,), (dim,))


@rule("torch.fft.rfft")
def rfft(x: Tensor, n: Size | None = None, dim: int = -1, norm: str | None = None) -> Tensor:
    return rfftn(x, None if n is None else (n,), (dim,))


@rule("torch.fft.irfft")
def irfft(z: Tensor, n: Size | None = None, dim: int = -1, norm: str | None = None) -> Tensor:
    return irfftn(z, None if n is None else (n,), (dim,))
