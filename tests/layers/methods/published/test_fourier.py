"""The centred transform of a kernel is the circular convolution that StandardConv2d computes."""

from __future__ import annotations

import pytest
import torch

from lipcost.layers import StandardConv2d
from lipcost.layers.methods.published.fourier import centring_phase


@pytest.mark.parametrize("half", [True, False])
@pytest.mark.parametrize("k", [1, 3, 5])
@pytest.mark.parametrize("size", [(6, 6), (5, 7), (8, 5)])
def test_centred_transform_is_the_convolution(size: tuple[int, int], k: int, half: bool) -> None:
    layer = StandardConv2d(3, 2, k, bias=False, dtype=torch.float64)
    x = torch.randn(2, 3, *size, dtype=torch.float64)
    transform = torch.fft.rfft2 if half else torch.fft.fft2
    kernel = centring_phase(k, size, x, half) * transform(layer.weight, size).conj()  # (c_out, c_in, h, w)
    spectrum = torch.einsum("oihw,bihw->bohw", kernel, transform(x))
    y = torch.fft.irfft2(spectrum, s=size) if half else torch.fft.ifft2(spectrum).real
    torch.testing.assert_close(y, layer(x))
