"""The plain convolution: cost of ``lipcost.layers.StandardConv2d``."""

from __future__ import annotations

from ._method import KernelMethod
from ._tensor import Tensor


class Standard(KernelMethod):
    """No constraint; the baseline of every ratio."""

    name = "standard"
    title = "Standard"

    def parameter_transform(self) -> tuple[Tensor]:
        """The kernel as it is."""
        return (self.weight,)
