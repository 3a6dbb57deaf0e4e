"""Rules of matrix factorisations and of solving linear systems.

With letters: n the order of a matrix and m the number of right sides. FLOPs are textbook counts: Cholesky n³/3, LU
2/3 n³, one triangular solve n²m; four times that if complex. Source: Golub & Van Loan, Matrix Computations, 4th ed.,
4.2, 3.2 and 3.1. LAPACK leaves every result column by column.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from math import prod
from typing import NamedTuple

import torch

from ..errors import refused
from ..graph import attach
from ..sizes import fit
from ..table import rule
from ..tape import Shape, Size
from ..tensor import Tensor
from .kernels import broadcast, by_columns, fits, moved
from .linalg import matmul
from .pointwise import add, mul, neg
from .views import adjoint, squeeze, transpose, unsqueeze


def reals(x: Tensor) -> int:
    """Real multiplications in one of x's type."""
    return 4 if x.dtype.is_complex else 1


def flops_of(x: Tensor, *sizes: Size) -> Size:
    """A product of sizes, in x's type."""
    return prod(sizes) * reals(x)


def third(flops: Size) -> Size:
    """A third, exactly."""
    return Fraction(flops, 3) if isinstance(flops, int) else flops / 3


class Cholesky(NamedTuple):
    """What torch.linalg.cholesky_ex returns."""

    L: Tensor
    info: Tensor


@rule("torch.linalg.cholesky_ex")
def cholesky_ex(a: Tensor, *, upper: bool = False, check_errors: bool = False) -> Cholesky:
    """The factors of (…, n, n) matrices: n³/3 FLOPs each."""
    n = a.sizes[-1]
    fit(a.sizes[-2], n, "sides of a matrix to factorise")
    a_ = a.resolved()
    factor, info = by_columns(a, a.sizes), a.new(a.sizes[:-2], torch.int32)
    flops = third(flops_of(a, a.elements, n))
    a.tape.kernel("linalg_cholesky_ex", "inverse", [a_, factor, info], flops=flops, steps=n)
    del a_

    def backward(saved: Sequence[Tensor], g: Tensor) -> list[Tensor]:
        lower, of_lower = (adjoint(saved[0]), adjoint(g)) if upper else (saved[0], g)
        out = triangle("tril", matmul(adjoint(lower), of_lower))
        strict = triangle("tril", out)
        total = add(out, adjoint(strict))
        out = mul(total, 0.5)  # one expression in C++, at whose end its parts go
        del strict, total
        out = solve_triangular(adjoint(lower), out, upper=True)
        return [solve_triangular(lower, out, upper=False, left=False)]

    attach([factor], [a], [factor], backward)
    return Cholesky(factor, info)


@rule("torch.linalg.cholesky", "torch.cholesky", "Tensor.cholesky")
def cholesky(a: Tensor, *, upper: bool = False) -> Tensor:
    return cholesky_ex(a, upper=upper)[0]


@rule("torch.linalg.solve_triangular")
def solve_triangular(a: Tensor, b: Tensor, *, upper: bool, left: bool = True, unitriangular: bool = False) -> Tensor:
    """X of a X = b, or of X a = b: n²m FLOPs for each of the stack's (n, n) matrices, whose unused half is not read."""
    n, m = a.sizes[-1], b.sizes[-1] if left else b.sizes[-2]
    lead = broadcast(a.sizes[:-2], b.sizes[:-2])
    sizes = (*lead, *b.sizes[-2:])
    # The conjugate transpose of matrices by rows is taken as these, and then all the rest by rows too.
    by_rows = a.conjugated and fits(a.sizes[:-2], lead) and transpose(a, -2, -1).is_plain
    out = b.new(sizes) if by_rows else by_columns(b, sizes)
    flops = flops_of(b, *lead, n, n, m)
    a.tape.kernel("linalg_solve_triangular", "inverse", [a, b, out], flops=flops, steps=n)
    needs_a, needs_b = a.is_followed, b.is_followed

    def backward(saved: Sequence[Tensor], g: Tensor) -> list[Tensor | None]:
        of_b = solve_triangular(adjoint(saved[0]), g, upper=not upper, left=left, unitriangular=unitriangular)
        if not needs_a:
            return [None, of_b]
        solution = adjoint(saved[1])
        of_a = neg(matmul(of_b, solution) if left else matmul(solution, of_b))
        of_a = triangle("triu" if upper else "tril", of_a)
        return [of_a, of_b if needs_b else None]

    attach([out], [a, b], [a, out], backward)
    return out


