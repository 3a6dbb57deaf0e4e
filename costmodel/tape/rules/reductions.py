"""Rules of reductions: sums, means, extrema, norms."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch

from ..errors import refused
from ..graph import attach
from ..table import rule
from ..tape import DType
from ..tensor import Tensor
from .factories import filled
from .kernels import in_place, real_of, reduced, reduction
from .pointwise import div, eq, mul
from .views import expand, view


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
    out = reduction("mean", x, sizes, dtype)
    attach([out], [x], [], lambda _, g: [div(expand(view(g, kept), before), 2)])
    return out


@rule("torch.amax", "Tensor.amax", "torch.amin", "Tensor.amin")
def amax(x: Tensor, dim: Any = (), keepdim: bool = False) -> Tensor:
    """An extremum, whose gradient is shared by all places where it is found."""
    axes = x.axes(dim)
    kept, sizes = reduced(x.sizes, axes, keepdim)

    def backward(saved: Sequence[Tensor], g: Tensor) -> list[Tensor]:
        x, extremum = saved
        mask = eq(view(extremum, kept), x)
        count = sum(mask, axes, True)
        share = div(view(g, kept), count)
        return [mul(share, mask)]

    out = reduction("amax", x, sizes)
    attach([out], [x], [x, out], backward)
    return out


def _check_no_gradient(x: Tensor, name: str) -> None:
    if x.requires_grad and torch.is_grad_enabled():
        raise refused(f"the gradient of {name}")


class Extremum(NamedTuple):
    """What max and min over an axis return."""

    values: Tensor
    indices: Tensor


def _extremum(name: str) -> Any:
    @rule(f"torch.{name}", f"Tensor.{name}")
    def extremum(x: Tensor, dim: Any = None, keepdim: bool = False) -> Any:
        if dim is None:
            _check_no_gradient(x, name)
            return reduction(name, x, ())
        if type(dim) is Tensor:
            from .pointwise import minimum  # noqa: PLC0415

            return minimum(x, dim)
        axis = x.axis(dim)
        return Extremum(*_over_axis(name, x, axis, keepdim))

    return extremum


max, min = _extremum("max"), _extremum("min")


def _over_axis(name: str, x: Tensor, axis: int, keepdim: bool) -> tuple[Tensor, Tensor]:
    """The extremum over an axis; saves where each was found, in 8 bytes."""
    tape, before = x.tape, x.sizes
    _, sizes = reduced(before, (axis,), keepdim)
    out, indices = x.new(sizes), x.new(sizes, torch.int64)
    tape.kernel(name, "pointwise", [x, out, indices], flops=x.elements)

    def backward(saved: Sequence[Tensor], g: Tensor) -> list[Tensor]:
        zeros = filled("zeros", tape, before, g.dtype)
        full = zeros if tape.in_place else g.new(before)
        tape.kernel("scatter", "pointwise", [zeros, saved[0], g, full], flops=0)
        return [full]

    attach([out], [x], [indices], backward)
    return out, indices


@rule("torch.linalg.vector_norm", "torch.norm", "Tensor.norm", "torch.functional.norm")
def norm(x: Tensor, p: Any = 2, dim: Any = None, keepdim: bool = False, dtype: DType = None, *, ord: Any = 2) -> Tensor:
    """The Euclidean norm over axes, all by default."""
    if p not in (2, None, "fro") or ord not in (2, None) or dtype not in (None, x.dtype):
        raise refused(f"a norm of order {p if p not in (2, None) else ord}")
    axes = x.axes(dim)
    kept, sizes = reduced(x.sizes, axes, keepdim)

    def backward(saved: Sequence[Tensor], g: Tensor) -> list[Tensor]:
        x, length = saved
        if not keepdim and len(kept) != len(length.sizes):
            g, length = view(g, kept), view(length, kept)
        direction = div(x, length)
        zero = eq(length, 0)  # it is there until the product is
        in_place("masked_fill_", direction, zero)
        return [mul(g, direction)]

    out = reduction("linalg_vector_norm", x, sizes, real_of(x.dtype))
    attach([out], [x], [x, out], backward)
    return out
