"""Rules of eigenvalues and singular values, and of what is made of them.

With letters: m rows, n columns and k the lesser of them. FLOPs are textbook counts, four times that if complex:

* symmetric eigenvalues with their vectors 9n³ (8.3.3)
* singular values with k vectors on both sides 14mk² + 8k³, with all 4m²k + 8mk² + 9k³ (8.6.3), m the larger side

Source: Golub & Van Loan, Matrix Computations, 4th ed. LAPACK leaves its results column by column.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch

from ..errors import refused
from ..graph import attach
from ..sizes import fit
from ..table import rule
from ..tensor import Tensor
from .arithmetic import div_
from .decompositions import ones_on_the_diagonal, sides, stack
from .factories import filled
from .factorisations import reals
from .kernels import by_columns, real_of
from .linalg import matmul
from .matrices import diagonal_matrices
from .parts import diagonal
from .pointwise import add, div, mul, neg, sub
from .views import adjoint, narrow, narrowed, squeeze, unsqueeze

Gradient = Tensor | None


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
    a.tape.kernel("_linalg_eigh", "inverse", counted, flops=reals(a) * stack(a) * 9 * n**3, steps=n)
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
    ones_on_the_diagonal(out)
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
    m, n, k, tall = sides(a)
    lead, long = a.sizes[:-2], m if tall else n
    s = a.new((*lead, k), real_of(a.dtype))
    of_u, of_vh = (*lead, m, m if full else k), (*lead, n if full else k, n)
    u, vh = (by_columns(a, sizes) if vectors else a.new((0,)) for sizes in (of_u, of_vh))
    counted = [a.resolved(), *((u, vh) if vectors else (a.view_of(of_u, None), a.view_of(of_vh, None))), s]
    flops = 4 * long * long * k + 8 * long * k * k + 9 * k**3 if full else 14 * long * k * k + 8 * k**3
    a.tape.kernel("_linalg_svd", "inverse", counted, flops=reals(a) * stack(a) * flops, steps=k)
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
