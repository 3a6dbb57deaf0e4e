"""SLL: SDP-based Lipschitz layers."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from ..base.layer import LIPSCHITZ
from .families.residual import ResidualConv2d
from .parts.correlation import AbsoluteCorrelation
from .published.sll import PublishedSLLConv2d


class SLLConv2d(ResidualConv2d):
    r"""The residual layer :math:`x \mapsto x - 2 W^\top T^{-1} \mathrm{relu}(W x + b)`, 1-Lipschitz for every W and q.

    Source: Araujo, Havens, Delattre, Allauzen & Hu, "A Unified Algebraic Perspective on Lipschitz Neural Networks",
    ICLR 2023, Theorem 3.

    T is diagonal, :math:`T_i = \sum_j |W W^\top|_{ij} q_j / q_i + \varepsilon`, the inner sum also over the (2k-1)²
    displacements of the kernel's correlation with itself; q = |free vector| + ε > 0 is learned, ε = 10⁻⁶. It is
    computed as :math:`x - V^\top \mathrm{relu}(V x + b')` with :math:`V = (2T^{-1})^{1/2} W` and
    :math:`b' = (2T^{-1})^{1/2} b`, and saves x and the relu's output. The theorem holds with circular and with zero
    padding.

    Args and errors: those of :class:`Conv2d`.

    Example:
        >>> import torch
        >>> from lipcost.layers import SLLConv2d
        >>> SLLConv2d(3, 8, 3)(torch.zeros(2, 3, 16, 16)).shape
        torch.Size([2, 8, 16, 16])
    """

    name = "sll"
    title = "SLL"
    colour, marker = "#56B4E9", "*"
    promise = LIPSCHITZ
    algorithms: ClassVar = {"published": PublishedSLLConv2d}

    q: nn.Parameter

    def _register(self, factory: dict[str, Any], bias: bool) -> None:
        super()._register(factory, bias)
        self.q = nn.Parameter(torch.empty(self.channels[0], **factory))

    def reset_parameters(self) -> None:
        """Kernel Xavier normal, bias uniform in ±1/√fan_in, q standard normal."""
        super().reset_parameters()
        nn.init.xavier_normal_(self.weight)
        nn.init.normal_(self.q)

    def _squared_norm(self, size: tuple[int, ...]) -> Tensor:
        q = self.q.abs() + self.epsilon
        return (AbsoluteCorrelation.of(self.weight) * q).sum(1) / q
