"""The polar factor of matrices, the nearest ones with orthonormal columns, by matrix products alone."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from ...base.function import Function

Step = tuple[float, float, float]
Trail = list[tuple[Tensor, Tensor, Tensor]]

MARGIN = 1.01  # rounding may lift singular values above 1, where the early polynomials are steep
GUARD = (1.5, -0.5, 0.0)


def polar(w: Tensor, iterations: int) -> Tensor:
    r"""The polar factors :math:`w (w^*w)^{-1/2}` of matrices w (b, n, m), real or complex, with every norm at most 1.

    Source: Amsel, Persson, Musco & Gower, "The Polar Express: Optimal Matrix Sign Methods and Their Application to the
    Muon Algorithm", 2025; Björck & Bowie 1971 for the last step.

    With :math:`X_0 = w / \|(w^*w)^2\|_F^{1/4}`, whose norm is at most 1, and :math:`G = X^*X`

    .. math:: X \leftarrow X (a I + b G + c G^2), \quad\text{at last}\quad X \leftarrow X (\tfrac32 I - \tfrac12 G)

    with the coefficients of :func:`polynomials`. The singular vectors stay, each singular value follows an odd
    polynomial from [0, 1] to [0, 1]. The last step maps all of [0, √3] to at most 1, so that the result is a
    contraction up to the rounding of one product, for any w: zero matrices give zero, singular ones a contraction.

    The gradient is that of the iteration for a constant scale, less the part Q (Q*g + g*Q) / 2 of it, Q the result.
    Both that part and the scale's own are zero where the iteration has converged, as the polar factor of QH does not
    depend on H; of rounding errors that part would be a large one. Matrices without an entry above √tiny count as zero.

    Args:
        w: the matrices, finite.
        iterations: polynomials, each three products.

    Example:
        >>> import torch
        >>> from lipcost.layers.methods.parts.polar import polar
        >>> q = polar(torch.tensor([[[0.0, -2.0], [1.0, 0.0]]]), iterations=8)
        >>> torch.allclose(q, torch.tensor([[[0.0, -1.0], [1.0, 0.0]]]))
        True
    """
    return Polar.of(w, iterations)


class Polar(Function):
    """:func:`polar`, saving w alone."""

    @staticmethod
    def forward(w: Tensor, iterations: int) -> Tensor:
        return polar_factor(w, iterations)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, int], output: Tensor) -> None:
        w, ctx.iterations = inputs
        ctx.save_for_backward(w)

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor, None]:
        return polar_gradient(g, ctx.saved_tensors[0], ctx.iterations), None


def polar_factor(w: Tensor, iterations: int) -> Tensor:
    """:func:`polar` outside the graph."""
    if w.shape[-2] < w.shape[-1]:
        return polar_factor(w.mH, iterations).mH
    return iterate(w, iterations)[0]


def polar_gradient(g: Tensor, w: Tensor, iterations: int) -> Tensor:
    """The gradient of w, where that of ``polar(w, iterations)`` is ``g``."""
    if w.shape[-2] < w.shape[-1]:
        return polar_gradient(g.mH, w.mH, iterations).mH
    trail: Trail = []
    factor, scale = iterate(w, iterations, trail)
    return trail_gradient(g, factor, trail) / scale


def iterate(w: Tensor, iterations: int, trail: Trail | None = None) -> tuple[Tensor, Tensor]:
    """The polar factor of w and its scale; ``trail`` gets X, G, b G + c G² of each step."""
    x, gram, square, scale = scaled(w)
    for i, (a, b, c) in enumerate(polynomials(iterations, x.dtype)):
        if i == 0:
            inner = square.mul_(c).add_(gram, alpha=b)
        else:
            gram = x.mH @ x
            inner = torch.baddbmm(gram, gram, gram, beta=b, alpha=c) if c else gram * b
        if trail is not None:
            trail.append((x, gram, inner))
        x = torch.baddbmm(x, x, inner, beta=a)
    return x, scale


def trail_gradient(g: Tensor, factor: Tensor, trail: Trail) -> Tensor:
    """The gradient of the scaled x, where that of its polar factor is ``g``; each step leaves the trail behind.

    With S = X*g + g*X a step's is g (a I + b G + c G²) + X (b S + c (S G + G S)), in four products.
    """
    for a, b, c in reversed(polynomials(len(trail) - 1, g.dtype)):
        x, gram, inner = trail.pop()
        s = x.mH @ g
        s = s + s.mH
        g = torch.baddbmm(g, g, inner, beta=a)
        s = torch.baddbmm(s, s, gram, beta=b / 2, alpha=c) if c else s * (b / 2)
        g = torch.baddbmm(g, x, s + s.mH)
    s = factor.mH @ g
    return torch.baddbmm(g, factor, s + s.mH, alpha=-0.5)


def scaled(w: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """X = w / scale, G = X*X, G² and the scale (b, 1, 1): the Schatten 8-norm, at least the spectral norm.

    For matrices that count as zero the scale is at most 1.
    """
    largest: Tensor = w.abs().amax((-2, -1), keepdim=True)
    largest = largest + (largest < torch.finfo(w.dtype).tiny ** 0.5)
    x = w / largest
    gram = x.mH @ x
    square = gram @ gram
    # An entry of modulus 1 makes the norm 1 or more: only that of matrices that count as zero is less.
    norm = torch.linalg.vector_norm(square, dim=(-2, -1), keepdim=True).sqrt().sqrt().clamp_min(1)
    x = x / norm
    gram = gram / norm**2
    square = square / norm**4
    return x, gram, square, largest * norm


def polynomials(iterations: int, dtype: torch.dtype) -> tuple[Step, ...]:
    r"""The coefficients (a, b, c) of odd polynomials a x + b x³ + c x⁵, each optimal behind the last; then GUARD's.

    The minimax polynomial to a constant on [l, 1] has a maximum at some q < 1, a minimum at an r between q and 1, the
    maximum's value at 1 and the minimum's at l. Its derivative is a multiple of :math:`(x^2-q^2)(x^2-r^2)`, and
    p(q) = p(1) holds where

    .. math:: r^2 = \frac{2q^3 + 4q^2 + 6q + 3}{5(2q+1)}.

    Divided by p(1) it maps [0, 1] to [0, 1] and [l, 1] to [p(l), 1], where the next polynomial begins. From the last,
    which ends at 1 - √eps, as GUARD squares that, bisection gives q and then l. For l near 1 it is Newton-Schulz,
    (15 x - 10 x³ + 3 x⁵) / 8. A polynomial whose slope at 1 exceeds 1 is stretched to [0, MARGIN].

    Example:
        >>> import torch
        >>> from lipcost.layers.methods.parts.polar import polynomials
        >>> [round(c, 2) for c in polynomials(8, torch.float64)[0]]
        [4.21, -12.26, 8.92]
    """
    return _polynomials(iterations, torch.finfo(dtype).eps)


# What torch.compiler.assume_constant_result does, without its import of the compiler: these are numbers.
polynomials._dynamo_marked_constant = True  # type: ignore[attr-defined]


@lru_cache
def _polynomials(iterations: int, eps: float) -> tuple[Step, ...]:
    lower, steps = 1 - math.sqrt(eps), [GUARD]
    for _ in range(iterations):
        step, lower = _step_before(lower)
        steps.append(step)
    return tuple(reversed(steps))


def _step_before(lower: float) -> tuple[Step, float]:
    """The polynomial with values in [lower, 1], and the lower end of the interval that it takes them on."""
    q = _root(lambda q: _minimum(q) / _maximum(q) - lower, 0.3, 1.0)
    r_squared, top = _square_of_minimiser(q), _maximum(q)
    a, b, c = 15 * q**2 * r_squared / top, -5 * (q**2 + r_squared) / top, 3 / top
    start = _root(lambda x: a * x + b * x**3 + c * x**5 - lower, 0.0, q)
    stretch = MARGIN if a + 3 * b + 5 * c > 1 else 1.0
    return (a / stretch, b / stretch**3, c / stretch**5), start * stretch


def _square_of_minimiser(q: float) -> float:
    return (2 * q**3 + 4 * q**2 + 6 * q + 3) / (5 * (2 * q + 1))


def _maximum(q: float) -> float:
    """15 p(q) for p' = (x² - q²)(x² - r²)."""
    return 10 * _square_of_minimiser(q) * q**3 - 2 * q**5


def _minimum(q: float) -> float:
    """15 p(r)."""
    r = math.sqrt(_square_of_minimiser(q))
    return 10 * q**2 * r**3 - 2 * r**5


def _root(increasing: Callable[[float], float], low: float, high: float) -> float:
    """By bisection, to the last bit."""
    while low < (middle := (low + high) / 2) < high:
        low, high = (middle, high) if increasing(middle) < 0 else (low, middle)
    return middle
