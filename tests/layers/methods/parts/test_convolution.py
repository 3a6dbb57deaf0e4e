"""Convolutions that save their input unpadded, against autograd of the plain operators."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from lipcost.layers.methods.parts.convolution import Convolution, correlate, correlate_adjoint

MODES = ("circular", "zeros")


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("k", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("size", [(5, 7), (4, 4), (2, 3)])
def test_adjoint(mode: str, k: int, size: tuple[int, int]) -> None:
    """<Kx, y> = <x, Kᵀy>."""
    x, y = torch.randn(2, 3, *size, dtype=torch.float64), torch.randn(2, 4, *size, dtype=torch.float64)
    kernel = torch.randn(4, 3, k, k, dtype=torch.float64)
    assert correlate(x, kernel, None, mode).shape == y.shape
    forward = (correlate(x, kernel, None, mode) * y).sum()
    assert float(forward) == pytest.approx(float((x * correlate_adjoint(y, kernel, mode)).sum()))


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("k", [1, 2, 3, 5])
def test_gradients(mode: str, k: int) -> None:
    tensors = [torch.randn(2, 3, 5, 4), torch.randn(4, 3, k, k), torch.randn(4)]
    tensors = [tensor.double().requires_grad_() for tensor in tensors]
    assert torch.autograd.gradcheck(lambda *t: Convolution.apply(*t, mode), tensors)


@pytest.mark.parametrize("k", [3, 5])
def test_circular_is_torchs(k: int) -> None:
    x, kernel = torch.randn(2, 3, 5, 6), torch.randn(4, 3, k, k)
    padded = F.pad(x, (k // 2,) * 4, mode="circular")
    assert torch.equal(correlate(x, kernel, None, "circular"), F.conv2d(padded, kernel))


def test_only_what_is_wanted_is_computed() -> None:
    x, kernel = torch.randn(1, 2, 4, 4), torch.randn(2, 2, 3, 3, requires_grad=True)
    Convolution.of(x, kernel, None, "circular").sum().backward()
    assert kernel.grad is not None
    assert x.grad is None
