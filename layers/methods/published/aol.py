"""AOL: almost-orthogonal Lipschitz layers."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from ...base.layer import LIPSCHITZ, CircularConv2d


class PublishedAOLConv2d(CircularConv2d):
    r"""Convolution with the kernel :math:`P \,\mathrm{diag}(d)`, 1-Lipschitz for every P.

    Source: Prach & Lampert, "Almost-Orthogonal Layers for Efficient General-Purpose Lipschitz Networks", ECCV 2022,
    Theorem 1.

    .. math:: d_j = \Big( \sum_i \sum_\Delta |(P \star P)_{ij}(\Delta)| + \varepsilon \Big)^{-1/2}

    with :math:`P \star P` (c_in, c_in, 2k-1, 2k-1) the correlation of P with itself over output channels and
    :math:`\varepsilon = 10^{-6}`. Initialised at the identity (Dirac), bias zero.

    Args and errors: those of :class:`LipschitzConv2d`.

    Example:
        >>> import torch
        >>> from lipcost.layers import LAYERS
        >>> LAYERS["aol/published"](3, 8, 3)(torch.zeros(2, 3, 16, 16)).shape
        torch.Size([2, 8, 16, 16])
    """

    name = "aol/published"
    title = "AOL, published"
    promise = LIPSCHITZ
    epsilon = 1e-6

    def reset_parameters(self) -> None:
        """Identity kernel, zero bias."""
        nn.init.dirac_(self.weight)
        if self.bias is not None:
            nn.init.zeros_(self.bias)

    def parameter_transform(self, size: tuple[int, ...]) -> tuple[Tensor]:
        p = self.weight.transpose(0, 1)  # (c_in, c_out, k, k)
        correlation = F.conv2d(p, p, padding=self.kernel_size - 1)  # (c_in, c_in, 2k-1, 2k-1)
        bound = correlation.abs().sum(dim=(1, 2, 3), keepdim=True).transpose(0, 1)  # (1, c_in, 1, 1)
        return (self.weight / (bound + self.epsilon).sqrt(),)
