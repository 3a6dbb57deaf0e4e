"""Cayley: orthogonal convolution by the Cayley transform at every frequency."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from ...base.checks import FFT_FLOATS
from ...base.layer import CIRCULAR, ORTHOGONAL, LipschitzConv2d
from ..parts.sizes import square_root
from .fourier import centring_phase


class PublishedCayleyConv2d(LipschitzConv2d):
    r"""Orthogonal circular convolution, computed in the Fourier domain on the half spectrum of a real image.

    Source: Trockman & Kolter, "Orthogonalizing Convolutional Layers with the Cayley Transform", ICLR 2021.

    At each of the N = h(⌊w/2⌋+1) frequencies the kernel's transform Ŵ (c_out, c_in) is scaled to α√N Ŵ/‖Ŵ‖, with ‖Ŵ‖
    its norm over all N frequencies and α learned, and goes through :func:`cayley`.

    As published but for one thing: the factor √N, which lets α start at ‖W‖ in the constructor. The published layer
    creates its α, √N times this one, in the first forward, for one image size.

    Args and errors: those of :class:`LipschitzConv2d`; float32 and float64 only. An image smaller than the kernel is
    refused.

    Example:
        >>> import torch
        >>> from lipcost.layers import LAYERS
        >>> LAYERS["cayley/published"](3, 8, 3)(torch.zeros(2, 3, 15, 16)).shape
        torch.Size([2, 8, 15, 16])
    """

    name = "cayley/published"
    title = "Cayley, published"
    promise = ORTHOGONAL
    padding_modes = (CIRCULAR,)
    dtypes = FFT_FLOATS
    depends_on_size = True

    def _register(self, factory: dict[str, Any], bias: bool) -> None:
        super()._register(factory, bias)
        self.alpha = nn.Parameter(torch.empty((), **factory))

    def reset_parameters(self) -> None:
        """As torch.nn.Conv2d; α = ‖W‖."""
        super().reset_parameters()
        with torch.no_grad():
            self.alpha.copy_(self.weight.norm())

    def parameter_transform(self, size: tuple[int, ...]) -> tuple[Tensor]:
        phase = centring_phase(self.kernel_size, size, self.weight, half=True).reshape(-1, 1, 1)
        w = torch.fft.rfft2(self.weight, size).reshape(self.out_channels, self.in_channels, -1)
        w = phase * w.permute(2, 0, 1).conj()  # (N, c_out, c_in)
        scale = self.alpha * square_root(w.shape[0])
        return (cayley(scale * w / w.norm()),)

    def input_transform(self, x: Tensor, q: Tensor) -> Tensor:  # type: ignore[override]
        b, _, h, w = x.shape
        x = torch.fft.rfft2(x.to(self.weight.dtype)).permute(2, 3, 1, 0).reshape(-1, self.in_channels, b)
        spectrum = (q @ x).reshape(h, w // 2 + 1, self.out_channels, b)
        y: Tensor = torch.fft.irfft2(spectrum.permute(3, 2, 0, 1), s=(h, w))
        if self.bias is not None:
            y += self.bias[:, None, None]
        return y

    def _check_size(self, h: int, w: int) -> None:
        if self.kernel_size > min(h, w):
            raise ValueError(f"cayley needs kernel_size <= image side, got kernel_size={self.kernel_size} on {h}x{w}")


def cayley(w: Tensor) -> Tensor:  # (N, c_out, c_in) -> (N, c_out, c_in)
    """The Cayley transform (I+A)⁻¹(I-A) of A = U - U* + V*V for w = [U; V]; its columns (or rows) are orthonormal."""
    _, c_out, c_in = w.shape
    if c_in > c_out:
        return cayley(w.transpose(1, 2)).transpose(1, 2)
    identity = torch.eye(c_in, dtype=w.dtype, device=w.device)
    u = w[:, :c_in]
    a = u - u.conj().transpose(1, 2)
    if c_in == c_out:
        return torch.inverse(identity + a) @ (identity - a)
    v = w[:, c_in:]
    a = a + v.conj().transpose(1, 2) @ v
    inverse = torch.inverse(identity + a)
    return torch.cat((inverse @ (identity - a), -2 * v @ inverse), dim=1)
