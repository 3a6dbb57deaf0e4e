"""Rules of matrix products, inverses and factorisations."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any, NamedTuple

import torch

from ..errors import refused
from ..graph import attach
from ..sizes import fit
from ..table import rule
from ..tape import Size
from ..tensor import Tensor
from .kernels import broadcast, by_columns, fits
from .pointwise import add, mul, neg
from .views import adjoint, conj, expand, reshape, squeeze, t, transpose, unsqueeze, view


def _macs(x: Tensor, *sizes: Size) -> Size:
    """A complex product takes four real ones."""
    return prod(sizes) * (4 if x.dtype.is_complex else 1)


@rule("torch.mm", "Tensor.mm")
def mm(a: Tensor, b: Tensor) -> Tensor:
    """(n, m) @ (m, p) in n·m·p MACs."""
    (n, m), p = a.sizes, b.sizes[1]
    fit(m, b.sizes[0], "columns and rows of a matrix product")
    out = a.new((n, p))
    a.tape.kernel("mm", "matmul", [a, b, out], macs=_macs(a, n, m, p))
    columns = _by_columns(a), _by_columns(b)

    def backward(saved: Sequence[Tensor | None], g: Tensor) -> list[Tensor | None]:
        a, b = saved
        of_b = None if a is None else _of_second(g, a, columns[1])
        return [None if b is None else _of_first(g, b, columns[0]), of_b]

    attach([out], [a, b], [a if b.requires_grad else None, b if a.requires_grad else None], backward)
    return out


def _by_columns(x: Tensor) -> bool:
    """Whether a matrix lies column by column: its gradient is then computed so."""
    return x._strides is not None and x.strides == (1, x.hints[0])


def _of_first(g: Tensor, b: Tensor, columns: bool) -> Tensor:
    return t(mm(conj(b), t(g))) if columns else mm(g, conj(t(b)))


def _of_second(g: Tensor, a: Tensor, columns: bool) -> Tensor:
    return t(mm(t(g), conj(a))) if columns else mm(conj(t(a)), g)


@rule("torch.addmm", "Tensor.addmm")
def addmm(added: Tensor, a: Tensor, b: Tensor, *, beta: float = 1, alpha: float = 1) -> Tensor:
    """added + a @ b in one kernel; the sum is not counted."""
    if (beta, alpha) != (1, 1):
        raise refused("addmm with factors")
    (n, m), p = a.sizes, b.sizes[1]
    fit(m, b.sizes[0], "columns and rows of a matrix product")
    out = a.new((n, p))
    a.tape.kernel("addmm", "matmul", [added, a, b, out], macs=_macs(a, n, m, p))
    columns = _by_columns(a), _by_columns(b)
    needs = added.requires_grad

    def backward(saved: Sequence[Tensor | None], g: Tensor) -> list[Tensor | None]:
        a, b = saved
        of_a = None if b is None else _of_first(g, b, columns[0])
        return [g if needs else None, of_a, None if a is None else _of_second(g, a, columns[1])]

    saved = [a if b.requires_grad else None, b if a.requires_grad else None]
    attach([out], [added, a, b], saved, backward)
    return out


@rule("torch.bmm", "Tensor.bmm")
def bmm(a: Tensor, b: Tensor) -> Tensor:
    """(count, n, m) @ (count, m, p) in count·n·m·p MACs."""
    (count, n, m), p = a.sizes, b.sizes[2]
    fit(count, b.sizes[0], "stacks of a matrix product")
    fit(m, b.sizes[1], "columns and rows of a matrix product")
    out = a.new((count, n, p))
    a.tape.kernel("bmm", "matmul", [a, b, out], macs=_macs(a, count, n, m, p))

    def backward(saved: Sequence[Tensor | None], g: Tensor) -> list[Tensor | None]:
        a, b = saved
        of_b = None if a is None else bmm(adjoint(a), g)
        return [None if b is None else bmm(g, adjoint(b)), of_b]

    attach([out], [a, b], [a if b.requires_grad else None, b if a.requires_grad else None], backward)
    return out


@rule("torch.baddbmm", "Tensor.baddbmm")
def baddbmm(added: Tensor, a: Tensor, b: Tensor, *, beta: float = 1, alpha: float = 1) -> Tensor:
    """β·added + α·(a @ b) in one kernel; the sum is not counted."""
    (count, n, m), p = a.sizes, b.sizes[2]
    fit(count, b.sizes[0], "stacks of a matrix product")
    fit(m, b.sizes[1], "columns and rows of a matrix product")
    out = a.new((count, n, p))
    a.tape.kernel("baddbmm", "matmul", [added, a, b, out], macs=_macs(a, count, n, m, p))
    needs = added.requires_grad

    def backward(saved: Sequence[Tensor | None], g: Tensor) -> list[Tensor | None]:
        a, b = saved
        of_b = None if a is None else _times(bmm(adjoint(a), g), alpha)
        of_a = None if b is None else _times(bmm(g, adjoint(b)), alpha)
        return [_times(g, beta) if needs else None, of_a, of_b]

    saved = [a if b.requires_grad else None, b if a.requires_grad else None]
    attach([out], [added, a, b], saved, backward)
    return out


def _times(g: Tensor, factor: float) -> Tensor:
    return g if factor == 1 else mul(g, factor)


@rule("torch.matmul", "Tensor.matmul", "Tensor.__matmul__")
def matmul(a: Tensor, b: Tensor) -> Tensor:
    """A product of matrices, vectors or stacks of matrices, by torch's own reduction to mm and bmm."""
    if a.rank == 2 and b.rank == 2:
        return mm(a, b)
    if a.rank == 3 and b.rank == 3 and fits(a.sizes[:1], b.sizes[:1]):
        return bmm(a, b)
    if a.rank == 1 or b.rank == 1:
        return _with_vector(a, b)
    if b.rank == 2:  # the stack is one tall matrix
        return view(mm(reshape(a, (-1, a.sizes[-1])), b), (*a.sizes[:-1], b.sizes[1]))
    if a.rank == 2:
        tall = transpose(b, -2, -1)
        product = mm(reshape(tall, (-1, tall.sizes[-1])), t(a))
        return transpose(view(product, (*tall.sizes[:-1], a.sizes[0])), -2, -1)
    lead = broadcast(a.sizes[:-2], b.sizes[:-2])
    count = prod(lead)
    stacks = [reshape(expand(x, (*lead, *x.sizes[-2:])), (count, *x.sizes[-2:])) for x in (a, b)]
    return view(bmm(*stacks), (*lead, a.sizes[-2], b.sizes[-1]))


