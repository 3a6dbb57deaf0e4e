"""LOT: layer-wise orthogonal training."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from ..base.function import Function
from ..base.layer import CIRCULAR, LIPSCHITZ, ZEROS
from .families.spectral import SpectralConv2d, fourier_basis, kernel_gradient, kernel_spectrum
from .parts.polar import polar_factor, polar_gradient
from .published.lot import PublishedLOTConv2d


class LOTConv2d(SpectralConv2d):
    r"""Convolution with the polar factor :math:`V (V^* V)^{-1/2}` at every frequency.

    Source: Xu, Li & Li, "LOT: Layer-wise Orthogonal Training on Improving l2 Certified Robustness", NeurIPS 2022.

    V (c_out, c_in) is the kernel's transform, on the half spectrum of the image. The factor is computed by
    :func:`~lipcost.layers.methods.parts.polar.polar`, whose norm is at most 1 for any V and any number of iterations.
    By default the image is zero-padded by k-1 and the output cropped, as published: 1-Lipschitz, orthogonal for k = 1
    only. With ``padding_mode="circular"`` the layer is orthogonal wherever V has full rank. For k = 1 one real matrix
    does for all frequencies, and the layer is a 1×1 convolution.

    Against the published function there is no ε on the diagonal. As there, a square layer starts at the identity, a
    rectangular one at a random orthogonal centre tap.

    Args:
        in_channels: c_in.
        out_channels: c_out.
        kernel_size: k.
        iterations: polynomials of the polar factor, of three products each. Six do for condition numbers up to 500.

    Other arguments and errors: those of :class:`Conv2d`, float32 and float64 only, or a ValueError if ``iterations`` is
    no positive integer.

    Example:
        >>> import torch
        >>> from lipcost.layers import LOTConv2d
        >>> LOTConv2d(3, 8, 3)(torch.zeros(2, 3, 16, 16)).shape
        torch.Size([2, 8, 16, 16])
    """

    name = "lot"
    title = "LOT"
    colour, marker = "#CC79A7", "P"
    counts = {"iterations": 6}
    promise = LIPSCHITZ
    orthogonal_paddings = (CIRCULAR,)
    algorithms: ClassVar = {"published": PublishedLOTConv2d}
    padding_modes = (ZEROS, CIRCULAR)
    iterations: int

    def reset_parameters(self) -> None:
        """Identity and zero bias where the layer is square, else a random orthogonal centre tap and a random bias."""
        super().reset_parameters()
        centre = (self.kernel_size - 1) // 2
        nn.init.zeros_(self.weight)
        tap = self.weight[:, :, centre, centre]
        if tap.shape[0] != tap.shape[1]:
            nn.init.orthogonal_(tap)
            return
        nn.init.eye_(tap)
        if self.bias is not None:
            nn.init.zeros_(self.bias)

    def _matrices(self, size: tuple[int, int]) -> Tensor:
        return PolarSpectrum.of(self.weight, self.iterations, size)


class PolarSpectrum(Function):
    """The polar factors (n, c_out, c_in) of a kernel's spectrum, saving the kernel alone."""

    @staticmethod
    def forward(weight: Tensor, iterations: int, size: tuple[int, int]) -> Tensor:
        w = kernel_spectrum(weight, fourier_basis(weight, size))
        if weight.shape[0] < weight.shape[1]:
            return polar_factor(w.mT, iterations).mT
        return polar_factor(w, iterations)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        weight, ctx.iterations, ctx.size = inputs
        ctx.save_for_backward(weight)

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor, None, None]:
        (weight,) = ctx.saved_tensors
        basis = fourier_basis(weight, ctx.size)
        w = kernel_spectrum(weight, basis)
        if weight.shape[0] < weight.shape[1]:
            g = polar_gradient(g.mT, w.mT, ctx.iterations).mT.clone(memory_format=torch.contiguous_format)
        else:
            g = polar_gradient(g, w, ctx.iterations)
        return kernel_gradient(g, weight, basis), None, None
