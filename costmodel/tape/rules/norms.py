"""Rules of norms, of vectors and of matrices, of every order."""

from __future__ import annotations

from collections.abc import Sequence
from math import inf
from typing import Any

import torch

from ..errors import Mismatch
from ..graph import attach
from ..table import call, rule
from ..tape import DType
from ..tensor import Tensor
from .copies import to
from .extrema import amax
from .kernels import in_place, pointwise, real_of, reduced, reduction
from .pointwise import absolute, div, eq, mul, neg, pow, sgn, sub
from .reductions import sum as sum_over
from .views import permute, unsqueeze, view


@rule("torch.linalg.vector_norm")
def vector_norm(x: Tensor, ord: Any = 2, dim: Any = None, keepdim: bool = False, *, dtype: DType = None) -> Tensor:
    """The norm over axes, all by default, whose gradient depends on the order."""
    axes = x.axes(dim)
    kept, sizes = reduced(x.sizes, axes, keepdim)

    def backward(saved: Sequence[Tensor], g: Tensor) -> list[Tensor | None]:
        x, length = saved
        if not keepdim and len(kept) != len(length.sizes):
            g, length = view(g, kept), view(length, kept)
        return [norm_backward(g, x, float(ord), length, axes)]

    out = reduction("linalg_vector_norm", x, sizes, real_of(x.dtype if dtype is None else dtype))
    attach([out], [x], [x, out], backward)
    return out


def norm_backward(g: Tensor, x: Tensor, order: float, length: Tensor, axes: Any) -> Tensor | None:
    """The gradient of x; that of the norm and the norm itself have its rank."""
    if order == 0:
        return None
    if order == 1:
        return mul(sgn(x), g)
    if order == 2:
        direction = div(x, length)
        zero = eq(length, 0)
        return mul(g, in_place("masked_fill_", direction, zero))
    if abs(order) == inf:
        return _of_extremum(g, x, length, axes)
    sign = sgn(x) if order < 2 else x
    power = in_place("pow_", absolute(x))
    zero = eq(x, 0) if order < 1 else None
    if zero is not None:
        in_place("masked_fill_", power, zero)
    scaled = mul(sign, power)
    del sign, power, zero
    if order < 1:
        return _rescaled(scaled, g, length)
    denominator = pow(length, order - 1)
    scale = div(g, denominator)
    del denominator
    in_place("masked_fill_", scale, eq(length, 0))
    return mul(scaled, scale)


def _rescaled(scaled: Tensor, g: Tensor, length: Tensor) -> Tensor:
    product = mul(scaled, g)
    power = pointwise("pow", length)
    return mul(product, power)


def _of_extremum(g: Tensor, x: Tensor, length: Tensor, axes: Any) -> Tensor:
    """The gradient of the largest or the least absolute value, shared by all places where it is found."""
    magnitude = absolute(x)
    equal = eq(magnitude, length)
    missing = pointwise("isnan", magnitude, dtype=torch.bool)
    mask = pointwise("logical_or", equal, missing, dtype=torch.bool)
    del equal, missing
    sign = sgn(x)
    count = sum_over(mask, axes, True)
    share = div(g, count)
    placed = mul(share, mask)
    return mul(sign, placed)


@rule("torch.linalg.matrix_norm")
def matrix_norm(
    x: Tensor, ord: Any = "fro", dim: Any = (-2, -1), keepdim: bool = False, *, dtype: DType = None
) -> Tensor:
    rows, columns = (x.axis(a) for a in dim)
    if ord == "fro":
        return vector_norm(x, 2, (rows, columns), keepdim, dtype=dtype)
    if ord == "nuc" or abs(ord) == 2:
        return _by_singular_values(x, ord, rows, columns, keepdim, dtype)
    if abs(ord) not in (1, inf):
        raise Mismatch(f"a matrix has no norm of order {ord}")
    if abs(ord) == inf:
        rows, columns = columns, rows
    sums = vector_norm(x, 1, rows, keepdim, dtype=dtype)
    return amax(sums, columns - (not keepdim and rows < columns), keepdim)


def _by_singular_values(x: Tensor, order: Any, rows: int, columns: int, keepdim: bool, dtype: DType) -> Tensor:
    others = [a for a in range(x.rank) if a not in (rows, columns)]
    matrices = permute(x if dtype is None else to(x, dtype), [*others, rows, columns])
    values: Tensor = call(torch.linalg.svdvals, (matrices,), {})
    out = sum_over(values, -1, keepdim) if order == "nuc" else amax(values, -1, keepdim)
    if not keepdim:
        return out
    back = [[*others, rows, columns].index(a) for a in range(x.rank)]
    return permute(unsqueeze(out, -1), back)


@rule("torch.linalg.norm")
def linalg_norm(x: Tensor, ord: Any = None, dim: Any = None, keepdim: bool = False, *, dtype: DType = None) -> Tensor:
    matrices = x.rank == 2 if dim is None else not isinstance(dim, int) and len(dim) == 2
    if ord is not None and (matrices or isinstance(ord, str)):
        return matrix_norm(x, ord, (0, 1) if dim is None else dim, keepdim, dtype=dtype)
    return vector_norm(x, 2 if ord is None else ord, dim, keepdim, dtype=dtype)


@rule("torch.norm", "Tensor.norm", "torch.functional.norm")
def norm(x: Tensor, p: Any = "fro", dim: Any = None, keepdim: bool = False, dtype: DType = None) -> Tensor:
    if p == "nuc":
        return matrix_norm(x, p, (0, 1) if dim is None else dim, keepdim, dtype=dtype)
    return vector_norm(x, 2 if p in ("fro", None) else p, dim, keepdim, dtype=dtype)


@rule("torch.dist", "Tensor.dist")
def dist(x: Tensor, other: Tensor, p: Any = 2) -> Tensor:
    needs = x.is_followed, other.is_followed

    def backward(saved: Sequence[Tensor], g: Tensor) -> list[Tensor | None]:
        x, other, length = saved
        of_other = None
        if needs[1]:
            found = norm_backward(g, sub(x, other), float(p), length, None)
            of_other = None if found is None else neg(found)
            del found
        return [norm_backward(g, sub(x, other), float(p), length, None) if needs[0] else None, of_other]

    out = x.new((), real_of(x.dtype))
    x.tape.kernel("dist", "pointwise", [x, other, out], flops=x.elements)
    attach([out], [x, other], [x, other, out], backward)
    return out
