"""AOL: cost of ``lipcost.layers.AOLConv2d``."""

from __future__ import annotations

from ._correlation import absolute_correlation
from ._method import KernelMethod
from ._tensor import Tensor

EPSILON = 1e-6


class AOL(KernelMethod):
    """Prach & Lampert, ECCV 2022, Theorem 1: the kernel P diag(d), d_j = (Σ_i Σ_Δ |(P⋆P)_ij(Δ)|)^(-1/2)."""

    name = "aol"
    title = "AOL"

    def parameter_transform(self) -> tuple[Tensor]:
        """Rescale every input channel of P."""
        bound = absolute_correlation(self.weight.transpose(0, 1)).sum((1,))  # (c_in,)
        return (self.weight / (bound + EPSILON).sqrt().reshape(self.c_in, 1, 1),)
