"""Rules of functions of square matrices: determinants, exponentials, powers, traces.

With letters: n the order of a matrix. A determinant takes 2/3 n³ FLOPs by LU, four times that if complex (Golub & Van
Loan, Matrix Computations, 4th ed., 3.2).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch

from ..errors import refused
from ..graph import attach
from ..sizes import fit
from ..table import rule
from ..tensor import Tensor
from .copies import to
from .factories import filled
from .factorisations import flops_of, lu_solve, third
from .joining import cat
from .kernels import by_columns, moved, pointwise, real_of, reduction, strides_for
from .parts import diagonal
from .pointwise import add, eq, log, mul, where
from .views import adjoint, conj, expand, narrowed, transpose, unsqueeze, view

# Determinants.


def _determinant(name: str, a: Tensor, outputs: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """By LU, whose factors are kept."""
    n = a.sizes[-1]
    fit(a.sizes[-2], n, "sides of a matrix whose determinant is asked for")
    factors, pivots = by_columns(a, a.sizes), a.new(a.sizes[:-1], torch.int32)
    flops = third(2 * flops_of(a, a.elements, n))
    a.tape.kernel(name, "inverse", [a.resolved(), *outputs, factors, pivots], flops=flops, steps=n)
    return factors, pivots


@rule("torch.linalg.det", "torch.det", "Tensor.det")
def det(a: Tensor) -> Tensor:
    out = a.new(a.sizes[:-2])
    factors, pivots = _determinant("_linalg_det", a, [out])

    def backward(saved: Sequence[Tensor], g: Tensor) -> list[Tensor]:
        _, out, factors, pivots = saved
        scaled = mul(g, conj(out))
        right = _scaled_identity(scaled, factors)
        zero = eq(diagonal(factors, 0, -2, -1), 0.0)
        shifts = _one_of_two(zero)
        shift = diagonal_matrices(shifts)
        shifted = add(factors, shift)
        del shift, shifts, zero
        return [lu_solve(shifted, pivots, right)]

    attach([out], [a], [a, out, factors, pivots], backward)
    return out


def _one_of_two(condition: Tensor) -> Tensor:
    """One of two numbers, in the type that torch has for numbers."""
    dtype = torch.get_default_dtype()
    numbers = [filled("scalar_tensor", condition.tape, (), dtype) for _ in range(2)]
    return pointwise("where", condition, *numbers, dtype=dtype)


def _scaled_identity(x: Tensor, like: Tensor) -> Tensor:
    """For each number an identity times that, which lies column by column."""
    n = like.sizes[-1]
    return transpose(diagonal_matrices(expand(unsqueeze(x, -1), (*x.sizes, n))), -2, -1)


def diagonal_matrices(x: Tensor) -> Tensor:
    """Zeros with x (…, n) on the diagonal."""
    return moved("diag_embed", [x.resolved()], (*x.sizes, x.sizes[-1]))


class LogDeterminant(NamedTuple):
    """What torch.linalg.slogdet returns."""

    sign: Tensor
    logabsdet: Tensor


@rule("torch.linalg.slogdet", "torch.slogdet", "Tensor.slogdet")
def slogdet(a: Tensor) -> LogDeterminant:
    sign, logarithm = a.new(a.sizes[:-2]), a.new(a.sizes[:-2], real_of(a.dtype))
    factors, pivots = _determinant("_linalg_slogdet", a, [sign, logarithm])

    def backward(saved: Sequence[Tensor], gs: Tensor | None, gl: Tensor | None) -> list[Tensor | None]:
        _, sign, factors, pivots = saved
        if sign.dtype.is_complex and gs is not None:
            raise refused("the gradient of the sign that torch.linalg.slogdet gives of complex matrices")
        if gl is None:
            return [None]
        scaled = to(gl, sign.dtype)
        right = _scaled_identity(scaled, factors)
        return [lu_solve(factors, pivots, right)]

    attach([sign, logarithm], [a], [a, sign, factors, pivots], backward)
    return LogDeterminant(sign, logarithm)


@rule("torch.logdet", "Tensor.logdet")
def logdet(a: Tensor) -> Tensor:
    sign, logarithm = slogdet(a)
    if a.dtype.is_complex:
        return add(log(sign), logarithm)
    return where(eq(sign, -1.0), float("nan"), logarithm)


# Functions of matrices.


@rule("torch.linalg.matrix_exp", "torch.matrix_exp", "Tensor.matrix_exp")
def matrix_exp(a: Tensor) -> Tensor:
    """The exponentials of (…, n, n) matrices: 10 n³ FLOPs each, by Taylor's polynomial of degree 18 in five products.

    How many products torch takes for a smaller degree, and how often it squares, is decided by the values. Source:
    Bader, Blanes & Casas, Computing the Matrix Exponential with an Optimized Taylor Polynomial Approximation, 2019.
    """
    n = a.sizes[-1]
    fit(a.sizes[-2], n, "sides of a matrix whose exponential is asked for")
    out = a.new(a.sizes)
    a.tape.kernel("linalg_matrix_exp", "inverse", [a.resolved(), out], flops=10 * flops_of(a, a.elements, n), steps=n)

    def backward(saved: Sequence[Tensor], g: Tensor) -> list[Tensor]:
        both = matrix_exp(_with_gradient(adjoint(saved[0]), g))
        rows = narrowed(both, both.rank - 2, n)
        return [narrowed(rows, rows.rank - 1, n)]

    attach([out], [a], [a], backward)
    return out


def _with_gradient(a: Tensor, g: Tensor) -> Tensor:
    """The matrix (a g; 0 a), of twice the size: joined under a dispatch mode, else written into zeros.

    The kernels are counted as under the mode.
    """
    *lead, n, _ = a.sizes
    if not a.tape.in_place:
        above = cat([a.resolved(), g], -1)
        zeros = _zeros_like(a.resolved())
        below = cat([zeros, a.resolved()], -1)
        return cat([above, below], -2)
    out = a.new((*lead, 2 * n, 2 * n))
    half, corner = out.view_of((*lead, n, 2 * n), None), out.view_of(a.sizes, None)
    kernels = [("cat", [a, g, half]), ("zeros_like", [corner]), ("cat", [corner, a, half]), ("cat", [half, half, out])]
    if a.conjugated:
        kernels += [("clone", [a, corner])] * 3
    for name, tensors in kernels:
        a.tape.kernel(name, "pointwise", tensors, flops=0)
    return out


def _zeros_like(a: Tensor) -> Tensor:
    out = a.new(a.sizes, strides=strides_for(a))
    a.tape.kernel("zeros_like", "pointwise", [out], flops=0)
    return out


@rule("torch.trace", "Tensor.trace")
def trace(a: Tensor) -> Tensor:
    """A reduction of the matrix; its gradient is written into zeros, but for a dispatch mode."""
    m, n = a.sizes
    out = reduction("trace", a, ())
    sizes = a.sizes

    def backward(_: object, g: Tensor) -> list[Tensor]:
        zeros = filled("zeros", g.tape, (m * n,), g.dtype)
        places = filled("arange", g.tape, (n if g.tape.holds(m > n) else m,), torch.int64)
        full = zeros if g.tape.in_place else g.new(zeros.sizes)
        g.tape.kernel("index_fill", "pointwise", [zeros, places, g, full], flops=0)
        del zeros
        return [view(full, sizes)]

    attach([out], [a], [], backward)
    return out
