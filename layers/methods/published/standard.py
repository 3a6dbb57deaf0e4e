"""The plain convolution, no constraint: the baseline of every ratio."""

from __future__ import annotations

from torch import Tensor

from ...base.layer import CircularConv2d


class PublishedStandardConv2d(CircularConv2d):
    """A plain stride-1 convolution with circular padding and torch.nn.Conv2d's initialisation. Not 1-Lipschitz.

    Args and errors: those of :class:`LipschitzConv2d`.

    Example:
        >>> import torch
        >>> from lipcost.layers import LAYERS
        >>> LAYERS["standard/published"](3, 8, 3)(torch.zeros(2, 3, 16, 16)).shape
        torch.Size([2, 8, 16, 16])
    """

    name = "standard/published"
    title = "Standard, published"

    def parameter_transform(self, size: tuple[int, ...]) -> tuple[Tensor]:
        return (self.weight,)
