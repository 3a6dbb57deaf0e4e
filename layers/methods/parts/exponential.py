"""Polynomials of a skew-symmetric convolution that are nearly orthogonal, in place of its exponential's series."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from numpy.polynomial import chebyshev
from numpy.typing import NDArray
from torch import Tensor

from ...base.function import Function
from .convolution import correlate, kernel_gradient

Polynomial = tuple[float, ...]  # the coefficients of z⁰, z¹, …
Values = NDArray[np.complex128]

NODES_PER_DEGREE = 32
STEPS = 20  # of Gauss & Newton; they converge
MODULUS_WEIGHT = 10.0  # of an error of the modulus against one of the angle: with three terms both can be small
EVAL_MODULUS_WEIGHT = 1000.0
KEPT = 2  # iterates for the kernel's gradient, whatever the degree: of three terms none is computed twice


@lru_cache(maxsize=256)
def exponential_polynomial(degree: int, radius: float) -> Polynomial:
    r"""The coefficients of a polynomial p with :math:`p(i\theta) \approx e^{i\theta}` for :math:`|\theta| \le radius`.

    It is :func:`nearest` in modulus rather than in angle: the modulus makes p(L) orthogonal.

    Args:
        degree: of p, positive.
        radius: of the interval, positive.

    Example:
        >>> from lipcost.layers.methods.parts.exponential import exponential_polynomial
        >>> [round(c, 3) for c in exponential_polynomial(3, 1.25)]
        [1.0, 0.959, 0.451, 0.124]
    """
    return nearest(lambda theta: np.exp(1j * theta), degree, radius, MODULUS_WEIGHT)


@lru_cache(maxsize=256)
def polar_polynomial(polynomial: Polynomial, degree: int, radius: float) -> Polynomial:
    r"""The coefficients of q with :math:`q(i\theta) \approx p(i\theta) / |p(i\theta)|` and :math:`|q(i\theta)| \le 1`.

    So q(L) is nearly the orthogonal polar factor of p(L), L skew-symmetric of at most the norm ``radius``.

    Args:
        polynomial: the coefficients of p.
        degree: of q, positive.
        radius: of the interval, positive.

    Example:
        >>> from lipcost.layers.methods.parts.exponential import polar_polynomial
        >>> [round(c, 2) for c in polar_polynomial((1.0, 1.0), 9, 0.5)[:4]]  # (1 + z) / (1 - z²)^½
        [1.0, 1.0, 0.5, 0.5]
    """

    def direction(theta: NDArray[np.float64]) -> Values:
        p = evaluate(polynomial, theta)
        return p / np.abs(p)

    q = nearest(direction, degree, radius, EVAL_MODULUS_WEIGHT)
    largest = largest_modulus(q, radius)
    return tuple(coefficient / largest for coefficient in q)


def nearest(
    target: Callable[[NDArray[np.float64]], Values], degree: int, radius: float, modulus_weight: float
) -> Polynomial:
    r"""The polynomial p with p(0) = 1 that is nearest to a function of modulus 1 on the imaginary axis.

    By least squares at the Chebyshev nodes of :math:`|\theta| \le radius`, where an error of :math:`|p(i\theta)|`
    counts ``modulus_weight`` times an error of its angle, both linearised (Gauss & Newton).
    """
    nodes = NODES_PER_DEGREE * degree
    u = np.cos((np.arange(nodes) + 0.5) * np.pi / (2 * nodes))  # half of them: at the others all is conjugate
    n = np.arange(1, degree + 1)
    phases = np.array([1, 1j, -1, -1j])[n % 4]  # with them the coefficients in powers of z are real
    at_zero = n % 2 == 0  # of iⁿ Tₙ, from which it is taken off, so that p(0) = 1
    basis = chebyshev.chebvander(u, degree)[:, 1:] * phases - at_zero
    y = target(radius * u)
    direction = y
    for _ in range(STEPS):
        rows, constant = basis / direction[:, None], 1 / direction
        system = np.concatenate([modulus_weight * rows.real, rows.imag])
        wanted = np.concatenate([modulus_weight * (1 - constant.real), (y / direction - constant).imag])
        found = np.linalg.lstsq(system, wanted, rcond=None)[0]
        p = 1 + basis @ found
        direction = p / np.abs(p)
    powers = chebyshev.cheb2poly(np.concatenate([[0], found * phases]))[1:] / (1j * radius) ** n
    return (1.0, *powers.real.tolist())


def evaluate(polynomial: Sequence[float], theta: NDArray[np.float64]) -> Values:
    """p(iθ)."""
    values: Values = np.polynomial.polynomial.polyval(1j * theta, polynomial)
    return values


def largest_modulus(polynomial: Sequence[float], radius: float) -> float:
    r"""An upper bound, tight to 0.1 % of the modulus's variation, of :math:`|p(i\theta)|` for |θ| ≤ radius.

    Source: Ehlich & Zeller, "Schwankung von Polynomen zwischen Gitterpunkten", Math. Z. 86, 1964: at the zeros of T_N a
    polynomial of degree n < N reaches at least cos(nπ/2N) of its largest modulus on [-1, 1].

    :math:`|p(i\theta)|^2` is a polynomial in θ² of the degree of p; the theorem is applied to it less its midrange.

    Args:
        polynomial: the coefficients of p, which are real.
        radius: of the interval, not negative.

    Example:
        >>> from lipcost.layers.methods.parts.exponential import largest_modulus
        >>> round(largest_modulus((1.0, 1.0), 2.0) ** 2, 3)
        5.0
    """
    degree = max(len(polynomial) - 1, 1)
    nodes = NODES_PER_DEGREE * degree
    squared = (1 + np.cos((np.arange(nodes) + 0.5) * np.pi / nodes)) / 2
    moduli = np.abs(evaluate(polynomial, radius * np.sqrt(squared))) ** 2
    middle, half = (moduli.max() + moduli.min()) / 2, (moduli.max() - moduli.min()) / 2
    return float(np.sqrt(middle + half / np.cos(degree * np.pi / (2 * nodes))))


def matrix_polynomial(a: Tensor, polynomial: Polynomial) -> Tensor:
    """p(a) of a matrix (n, n), by Horner's scheme.

    Example:
        >>> import torch
        >>> from lipcost.layers.methods.parts.exponential import matrix_polynomial
        >>> matrix_polynomial(torch.tensor([[0.0, 1.0], [-1.0, 0.0]]), (1.0, 2.0, 1.0))  # a² = -I
        tensor([[ 0.,  2.],
                [-2.,  0.]])
    """
    identity = torch.eye(a.shape[0], dtype=a.dtype, device=a.device)
    out = polynomial[-1] * a + polynomial[-2] * identity
    for coefficient in polynomial[-3::-1]:
        out = out @ a + coefficient * identity
    return out


def polynomial_convolution(
    x: Tensor, kernel: Tensor, bias: Tensor | None, polynomial: Polynomial, padding_mode: str
) -> Tensor:
    """p(L) x + bias, L the convolution with a skew-symmetric kernel (c, c, k, k), by :class:`PolynomialConvolution`."""
    x = x.clone(memory_format=torch.channels_last)
    kept = KEPT if torch.is_grad_enabled() and kernel.requires_grad else 0
    return PolynomialConvolution.of(x, kernel, bias, polynomial, padding_mode, kept)


class PolynomialConvolution(Function):
    r"""p(L) x + bias, L the convolution with a skew-symmetric kernel, p a polynomial of degree t.

    By Horner's scheme: :math:`z_{t-1} = p_{t-1} x + p_t L x,\; z_{i-1} = p_{i-1} x + L z_i,\; y = z_0`. Besides x and
    the kernel it saves the last ``kept`` of :math:`z_{t-1}, \dots, z_1`; its backward computes the others anew. With
    :math:`g_0 = g` and :math:`g_i = L^\top g_{i-1} = -L g_{i-1}`

    .. math::
        \nabla_x = \sum_{i=0}^t p_i g_i, \quad
        \nabla_L = \sum_{i=1}^{t-1} g_{i-1} z_i^\top + p_t\, g_{t-1} x^\top

    Channels lie innermost in x and inside, which CPUs convolve up to four times as fast; the output is contiguous.
    """

    @staticmethod
    def forward(  # noqa: PLR0917  (autograd names no arguments)
        x: Tensor, kernel: Tensor, bias: Tensor | None, polynomial: Polynomial, padding_mode: str, kept: int = 0
    ) -> tuple[Tensor, ...]:
        z, weight = x, polynomial[-1] * kernel
        iterates = []
        for i in range(len(polynomial) - 2, 0, -1):
            z = correlate(z, weight, None, padding_mode).add_(x, alpha=polynomial[i])
            weight = kernel
            if i <= kept:
                iterates.append(z)
        y = correlate(z, weight, bias, padding_mode)
        del z
        y.add_(x, alpha=polynomial[0])
        del x
        return y.clone(memory_format=torch.contiguous_format), *iterates

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
        x, kernel, _, ctx.polynomial, ctx.padding_mode, _ = inputs
        ctx.mark_non_differentiable(*output[1:])
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(x, kernel, *output[1:])

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor | None, ...]:
        x, kernel, *iterates = ctx.saved_tensors
        of_x, of_kernel, of_bias, *_ = ctx.needs_input_grad
        bias_gradient = g.sum((0, 2, 3)) if of_bias else None
        if not of_kernel:
            g = g.clone(memory_format=torch.channels_last)
            gradient = PolynomialConvolution.forward(g, -kernel, None, ctx.polynomial, ctx.padding_mode)[0]
            return gradient, None, bias_gradient, None, None, None
        if torch.is_grad_enabled():  # to be differentiated again, with respect to the iterates too
            iterates = []
        options = {"polynomial": ctx.polynomial, "padding_mode": ctx.padding_mode, "of_x": of_x}
        return *_gradients(x, kernel, iterates, g, **options), bias_gradient, None, None, None


def _gradients(
    x: Tensor, kernel: Tensor, known: list[Tensor], g: Tensor, *, polynomial: Polynomial, padding_mode: str, of_x: bool
) -> tuple[Tensor | None, Tensor]:
    """Of input and kernel; the last iterates are known."""
    g = g.clone(memory_format=torch.channels_last)
    leading = polynomial[-1] * kernel
    iterates, weight = [x], leading
    for i in range(len(polynomial) - 2, len(known), -1):
        iterates.append(correlate(iterates[-1], weight, None, padding_mode).add_(x, alpha=polynomial[i]))
        weight = kernel
    iterates += known
    del x, known, weight
    transposed = -kernel
    input_gradient = g * polynomial[0] if of_x else None
    total = torch.zeros_like(kernel)
    for coefficient in polynomial[1:-1]:
        total.add_(kernel_gradient(iterates.pop(), g, kernel, padding_mode))
        g = correlate(g, transposed, None, padding_mode)
        if input_gradient is not None:
            input_gradient.add_(g, alpha=coefficient)
    total.add_(kernel_gradient(iterates.pop(), g, kernel, padding_mode), alpha=polynomial[-1])
    if input_gradient is None:
        return None, total
    input_gradient.sub_(correlate(g, leading, None, padding_mode))
    del g
    return input_gradient.clone(memory_format=torch.contiguous_format), total
