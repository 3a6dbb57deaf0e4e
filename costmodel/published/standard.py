"""The plain convolution: cost of ``lipcost.layers.StandardConv2d``."""

from __future__ import annotations

from .._method import CircularMethod
from .._tensor import Tensor


class PublishedStandard(CircularMethod):
    """No constraint; the baseline of every ratio."""

    name = "standard/published"
    title = "Standard, published"

    def parameter_transform(self) -> tuple[Tensor]:
        """The kernel as it is."""
        return (self.weight,)
