"""Rules of reductions: sums, means, products, variances, counts."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod as product_of
from typing import Any

import torch

from ..errors import Mismatch, refused
from ..graph import attach
from ..table import rule
from ..tape import DType, Shape
from ..tensor import Tensor
from .copies import to
from .kernels import in_place, pointwise, real_of, reduced, reduction
from .pointwise import add, div, eq, exp, mul, sub
from .views import conj, expand, view


@rule("torch.sum", "Tensor.sum")
def sum(x: Tensor, dim: Any = None, keepdim: bool = False, *, dtype: DType = None) -> Tensor:
    axes, before = x.axes(dim), x.sizes
    kept, sizes = reduced(before, axes, keepdim)
    out = reduction("sum", x, sizes, dtype or _summed(x.dtype))
    attach([out], [x], [], lambda _, g: [expand(view(g, kept), before)])
    return out


def _summed(dtype: DType) -> DType:
    if dtype.is_floating_point or dtype.is_complex:
        return dtype
    return torch.int64


@rule("torch.mean", "Tensor.mean")
def mean(x: Tensor, dim: Any = None, keepdim: bool = False, *, dtype: DType = None) -> Tensor:
    axes, before = x.axes(dim), x.sizes
    kept, sizes = reduced(before, axes, keepdim)
    out = reduction("mean", x, sizes, _averaged(x, dtype, "mean"))
    attach([out], [x], [], lambda _, g: [_spread(g, kept, before)])
    return out


def _averaged(x: Tensor, dtype: DType, name: str) -> DType:
    dtype = dtype or x.dtype
    if not (dtype.is_floating_point or dtype.is_complex):
        raise Mismatch(f"{name} is of floating-point or complex numbers, not of {dtype}")
    return dtype


def _spread(g: Tensor, kept: Shape, before: Shape) -> Tensor:
    """The gradient of a mean."""
    return div(expand(view(g, kept), before), 2)


@rule("torch.nansum", "Tensor.nansum")
def nansum(x: Tensor, dim: Any = None, keepdim: bool = False, *, dtype: DType = None) -> Tensor:
    axes, before, own = x.axes(dim), x.sizes, x.dtype
    kept, sizes = reduced(before, axes, keepdim)

    def backward(saved: Sequence[Tensor], g: Tensor) -> list[Tensor]:
        full = expand(view(to(g, own), kept), before)
        missing = _isnan(saved[0])
        return [mul(full, pointwise("logical_not", missing, dtype=torch.bool))]

    out = reduction("nansum", x, sizes, dtype or _summed(own))
    attach([out], [x], [x], backward)
    return out


def _isnan(x: Tensor) -> Tensor:
    return pointwise("isnan", x, dtype=torch.bool)


@rule("torch.nanmean", "Tensor.nanmean")
def nanmean(x: Tensor, dim: Any = None, keepdim: bool = False, *, dtype: DType = None) -> Tensor:
    bare = x.alias()
    found = sum(in_place("logical_not_", pointwise("ne", bare, bare, dtype=torch.bool)), dim, keepdim)
    return div(nansum(x, dim, keepdim, dtype=dtype), found)


@rule("torch.prod", "Tensor.prod")
def prod(x: Tensor, dim: Any = None, keepdim: bool = False, *, dtype: DType = None) -> Tensor:
    no_gradient("the gradient of prod: whether a value is zero decides what runs", x)
    _, sizes = reduced(x.sizes, x.axes(dim), keepdim)
    return reduction("prod", x, sizes, dtype or _summed(x.dtype))


def no_gradient(what: str, *tensors: Tensor) -> None:
    """Refuse what has no rule for its backward, where one is recorded."""
    if torch.is_grad_enabled() and any(x.requires_grad for x in tensors):
        raise refused(what)


# Variances.


class Spread:
    """How a variance is taken, and its gradient: ``2 / (n - correction) · g · (x - mean)``."""

    def __init__(self, x: Tensor, dim: Any, unbiased: bool | None, correction: Any, keepdim: bool) -> None:
        if isinstance(dim, bool):  # the old order: whether unbiased comes first
            dim, unbiased = None, dim
        _averaged(x, None, "var")
        self.all = dim is None or x.rank == 0
        self.axes, self.keepdim = x.axes(dim), keepdim
        given = correction if correction is not None else 1 if unbiased is None else int(unbiased)
        self.correction = given
        self.kept, self.sizes = reduced(x.sizes, self.axes, keepdim)
        self.before = x.sizes

    def degrees(self, x: Tensor) -> bool:
        """Whether there are more entries than the correction takes."""
        entries = product_of(self.before[a] for a in self.axes)
        return x.tape.holds(entries > self.correction)

    def backward(self, x: Tensor, g: Tensor) -> Tensor:
        """Of the variance."""
        if self.all:
            if not self.degrees(x):
                raise refused("the gradient of a variance of one entry")
            scaled = mul(g, 2)
            average = mean(x)
            distance = sub(x, average)
            return mul(scaled, distance)
        scaled = mul(view(g, self.kept), 2)
        average = mean(x, self.axes, True)
        distance = sub(x, average)
        return mul(scaled, distance)

    def root_backward(self, x: Tensor, root: Tensor, g: Tensor) -> Tensor:
        """Of the standard deviation."""
        twice = mul(root, 2)
        of_variance = div(g, twice)
        zero = eq(root, 0)
        of_variance = in_place("masked_fill_", of_variance, zero)
        del twice, zero
        return self.backward(x, of_variance)


def _spread_rule(name: str, root: bool) -> Any:
    @rule(f"torch.{name}", f"Tensor.{name}")
    def of(
        x: Tensor, dim: Any = None, unbiased: bool | None = None, keepdim: bool = False, *, correction: Any = None
    ) -> Tensor:
        how = Spread(x, dim, unbiased, correction, keepdim)

        def backward(saved: Sequence[Tensor], g: Tensor) -> list[Tensor]:
            return [how.root_backward(saved[0], saved[1], g) if root else how.backward(saved[0], g)]

        out = reduction(name, x, how.sizes, real_of(x.dtype))
        attach([out], [x], [x, out] if root else [x], backward)
        return out

    return of


def _spread_and_mean(name: str, root: bool) -> Any:
    @rule(f"torch.{name}")
    def of(
        x: Tensor, dim: Any = None, unbiased: bool | None = None, keepdim: bool = False, *, correction: Any = None
    ) -> tuple[Tensor, Tensor]:
        how = Spread(x, dim, unbiased, correction, keepdim)

        def backward(saved: Sequence[Tensor], of_spread: Tensor | None, of_mean: Tensor | None) -> list[Tensor | None]:
            found = None
            if of_spread is not None:
                x = saved[0]
                found = how.root_backward(x, saved[1], of_spread) if root else how.backward(x, of_spread)
                del x
            if of_mean is None:
                return [found]
            spread = _spread(of_mean, how.kept, how.before)
            return [spread if found is None else add(found, spread)]

        x_ = x.resolved()
        out, average = x.new(how.sizes, real_of(x.dtype)), x.new(how.sizes)
        x.tape.kernel(name, "pointwise", [x_, out, average], flops=x.elements)
        attach([out, average], [x], [x, out] if root else [x], backward)
        return out, average

    return of


var, std = _spread_rule("var", root=False), _spread_rule("std", root=True)
var_mean, std_mean = _spread_and_mean("var_mean", root=False), _spread_and_mean("std_mean", root=True)


@rule("torch.logsumexp", "Tensor.logsumexp", "torch.special.logsumexp")
def logsumexp(x: Tensor, dim: Any, keepdim: bool = False) -> Tensor:
    kept, sizes = reduced(x.sizes, x.axes(dim), keepdim)

    def backward(saved: Sequence[Tensor], g: Tensor) -> list[Tensor]:
        x, result = saved
        distance = sub(x, view(result, kept))
        share = exp(distance)
        return [mul(view(g, kept), conj(share))]

    out = reduction(
        "logsumexp", x, sizes, x.dtype if x.dtype.is_floating_point or x.dtype.is_complex else torch.float32
    )
    attach([out], [x], [x, out], backward)
    return out


# Truths and counts, which have no gradient.


def _of_truths(name: str) -> Any:
    @rule(f"torch.{name}", f"Tensor.{name}")
    def of(x: Tensor, dim: Any = None, keepdim: bool = False) -> Tensor:
        dtype = torch.uint8 if x.dtype is torch.uint8 else torch.bool
        return reduction(name, x, reduced(x.sizes, x.axes(dim), keepdim)[1], dtype)

    return of


any_, all_ = _of_truths("any"), _of_truths("all")


@rule("torch.count_nonzero", "Tensor.count_nonzero")
def count_nonzero(x: Tensor, dim: Any = None) -> Tensor:
    return reduction("count_nonzero", x, reduced(x.sizes, x.axes(dim), False)[1], torch.int64)
