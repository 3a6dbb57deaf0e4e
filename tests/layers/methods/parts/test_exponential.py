"""The polynomials of SOC: their modulus and angle on the imaginary axis, their convolution and its gradients."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize
from torch import Tensor

from lipcost.layers.methods.parts.convolution import correlate
from lipcost.layers.methods.parts.exponential import (
    exponential_polynomial,
    largest_modulus,
    matrix_polynomial,
    polar_polynomial,
    polynomial_convolution,
)

RADII = [1.0, 1.5, 2.1]
Values = np.ndarray


def at(polynomial: tuple[float, ...], theta: Values) -> Values:
    return sum((c * (1j * theta) ** i for i, c in enumerate(polynomial)), np.zeros_like(theta))


def grid(radius: float) -> Values:
    return np.linspace(0, radius, 2001)


def defect(polynomial: tuple[float, ...], radius: float) -> float:
    return float(np.abs(np.abs(at(polynomial, grid(radius))) - 1).max())


def distance(polynomial: tuple[float, ...], target: Values, radius: float) -> float:
    return float(np.abs(at(polynomial, grid(radius)) - target).max())


@pytest.mark.parametrize("radius", [*RADII, 4.9])
@pytest.mark.parametrize("degree", [25, 40])
def test_high_degrees_are_the_exponential(degree: int, radius: float) -> None:
    assert distance(exponential_polynomial(degree, radius), np.exp(1j * grid(radius)), radius) < 1e-9


def test_three_terms_are_more_orthogonal_than_five_of_taylor() -> None:
    taylor, ours = tuple(1 / math.factorial(i) for i in range(6)), exponential_polynomial(3, 1.5)
    assert defect(ours, 1.5) == pytest.approx(0.0034, abs=1e-4)
    assert defect(taylor, 1.5) > defect(ours, 1.5)
    assert defect(taylor, 2.1) > 5 * defect(ours, 1.5)  # the published radius
    assert distance(ours, np.exp(1j * grid(1.5)), 1.5) < 0.04


@pytest.mark.parametrize("degree", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("radius", RADII)
def test_no_polynomial_is_nearer(radius: float, degree: int) -> None:
    """Another optimiser, on what least squares stand for: errors of modulus and angle, on another grid."""
    theta = radius * np.cos((np.arange(999) + 0.5) * np.pi / 1998)

    def cost(coefficients: Values) -> float:
        p = at((1.0, *coefficients), theta)
        direction = p / np.abs(p)
        angular = ((np.exp(1j * theta) - p) / direction).imag
        return float((100 * (np.abs(p) - 1) ** 2 + angular**2).mean())

    ours = exponential_polynomial(degree, radius)[1:]
    best = minimize(cost, ours, method="Nelder-Mead", options={"xatol": 1e-9, "fatol": 1e-15, "maxiter": 4000})
    assert cost(np.array(ours)) <= 1.3 * best.fun + 1e-12


def test_polar_polynomial() -> None:
    p = exponential_polynomial(3, 1.5)
    target = at(p, grid(1.5)) / np.abs(at(p, grid(1.5)))
    for degree, orthogonal, near in ((7, 2e-6, 0.006), (8, 4e-6, 2e-3), (12, 2e-8, 1e-5)):
        q = polar_polynomial(p, degree, 1.5)
        assert len(q) == degree + 1
        assert defect(q, 1.5) < orthogonal
        assert np.abs(at(q, grid(1.5))).max() <= 1 + 1e-12
        assert distance(q, target, 1.5) < near


@given(
    polynomial=st.lists(st.integers(-300, 300), min_size=1, max_size=12).map(lambda c: tuple(i / 100 for i in c)),
    radius=st.floats(0.01, 5),
)
def test_largest_modulus_is_a_tight_upper_bound(polynomial: tuple[float, ...], radius: float) -> None:
    moduli = np.abs(at(polynomial, grid(radius)))
    bound = largest_modulus(polynomial, radius)
    assert bound >= moduli.max() * (1 - 1e-12)
    squares = moduli**2
    assert bound**2 <= squares.max() + 0.002 * (squares.max() - squares.min()) + 1e-9 * squares.max()


def test_largest_modulus_at_a_point() -> None:
    assert largest_modulus((0.5, 3.0), 0.0) == 0.5


@pytest.mark.parametrize("degree", [1, 2, 3, 7])
def test_matrix_polynomial(degree: int) -> None:
    a, polynomial = torch.randn(4, 4, dtype=torch.float64), tuple(float(i - 2) for i in range(degree + 1))
    expected = sum(c * torch.linalg.matrix_power(a, i) for i, c in enumerate(polynomial))
    torch.testing.assert_close(matrix_polynomial(a, polynomial), expected)


def skew(n: int, k: int) -> Tensor:
    kernel = 0.2 * torch.randn(n, n, k, k, dtype=torch.float64)
    return kernel - kernel.transpose(0, 1).flip(2, 3)


@pytest.mark.parametrize("padding_mode", ["zeros", "circular"])
@pytest.mark.parametrize("k", [1, 3])
@pytest.mark.parametrize(
    "polynomial", [(0.7, 1.3), (0.8, 0.3, -0.4), (1.0, 2.0, 0.5, -2.0), (1.0, 2.0, 3.0, 0.5, 0.2, -0.1)]
)
def test_value_and_gradients_are_those_of_autograd(polynomial: tuple[float, ...], k: int, padding_mode: str) -> None:
    x = torch.randn(2, 3, 5, 4, dtype=torch.float64, requires_grad=True)
    kernel = skew(3, k).requires_grad_()
    bias = torch.randn(3, dtype=torch.float64, requires_grad=True)
    power = x
    expected = polynomial[0] * x + bias[:, None, None]
    for coefficient in polynomial[1:]:
        power = correlate(power, kernel, None, padding_mode)
        expected = expected + coefficient * power
    y, g = polynomial_convolution(x, kernel, bias, polynomial, padding_mode), torch.randn_like(x)
    assert y.is_contiguous()
    torch.testing.assert_close(y, expected)
    inputs = (x, kernel, bias)
    torch.testing.assert_close(torch.autograd.grad(y, inputs, g), torch.autograd.grad(expected, inputs, g))


@pytest.mark.parametrize("wanted", [(True, False, False), (False, True, False), (False, False, True)])
def test_gradient_of_one_input(wanted: tuple[bool, bool, bool]) -> None:
    tensors = [torch.randn(2, 3, 5, 4).double(), skew(3, 3), torch.randn(3).double()]
    polynomial, g = (1.0, 2.0, 3.0, 1.0), torch.randn(2, 3, 5, 4).double()
    every = x, kernel, bias = [t.clone().requires_grad_() for t in tensors]
    expected = torch.autograd.grad(polynomial_convolution(x, kernel, bias, polynomial, "zeros"), every, g)
    some = x, kernel, bias = [t.requires_grad_(w) for t, w in zip(tensors, wanted, strict=True)]
    polynomial_convolution(x, kernel, bias, polynomial, "zeros").backward(g)
    for tensor, gradient, w in zip(some, expected, wanted, strict=True):
        if w:
            torch.testing.assert_close(tensor.grad, gradient)
        else:
            assert tensor.grad is None


@pytest.mark.parametrize("degree", [1, 2, 3, 20])
def test_it_saves_input_kernel_and_two_iterates(degree: int) -> None:
    saved: list[Tensor] = []
    x, kernel = torch.randn(2, 3, 5, 5, requires_grad=True), skew(3, 3).float().requires_grad_()
    with torch.autograd.graph.saved_tensors_hooks(lambda t: saved.append(t) or t, lambda t: t):
        polynomial_convolution(x, kernel, None, (1.0,) * (degree + 1), "zeros")
        polynomial_convolution(x, kernel.detach(), None, (1.0,) * (degree + 1), "zeros")
    inputs = [x.shape, kernel.shape]
    assert [t.shape for t in saved] == [*inputs, *[x.shape] * min(degree - 1, 2), *inputs]
