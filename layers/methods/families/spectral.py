"""Convolutions in the Fourier domain: one matrix per frequency of the half spectrum of a real image."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from ...base.checks import FFT_FLOATS
from ...base.conv2d import Conv2d
from ...base.function import Function
from ...base.layer import CIRCULAR, ORTHOGONAL, ZEROS
from ..parts.convolution import correlate
from ..parts.norms import largest_norm


class SpectralConv2d(Conv2d):
    """A method whose parameter transformation yields a matrix q (n, c_out, c_in) for each of n frequencies.

    They are those of the half spectrum of the image, which with zero padding is larger by k-1 in both directions: there
    the layer is a part (rows and columns) of the circular one. Its norm is at most the largest of the matrices'. For
    k = 1 all frequencies have the same real matrix, and the layer is a convolution with it.
    """

    dtypes = FFT_FLOATS
    depends_on_size = True
    even_kernels = True

    @classmethod
    def promises(cls, kernel_size: int, training: bool) -> str:
        """Nothing is cropped where the kernel is one pixel: with any padding the layer is what the matrix is."""
        matrix_is_orthogonal = CIRCULAR in cls.orthogonal_paddings
        return ORTHOGONAL if kernel_size == 1 and matrix_is_orthogonal else super().promises(kernel_size, training)

    def parameter_transform(self, size: tuple[int, ...]) -> tuple[Tensor]:
        if self.kernel_size == 1:
            c_in, c_out = self.channels
            return (self._matrices((1, 1)).reshape(c_out, c_in, 1, 1),)
        h, w = (side + self._padding for side in size)
        return (self._matrices((h, w)),)

    def _matrices(self, size: tuple[int, int]) -> Tensor:
        """q, of norm 1 or less, for images of ``size``, padding included."""
        raise NotImplementedError

    @property
    def _padding(self) -> int:
        return self.kernel_size - 1 if self.padding_mode == ZEROS else 0

    def _apply_weights(self, x: Tensor, q: Tensor) -> Tensor:  # type: ignore[override]
        if self.kernel_size == 1:
            return correlate(x, q, self.bias, self.padding_mode)
        return SpectralConvolution.of(x, q, self.bias, self._padding)

    def _bound(self, weights: tuple[Tensor, ...], size: tuple[int, ...]) -> float:
        q = weights[0]
        return largest_norm(q[..., 0, 0] if self.kernel_size == 1 else q)

    def _is_convolution(self) -> bool:
        return self.kernel_size == 1


class SpectralConvolution(Function):
    r"""The matrices q (n, c_out, c_in) on the spectrum of x (b, c_in, h, w), zero-padded by ``padding``, then cropped.

    It saves x and q and transforms x anew. Of :math:`y = \mathcal{F}^{-1} q \mathcal{F} x` on N pixels, with
    :math:`\hat g = \mathcal{F} g / N`, the gradients are :math:`N \mathcal{F}^{-1} q^* \hat g` of x and
    :math:`\hat g (\mathcal{F} x)^*` of q, twice that at frequencies that stand for their conjugates too.
    """

    @staticmethod
    def forward(x: Tensor, q: Tensor, bias: Tensor | None, padding: int) -> Tensor:
        h, w = x.shape[2:]
        size = (h + padding, w + padding)
        y = to_image(to_spectrum(x, size) @ q.mT, size)[:, :, :h, :w]
        if bias is None:
            return y
        return y + bias[:, None, None] if padding else y.add_(bias[:, None, None])

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        x, q, _, ctx.padding = inputs
        ctx.save_for_backward(x, q)

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor | None, ...]:
        x, q = ctx.saved_tensors
        h, w = x.shape[2:]
        size = (h + ctx.padding, w + ctx.padding)
        of_x, of_q, of_bias, _ = ctx.needs_input_grad
        g_bias = g.sum((0, 2, 3)) if of_bias else None
        g_x = g_q = None
        spectrum = to_spectrum(g, size, "forward")
        if of_q:
            g_q = spectrum.mT @ to_spectrum(x, size).conj()
            interior(g_q, size).mul_(2)
        if of_x:
            spectrum = spectrum @ q.conj()
            g_x = to_image(spectrum, size, "forward")[:, :, :h, :w]
        return g_x, g_q, g_bias, None


def to_spectrum(x: Tensor, size: tuple[int, int], norm: str = "backward") -> Tensor:
    """The half spectrum (n, b, c), n = h(⌊w/2⌋+1), of x (b, c, …) zero-padded to ``size`` = (h, w)."""
    b, c = x.shape[:2]
    z: Tensor = torch.fft.rfft2(x, size, norm=norm).reshape(b * c, -1)
    z = z.mT.clone(memory_format=torch.contiguous_format)  # products of strided matrices are slow
    return z.reshape(-1, b, c)


def to_image(z: Tensor, size: tuple[int, int], norm: str = "backward") -> Tensor:
    """The real images (b, c, h, w) of a half spectrum (n, b, c)."""
    h, w = size
    b, c = z.shape[1:]
    z = z.flatten(1).mT.clone(memory_format=torch.contiguous_format).reshape(b, c, h, w // 2 + 1)  # as for to_spectrum
    y: Tensor = torch.fft.irfft2(z, size, norm=norm)
    return y


def interior(z: Tensor, size: tuple[int, int]) -> Tensor:
    """The columns (h, m, …) of the half spectrum z (n, …) that stand for their conjugates too."""
    h, w = size
    return z.view(h, w // 2 + 1, *z.shape[1:])[:, 1 : (w + 1) // 2]


def fourier_basis(kernel: Tensor, size: tuple[int, int]) -> Tensor | None:
    r"""The matrix (n, k²) that takes the taps of a k×k kernel to the half spectrum of the correlation with it.

    :math:`e^{2\pi i (f_y (i - p) + f_x (j - p))}` for tap (i, j) and p = ⌊(k-1)/2⌋, which centres the kernel. A kernel
    larger than the image wraps around. None for k = 1, whose one tap is its spectrum.
    """
    h, w = size
    k = kernel.shape[-1]
    if k == 1:
        return None
    options: Any = {"dtype": kernel.dtype, "device": kernel.device}
    taps = torch.arange(-((k - 1) // 2), k // 2 + 1, **options) * (2 * math.pi)
    rows = torch.fft.fftfreq(h, **options)[:, None, None, None] * taps[:, None]
    columns = torch.fft.rfftfreq(w, **options)[:, None, None] * taps
    angle = (rows + columns).reshape(-1, k * k)
    return torch.polar(torch.ones_like(angle), angle)


def kernel_spectrum(kernel: Tensor, basis: Tensor | None) -> Tensor:
    """The matrices (n, c_out, c_in) of the correlation with a kernel (c_out, c_in, k, k); for k = 1 one, real."""
    c_out, c_in, k, _ = kernel.shape
    if basis is None:
        return kernel.reshape(1, c_out, c_in)
    return (basis @ kernel.reshape(-1, k * k).to(basis.dtype).mT).reshape(-1, c_out, c_in)


def kernel_gradient(g: Tensor, kernel: Tensor, basis: Tensor | None) -> Tensor:
    """The gradient of the kernel, where that of :func:`kernel_spectrum` is ``g``."""
    if basis is None:
        return g.reshape(kernel.shape)
    return (g.flatten(1).mT @ basis.conj()).real.reshape(kernel.shape)