@rule("torch.triangular_solve", "Tensor.triangular_solve")
def triangular_solve(
    b: Tensor, a: Tensor, upper: bool = True, transpose: bool = False, unitriangular: bool = False
) -> Tensor:
    raise refused("torch.triangular_solve, which torch.linalg.solve_triangular replaces")


@rule("torch.cholesky_solve", "Tensor.cholesky_solve")
def cholesky_solve(b: Tensor, factor: Tensor, upper: bool = False) -> Tensor:
    """X of L Lᴴ X = b: 2n²m FLOPs for each of the stack's (n, n) factors."""
    n, m = b.sizes[-2:]
    fit(factor.sizes[-1], n, "a factor and right sides")
    lead = broadcast(b.sizes[:-2], factor.sizes[:-2])
    out = by_columns(b, (*lead, n, m))
    flops = flops_of(b, 2, *lead, n, n, m)
    b.tape.kernel("cholesky_solve", "inverse", [b.resolved(), factor.resolved(), out], flops=flops, steps=n)
    needs = factor.is_followed

    def backward(saved: Sequence[Tensor], g: Tensor) -> list[Tensor | None]:
        _, factor, solution = saved
        of_b = cholesky_solve(g, factor, upper)
        if not needs:
            return [of_b, None]
        half = matmul(of_b, adjoint(solution))
        both = add(half, adjoint(half))
        del half
        product = matmul(factor, both) if upper else matmul(both, factor)
        return [of_b, neg(product)]

    attach([out], [b, factor], [b, factor, out], backward)  # b too, which torch's derivative names and does not use
    return out


@rule("torch.cholesky_inverse", "Tensor.cholesky_inverse")
def cholesky_inverse(factor: Tensor, upper: bool = False) -> Tensor:
    """The inverses of L Lᴴ: 2/3 n³ FLOPs each, by the inverse of L."""
    n = factor.sizes[-1]
    out = by_columns(factor, factor.sizes)
    flops = third(2 * flops_of(factor, factor.elements, n))
    factor.tape.kernel("cholesky_inverse", "inverse", [factor.resolved(), out], flops=flops, steps=n)

    def backward(saved: Sequence[Tensor], g: Tensor) -> list[Tensor]:
        factor, inverse = saved
        both = add(g, adjoint(g))
        both = matmul(inverse, matmul(both, inverse))
        product = matmul(factor, both) if upper else matmul(both, factor)
        return [neg(product)]

    attach([out], [factor], [factor, out], backward)
    return out


# Linear systems by LU.


class Solution(NamedTuple):
    """What torch.linalg.solve_ex returns."""

    result: Tensor
    info: Tensor


@rule("torch.linalg.solve_ex")
def solve_ex(a: Tensor, b: Tensor, *, left: bool = True, check_errors: bool = False) -> Solution:
    """X of a X = b, or of X a = b, by LU: 2/3 n³ + 2n²m FLOPs for each (n, n) matrix. It keeps the factors.

    One right side may be a vector (n,), or a stack of them.
    """
    n = a.sizes[-1]
    fit(a.sizes[-2], n, "sides of a linear system's matrix")
    vectors = b.rank == 1 or (a.rank - 1 == b.rank and fits(b.sizes, a.sizes[:-1]))
    matrices: Shape = (*b.sizes, 1) if vectors else b.sizes
    fit(matrices[-2 if left else -1], n, "a linear system and its right sides")
    lead = broadcast(a.sizes[:-2], matrices[:-2])
    sizes = (*lead, *matrices[-2:])
    count = sizes[-1] if left else sizes[-2]
    shown = sizes[:-1] if vectors else sizes
    out = by_columns(b, shown) if left and len(shown) > 1 else b.new(shown)
    out.conjugated = not left and b.dtype.is_complex  # solved as the adjoint system
    factors, pivots, info = by_columns(a, a.sizes), a.new(a.sizes[:-1], torch.int32), a.new(a.sizes[:-2], torch.int32)
    flops = third(2 * flops_of(a, a.elements, n)) + flops_of(b, 2, *lead, n, n, count)
    read = [a.resolved(), b.resolved()]
    a.tape.kernel("_linalg_solve_ex", "inverse", [*read, out, factors, pivots, info], flops=flops, steps=n)
    del read
    needs_a, needs_b = a.is_followed, b.is_followed

    def backward(saved: Sequence[Tensor], g: Tensor) -> list[Tensor | None]:
        _, factors, pivots, solution = saved
        of_b = lu_solve(factors, pivots, unsqueeze(g, -1) if vectors else g, left=left)
        of_a = None
        if needs_a:
            x = unsqueeze(solution, -1) if vectors else solution
            of_a = neg(matmul(of_b, adjoint(x)) if left else matmul(adjoint(x), of_b))
            del x
        return [of_a, (squeeze(of_b, -1) if vectors else of_b) if needs_b else None]

    attach([out], [a, b], [a, factors, pivots, out], backward)
    return Solution(out, info)


