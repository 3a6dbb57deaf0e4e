"""The exponential of a skew-symmetric convolution, by the polynomial that is best for its spectrum."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from math import ceil, cos, pi, sqrt
from typing import Any

import torch
from torch import Tensor

from ._convolution import correlate, kernel_gradient
from ._function import Function

Polynomial = tuple[float, ...]  # the coefficients of z⁰, z¹, …

NODES_PER_DEGREE = 32


@lru_cache(maxsize=256)
def exponential_polynomial(degree: int, radius: float) -> Polynomial:
    r"""The coefficients of a polynomial p with :math:`p(i\theta) \approx e^{i\theta}` for :math:`|\theta| \le radius`.

    Source: Tal-Ezer & Kosloff, "An accurate and efficient scheme for propagating the time dependent Schrödinger
    equation", J. Chem. Phys. 81, 1984.

    .. math:: e^{i \rho u} = J_0(\rho) + 2 \sum_{n \ge 1} i^n J_n(\rho) T_n(u), \qquad |u| \le 1

    cut after ``degree`` and written in powers; then p(0) is set to 1. A degree that is too low for the radius ρ gets
    the polynomial of the radius degree + 2, up to which the leading coefficient, :math:`2^n J_n(\rho) / \rho^n`, is
    positive.

    Args:
        degree: n, positive.
        radius: ρ, positive.

    Example:
        >>> from lipcost.layers._exponential import exponential_polynomial
        >>> [round(c, 3) for c in exponential_polynomial(4, 2.1)]
        [1.0, 0.956, 0.487, 0.125, 0.033]
    """
    radius = min(radius, degree + 2)
    chebyshev = [[1.0], [0.0, 1.0]]  # T_n in powers of u
    while len(chebyshev) <= degree:
        below = [*chebyshev[-2], 0.0, 0.0]
        chebyshev.append([2 * a - b for a, b in zip([0.0, *chebyshev[-1]], below, strict=True)])
    bessel = bessel_functions(degree, radius)
    out = [0.0] * (degree + 1)
    for n, polynomial in enumerate(chebyshev[: degree + 1]):
        for i in range(n % 2, n + 1, 2):  # iⁿ uⁱ = iⁿ⁻ⁱ (z/ρ)ⁱ, real as n - i is even
            sign = -1 if (n - i) % 4 else 1
            out[i] += (2 if n else 1) * sign * bessel[n] * polynomial[i] / radius**i
    return (1.0, *out[1:])


def bessel_functions(degree: int, x: float) -> list[float]:
    r"""The Bessel functions :math:`J_0(x), \dots, J_n(x)`, each to a relative error of rounding, n the ``degree``.

    Source: Abramowitz & Stegun, Handbook of Mathematical Functions, 9.12: Miller's backward recurrence
    :math:`J_{m-1} = (2m/x) J_m - J_{m+1}` from far above n and x, scaled so that :math:`J_0 + 2 \sum_m J_{2m} = 1`.

    Example:
        >>> from lipcost.layers._exponential import bessel_functions
        >>> [round(j, 6) for j in bessel_functions(2, 2.1)]
        [0.166607, 0.568292, 0.374624]
    """
    values = [1e-300, 0.0]  # J_m and J_{m+1}
    for m in range(max(degree, ceil(x)) + 40, 0, -1):
        values.insert(0, 2 * m / x * values[0] - values[1])
    total = values[0] + 2 * sum(values[2::2])
    return [value / total for value in values[: degree + 1]]


def largest_modulus(polynomial: Sequence[float], radius: float) -> float:
    r"""An upper bound, tight to 0.1 % of the modulus's variation, of :math:`|p(i\theta)|` for |θ| ≤ radius.

    Source: Ehlich & Zeller, "Schwankung von Polynomen zwischen Gitterpunkten", Math. Z. 86, 1964: at the zeros of T_N a
    polynomial of degree n < N reaches at least cos(nπ/2N) of its largest modulus on [-1, 1].

    :math:`|p(i\theta)|^2` is a polynomial in θ² of the degree of p; the theorem is applied to it less its midrange.

    Args:
        polynomial: the coefficients of p, which are real.
        radius: of the interval, not negative.

    Example:
        >>> from lipcost.layers._exponential import largest_modulus
        >>> round(largest_modulus((1.0, 1.0), 2.0) ** 2, 3)
        5.0
    """
    degree = max(len(polynomial) - 1, 1)
    nodes = NODES_PER_DEGREE * degree
    squares = []
    for j in range(nodes):
        theta = radius * sqrt((1 + cos((2 * j + 1) * pi / (2 * nodes))) / 2)
        value = 0j
        for coefficient in reversed(polynomial):
            value = value * 1j * theta + coefficient
        squares.append(abs(value) ** 2)
    middle, half = (max(squares) + min(squares)) / 2, (max(squares) - min(squares)) / 2
    return sqrt(middle + half / cos(degree * pi / (2 * nodes)))


def contraction(polynomial: Polynomial, radius: float) -> Polynomial:
    """The polynomial over its largest modulus, so that it is at most 1."""
    largest = largest_modulus(polynomial, radius)
    return tuple(coefficient / largest for coefficient in polynomial)


def monic(polynomial: Polynomial) -> tuple[float, Polynomial]:
    """(β, q) with p(z) = q(βz) and q's leading coefficient 1; p's must be positive."""
    degree = len(polynomial) - 1
    scale = polynomial[-1] ** (1 / degree)
    return scale, (*(c / scale**i for i, c in enumerate(polynomial[:-1])), 1.0)


def matrix_polynomial(a: Tensor, polynomial: Polynomial) -> Tensor:
    """p(a) of a matrix (n, n) and a monic polynomial, by Horner's scheme.

    Example:
        >>> import torch
        >>> from lipcost.layers._exponential import matrix_polynomial
        >>> matrix_polynomial(torch.tensor([[0.0, 1.0], [-1.0, 0.0]]), (1.0, 2.0, 1.0))  # a² = -I
        tensor([[ 0.,  2.],
                [-2.,  0.]])
    """
    identity = torch.eye(a.shape[0], dtype=a.dtype, device=a.device)
    out = a + polynomial[-2] * identity
    for coefficient in polynomial[-3::-1]:
        out = out @ a + coefficient * identity
    return out


class PolynomialConvolution(Function):
    r"""p(L) x + bias, L the convolution with a skew-symmetric kernel (c, c, k, k) and p a monic polynomial.

    By Horner's scheme: :math:`z_t = x,\; z_{i-1} = p_{i-1} x + L z_i,\; y = z_0`. It saves x and the kernel alone,
    whatever the degree t. The backward computes the z_i anew, and

    .. math::
        g_0 = g, \quad g_i = L^\top g_{i-1} = -L g_{i-1}, \quad
        \nabla_x = \sum_i p_i g_i, \quad \nabla_L = \sum_{i \ge 1} g_{i-1} z_i^\top

    Channels lie innermost inside, which CPUs convolve up to four times as fast; input and output are contiguous.
    """

    @staticmethod
    def forward(x: Tensor, kernel: Tensor, bias: Tensor | None, polynomial: Polynomial, padding_mode: str) -> Tensor:
        x = x.clone(memory_format=torch.channels_last)
        z = x
        for coefficient in polynomial[-2:0:-1]:
            z = correlate(z, kernel, None, padding_mode).add_(x, alpha=coefficient)
        y = correlate(z, kernel, bias, padding_mode)
        del z
        y.add_(x, alpha=polynomial[0])
        del x
        return y.clone(memory_format=torch.contiguous_format)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        x, kernel, _, ctx.polynomial, ctx.padding_mode = inputs
        ctx.save_for_backward(x, kernel)

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor | None, ...]:
        x, kernel = ctx.saved_tensors
        of_x, of_kernel, of_bias, _, _ = ctx.needs_input_grad
        bias_gradient = g.sum((0, 2, 3)) if of_bias else None
        if not of_kernel:
            gradient = PolynomialConvolution.forward(g, -kernel, None, ctx.polynomial, ctx.padding_mode)
            return gradient, None, bias_gradient, None, None
        gradients = _gradients(x, kernel, g, ctx.polynomial, ctx.padding_mode, of_x=of_x)
        return *gradients, bias_gradient, None, None


def _gradients(
    x: Tensor, kernel: Tensor, g: Tensor, polynomial: Polynomial, padding_mode: str, *, of_x: bool
) -> tuple[Tensor | None, Tensor]:
    """Of input and kernel."""
    x, g = x.clone(memory_format=torch.channels_last), g.clone(memory_format=torch.channels_last)
    iterates = [x]
    for coefficient in polynomial[-2:0:-1]:
        iterates.append(correlate(iterates[-1], kernel, None, padding_mode).add_(x, alpha=coefficient))
    del x
    transposed = -kernel
    input_gradient = g * polynomial[0] if of_x else None
    total = torch.zeros_like(kernel)
    for coefficient in polynomial[1:-1]:
        total.add_(kernel_gradient(iterates.pop(), g, kernel, padding_mode))
        g = correlate(g, transposed, None, padding_mode)
        if input_gradient is not None:
            input_gradient.add_(g, alpha=coefficient)
    total.add_(kernel_gradient(iterates.pop(), g, kernel, padding_mode))
    if input_gradient is None:
        return None, total
    input_gradient.add_(correlate(g, transposed, None, padding_mode))
    del g
    return input_gradient.clone(memory_format=torch.contiguous_format), total
