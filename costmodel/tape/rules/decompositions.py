"""Rules of decompositions by reflections: QR, and products of reflections.

With letters: m rows, n columns and k the lesser of them. FLOPs are textbook counts, four times that if complex:

* QR by reflections 2k²(max(m, n) - k/3), and q columns of Q out of k of them 4mqk - 2(m + q)k² + 4/3 k³ (5.2.1, 5.1.6)

Source: Golub & Van Loan, Matrix Computations, 4th ed. LAPACK leaves its results column by column.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import NamedTuple

from ..errors import NeedsNumber, refused
from ..graph import attach
from ..sizes import as_int
from ..table import rule
from ..tape import Size
from ..tensor import Tensor
from .factories import filled
from .factorisations import reals, solve_triangular, third, triangle
from .joining import cat
from .kernels import by_columns, fits, in_place, real_of
from .linalg import matmul
from .parts import diagonal
from .pointwise import add, div, mul, neg, sub
from .reductions import sum as sum_over
from .views import adjoint, narrowed, squeeze, unsqueeze

Gradient = Tensor | None


def sides(a: Tensor) -> tuple[Size, Size, Size, bool]:
    """Rows, columns, the lesser of them, and whether there are at least as many rows."""
    m, n = a.sizes[-2:]
    tall = a.tape.holds(m >= n)
    return m, n, n if tall else m, tall


def stack(a: Tensor) -> Size:
    """How many matrices there are."""
    return prod(a.sizes[:-2])


# QR.


class QR(NamedTuple):
    """What torch.linalg.qr returns."""

    Q: Tensor
    R: Tensor


@rule("torch.linalg.qr")
def qr(a: Tensor, mode: str = "reduced") -> QR:
    a_ = a.resolved()
    m, n, k, tall = sides(a)
    lead, tape = a.sizes[:-2], a.tape
    flops = 2 * k * k * (m if tall else n) - third(2 * k**3)
    if mode == "r":
        q, columns = a.new((0,)), k
    else:
        columns = m if mode == "complete" else k
        q = by_columns(a, (*lead, m, columns))
        flops = flops + reflections(m, columns, k)
    r = by_columns(a, (*lead, columns, n))
    tape.kernel("linalg_qr", "inverse", [a_, q, r], flops=stack(a) * reals(a) * flops, steps=k)
    del a_

    def backward(saved: Sequence[Tensor], gq: Gradient, gr: Gradient) -> list[Tensor]:
        if mode == "r" or (mode == "complete" and not tape.holds(m <= n)):
            raise refused("the gradient of torch.linalg.qr without Q, or with more columns of it than there are in R")
        q, r = saved
        return [_qr_gradient(q, r, gq, gr) if tall else _wide_qr_gradient(q, r, gq, gr)]

    attach([q, r], [a], [q, r], backward)
    return QR(q, r)


def reflections(m: Size, columns: Size, k: Size) -> Size:
    """FLOPs of the first columns of a product of k reflections."""
    return 4 * m * columns * k - 2 * (m + columns) * k * k + third(4 * k**3)


@rule("torch.qr", "Tensor.qr")
def old_qr(a: Tensor, some: bool = True) -> QR:
    return qr(a, "reduced" if some else "complete")


def _inner_gradient(q: Tensor, r: Tensor, gq: Gradient, gr: Gradient) -> Tensor:
    """gr Rᴴ - Qᴴ gq."""
    if gq is None:
        assert gr is not None
        return matmul(gr, adjoint(r))
    if gr is None:
        return neg(matmul(adjoint(q), gq))
    of_q = matmul(adjoint(q), gq)  # C++ computes the right side first
    return sub(matmul(gr, adjoint(r)), of_q)


def _qr_gradient(q: Tensor, r: Tensor, gq: Gradient, gr: Gradient) -> Tensor:
    inner = _inner_gradient(q, r, gq, gr)
    upper = triangle("triu", inner)
    symmetric = add(upper, adjoint(upper))
    _halved(symmetric)
    out = matmul(q, symmetric)
    del upper, symmetric, inner
    if gq is not None:
        out = add(out, gq)
    return solve_triangular(adjoint(r), out, upper=False, left=False)


def _wide_qr_gradient(q: Tensor, r: Tensor, gq: Gradient, gr: Gradient) -> Tensor:
    inner = _inner_gradient(q, r, gq, gr)
    negative = neg(inner)
    difference = sub(negative, adjoint(negative))
    lower = triangle("tril", difference)
    del difference
    if q.dtype.is_complex:
        _halved(lower)
    out = matmul(q, lower)
    del inner, negative, lower
    m, n = r.sizes[-2:]
    out = solve_triangular(adjoint(narrowed(r, r.rank - 1, m)), out, upper=False, left=False)
    rest = filled("new_zeros", r.tape, (*r.sizes[:-1], n - m), r.dtype)
    out = cat([out, rest], -1)
    del rest
    return out if gr is None else add(out, matmul(q, gr))


def _halved(x: Tensor) -> None:
    """Half the diagonal's real part, or the imaginary one, in place."""
    part = diagonal(x.alias(), 0, -2, -1)
    in_place("mul_", part.view_of(part.sizes, part.strides, real_of(x.dtype)))


