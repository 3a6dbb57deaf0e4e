"""The correlation of a kernel with itself, from which AOL and SLL bound its norm."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from ...base.function import Function


class AbsoluteCorrelation(Function):
    r"""The sums (c, c) over displacements of :math:`|P \star P|`, P (c, d, k, k) correlated over d with itself.

    It saves P, from which the backward computes the correlations (c, c, 2k-1, 2k-1) and their signs anew.
    """

    @staticmethod
    def forward(p: Tensor) -> Tensor:
        return _correlation(p).abs().sum((2, 3))

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor], output: Tensor) -> None:
        ctx.save_for_backward(inputs[0])

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Tensor:
        (p,) = ctx.saved_tensors
        # Reversed, the correlation of i with j is that of j with i: both factors get the same gradient.
        of_correlation = _correlation(p).sgn() * (g + g.t())[:, :, None, None]
        padding = [p.shape[-1] - 1] * 2
        gradient: Tensor = torch.ops.aten.convolution_backward(
            of_correlation, p, p, None, [1, 1], padding, [1, 1], False, [0, 0], 1, [True, False, False]
        )[0]
        return gradient


def _correlation(p: Tensor) -> Tensor:
    return F.conv2d(p, p, padding=p.shape[-1] - 1)
