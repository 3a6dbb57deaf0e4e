"""Layers without parameters that change the number of channels and keep the Lipschitz constant at 1."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from ..base.checks import positive


class ZeroChannelPad(nn.Module):
    """Appends zero channels up to ``channels``; an isometry.

    Args:
        channels: the number of output channels.

    Raises:
        ValueError: if ``channels`` is not a positive integer, or an input has more.

    Example:
        >>> import torch
        >>> from lipcost.layers import ZeroChannelPad
        >>> ZeroChannelPad(16)(torch.zeros(2, 3, 8, 8)).shape
        torch.Size([2, 16, 8, 8])
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.channels = positive("channels", channels)

    def forward(self, x: Tensor) -> Tensor:
        """Pad ``x`` (b, c, h, w) to (b, channels, h, w)."""
        if x.dim() != 4 or x.shape[1] > self.channels:
            shape = tuple(x.shape)
            raise ValueError(f"ZeroChannelPad({self.channels}) takes (b, c <= {self.channels}, h, w), got {shape}")
        return F.pad(x, (0, 0, 0, 0, 0, self.channels - x.shape[1]))

    def extra_repr(self) -> str:
        return str(self.channels)


class FirstChannels(nn.Module):
    """Keeps the first ``channels`` channels; 1-Lipschitz.

    Args:
        channels: the number of output channels.

    Raises:
        ValueError: if ``channels`` is not a positive integer, or an input has fewer.

    Example:
        >>> import torch
        >>> from lipcost.layers import FirstChannels
        >>> FirstChannels(10)(torch.zeros(2, 512)).shape
        torch.Size([2, 10])
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.channels = positive("channels", channels)

    def forward(self, x: Tensor) -> Tensor:
        """Cut ``x`` (b, c, …) to (b, channels, …)."""
        if x.dim() < 2 or x.shape[1] < self.channels:
            shape = tuple(x.shape)
            raise ValueError(f"FirstChannels({self.channels}) takes (b, c >= {self.channels}, ...), got {shape}")
        return x[:, : self.channels]

    def extra_repr(self) -> str:
        return str(self.channels)
