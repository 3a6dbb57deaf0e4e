"""The Fourier domain's shared pieces agree with plain convolutions, and their adjoints with autograd."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from lipcost.layers.methods.families.spectral import (
    SpectralConvolution,
    fourier_basis,
    kernel_gradient,
    kernel_spectrum,
)
from lipcost.layers.methods.parts.convolution import correlate

SIZES = [(6, 6), (5, 8), (1, 3), (2, 1), (7, 2)]


def plain(x: Tensor, q: Tensor, bias: Tensor, padding: int) -> Tensor:
    """The spectral convolution in operators that autograd differentiates."""
    h, w = (side + padding for side in x.shape[2:])
    spectrum = torch.fft.rfft2(x, (h, w))
    matrices = q.unflatten(0, (h, w // 2 + 1))
    y = torch.fft.irfft2(torch.einsum("hwoi,bihw->bohw", matrices, spectrum), (h, w))
    return y[:, :, : x.shape[2], : x.shape[3]] + bias[:, None, None]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("k", [2, 3, 4, 5])
@pytest.mark.parametrize("channels", [(3, 2), (2, 3)])
def test_spectral_convolution_is_the_convolution(channels: tuple[int, int], k: int, size: tuple[int, int]) -> None:
    c_in, c_out = channels
    kernel, bias = torch.randn(c_out, c_in, k, k, dtype=torch.float64), torch.randn(c_out, dtype=torch.float64)
    x = torch.randn(2, c_in, *size, dtype=torch.float64)
    if k // 2 <= min(size):
        q = kernel_spectrum(kernel, fourier_basis(kernel, size))
        torch.testing.assert_close(SpectralConvolution.of(x, q, bias, 0), correlate(x, kernel, bias, "circular"))
    padded = (size[0] + k - 1, size[1] + k - 1)
    q = kernel_spectrum(kernel, fourier_basis(kernel, padded))
    torch.testing.assert_close(SpectralConvolution.of(x, q, bias, k - 1), correlate(x, kernel, bias, "zeros"))


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("padding", [0, 1, 2])
def test_its_gradients_are_autograds(padding: int, size: tuple[int, int]) -> None:
    n = (size[0] + padding) * ((size[1] + padding) // 2 + 1)
    x, g = (torch.randn(3, c, *size, dtype=torch.float64) for c in (2, 4))
    q, bias = torch.randn(n, 4, 2, dtype=torch.complex128), torch.randn(4, dtype=torch.float64)
    inputs = [t.requires_grad_() for t in (x, q, bias)]
    found, expected = (torch.autograd.grad(f(x, q, bias, padding), inputs, g) for f in (SpectralConvolution.of, plain))
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a, b)


def test_it_saves_its_input_and_its_matrices() -> None:
    x, q = torch.randn(2, 3, 4, 4, requires_grad=True), torch.randn(12, 5, 3, dtype=torch.complex64, requires_grad=True)
    saved: list[Tensor] = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: saved.append(t) or t, lambda t: t):
        SpectralConvolution.of(x, q, None, 0)
    assert {t.data_ptr() for t in saved} == {x.data_ptr(), q.data_ptr()}


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("k", [1, 2, 3, 5])
def test_kernel_gradient_is_the_adjoint(k: int, size: tuple[int, int]) -> None:
    kernel = torch.randn(3, 2, k, k, dtype=torch.float64, requires_grad=True)
    basis = fourier_basis(kernel, size)
    spectrum = kernel_spectrum(kernel, basis)
    g = torch.randn_like(spectrum)
    (expected,) = torch.autograd.grad(spectrum, kernel, g)
    torch.testing.assert_close(kernel_gradient(g, kernel, basis), expected)