def _with_vector(a: Tensor, b: Tensor) -> Tensor:
    raise refused("a product with a vector")


@rule("Tensor.__rmatmul__")
def rmatmul(b: Tensor, a: Tensor) -> Tensor:
    return matmul(a, b)


@rule("torch.nn.functional.linear")
def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """x (…, n) with weight (m, n): (…, m) in n·m MACs each; the bias is not counted."""
    if bias is None:
        return matmul(x, t(weight))
    if x.rank == 2:
        return addmm(bias, x, t(weight))
    if x.is_plain:
        return view(addmm(bias, reshape(x, (-1, x.sizes[-1])), t(weight)), (*x.sizes[:-1], weight.sizes[0]))
    return add(matmul(x, t(weight)), bias)


class Inverse(NamedTuple):
    """What torch.linalg.inv_ex returns."""

    inverse: Tensor
    info: Tensor


@rule("torch.linalg.inv_ex")
def inv_ex(a: Tensor, *, check_errors: bool = False) -> Inverse:
    """The inverses of (…, m, m) matrices: 2 m³ FLOPs each by LU, four times that if complex.

    Source of the count: LU factorisation 2/3 m³ and triangular solves against the identity 4/3 m³ (Golub & Van Loan,
    Matrix Computations, 4th ed., 3.2 and 3.1).
    """
    tape, m = a.tape, a.sizes[-1]
    out, info = by_columns(a, a.sizes), a.new(a.sizes[:-2], torch.int32)
    tape.kernel("linalg_inv_ex", "inverse", [a, out, info], flops=2 * _macs(a, a.elements, m), steps=m)

    def backward(saved: Sequence[Tensor], g: Tensor) -> list[Tensor]:
        right = matmul(g, adjoint(saved[0]))
        both = matmul(adjoint(saved[0]), right)
        return [neg(both)]

    attach([out], [a], [out], backward)
    return Inverse(out, info)


@rule("torch.linalg.inv", "torch.inverse", "Tensor.inverse")
def inv(a: Tensor) -> Tensor:
    return inv_ex(a)[0]


__all__: list[Any] = ["squeeze", "unsqueeze"]
