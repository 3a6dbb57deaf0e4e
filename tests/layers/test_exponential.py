"""The polynomial of SOC: closeness to exp on the imaginary axis, its largest modulus, its convolution and gradients."""

from __future__ import annotations

import cmath
from math import factorial

import pytest
import torch
from torch import Tensor

from lipcost.layers._convolution import correlate
from lipcost.layers._exponential import (
    PolynomialConvolution,
    bessel_functions,
    contraction,
    exponential_polynomial,
    largest_modulus,
    monic,
)

RADII = [1.0, 2.1, 3.5, 4.9]


def at(polynomial: tuple[float, ...], theta: float) -> complex:
    return sum(c * (1j * theta) ** i for i, c in enumerate(polynomial))


def grid(radius: float) -> list[float]:
    return [radius * i / 2000 for i in range(2001)]


def defect(polynomial: tuple[float, ...], radius: float) -> float:
    return max(abs(abs(at(polynomial, theta)) - 1) for theta in grid(radius))


@pytest.mark.parametrize("radius", RADII)
@pytest.mark.parametrize("degree", [18, 25])
def test_high_degrees_are_the_exponential(degree: int, radius: float) -> None:
    p = exponential_polynomial(degree, radius)
    assert max(abs(at(p, theta) - cmath.exp(1j * theta)) for theta in grid(radius)) < 1e-9


def test_five_taylor_terms_are_no_more_orthogonal_than_four_of_ours() -> None:
    taylor = tuple(1 / factorial(i) for i in range(6))
    ours, published = defect(exponential_polynomial(4, 2.1), 2.1), defect(taylor, 2.1)
    assert ours < published
    assert ours == pytest.approx(0.018, abs=1e-4)
    assert published == pytest.approx(0.0202, abs=1e-4)
    assert defect(exponential_polynomial(3, 2.1), 2.1) > published


@pytest.mark.parametrize(("k", "expected"), [(1, 1e-11), (3, 2e-8), (5, 1e-5)])
def test_defect_of_eval_mode(k: int, expected: float) -> None:
    radius = 1.0 if k == 1 else 0.7 * k
    assert defect(contraction(exponential_polynomial(11, radius), radius), radius) < expected


@pytest.mark.parametrize("radius", RADII)
@pytest.mark.parametrize("degree", [1, 2, 3, 4, 11])
def test_largest_modulus_is_a_tight_upper_bound(degree: int, radius: float) -> None:
    p = exponential_polynomial(degree, radius)
    moduli = [abs(at(p, theta)) for theta in grid(radius)]
    slack = largest_modulus(p, radius) - max(moduli)
    assert -1e-12 <= slack <= 0.002 * (max(moduli) - min(moduli)) + 1e-12
    scaled = contraction(p, radius)
    assert max(abs(at(scaled, theta)) for theta in grid(radius)) <= 1 + 1e-12


def test_largest_modulus_at_a_point() -> None:
    assert largest_modulus((0.5, 3.0), 0.0) == 0.5


@pytest.mark.parametrize("radius", [*RADII, 9.8])
@pytest.mark.parametrize("degree", [1, 2, 3, 4, 11, 25])
def test_leading_coefficient_is_positive(degree: int, radius: float) -> None:
    p = exponential_polynomial(degree, radius)
    assert p[0] == 1
    assert p[-1] > 0
    scale, q = monic(p)
    assert q[-1] == 1
    assert at(q, scale * 0.3) == pytest.approx(at(p, 0.3))


def test_bessel_functions() -> None:
    """Abramowitz & Stegun, tables 9.1 and 9.4: J_0(2), J_1(2), J_2(2), J_11(1) to its leading term's accuracy."""
    assert bessel_functions(2, 2.0) == pytest.approx([0.2238907791, 0.5767248078, 0.3528340286], rel=1e-9)
    series = sum((-1) ** m * 0.5 ** (2 * m + 11) / (factorial(m) * factorial(m + 11)) for m in range(12))
    assert bessel_functions(11, 1.0)[11] == pytest.approx(series, rel=1e-13)


def skew(n: int, k: int) -> Tensor:
    kernel = 0.2 * torch.randn(n, n, k, k, dtype=torch.float64)
    return kernel - kernel.transpose(0, 1).flip(2, 3)


@pytest.mark.parametrize("padding_mode", ["zeros", "circular"])
@pytest.mark.parametrize("k", [1, 3])
@pytest.mark.parametrize("polynomial", [(0.7, 1.0), (0.8, 0.3, 1.0), (1.0, 2.0, 3.0, 0.5, 1.0)])
def test_value_and_gradients_are_those_of_autograd(polynomial: tuple[float, ...], k: int, padding_mode: str) -> None:
    x = torch.randn(2, 3, 5, 4, dtype=torch.float64, requires_grad=True)
    kernel = skew(3, k).requires_grad_()
    bias = torch.randn(3, dtype=torch.float64, requires_grad=True)
    power = x
    expected = polynomial[0] * x + bias[:, None, None]
    for coefficient in polynomial[1:]:
        power = correlate(power, kernel, None, padding_mode)
        expected = expected + coefficient * power
    y, g = PolynomialConvolution.of(x, kernel, bias, polynomial, padding_mode), torch.randn_like(x)
    assert y.is_contiguous()
    torch.testing.assert_close(y, expected)
    inputs = (x, kernel, bias)
    torch.testing.assert_close(torch.autograd.grad(y, inputs, g), torch.autograd.grad(expected, inputs, g))


@pytest.mark.parametrize("wanted", [(True, False, False), (False, True, False), (False, False, True)])
def test_gradient_of_one_input(wanted: tuple[bool, bool, bool]) -> None:
    tensors = [torch.randn(2, 3, 5, 4).double(), skew(3, 3), torch.randn(3).double()]
    polynomial, g = (1.0, 2.0, 3.0, 1.0), torch.randn(2, 3, 5, 4).double()
    every = [t.clone().requires_grad_() for t in tensors]
    expected = torch.autograd.grad(PolynomialConvolution.of(*every, polynomial, "zeros"), every, g)
    some = [t.requires_grad_(w) for t, w in zip(tensors, wanted, strict=True)]
    PolynomialConvolution.of(*some, polynomial, "zeros").backward(g)
    for tensor, gradient, w in zip(some, expected, wanted, strict=True):
        if w:
            torch.testing.assert_close(tensor.grad, gradient)
        else:
            assert tensor.grad is None


@pytest.mark.parametrize("degree", [1, 4, 20])
def test_it_saves_input_and_kernel_alone(degree: int) -> None:
    saved: list[Tensor] = []
    x, kernel = torch.randn(2, 3, 5, 5, requires_grad=True), skew(3, 3).float().requires_grad_()
    with torch.autograd.graph.saved_tensors_hooks(lambda t: saved.append(t) or t, lambda t: t):
        PolynomialConvolution.of(x, kernel, None, (1.0,) * (degree + 1), "zeros")
    assert [t.data_ptr() for t in saved] == [x.data_ptr(), kernel.data_ptr()]
