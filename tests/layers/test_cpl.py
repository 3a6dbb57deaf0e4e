"""CPL's estimate converges to the exact norm of the zero-padded convolution; the rest is its formula."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from lipcost.layers import CPLConv2d

SIZES = [(5, 5), (4, 7)]


def dense(layer: CPLConv2d, size: tuple[int, int]) -> Tensor:
    """The matrix W of the layer's convolution."""
    c = layer.in_channels
    basis = torch.eye(c * size[0] * size[1], dtype=layer.weight.dtype).reshape(-1, c, *size)
    return F.conv2d(basis, layer.weight.detach(), padding=layer.kernel_size // 2).flatten(1).T


def norm_estimate(layer: CPLConv2d, size: tuple[int, int]) -> Tensor:
    (scale,) = layer.parameter_transform(size)
    return (2 / scale.detach() - layer.epsilon).sqrt()


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("k", [1, 3, 5])
def test_eval_estimate_converges_to_the_norm(k: int, size: tuple[int, int]) -> None:
    layer = CPLConv2d(3, 3, k, eval_iterations=3000, dtype=torch.float64).eval()
    norm = torch.linalg.matrix_norm(dense(layer, size), 2)
    torch.testing.assert_close(norm_estimate(layer, size), norm, rtol=1e-6, atol=0)


def test_training_estimate_rises_to_the_norm() -> None:
    size = (5, 5)
    layer = CPLConv2d(3, 3, 3, dtype=torch.float64)
    norm = torch.linalg.matrix_norm(dense(layer, size), 2)
    estimates = torch.stack([norm_estimate(layer, size) for _ in range(1000)])
    assert (estimates <= norm * (1 + 1e-9)).all()
    assert (estimates.diff() >= -1e-5).all()
    torch.testing.assert_close(estimates[-1], norm, rtol=1e-4, atol=0)


@pytest.mark.parametrize("size", SIZES)
def test_output_is_the_formula(size: tuple[int, int]) -> None:
    layer = CPLConv2d(3, 3, 3, dtype=torch.float64).eval()
    w, x = dense(layer, size), torch.randn(2, 3, *size, dtype=torch.float64)
    bias = layer.bias.detach().repeat_interleave(size[0] * size[1])
    norm = norm_estimate(layer, size)
    inner = F.relu(x.flatten(1) @ w.T + bias)
    expected = x.flatten(1) - 2 / (norm**2 + layer.epsilon) * inner @ w
    torch.testing.assert_close(layer(x).flatten(1), expected)


def test_is_the_identity_where_no_unit_is_active() -> None:
    layer, x = CPLConv2d(3, 3, 3).eval(), torch.randn(2, 3, 5, 5)
    torch.nn.init.constant_(layer.bias, -1e3)
    assert torch.equal(layer(x), x)


def test_power_vector_has_the_size_of_the_last_training_image() -> None:
    layer = CPLConv2d(3, 3, 3)
    assert layer.u.shape == (1, 3, 1, 1)
    layer(torch.randn(1, 3, 5, 7))
    layer.eval()(torch.randn(1, 3, 6, 6))
    assert layer.u.shape == (1, 3, 5, 7)
    fresh = CPLConv2d(3, 3, 3)
    fresh.load_state_dict(layer.state_dict())
    assert torch.equal(fresh.u, layer.u)