@rule("torch.linalg.householder_product", "torch.orgqr", "Tensor.orgqr")
def householder_product(a: Tensor, tau: Tensor) -> Tensor:
    """The first n columns of a product of k reflections of m entries, given by a's columns below the diagonal."""
    *_, m, n = a.sizes
    k = tau.sizes[-1]
    out = by_columns(a, a.sizes)
    flops = stack(a) * reals(a) * reflections(m, n, k)
    a.tape.kernel("linalg_householder_product", "inverse", [a.resolved(), tau.resolved(), out], flops=flops, steps=k)

    def backward(saved: Sequence[Tensor], g: Tensor) -> list[Tensor]:
        if saved[0].dtype.is_complex or not fits((k,), (n,)):
            raise refused("the gradient of torch.linalg.householder_product of complex or of fewer reflections")
        q, a, tau = saved
        return list(_reflections_gradient(q, a, tau, g))

    attach([out], [a, tau], [out, a, tau], backward)
    return out


def _reflections_gradient(q: Tensor, a: Tensor, tau: Tensor, g: Tensor) -> tuple[Tensor, Tensor]:
    """Reflection by reflection: q gᵀ loses each from the left and gets it back from the right.

    The results are written into zeros, but joined under a dispatch mode; the kernels are counted as under the mode.
    """
    count = as_int(tau.sizes[-1])
    if count is None:
        raise NeedsNumber(f"torch goes through {tau.sizes[-1]} reflections, so it must be a number")
    v = triangle("tril", a)
    ones_on_the_diagonal(v)
    squares = mul(v, v)
    lengths = sum_over(squares, -2)
    del squares
    scaled = mul(tau, lengths)
    below = sub(scaled, 1.0)
    sigma = div(tau, below)
    del scaled, below
    k = matmul(q, adjoint(g))
    rows = a.sizes[-2]
    columns = [narrowed(narrowed(v, v.rank - 1, 1), v.rank - 2, rows - i) for i in range(count)]
    factor, own = (unsqueeze(narrowed(x, x.rank - 1, 1), -1) for x in (sigma, tau))
    _reflected_left(k, columns[0], factor)
    of_columns, of_factors = [], []
    results = [x.new(x.sizes) for x in (a, tau)] if k.tape.in_place else []
    for i, column in enumerate(columns):
        of_column, of_factor = _reflection_gradient(k, column, own)
        if not results:
            of_columns.append(unsqueeze(of_column, -1))
            of_factors.append(of_factor)
        if i < count - 1:
            _reflected_left(k, columns[i + 1], factor)
            _reflected_right(k, column, own)
        del of_column, of_factor
    for result in results:
        result.tape.kernel("cat", "pointwise", [result, result], flops=0)
    of_a, of_tau = results or (cat(of_columns, -1), cat(of_factors, -1))
    of_a.tape.kernel("tril_", "pointwise", [of_a, of_a], flops=0)
    return of_a, of_tau


def ones_on_the_diagonal(x: Tensor) -> None:
    part = diagonal(x.alias(), 0, -2, -1)
    x.tape.kernel("fill_", "pointwise", [part, part], flops=0)


def _reflected_left(k: Tensor, column: Tensor, factor: Tensor) -> None:
    part = narrowed(k, k.rank - 2, column.sizes[-2])
    within = matmul(adjoint(column), part)
    scaled = mul(factor, column)
    in_place("sub_", part, mul(scaled, within))


def _reflected_right(k: Tensor, column: Tensor, factor: Tensor) -> None:
    part = narrowed(k, k.rank - 1, column.sizes[-2])
    within = matmul(part, mul(factor, column))
    in_place("sub_", part, mul(within, adjoint(column)))


def _reflection_gradient(k: Tensor, column: Tensor, factor: Tensor) -> tuple[Tensor, Tensor]:
    """Of a reflection's column and of its factor."""
    rows = column.sizes[-2]
    before = matmul(adjoint(column), narrowed(k, k.rank - 2, rows))
    behind = matmul(narrowed(k, k.rank - 1, rows), column)
    second = squeeze(mul(factor, behind), -1)
    negative = neg(factor)
    first = squeeze(mul(negative, before), -2)
    of_column = sub(first, second)
    del first, negative, second
    product = matmul(narrowed(before, before.rank - 1, rows), column)
    return of_column, squeeze(neg(product), -1)