@rule("torch.linalg.solve")
def solve(a: Tensor, b: Tensor, *, left: bool = True) -> Tensor:
    return solve_ex(a, b, left=left)[0]


class Factors(NamedTuple):
    """What torch.linalg.lu_factor_ex returns."""

    LU: Tensor
    pivots: Tensor
    info: Tensor


class TwoFactors(NamedTuple):
    """What torch.linalg.lu_factor returns."""

    LU: Tensor
    pivots: Tensor


class ThreeFactors(NamedTuple):
    """What torch.linalg.lu and torch.lu_unpack return."""

    P: Tensor
    L: Tensor
    U: Tensor


def _lu_flops(a: Tensor) -> Size:
    """LU of (m, n) matrices: m n² - n³/3 with n the lesser side."""
    *lead, m, n = a.sizes
    long, short = (m, n) if a.tape.holds(m >= n) else (n, m)
    return flops_of(a, *lead) * (long * short * short - third(short**3))


def _lesser(a: Tensor) -> Size:
    m, n = a.sizes[-2:]
    return n if a.tape.holds(m >= n) else m


@rule("torch.linalg.lu_factor_ex")
def lu_factor_ex(a: Tensor, *, pivot: bool = True, check_errors: bool = False) -> Factors:
    k = _lesser(a)
    factors, pivots = by_columns(a, a.sizes), a.new((*a.sizes[:-2], k), torch.int32)
    info = a.new(a.sizes[:-2], torch.int32)
    kept = [a.resolved(), factors, pivots, info]
    a.tape.kernel("linalg_lu_factor_ex", "inverse", kept, flops=_lu_flops(a), steps=k)
    del kept

    def backward(saved: Sequence[Tensor], g: Tensor) -> list[Tensor]:
        p, lower, upper = lu_unpack(saved[0], saved[1], unpack_pivots=pivot)
        return [_lu_gradient(p, lower, upper, g, g, pivot)]

    attach([factors], [a], [factors, pivots], backward)
    return Factors(factors, pivots, info)


@rule("torch.linalg.lu_factor")
def lu_factor(a: Tensor, *, pivot: bool = True) -> TwoFactors:
    return TwoFactors(*lu_factor_ex(a, pivot=pivot)[:2])


@rule("torch.linalg.lu")
def lu(a: Tensor, *, pivot: bool = True) -> ThreeFactors:
    *lead, m, n = a.sizes
    k = _lesser(a)
    p = a.new((*lead, m, m) if pivot else (0,))
    lower, upper = a.new((*lead, m, k)), a.new((*lead, k, n))
    kept = [a.resolved(), p, lower, upper]
    a.tape.kernel("linalg_lu", "inverse", kept, flops=_lu_flops(a), steps=k)
    del kept

    def backward(saved: Sequence[Tensor], g: Tensor | None, h: Tensor | None) -> list[Tensor]:
        p, lower, upper = saved
        return [_lu_gradient(p, lower, upper, g, h, pivot)]

    attach([lower, upper], [a], [p, lower, upper], backward)
    return ThreeFactors(p, lower, upper)


