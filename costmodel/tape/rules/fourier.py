"""Rules of Fourier transforms. FLOPs: 5 N log2 N for N complex points, half that from or to real ones."""

from __future__ import annotations

import math
from collections.abc import Sequence
from math import prod
from typing import Any

from .. import layout
from ..errors import Mismatch
from ..graph import attach
from ..sizes import halved, same
from ..table import Rule, rule
from ..tape import DType, Shape, Size
from ..tensor import Tensor
from .copies import to
from .factories import filled
from .indexing import written
from .kernels import in_place, pointwise
from .padding import constant_pad
from .pointwise import unary
from .views import conj, narrowed, real, renamed


def _transformed(name: str, x: Tensor, sizes: Shape, dtype: DType, axes: Sequence[int], points: Size) -> Tensor:
    """One kernel over ``axes``. The transformed axes go inside, the others keep their order in memory."""
    x = x.resolved()
    out = x.new(sizes, dtype)
    if x._strides is not None or list(axes) != list(range(x.rank - len(axes), x.rank)):
        order = layout.order_of(x.strides)
        sorted_axes, last = (axes, []) if name == "_fft_c2c" else (axes[:-1], [axes[-1]])
        inner = [a for a in order if a in sorted_axes] + last
        out._strides = layout.contiguous(out.hints, [a for a in order if a not in axes] + inner)
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
        lazy = g.resolved()  # for new_zeros alone
        full = filled("new_zeros", tape, sizes, complex_dtype)
        del lazy
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


def _real_to_full(x: Tensor, axes: Sequence[int]) -> Tensor:
    """The whole spectrum of a real x."""
    out = _transformed("_fft_r2c", x, x.sizes, x.dtype.to_complex(), axes, prod(x.sizes[a] for a in axes))
    attach([out], [x], [x], lambda _, g: [real(_complex_to_complex(g, axes))])
    return out


def _complex(x: Tensor) -> Tensor:
    return x if x.dtype.is_complex else to(x, x.dtype.to_complex())


def _check(norm: str | None, x: Tensor | None = None) -> None:
    """Raise Mismatch for what torch has no transform of; how it is normed costs nothing."""
    if norm not in (None, "forward", "backward", "ortho"):
        raise Mismatch(f"a Fourier transform's norm is forward, backward or ortho, not {norm!r}")
    if x is not None and x.dtype.is_complex:
        raise Mismatch("a Fourier transform of real numbers, of complex ones")


@rule("torch.fft.fftn", "torch.fft.ifftn")
def fftn(x: Tensor, s: Any = None, dim: Any = None, norm: str | None = None) -> Tensor:
    """The full spectrum; a real x is made complex first."""
    _check(norm)
    axes = _axes(x, dim, s)
    z = _complex(x)  # it is there until the end
    return _complex_to_complex(_resized(z, s, axes), axes)


@rule("torch.fft.rfftn")
def rfftn(x: Tensor, s: Any = None, dim: Any = None, norm: str | None = None) -> Tensor:
    _check(norm, x)
    axes = _axes(x, dim, s)
    return _real_to_half(_resized(x, s, axes), axes)


def _half_sizes(z: Tensor, s: Any, axes: Sequence[int]) -> tuple[list[Size], Size]:
    """The sizes of half a spectrum, and of the last axis of what it is of."""
    side = 2 * (z.sizes[axes[-1]] - 1) if s is None or (isinstance(s[-1], int) and s[-1] == -1) else s[-1]
    sizes = [*(z.sizes[a] for a in axes[:-1])] if s is None else list(s[:-1])
    return [*sizes, halved(side) + 1], side


@rule("torch.fft.irfftn")
def irfftn(z: Tensor, s: Any = None, dim: Any = None, norm: str | None = None) -> Tensor:
    _check(norm)
    axes = _axes(z, dim, s)
    sizes, side = _half_sizes(z, s, axes)
    z = _complex(z)
    if len(axes) == 1:
        z = _resized(z, sizes, axes)
        return _half_to_real(z, axes, side)
    return _half_to_real(_resized(z, sizes, axes), axes, side)


@rule("torch.fft.hfftn")
def hfftn(z: Tensor, s: Any = None, dim: Any = None, norm: str | None = None) -> Tensor:
    """Of a signal whose spectrum is real."""
    _check(norm)
    axes = _axes(z, dim, s)
    sizes, side = _half_sizes(z, s, axes)
    z = _complex(z)
    if len(axes) == 1:
        z = _resized(z, sizes, axes)
        return _half_to_real(conj(z), axes, side)
    resized = _resized(z, sizes, axes)
    within = _complex_to_complex(resized, axes[:-1])
    return _half_to_real(conj(within), axes[-1:], side)


@rule("torch.fft.ihfftn")
def ihfftn(x: Tensor, s: Any = None, dim: Any = None, norm: str | None = None) -> Tensor:
    """Half the signal whose spectrum is x."""
    _check(norm, x)
    axes = _axes(x, dim, s)
    resized = _resized(x, s, axes)
    half = _real_to_half(resized, axes[-1:])
    if len(axes) == 1:
        return conj(half)
    half = unary("_conj_physical", half, _conjugated, "")
    return _complex_to_complex(half, axes[:-1])


def _conjugated(g: Tensor, *_: Tensor) -> Tensor:
    return pointwise("_conj_physical", g)


def _two(name: str, of_many: Rule) -> Rule:
    @rule(*(f"torch.fft.{each}" for each in name.split()))
    def transform(x: Tensor, s: Any = None, dim: Any = (-2, -1), norm: str | None = None) -> Tensor:
        return of_many(x, s, dim, norm)  # type: ignore[no-any-return]

    return transform


fft2, rfft2, irfft2 = _two("fft2 ifft2", fftn), _two("rfft2", rfftn), _two("irfft2", irfftn)
hfft2, ihfft2 = _two("hfft2", hfftn), _two("ihfft2", ihfftn)


def _one(name: str, of_many: Rule) -> Rule:
    @rule(f"torch.fft.{name}")
    def transform(x: Tensor, n: Size | None = None, dim: int = -1, norm: str | None = None) -> Tensor:
        return of_many(x, None if n is None else (n,), (dim,), norm)  # type: ignore[no-any-return]

    return transform


rfft, irfft, hfft, ihfft = _one("rfft", rfftn), _one("irfft", irfftn), _one("hfft", hfftn), _one("ihfft", ihfftn)


@rule("torch.fft.fft")
def fft(x: Tensor, n: Size | None = None, dim: int = -1, norm: str | None = None) -> Tensor:
    """Over one axis a real x stays real."""
    if x.dtype.is_complex:
        return fftn(x, None if n is None else (n,), (dim,), norm)
    _check(norm)
    axes = [x.axis(dim)]
    return _real_to_full(_resized(x, None if n is None else (n,), axes), axes)


@rule("torch.fft.ifft")
def ifft(x: Tensor, n: Size | None = None, dim: int = -1, norm: str | None = None) -> Tensor:
    return fft(x, n, dim, norm) if x.dtype.is_complex else conj(fft(x, n, dim, norm))


@rule("torch.fft.fftshift", "torch.fft.ifftshift")
def fftshift(x: Tensor, dim: Any = None) -> Tensor:
    """A copy whose axes begin in their middle."""
    x_ = x.resolved()
    out = x.new(x.sizes)
    x.tape.kernel("roll", "pointwise", [x_, out], flops=0)
    attach([out], [x], [], lambda _, g: [fftshift(g)])
    return out
