"""The plain convolution, no constraint: the baseline of every ratio."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor

from .families.kernel import KernelConv2d
from .published.standard import PublishedStandardConv2d


class StandardConv2d(KernelConv2d):
    """A plain convolution with torch.nn.Conv2d's initialisation. Not 1-Lipschitz.

    Args and errors: those of :class:`Conv2d`.

    Example:
        >>> import torch
        >>> from lipcost.layers import StandardConv2d
        >>> StandardConv2d(3, 8, 3)(torch.zeros(2, 3, 16, 16)).shape
        torch.Size([2, 8, 16, 16])
    """

    name = "standard"
    title = "Standard"
    colour, marker = "#000000", "o"
    algorithms: ClassVar = {"published": PublishedStandardConv2d}

    def parameter_transform(self, size: tuple[int, ...]) -> tuple[Tensor]:
        return (self.weight,)