def _lu_gradient(p: Tensor, lower: Tensor, upper: Tensor, gl: Tensor | None, gu: Tensor | None, pivot: bool) -> Tensor:
    if not fits(lower.sizes[-2:], upper.sizes[-2:]):
        raise refused("the gradient of an LU factorisation of matrices that are not square")
    inner = None
    if gl is not None:
        inner = triangle("tril", matmul(adjoint(lower), gl))
    if gu is not None:
        product = matmul(gu, adjoint(upper))
        of_u = triangle("triu", product)
        inner = of_u if inner is None else add(inner, of_u)
        del of_u, product
    assert inner is not None
    out = solve_triangular(adjoint(upper), inner, upper=False, left=False)
    del inner
    out = solve_triangular(adjoint(lower), out, upper=True, unitriangular=True)
    return matmul(p, out) if pivot else out


@rule("torch.lu_unpack")
def lu_unpack(factors: Tensor, pivots: Tensor, unpack_data: bool = True, unpack_pivots: bool = True) -> ThreeFactors:
    """The three factors, copied out."""
    *lead, m, n = factors.sizes
    k = _lesser(factors)
    p = factors.new((*lead, m, m) if unpack_pivots else (0,))
    lower = factors.new((*lead, m, k) if unpack_data else (0,))
    upper = factors.new((*lead, k, n) if unpack_data else (0,))
    factors.tape.kernel("lu_unpack", "pointwise", [factors, pivots, p, lower, upper], flops=0)
    if factors.requires_grad and torch.is_grad_enabled():
        raise refused("the gradient of torch.lu_unpack")
    return ThreeFactors(p, lower, upper)


@rule("torch.linalg.lu_solve")
def lu_solve(factors: Tensor, pivots: Tensor, b: Tensor, *, left: bool = True, adjoint: bool = False) -> Tensor:
    """X of a X = b, or of X a = b, from the LU factors of a: 2n²m FLOPs for each."""
    n = factors.sizes[-1]
    lead = broadcast(factors.sizes[:-2], b.sizes[:-2])
    sizes = (*lead, *b.sizes[-2:])
    out = by_columns(b, sizes) if left else b.new(sizes)
    out.conjugated = not left and b.dtype.is_complex  # solved as the adjoint system
    flops = flops_of(b, 2, *sizes, n)
    read = [factors.resolved(), pivots, b.resolved()]
    b.tape.kernel("linalg_lu_solve", "inverse", [*read, out], flops=flops, steps=n)
    del read
    needs, of_right = factors.is_followed, b.is_followed

    def backward(saved: Sequence[Tensor], g: Tensor) -> list[Tensor | None]:
        factors, pivots, solution = saved
        of_b = lu_solve(factors, pivots, g, left=left, adjoint=not adjoint) if of_right else None
        of_factors = _factors_gradient(g, factors, pivots, solution, left, adjoint) if needs else None
        return [of_factors, of_b]

    attach([out], [factors, b], [factors, pivots, out], backward)
    return out


@rule("torch.lu_solve", "Tensor.lu_solve")
def old_lu_solve(b: Tensor, factors: Tensor, pivots: Tensor) -> Tensor:
    return lu_solve(factors, pivots, b)


def _factors_gradient(g: Tensor, factors: Tensor, pivots: Tensor, x: Tensor, left: bool, turned: bool) -> Tensor:
    if not left or turned:
        raise refused("the gradient of LU factors by torch.linalg.lu_solve from the right, or of the adjoint")
    _, lower, upper = lu_unpack(factors, pivots, unpack_pivots=False)
    product = neg(matmul(g, adjoint(x)))
    of_upper = solve_triangular(adjoint(upper), product, upper=False)
    del product
    of_lower = solve_triangular(adjoint(lower), matmul(of_upper, adjoint(upper)), upper=True, unitriangular=True)
    of_lower = triangle("tril", of_lower)
    return add(of_lower, triangle("triu", of_upper))


# Triangles.


def triangle(name: str, x: Tensor) -> Tensor:
    """A copy of matrices with zeros beyond a diagonal."""
    out = moved(name, [x.resolved()], x.sizes)
    attach([out], [x], [], lambda _, g: [triangle(name, g)])
    return out


@rule("torch.tril", "Tensor.tril")
def tril(x: Tensor, diagonal: int = 0) -> Tensor:
    return triangle("tril", x)


@rule("torch.triu", "Tensor.triu")
def triu(x: Tensor, diagonal: int = 0) -> Tensor:
    return triangle("triu", x)
