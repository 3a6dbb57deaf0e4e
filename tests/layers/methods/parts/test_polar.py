"""The polar factor: the one of the SVD, a contraction for any matrix, with the gradient of its iteration."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from lipcost.layers.methods.parts.polar import polar, polynomials
from lipcost.layers.methods.published.bcop import bjorck

SHAPES = [(3, 4, 4), (2, 5, 3), (2, 3, 5), (1, 1, 1)]


def conditioned(n: int, condition: float, dtype: torch.dtype) -> Tensor:
    """A matrix (1, n, n) with singular values from 1 down to 1 / condition."""
    u, _, v = torch.linalg.svd(torch.randn(1, n, n, dtype=torch.float64))
    return (u * condition ** -torch.linspace(0, 1, n, dtype=torch.float64) @ v).to(dtype)


def defect(q: Tensor) -> float:
    q = q.double()
    return float(torch.linalg.matrix_norm(q.mT @ q - torch.eye(q.shape[-1], dtype=q.dtype), 2).max())


@pytest.mark.parametrize("dtype", [torch.float64, torch.complex128])
@pytest.mark.parametrize("shape", SHAPES)
def test_is_the_factor_of_the_svd(shape: tuple[int, ...], dtype: torch.dtype) -> None:
    w = torch.randn(shape, dtype=dtype)
    u, _, v = torch.linalg.svd(w, full_matrices=False)
    torch.testing.assert_close(polar(w, 12), u @ v, atol=1e-11, rtol=0)


@pytest.mark.parametrize("dtype", [torch.float64, torch.complex128])
@pytest.mark.parametrize("shape", SHAPES)
def test_gradient(shape: tuple[int, ...], dtype: torch.dtype) -> None:
    w = torch.randn(shape, dtype=dtype, requires_grad=True)
    assert torch.autograd.gradcheck(lambda w: polar(w, 12), (w,))


@pytest.mark.parametrize("iterations", [2, 5, 8])
def test_gradient_is_that_of_the_iteration_but_for_the_symmetric_part(iterations: int) -> None:
    w = torch.randn(2, 4, 3, dtype=torch.float64, requires_grad=True)
    x = w / torch.linalg.svdvals(w.detach()).norm(8, dim=1)[:, None, None]
    for a, b, c in polynomials(iterations, w.dtype):
        gram = x.mT @ x
        x = a * x + b * x @ gram + c * x @ gram @ gram
    y, g = polar(w, iterations), torch.randn_like(x)
    torch.testing.assert_close(y, x)
    (gradient,) = torch.autograd.grad(x, w, g)
    symmetric = (x.mT @ gradient + gradient.mT @ x) / 2
    torch.testing.assert_close(torch.autograd.grad(y, w, g)[0], gradient - x @ symmetric)


@pytest.mark.parametrize("condition", [1, 10, 1e3])
def test_gradient_in_single_precision(condition: float) -> None:
    """That of the exact factor QH: QΩ with ΩH + HΩ = Q*g - g*Q, here in a basis where H is diagonal."""
    u, _, v = torch.linalg.svd(torch.randn(1, 32, 32, dtype=torch.float64))
    values = condition ** -torch.linspace(0, 1, 32, dtype=torch.float64)
    w = (u * values @ v).float().requires_grad_()
    g = torch.randn_like(w)
    turned = u.mT @ g.double() @ v.mT
    exact = u @ ((turned - turned.mT) / (values[:, None] + values)) @ v
    (gradient,) = torch.autograd.grad(polar(w, 8), w, g)
    assert (gradient - exact).norm() < 1e-4 * exact.norm()


@pytest.mark.parametrize(
    ("dtype", "condition"), [(torch.float32, 1e3), (torch.float32, 5e3), (torch.float64, 1e3), (torch.float64, 3e3)]
)
@pytest.mark.parametrize("n", [16, 64])
def test_eight_polynomials_do_to_rounding(n: int, condition: float, dtype: torch.dtype) -> None:
    assert defect(polar(conditioned(n, condition, dtype), 8)) < 20 * n**0.5 * torch.finfo(dtype).eps


@pytest.mark.parametrize("condition", [1e3, 3e3, 1e4, 3e4, 1e5])
def test_eight_polynomials_are_no_worse_than_twenty_of_bjorck(condition: float) -> None:
    w = conditioned(32, condition, torch.float64)
    assert defect(polar(w, 8)) < defect(bjorck(w, 20))


@pytest.mark.parametrize("factor", [0.0, 1e-40, 1e-25, 1e-4, 1e2, 1e30])
def test_any_scale_gives_a_contraction_and_a_finite_gradient(factor: float) -> None:
    w = (torch.randn(3, 6, 6) * factor).requires_grad_()
    q = polar(w, 8)
    q.sum().backward()
    assert torch.linalg.matrix_norm(q.detach(), 2).max() <= 1 + 1e-6
    assert w.grad is not None and w.grad.isfinite().all()
    if factor > 1e-10:
        assert defect(q.detach()) < 1e-5


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_singular_matrices_give_contractions(dtype: torch.dtype) -> None:
    w = torch.stack([torch.ones(6, 6), torch.randn(6, 1) * torch.randn(6), torch.diag(torch.arange(6.0))]).to(dtype)
    values = torch.linalg.svdvals(polar(w, 8))
    assert values.max() <= 1 + 10 * torch.finfo(dtype).eps
    torch.testing.assert_close(values.sum(1).round(), torch.tensor([1.0, 1.0, 5.0], dtype=dtype))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("iterations", [1, 4, 12])
def test_polynomials_map_the_unit_interval_into_itself(iterations: int, dtype: torch.dtype) -> None:
    x = torch.linspace(0, 1, 10_001, dtype=torch.float64)
    for a, b, c in polynomials(iterations, dtype):
        y = a * x + b * x**3 + c * x**5
        assert y.min() >= 0
        assert 0.99 < y.max() <= 1 + 1e-12
