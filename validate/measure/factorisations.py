"""FLOPs of factorisations and of what is solved by them: textbook counts in real numbers, by what the dispatcher hands.

Source: Golub & Van Loan, Matrix Computations, 4th ed., and LAPACK Working Note 41 (operation counts of its routines).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from torch import Tensor

Count = Callable[[tuple[Any, ...], Any], float]  # of the operator's arguments and what it returns


def _stack(a: Tensor) -> int:
    return math.prod(a.shape[:-2])


def _right_sides(out: Tensor, n: int) -> int:
    return out.numel() // n


def cholesky(args: tuple[Any, ...], out: Any) -> float:
    """n³/3 (GvL 4.2)."""
    n = args[0].shape[-1]
    return float(_stack(args[0]) * n**3 / 3)


def lu(args: tuple[Any, ...], out: Any) -> float:
    """m n² - n³/3, n the lesser side (GvL 3.2; getrf)."""
    short, long = sorted(args[0].shape[-2:])
    return float(_stack(args[0]) * (long * short**2 - short**3 / 3))


def triangular(args: tuple[Any, ...], out: Any) -> float:
    """n² for each right side (GvL 3.1)."""
    n = args[0].shape[-1]
    return float(n**2 * _right_sides(out, n))


def lu_solve(args: tuple[Any, ...], out: Any) -> float:
    """Two triangles."""
    return 2 * triangular(args, out)


def cholesky_solve(args: tuple[Any, ...], out: Any) -> float:
    """Two triangles."""
    return 2 * triangular(args[1:], out)


def cholesky_inverse(args: tuple[Any, ...], out: Any) -> float:
    """The inverse of a triangle, and its product with itself: a third each (potri)."""
    return 2 * cholesky(args, out)


def solve(args: tuple[Any, ...], out: Any) -> float:
    """LU, then its triangles."""
    return lu(args, out) + lu_solve(args, out[0])


def qr(args: tuple[Any, ...], out: Any) -> float:
    """Reflections, and what of their product is asked for."""
    m, n = args[0].shape[-2:]
    short, long = sorted((m, n))
    flops = 2 * short**2 * long - 2 * short**3 / 3
    if out[0].numel():
        flops += _product_of_reflections(m, out[0].shape[-1], short)
    return float(_stack(args[0]) * flops)


def _product_of_reflections(m: int, columns: int, k: int) -> float:
    """As orgqr."""
    return 4 * m * columns * k - 2 * (m + columns) * k**2 + 4 * k**3 / 3


def reflections(args: tuple[Any, ...], out: Any) -> float:
    """As orgqr."""
    m, n = args[0].shape[-2:]
    return float(_stack(args[0]) * _product_of_reflections(m, n, args[1].shape[-1]))


def eigh(args: tuple[Any, ...], out: Any) -> float:
    """GvL 8.3: 4/3 n³ for the values, 9n³ with vectors."""
    n = args[0].shape[-1]
    return float(_stack(args[0]) * (9 * n**3 if out[1].numel() else 4 * n**3 / 3))


def svd(args: tuple[Any, ...], out: Any) -> float:
    """GvL 8.6, by Golub and Reinsch; the columns of U and V that are asked for are the lesser side's or all."""
    short, long = sorted(args[0].shape[-2:])
    full = len(args) > 1 and args[1]
    if not out[0].numel():
        flops = 4 * long * short**2 - 4 * short**3 / 3
    elif full:
        flops = 4 * long**2 * short + 8 * long * short**2 + 9 * short**3
    else:
        flops = 14 * long * short**2 + 8 * short**3
    return float(_stack(args[0]) * flops)


def matrix_exp(args: tuple[Any, ...], out: Any) -> float:
    """Five products, of the polynomial of degree 18 of Bader, Blanes & Casas (2019); the values decide what is run."""
    return float(5 * 2 * out.numel() * out.shape[-1])


FACTORISATIONS: dict[str, Count] = {
    "cholesky": cholesky,
    "cholesky_inverse": cholesky_inverse,
    "cholesky_solve": cholesky_solve,
    "eigh": eigh,
    "lu": lu,
    "lu_solve": lu_solve,
    "matrix_exp": matrix_exp,
    "qr": qr,
    "reflections": reflections,
    "solve": solve,
    "svd": svd,
    "triangular": triangular,
}
