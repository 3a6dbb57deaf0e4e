"""SLL: SDP-based Lipschitz layers."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ...base.layer import LIPSCHITZ, ZEROS, LipschitzConv2d


class PublishedSLLConv2d(LipschitzConv2d):
    r"""The residual layer :math:`x \mapsto x - 2 W^\top T^{-1} \mathrm{relu}(W x + b)`, zero padding.

    Source: Araujo, Havens, Delattre, Allauzen & Hu, "A Unified Algebraic Perspective on Lipschitz Neural Networks",
    ICLR 2023, Theorem 3.

    T is diagonal, :math:`T_i = \sum_j |W W^\top|_{ij} q_j / q_i`, the inner sum also over the (2k-1)² displacements of
    the kernel's correlation with itself; q = |free vector| + ε > 0 is learned, ε = 10⁻⁶. 1-Lipschitz for every W and q.

    Args and errors: those of :class:`LipschitzConv2d`, and c_in = c_out (the method adds input to output).

    Example:
        >>> import torch
        >>> from lipcost.layers import LAYERS
        >>> LAYERS["sll/published"](8, 8, 3)(torch.zeros(2, 8, 16, 16)).shape
        torch.Size([2, 8, 16, 16])
    """

    name = "sll/published"
    title = "SLL, published"
    promise = LIPSCHITZ
    padding_modes = (ZEROS,)
    square = True
    residual = True
    epsilon = 1e-6

    def _register(self, factory: dict[str, Any], bias: bool) -> None:
        super()._register(factory, bias)
        self.q = nn.Parameter(torch.empty(self.out_channels, **factory))

    def reset_parameters(self) -> None:
        """Kernel Xavier normal, bias uniform in ±1/√fan_in, q standard normal."""
        super().reset_parameters()
        nn.init.xavier_normal_(self.weight)
        nn.init.normal_(self.q)

    def parameter_transform(self, size: tuple[int, ...]) -> tuple[Tensor]:
        correlation = F.conv2d(self.weight, self.weight, padding=self.kernel_size - 1)  # (c, c, 2k-1, 2k-1)
        q = self.q.abs() + self.epsilon
        bound = (correlation * q[:, None, None]).abs().sum(dim=(1, 2, 3)) / q
        return (2 / (bound + self.epsilon),)

    def residual_branch(self, x: Tensor) -> tuple[Tensor, str, tuple[int, int, int]]:
        self._check_input(x)
        (scale,) = self.parameter_transform(tuple(x.shape[2:]))  # () or (c,)
        c, h, w = x.shape[1:]
        return scale.sqrt().reshape(-1, 1, 1, 1) * self.weight, "zeros", (c, h, w)

    def input_transform(self, x: Tensor, scale: Tensor) -> Tensor:  # type: ignore[override]
        pad = self.kernel_size // 2
        y = F.relu(F.conv2d(x, self.weight, self.bias, padding=pad))
        y = scale[:, None, None] * y
        return x - F.conv_transpose2d(y, self.weight, padding=pad)
