"""AOL: almost-orthogonal Lipschitz layers."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor, nn

from ..base.layer import LIPSCHITZ
from .families.kernel import KernelConv2d
from .parts.correlation import AbsoluteCorrelation
from .published.aol import PublishedAOLConv2d


class AOLConv2d(KernelConv2d):
    r"""Convolution with the kernel :math:`P \,\mathrm{diag}(d)`, 1-Lipschitz for every P.

    Source: Prach & Lampert, "Almost-Orthogonal Layers for Efficient General-Purpose Lipschitz Networks", ECCV 2022,
    Theorem 1.

    .. math:: d_j = \Big( \sum_i \sum_\Delta |(P \star P)_{ij}(\Delta)| + \varepsilon \Big)^{-1/2}

    with :math:`P \star P` (c_in, c_in, 2k-1, 2k-1) the correlation of P with itself over output channels and
    :math:`\varepsilon = 10^{-6}`. Initialised at the identity (Dirac), bias zero. The theorem holds with circular and
    with zero padding, which is a part of the circular convolution on a larger image.

    Args and errors: those of :class:`Conv2d`.

    Example:
        >>> import torch
        >>> from lipcost.layers import AOLConv2d
        >>> AOLConv2d(3, 8, 3)(torch.zeros(2, 3, 16, 16)).shape
        torch.Size([2, 8, 16, 16])
    """

    name = "aol"
    title = "AOL"
    colour, marker = "#0072B2", "s"
    promise = LIPSCHITZ
    algorithms: ClassVar = {"published": PublishedAOLConv2d}
    epsilon = 1e-6

    def reset_parameters(self) -> None:
        """Identity kernel, zero bias."""
        nn.init.dirac_(self.weight)
        if self.bias is not None:
            nn.init.zeros_(self.bias)

    def parameter_transform(self, size: tuple[int, ...]) -> tuple[Tensor]:
        bound = AbsoluteCorrelation.of(self.weight.transpose(0, 1)).sum(1)  # (c_in,)
        return (self.weight / (bound + self.epsilon).sqrt()[:, None, None],)
