"""Rules of orthogonal decompositions and of what is made of them: QR, eigenvalues, singular values, norms, ranks.

With letters: m rows, n columns and k the lesser of them. FLOPs are textbook counts, four times that if complex:

* QR by reflections 2k²(max(m, n) - k/3), and q columns of Q out of k of them 4mqk - 2(m + q)k² + 4/3 k³ (5.2.1, 5.1.6)
* symmetric eigenvalues with their vectors 9n³ (8.3.3)
* singular values with k vectors on both sides 14mk² + 8k³, with all 4m²k + 8mk² + 9k³ (8.6.3), m the larger side

Source: Golub & Van Loan, Matrix Computations, 4th ed. LAPACK leaves its results column by column.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any, NamedTuple

import torch

from ..errors import NeedsNumber, refused
from ..graph import attach
from ..sizes import as_int, fit
from ..table import rule
from ..tape import Size
from ..tensor import Tensor
from .arithmetic import div_
from .factories import filled
from .factorisations import reals, solve_triangular, third, triangle
from .joining import cat
from .kernels import by_columns, fits, in_place, real_of
from .linalg import matmul
from .matrices import diagonal_matrices
from .pointwise import add, div, mul, neg, sub
from .reductions import sum as sum_over
from .views import adjoint, diagonal, narrow, narrowed, squeeze, unsqueeze

Gradient = Tensor | None


def _sides(a: Tensor) -> tuple[Size, Size, Size, bool]:
    """Rows, columns, the lesser of them, and whether there are at least as many rows."""
    m, n = a.sizes[-2:]
    tall = a.tape.holds(m >= n)
    return m, n, n if tall else m, tall


def _stack(a: Tensor) -> Size:
    return prod(a.sizes[:-2])


# QR.


class QR(NamedTuple):
    """What torch.linalg.qr returns."""

    Q: Tensor
    R: Tensor


@rule("torch.linalg.qr")
def qr(a: Tensor, mode: str = "reduced") -> QR:
    a_ = a.resolved()
    m, n, k, tall = _sides(a)
    lead, tape = a.sizes[:-2], a.tape
    flops = 2 * k * k * (m if tall else n) - third(2 * k**3)
    if mode == "r":
        q, columns = a.new((0,)), k
    else:
        columns = m if mode == "complete" else k
        q = by_columns(a, (*lead, m, columns))
        flops = flops + reflections(m, columns, k)
    r = by_columns(a, (*lead, columns, n))
    tape.kernel("linalg_qr", "inverse", [a_, q, r], flops=_stack(a) * reals(a) * flops, steps=k)
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
    flops = _stack(a) * reals(a) * reflections(m, n, k)
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
    _ones_on_the_diagonal(v)
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


def _ones_on_the_diagonal(x: Tensor) -> None:
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


# Eigenvalues of symmetric matrices.


class Eigen(NamedTuple):
    """What torch.linalg.eigh returns."""

    eigenvalues: Tensor
    eigenvectors: Tensor


@rule("torch.linalg.eigh")
def eigh(a: Tensor, UPLO: str = "L") -> Eigen:
    return _eigh(a)


@rule("torch.linalg.eigvalsh")
def eigvalsh(a: Tensor, UPLO: str = "L") -> Tensor:
    """The vectors are left out where no gradient needs them; under a dispatch mode never, and so they are counted."""
    return _eigh(a, not a.tape.in_place or (a.requires_grad and torch.is_grad_enabled()))[0]


def _eigh(a: Tensor, vectors: bool = True) -> Eigen:
    """Values (…, n) and vectors (…, n, n)."""
    n = a.sizes[-1]
    fit(a.sizes[-2], n, "sides of a matrix whose eigenvalues are asked for")
    values = a.new(a.sizes[:-1], real_of(a.dtype))
    v = by_columns(a, a.sizes) if vectors else a.new((0,))
    counted = [a.resolved(), values, v if vectors else a]
    a.tape.kernel("_linalg_eigh", "inverse", counted, flops=reals(a) * _stack(a) * 9 * n**3, steps=n)
    del counted

    def backward(saved: Sequence[Tensor], gl: Gradient, gv: Gradient) -> list[Tensor]:
        values, v = saved
        return [_eigh_gradient(values, v, gl, gv)]

    attach([values, v], [a], [values, v], backward)
    return Eigen(values, v)


def _eigh_gradient(values: Tensor, v: Tensor, gl: Gradient, gv: Gradient) -> Tensor:
    if gv is None:
        assert gl is not None
        return matmul(mul(v, unsqueeze(gl, -2)), adjoint(v))
    product = matmul(adjoint(v), gv)
    difference = sub(product, adjoint(product))
    skew = mul(difference, 0.5)
    del difference
    distances = _distances(values)
    skew = div_(skew, distances)
    del distances
    if gl is not None:
        skew = _with_diagonal(skew, gl)
    return matmul(v, matmul(skew, adjoint(v)))


def _distances(values: Tensor) -> Tensor:
    """Between any two, 1 between one and itself."""
    out = sub(unsqueeze(values, -2), unsqueeze(values, -1))
    _ones_on_the_diagonal(out)
    return out


def _with_diagonal(x: Tensor, values: Tensor) -> Tensor:
    """x with another diagonal: in its place, but for a dispatch mode."""
    out = x if x.tape.in_place else x.new(x.sizes, strides=x._strides)
    x.tape.kernel("diagonal_scatter", "pointwise", [x, values, out], flops=0)
    return out


@rule("torch.linalg.eig", "torch.linalg.eigvals")
def eig(a: Tensor) -> Any:
    raise refused("torch.linalg.eig: how many steps it takes is decided by the values")


# Singular values.


class SVD(NamedTuple):
    """What torch.linalg.svd returns."""

    U: Tensor
    S: Tensor
    Vh: Tensor


@rule("torch.linalg.svd")
def svd(a: Tensor, full_matrices: bool = True, *, driver: str | None = None) -> SVD:
    return _svd(a, full_matrices)


@rule("torch.linalg.svdvals")
def svdvals(a: Tensor, *, driver: str | None = None) -> Tensor:
    """The vectors are left out where no gradient needs them; under a dispatch mode never, and so they are counted."""
    return _svd(a, False, not a.tape.in_place or (a.requires_grad and torch.is_grad_enabled()))[1]


class OldSVD(NamedTuple):
    """What torch.svd returns."""

    U: Tensor
    S: Tensor
    V: Tensor


@rule("torch.svd", "Tensor.svd")
def old_svd(a: Tensor, some: bool = True, compute_uv: bool = True) -> OldSVD:
    if not compute_uv:
        raise refused("torch.svd without vectors")
    u, s, vh = svd(a, not some)
    return OldSVD(u, s, adjoint(vh))


def _svd(a: Tensor, full: bool, vectors: bool = True) -> SVD:
    """U, the k singular values and Vᴴ."""
    m, n, k, tall = _sides(a)
    lead, long = a.sizes[:-2], m if tall else n
    s = a.new((*lead, k), real_of(a.dtype))
    of_u, of_vh = (*lead, m, m if full else k), (*lead, n if full else k, n)
    u, vh = (by_columns(a, sizes) if vectors else a.new((0,)) for sizes in (of_u, of_vh))
    counted = [a.resolved(), *((u, vh) if vectors else (a.view_of(of_u, None), a.view_of(of_vh, None))), s]
    flops = 4 * long * long * k + 8 * long * k * k + 9 * k**3 if full else 14 * long * k * k + 8 * k**3
    a.tape.kernel("_linalg_svd", "inverse", counted, flops=reals(a) * _stack(a) * flops, steps=k)
    del counted

    def backward(saved: Sequence[Tensor], gu: Gradient, gs: Gradient, gvh: Gradient) -> list[Tensor]:
        u, s, vh = saved
        if full:
            gvh = None if gvh is None else narrowed(gvh, gvh.rank - 2, k)
            vh = narrowed(vh, vh.rank - 2, k)
            u = narrowed(u, u.rank - 1, k)
            gu = None if gu is None else narrowed(gu, gu.rank - 1, k)
        return [_svd_gradient(u, s, vh, gu, gs, gvh)]

    attach([u, s, vh], [a], [u, s, vh], backward)
    return SVD(u, s, vh)


def _svd_gradient(u: Tensor, s: Tensor, vh: Tensor, gu: Gradient, gs: Gradient, gvh: Gradient) -> Tensor:
    m, n = u.sizes[-2], vh.sizes[-1]
    tall, square = u.tape.holds(m >= n), u.tape.holds(m <= n) and u.tape.holds(m >= n)
    if gu is None and gvh is None:
        assert gs is not None
        if tall:
            return matmul(u, mul(unsqueeze(gs, -1), vh))
        return matmul(mul(u, unsqueeze(gs, -2)), vh)
    skew_u = None if gu is None else _skew(matmul(adjoint(u), gu))
    skew_v = None if gvh is None else _skew(matmul(vh, adjoint(gvh)))
    if u.dtype.is_complex:
        _check_phases(skew_u, skew_v)
    inner = _inner_svd_gradient(s, skew_u, skew_v)
    if gs is not None:
        inner = add(inner, diagonal_matrices(gs))
    if u.dtype.is_complex and skew_u is not None and skew_v is not None:
        double = mul(s, 2.0)
        ratio = div(diagonal(skew_u, 0, -2, -1), double)
        matrices = diagonal_matrices(ratio)
        inner = add(inner, matrices)
        del double, ratio, matrices
    if tall and not square and gu is not None:
        inner = matmul(u, inner)
        scaled = div(gu, unsqueeze(s, -2))
        parts = matmul(adjoint(u), scaled)
        within = matmul(u, parts)
        total = add(inner, scaled)
        inner = sub(total, within)
        del parts, total, within
        return matmul(inner, vh)
    if not tall and gvh is not None:
        inner = matmul(inner, vh)
        scaled = div(gvh, unsqueeze(s, -1))
        parts = matmul(scaled, adjoint(vh))
        within = matmul(parts, vh)
        total = add(inner, scaled)
        inner = sub(total, within)
        del parts, total, within
        return matmul(u, inner)
    return matmul(u, matmul(inner, vh)) if tall else matmul(matmul(u, inner), vh)


def _skew(x: Tensor) -> Tensor:
    return sub(x, adjoint(x))


def _check_phases(skew_u: Gradient, skew_v: Gradient) -> None:
    """Torch looks whether the imaginary parts of two diagonals cancel; one that is not there is zero."""
    parts: list[Tensor | None] = []
    for x in (skew_u, skew_v):
        part = None if x is None else diagonal(x.alias(), 0, -2, -1)
        strides = () if part is None else tuple(2 * stride for stride in part.strides)
        parts.append(None if part is None else part.view_of(part.sizes, strides, real_of(part.dtype)))
    there = next(part for part in parts if part is not None)
    one, other = (filled("zeros_like", there.tape, there.sizes, there.dtype) if p is None else p for p in parts)
    negative = neg(other)
    one.tape.kernel("allclose", "pointwise", [one, negative], flops=one.elements)


def _inner_svd_gradient(s: Tensor, skew_u: Gradient, skew_v: Gradient) -> Tensor:
    squares = mul(s, s)
    distances = _distances(squares)
    del squares
    if skew_u is None:
        assert skew_v is not None
        return mul(unsqueeze(s, -1), div(skew_v, distances))
    if skew_v is None:
        return mul(div(skew_u, distances), unsqueeze(s, -2))
    of_v = mul(unsqueeze(s, -1), skew_v)  # C++ computes the right side first
    of_u = mul(skew_u, unsqueeze(s, -2))
    total = add(of_u, of_v)
    return div(total, distances)


# What singular values say of matrices.


@rule("torch.linalg.cond")
def cond(a: Tensor, p: Any = None) -> Tensor:
    """The largest singular value over the smallest, or the other way about."""
    if p not in (None, 2, -2):
        raise refused(f"torch.linalg.cond of order {p}")
    values = svdvals(a)
    largest, smallest = narrow(values, -1, 0, 1), narrow(values, -1, -1, 1)
    return squeeze(div(smallest, largest) if p == -2 else div(largest, smallest), -1)
