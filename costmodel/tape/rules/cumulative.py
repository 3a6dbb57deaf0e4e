"""Rules of what runs along an axis: cumulative sums, products and extrema, differences."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from ..graph import attach
from ..table import rule
from ..tape import DType
from ..tensor import Tensor
from .copies import flip, to
from .extrema import Chosen
from .factories import filled
from .kernels import pointwise
from .pointwise import absolute, add, div, exp, gt, log, lt, mul, sub, where
from .reductions import _summed, no_gradient
from .reductions import sum as sum_over
from .views import narrowed, select, view


def _along(name: str, x: Tensor, dtype: DType = None) -> Tensor:
    """A kernel that writes as much as it reads."""
    x = x.resolved()
    out = x.new(x.sizes, dtype)
    x.tape.kernel(name, "pointwise", [x, out], flops=out.elements)
    return out


@rule("torch.cumsum", "Tensor.cumsum")
def cumsum(x: Tensor, dim: int, *, dtype: DType = None) -> Tensor:
    own, size = x.dtype, x.sizes[x.axis(dim)] if x.rank else 1

    def backward(_: object, g: Tensor) -> list[Tensor]:
        g = to(g, own)
        return [_from_behind(g, dim) if g.tape.holds(size > 1) else g]

    out = _along("cumsum", x, dtype or _summed(own))
    attach([out], [x], [], backward)
    return out


def _from_behind(g: Tensor, dim: int) -> Tensor:
    flipped = flip(g, dim)
    total = cumsum(flipped, dim)
    return flip(total, dim)


@rule("torch.cumprod", "Tensor.cumprod")
def cumprod(x: Tensor, dim: int, *, dtype: DType = None) -> Tensor:
    no_gradient("the gradient of cumprod: whether a value is zero decides what runs", x)
    return _along("cumprod", x, dtype or _summed(x.dtype))


def _extremum(name: str) -> Any:
    @rule(f"torch.{name}", f"Tensor.{name}")
    def extremum(x: Tensor, dim: int) -> Chosen:
        tape, sizes = x.tape, x.sizes
        out = Chosen(x.new(sizes), x.new(sizes, torch.int64))
        tape.kernel(name, "pointwise", [x, *out], flops=x.elements)

        def backward(saved: Sequence[Tensor], g: Tensor) -> list[Tensor]:
            _, indices = saved
            zeros = filled("zeros", tape, sizes, g.dtype)
            full = zeros if tape.in_place else g.new(sizes)
            tape.kernel("scatter_add", "pointwise", [zeros, indices, g, full], flops=full.elements)
            return [full]

        attach([out.values], [x], [x, out.indices], backward)
        return out

    return extremum


cummax, cummin = _extremum("cummax"), _extremum("cummin")


@rule("torch.logcumsumexp", "Tensor.logcumsumexp")
def logcumsumexp(x: Tensor, dim: int) -> Tensor:
    out = _along("logcumsumexp", x)
    attach([out], [x], [x, out], lambda saved, g: [_logcumsumexp_backward(saved[0], saved[1], g, dim)])
    return out


def _logcumsumexp_backward(x: Tensor, result: Tensor, g: Tensor, dim: int) -> Tensor:
    least = filled("scalar_tensor", g.tape, (), g.dtype)
    magnitude = log(absolute(g))
    positive = where(gt(g, 0), magnitude, least)
    negative = where(lt(g, 0), magnitude, least)
    gained, lost = _unsummed(positive, x, result, dim), _unsummed(negative, x, result, dim)
    return sub(gained, lost)


def _unsummed(part: Tensor, x: Tensor, result: Tensor, dim: int) -> Tensor:
    distance = sub(part, result)
    summed: Tensor = flip(logcumsumexp(flip(distance, dim), dim), dim)
    total = add(summed, x)
    return exp(total)  # type: ignore[no-any-return]


@rule("torch.diff", "Tensor.diff")
def diff(x: Tensor, n: int = 1, dim: int = -1, prepend: Tensor | None = None, append: Tensor | None = None) -> Tensor:
    from .joining import cat  # noqa: PLC0415

    axis = x.axis(dim)
    ends = [each for each in (prepend, x, append) if each is not None]
    out = cat(ends, axis) if len(ends) > 1 else x
    for _ in range(n):
        length = out.sizes[axis] - 1
        earlier = narrowed(out, axis, length)
        out = _difference(narrowed(out, axis, length), earlier)
    return out


def _difference(later: Tensor, earlier: Tensor) -> Tensor:
    if later.dtype is torch.bool:
        return pointwise("logical_xor", later, earlier, dtype=torch.bool)
    return sub(later, earlier)


@rule("torch.trapezoid", "torch.trapz")
def trapezoid(y: Tensor, x: Tensor | None = None, *, dx: float = 1, dim: int = -1) -> Tensor:
    """The integral over an axis, between points ``x`` or ones that are ``dx`` apart."""
    if x is None:
        last, first = select(y, dim, -1), select(y, dim, 0)
        ends = add(first, last)
        half = mul(ends, 0.5)
        total = sum_over(y, dim)
        inner = sub(total, half)
        return mul(inner, dx)
    steps = _steps(y, x, dim)
    pairs = _pairs(y, dim)
    areas = mul(pairs, steps)
    total = sum_over(areas, dim)
    return div(total, 2.0)


@rule("torch.cumulative_trapezoid")
def cumulative_trapezoid(y: Tensor, x: Tensor | None = None, *, dx: float = 1, dim: int = -1) -> Tensor:
    """The same up to each point."""
    if x is None:
        pairs = _pairs(y, dim)
        areas = mul(pairs, dx / 2)
        return cumsum(areas, dim)
    steps = _steps(y, x, dim)
    pairs = _pairs(y, dim)
    areas = mul(pairs, steps)
    total = cumsum(areas, dim)
    return div(total, 2.0)


def _pairs(y: Tensor, dim: int) -> Tensor:
    """The sums of neighbours."""
    axis = y.axis(dim)
    length = y.sizes[axis] - 1
    left = narrowed(y, axis, length)
    return add(left, narrowed(y, axis, length))


def _steps(y: Tensor, x: Tensor, dim: int) -> Tensor:
    axis = y.axis(dim)
    if x.rank == 1 and y.rank > 1:
        x = view(x, (*(1,) * axis, *x.sizes, *(1,) * (y.rank - axis - 1)))
    length = x.sizes[axis] - 1
    left = narrowed(x, axis, length)
    return sub(narrowed(x, axis, length), left)
