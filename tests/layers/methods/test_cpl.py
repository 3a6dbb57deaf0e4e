"""CPL divides by an upper bound of the norm in eval; as published, by an estimate. The rest is its formula."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from lipcost.layers import CPLConv2d
from lipcost.layers.methods.families.residual import Residual
from lipcost.layers.methods.parts.convolution import correlate, correlate_adjoint
from lipcost.layers.methods.published.cpl import PublishedCPLConv2d

DOUBLE = torch.float64
SIZES = [(5, 5), (4, 7)]


def dense(layer: PublishedCPLConv2d, size: tuple[int, int]) -> Tensor:
    """The matrix W of the layer's convolution."""
    c = layer.in_channels
    basis = torch.eye(c * size[0] * size[1], dtype=layer.weight.dtype).reshape(-1, c, *size)
    return F.conv2d(basis, layer.weight.detach(), padding=layer.kernel_size // 2).flatten(1).T


def norm_estimate(layer: PublishedCPLConv2d, size: tuple[int, int]) -> Tensor:
    (scale,) = layer.parameter_transform(size)
    return (2 / scale.detach() - layer.epsilon).sqrt()


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("k", [1, 3, 5])
def test_published_eval_estimate_converges_to_the_norm(k: int, size: tuple[int, int]) -> None:
    layer = PublishedCPLConv2d(3, 3, k, eval_iterations=3000, dtype=torch.float64).eval()
    norm = torch.linalg.matrix_norm(dense(layer, size), 2)
    torch.testing.assert_close(norm_estimate(layer, size), norm, rtol=1e-6, atol=0)


def test_published_training_estimate_rises_to_the_norm() -> None:
    size = (5, 5)
    layer = PublishedCPLConv2d(3, 3, 3, dtype=torch.float64)
    norm = torch.linalg.matrix_norm(dense(layer, size), 2)
    estimates = torch.stack([norm_estimate(layer, size) for _ in range(1000)])
    assert (estimates <= norm * (1 + 1e-9)).all()
    assert (estimates.diff() >= -1e-5).all()
    torch.testing.assert_close(estimates[-1], norm, rtol=1e-4, atol=0)


@pytest.mark.parametrize("size", SIZES)
def test_published_output_is_the_formula(size: tuple[int, int]) -> None:
    layer = PublishedCPLConv2d(3, 3, 3, dtype=torch.float64).eval()
    w, x = dense(layer, size), torch.randn(2, 3, *size, dtype=torch.float64)
    assert layer.bias is not None
    bias = layer.bias.detach().repeat_interleave(size[0] * size[1])
    norm = norm_estimate(layer, size)
    inner = F.relu(x.flatten(1) @ w.T + bias)
    expected = x.flatten(1) - 2 / (norm**2 + layer.epsilon) * inner @ w
    torch.testing.assert_close(layer(x).flatten(1), expected)


def test_published_is_the_identity_where_no_unit_is_active() -> None:
    layer, x = PublishedCPLConv2d(3, 3, 3).eval(), torch.randn(2, 3, 5, 5)
    assert layer.bias is not None
    torch.nn.init.constant_(layer.bias, -1e3)
    assert torch.equal(layer(x), x)


def test_published_power_vector_has_the_size_of_the_last_training_image() -> None:
    layer = PublishedCPLConv2d(3, 3, 3)
    assert layer.u.shape == (1, 3, 1, 1)
    layer(torch.randn(1, 3, 5, 7))
    layer.eval()(torch.randn(1, 3, 6, 6))
    assert layer.u.shape == (1, 3, 5, 7)
    fresh = PublishedCPLConv2d(3, 3, 3)
    fresh.load_state_dict(layer.state_dict())
    assert torch.equal(fresh.u, layer.u)


# Ours


def twins(c: int, k: int, bias: bool = True) -> tuple[CPLConv2d, PublishedCPLConv2d]:
    """Ours and the published layer with the same parameters, ours with a converged norm."""
    ours = CPLConv2d(c, c, k, bias=bias, dtype=DOUBLE)
    published = PublishedCPLConv2d(c, c, k, bias=bias, dtype=DOUBLE)
    published.load_state_dict(published.state_dict() | dict(ours.named_parameters()))
    return ours, published


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("k", [1, 3, 5])
def test_is_the_published_function_of_the_norm(k: int, bias: bool) -> None:
    ours, published = twins(3, k, bias)
    x, g = torch.randn(2, 2, 3, 5, 6, dtype=DOUBLE)
    x.requires_grad_()
    scale = torch.tensor(0.7, dtype=DOUBLE)
    weights = [scale.sqrt() * p for p in (ours.weight, ours.bias) if p is not None]
    y, expected = ours.input_transform(x, *weights), published.input_transform(x, scale)
    torch.testing.assert_close(y, expected)
    gradients = [
        torch.autograd.grad(out, (x, *layer.parameters()), g) for out, layer in ((y, ours), (expected, published))
    ]
    torch.testing.assert_close(*gradients)


@pytest.mark.parametrize("mode", ["zeros", "circular"])
@pytest.mark.parametrize("k", [1, 2, 3, 4])
def test_residual_step_has_the_gradients_of_its_formula(k: int, mode: str) -> None:
    tensors = [torch.randn(2, 3, 4, 5), torch.randn(4, 3, k, k), torch.randn(4)]
    tensors = [tensor.double().requires_grad_() for tensor in tensors]
    x, kernel, bias = tensors
    assert torch.autograd.gradcheck(lambda *t: Residual.of(*t, mode), tensors)
    expected = x - correlate_adjoint(F.relu(correlate(x, kernel, bias, mode)), kernel, mode)
    found, g = Residual.of(x, kernel, bias, mode), torch.randn_like(x)
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(torch.autograd.grad(found, tensors, g), torch.autograd.grad(expected, tensors, g))


def test_residual_step_computes_what_is_wanted() -> None:
    x, kernel = torch.randn(1, 2, 4, 4), torch.randn(2, 2, 3, 3, requires_grad=True)
    Residual.of(x, kernel, None, "zeros").sum().backward()
    assert kernel.grad is not None
    assert x.grad is None
    kernel.requires_grad_(False)
    (gradient,) = torch.autograd.grad(Residual.of(x.requires_grad_(), kernel, None, "zeros").sum(), x)
    assert gradient.shape == x.shape


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("k", [1, 2, 3])
@pytest.mark.parametrize(("c_in", "c_out"), [(2, 2), (1, 2), (2, 1)])
def test_gradients(c_in: int, c_out: int, k: int, training: bool) -> None:
    """In training, those with the power vectors held fixed: at their limit the norm's gradient is no other."""
    layer = CPLConv2d(c_in, c_out, k, dtype=DOUBLE).train(training)
    for _ in range(2000 if training else 0):
        layer._power_method(1)
    x = torch.randn(1, c_in, 2, 3, dtype=DOUBLE, requires_grad=True)

    def output(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        state = {"weight": weight, "bias": bias, "u": layer.u.clone()}
        return torch.func.functional_call(layer, state, (x,))

    assert layer.bias is not None
    assert torch.autograd.gradcheck(output, (x, layer.weight, layer.bias), atol=1e-4 if training else 1e-5)


@pytest.mark.parametrize("k", [1, 2, 3, 5])
@pytest.mark.parametrize("mode", ["zeros", "circular"])
def test_eval_norm_is_a_close_upper_bound(k: int, mode: str) -> None:
    size = (5, 6)
    layer = CPLConv2d(3, 3, k, padding_mode=mode, dtype=DOUBLE).eval()
    basis = torch.eye(90, dtype=DOUBLE).reshape(-1, 3, *size)
    exact = torch.linalg.matrix_norm(correlate(basis, layer.weight.detach(), None, mode).flatten(1), 2)
    sigma = layer._squared_norm(size).sqrt()
    assert exact * (1 - 1e-12) <= sigma <= exact * (1.001 if mode == "circular" or k == 1 else 1.3)


@pytest.mark.parametrize("k", [1, 3, 5])
def test_training_norm_rises_to_the_largest_over_all_frequencies(k: int) -> None:
    layer = CPLConv2d(3, 3, k, padding_mode="circular", dtype=DOUBLE)
    estimates = torch.stack([layer._squared_norm((1, 1)).detach().sqrt() for _ in range(1000)])
    bound = layer.eval()._squared_norm((64, 64)).sqrt()
    assert (estimates.diff() >= -1e-12).all()
    assert estimates[0] >= 0.9 * bound
    assert 0.98 * bound <= estimates[-1] <= bound


def test_first_training_forward_is_not_far_off() -> None:
    for c in (4, 16, 32):
        assert CPLConv2d(c, c, 3).lipschitz_upper_bound((c, 16, 16)) < 1.25


def test_bfloat16_bound() -> None:
    layer = CPLConv2d(4, 4, 3, dtype=torch.bfloat16).eval()
    assert layer.lipschitz_upper_bound((4, 6, 6)) == 1
    assert layer(torch.randn(2, 4, 6, 6, dtype=torch.bfloat16)).dtype == torch.bfloat16


def test_power_vector_survives_zero_weights() -> None:
    layer = CPLConv2d(3, 3, 3, dtype=DOUBLE)
    before = layer.u.clone()
    with torch.no_grad():
        weight = layer.weight.clone()
        layer(torch.zeros(1, 3, 5, 5, dtype=DOUBLE))
        layer.weight.zero_()
        y = layer(torch.ones(1, 3, 5, 5, dtype=DOUBLE))
        layer.weight.copy_(weight)
    assert y.isfinite().all()
    assert not torch.equal(layer.u, before)
    assert layer.u.norm() == pytest.approx(1)
    assert layer.lipschitz_upper_bound((3, 5, 5)) < 1.05


def test_power_vector_does_not_depend_on_the_image() -> None:
    layer = CPLConv2d(3, 3, 3)
    twin = copy.deepcopy(layer)
    layer(torch.randn(1, 3, 5, 7))
    twin(torch.randn(1, 3, 9, 6))
    assert layer.u.shape == (1, 3, 12, 12)
    assert torch.equal(layer.u, twin.u)


@pytest.mark.parametrize("training", [True, False])
def test_is_the_identity_where_no_unit_is_active(training: bool) -> None:
    layer, x = CPLConv2d(3, 3, 3).train(training), torch.randn(2, 3, 5, 5)
    assert layer.bias is not None
    torch.nn.init.constant_(layer.bias, -1e3)
    assert torch.equal(layer(x), x)


@pytest.mark.parametrize(("c_in", "c_out"), [(2, 4), (4, 2)])
def test_acts_on_the_larger_number_of_channels(c_in: int, c_out: int) -> None:
    layer, square = CPLConv2d(c_in, c_out, 3).eval(), CPLConv2d(4, 4, 3).eval()
    square.load_state_dict(layer.state_dict())
    x = torch.randn(2, c_in, 5, 6)
    expected = square(F.pad(x, (0, 0, 0, 0, 0, 4 - c_in)))[:, :c_out]
    torch.testing.assert_close(layer(x), expected)


def test_residual_branch_is_what_the_input_meets() -> None:
    layer, x = CPLConv2d(2, 3, 3, stride=2, padding_mode="circular").eval(), torch.randn(1, 2, 6, 8)
    kernel, mode, inner = layer.residual_branch(x)
    assert (mode, inner) == ("circular", (8, 3, 4))
    assert torch.equal(kernel, layer.parameter_transform((3, 4))[0])


@pytest.mark.parametrize("name", ["iterations", "eval_iterations"])
def test_iteration_counts_are_positive(name: str) -> None:
    with pytest.raises(ValueError, match=f"{name} must be a positive integer, got 0"):
        CPLConv2d(3, 3, 3, **dict[str, Any]({name: 0}))
