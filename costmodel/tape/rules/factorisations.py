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

from ..errors import refused
from ..graph import attach
from ..table import rule
from ..tape import DType, Size
from ..tensor import Tensor
from .kernels import broadcast, by_columns, fits, moved
from .linalg import matmul
from .pointwise import add, mul, neg
from .views import adjoint, transpose


def _flops(x: Tensor, *sizes: Size) -> Size:
    return prod(sizes) * (4 if x.dtype.is_complex else 1)


def _third(flops: Size) -> Size:
    return Fraction(flops, 3) if isinstance(flops, int) else flops / 3


def _int32() -> DType:
    import torch  # noqa: PLC0415

    return torch.int32


class Cholesky(NamedTuple):
    """What torch.linalg.cholesky_ex returns."""

    L: Tensor
    info: Tensor


@rule("torch.linalg.cholesky_ex")
def cholesky_ex(a: Tensor, *, upper: bool = False, check_errors: bool = False) -> Cholesky:
    """The factors of (…, n, n) matrices: n³/3 FLOPs each."""
    a = a.resolved()
    n = a.sizes[-1]
    factor, info = by_columns(a, a.sizes), a.new(a.sizes[:-2], _int32())
    flops = _third(_flops(a, a.elements, n))
    a.tape.kernel("linalg_cholesky_ex", "inverse", [a, factor, info], flops=flops, steps=n)

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
    flops = _flops(b, *lead, n, n, m)
    a.tape.kernel("linalg_solve_triangular", "inverse", [a, b, out], flops=flops, steps=n)
    needs_a, needs_b = a.requires_grad, b.requires_grad

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


class Solution(NamedTuple):
    """What torch.linalg.solve_ex returns."""

    result: Tensor
    info: Tensor


@rule("torch.linalg.solve_ex")
def solve_ex(a: Tensor, b: Tensor, *, left: bool = True, check_errors: bool = False) -> Solution:
    """X of a X = b by LU: 2/3 n³ + 2 n²m FLOPs for each of the stack's (n, n) matrices. It keeps the factors."""
    if not left or a.rank != b.rank:
        raise refused("torch.linalg.solve of X a = b, of vectors, or of stacks of another rank")
    n, m = a.sizes[-1], b.sizes[-1]
    lead = broadcast(a.sizes[:-2], b.sizes[:-2])
    out, factors = by_columns(b, (*lead, n, m)), by_columns(a, a.sizes)
    pivots, info = a.new(a.sizes[:-1], _int32()), a.new(a.sizes[:-2], _int32())
    flops = _third(2 * _flops(a, a.elements, n)) + _flops(b, 2, *lead, n, n, m)
    a.tape.kernel("_linalg_solve_ex", "inverse", [a, b, out, factors, pivots, info], flops=flops, steps=n)
    needs_a, needs_b = a.requires_grad, b.requires_grad

    def backward(saved: Sequence[Tensor], g: Tensor) -> list[Tensor | None]:
        _, factors, pivots, solution = saved
        of_b = by_columns(g, g.sizes)
        g.tape.kernel(
            "linalg_lu_solve", "inverse", [factors, pivots, g, of_b], flops=_flops(g, 2, g.elements, n), steps=n
        )
        of_a = neg(matmul(of_b, adjoint(solution))) if needs_a else None
        return [of_a, of_b if needs_b else None]

    attach([out], [a, b], [a, factors, pivots, out], backward)
    return Solution(out, info)


@rule("torch.linalg.solve")
def solve(a: Tensor, b: Tensor, *, left: bool = True) -> Tensor:
    return solve_ex(a, b, left=left)[0]


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
