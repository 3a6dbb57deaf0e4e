"""Rules of what is chosen among the elements: extrema and where they are, medians, sorting."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch

from .. import layout
from ..errors import Mismatch
from ..graph import attach
from ..table import rule
from ..tape import Shape, Size
from ..tensor import Tensor
from ..versions import since
from .factories import filled
from .kernels import accumulated, reduced, reduction, result_of
from .pointwise import div, eq, minimum, mul
from .reductions import no_gradient
from .reductions import sum as sum_over
from .views import view


class Chosen(NamedTuple):
    """What is chosen along an axis, and where it was found."""

    values: Tensor
    indices: Tensor


class Both(NamedTuple):
    """The two extrema."""

    min: Tensor
    max: Tensor


# Over several axes: the gradient is shared by all places where the extremum is found.


@rule("torch.amax", "Tensor.amax", "torch.amin", "Tensor.amin")
def amax(x: Tensor, dim: Any = (), keepdim: bool = False) -> Tensor:
    axes = x.axes(dim)
    kept, sizes = reduced(x.sizes, axes, keepdim)
    out = reduction("amax", x, sizes)

    def backward(saved: Sequence[Tensor], g: Tensor) -> list[Tensor]:
        x, extremum = saved
        mask = eq(view(extremum, kept), x)
        return [_shared(view(g, kept), mask, axes)]

    attach([out], [x], [x, out], backward)
    return out


def _shared(g: Tensor, mask: Tensor, axes: Sequence[int]) -> Tensor:
    """The gradient where the extremum is found."""
    count = sum_over(mask, axes, True)
    share = div(g, count)
    return mul(share, mask)


@rule("torch.aminmax", "Tensor.aminmax")
def aminmax(x: Tensor, *, dim: int | None = None, keepdim: bool = False) -> Both:
    if not since(2, 13):
        no_gradient("the gradient of aminmax in this version of torch", x)
    axes = x.axes(dim)
    kept, sizes = reduced(x.sizes, axes, keepdim)

    def backward(saved: Sequence[Tensor], *gradients: Tensor | None) -> list[Tensor | None]:
        x, *found = saved
        total: Tensor | None = None
        for g, each in zip(gradients, found, strict=True):
            if g is not None:
                mask = eq(view(each, kept), x)
                of_each = _shared(view(g, kept), mask, axes)
                total = of_each if total is None else accumulated(total, of_each)
                del mask, of_each
        return [total]

    out = Both(x.new(sizes), x.new(sizes))
    x.tape.kernel("aminmax", "pointwise", [x, *out], flops=x.elements)
    attach(out, [x], [x, *out], backward)
    return out


def _of_all(name: str, x: Tensor) -> Tensor:
    """One element of all."""
    out = reduction(name, x, ())
    attach([out], [x], [x, out], lambda saved, g: [_evenly(g, *saved)])
    return out


def _evenly(g: Tensor, x: Tensor, value: Tensor) -> Tensor:
    """The gradient of one element of all, shared by the equal ones.

    Kernels are counted as autograd runs them under a dispatch mode, each into a new tensor. Plain eager asks for the
    value instead, has one mask, and fills the gradient in place.
    """
    eager, truth = x.tape.in_place, torch.bool

    def kernel(name: str, *tensors: Tensor) -> None:
        x.tape.kernel(name, "pointwise", tensors, flops=tensors[-1].elements)

    no_number = value.new((), truth)
    mask = x.new(x.sizes, truth, result_of([x], truth)._strides)
    missing, both = (mask, mask) if eager else (mask.new(x.sizes), mask.new(x.sizes))
    kernel("isnan", x, missing)
    kernel("isnan", value, no_number)
    kernel("logical_and", missing, no_number, both)
    kernel("eq", x, value, mask)
    kernel("logical_or_", mask, both, mask)
    if eager:
        del no_number
        out = x.new(x.sizes)
    count = sum_over(mask)
    share = div(g, count)
    if not eager:
        return mul(mask, share)
    kernel("mul", mask, share, out)
    return out


def _extremum(name: str) -> Any:
    @rule(f"torch.{name}", f"Tensor.{name}")
    def extremum(x: Tensor, dim: Any = None, keepdim: bool = False, *, other: Tensor | None = None) -> Any:
        if type(dim) is Tensor or other is not None:
            return minimum(x, dim if other is None else other)
        return _of_all(name, x) if dim is None else _along(name, x, dim, keepdim)

    return extremum


max, min = _extremum("max"), _extremum("min")


# Along an axis: it keeps where each was found, in 8 bytes.


def _along(
    name: str, x: Tensor, dim: int, keepdim: bool, size: Size = 1, strides: layout.Strides | None = None
) -> Chosen:
    """``size`` elements chosen along an axis."""
    tape, before = x.tape, x.sizes
    axis = x.axis(dim)
    kept = (*before[:axis], size, *before[axis + 1 :]) if before else ()
    sizes = kept if keepdim or not before else (*before[:axis], *before[axis + 1 :])
    out = Chosen(x.new(sizes, strides=strides), x.new(sizes, torch.int64, strides))
    tape.kernel(name, "pointwise", [x, *out], flops=x.elements)

    def backward(saved: Sequence[Tensor], g: Tensor) -> list[Tensor]:
        return [put_back(view(g, kept), view(saved[0], kept), before)]

    attach([out.values], [x], [out.indices], backward)
    return out


def put_back(g: Tensor, indices: Tensor, sizes: Shape) -> Tensor:
    """Zeros with a gradient at ``indices``; under a dispatch mode the scattering makes another tensor."""
    zeros = filled("zeros", g.tape, sizes, g.dtype)
    full = zeros if g.tape.in_place else g.new(sizes)
    g.tape.kernel("scatter", "pointwise", [zeros, indices, g, full], flops=0)
    return full


def _chosen_along(name: str) -> Any:
    @rule(f"torch.{name}", f"Tensor.{name}")
    def chosen(x: Tensor, dim: int | None = None, keepdim: bool = False) -> Any:
        return _of_all(name, x) if dim is None else _along(name, x, dim, keepdim)

    return chosen


median, nanmedian = _chosen_along("median"), _chosen_along("nanmedian")


@rule("torch.mode", "Tensor.mode")
def mode(x: Tensor, dim: int = -1, keepdim: bool = False) -> Chosen:
    return _along("mode", x, dim, keepdim)


@rule("torch.kthvalue", "Tensor.kthvalue")
def kthvalue(x: Tensor, k: Size, dim: int = -1, keepdim: bool = False) -> Chosen:
    return _along("kthvalue", x, dim, keepdim)


@rule("torch.topk", "Tensor.topk")
def topk(x: Tensor, k: Size, dim: int = -1, largest: bool = True, sorted: bool = True) -> Chosen:
    if not x.tape.holds(k <= (x.sizes[x.axis(dim)] if x.rank else 1)):
        raise Mismatch(f"the {k} largest along axis {dim} of shape {x.sizes}")
    return _along("topk", x, dim, True, k)


@rule("torch.sort", "Tensor.sort")
def sort(x: Tensor, dim: int = -1, descending: bool = False, *, stable: bool = False) -> Chosen:
    strides = None if x._strides is None else layout.like(x.hints, x.strides)
    return _along("sort", x, dim, True, x.sizes[x.axis(dim)] if x.rank else 1, strides)


@rule("torch.msort", "Tensor.msort")
def msort(x: Tensor) -> Tensor:
    return sort(x, 0).values


@rule("torch.argsort", "Tensor.argsort")
def argsort(x: Tensor, dim: int = -1, descending: bool = False, *, stable: bool = False) -> Tensor:
    return sort(x, dim).indices


def _place(name: str) -> Any:
    @rule(f"torch.{name}", f"Tensor.{name}")
    def place(x: Tensor, dim: int | None = None, keepdim: bool = False) -> Tensor:
        return reduction(name, x, reduced(x.sizes, x.axes(dim), keepdim)[1], torch.int64)

    return place


argmax, argmin = _place("argmax"), _place("argmin")
