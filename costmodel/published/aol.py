"""AOL: cost of ``lipcost.layers.AOLConv2d``."""

from __future__ import annotations

from .._method import CircularMethod
from .._ops import conv2d
from .._tensor import Tensor

EPSILON = 1e-6


class PublishedAOL(CircularMethod):
    """Prach & Lampert, ECCV 2022, Theorem 1: the kernel P diag(d), d_j = (Σ_i Σ_Δ |(P⋆P)_ij(Δ)|)^(-1/2)."""

    name = "aol/published"
    title = "AOL, published"

    def parameter_transform(self) -> tuple[Tensor]:
        """Rescale every input channel of P."""
        p = self.weight.transpose(0, 1)  # (c_in, c_out, k, k)
        correlation = conv2d(p, p, padding=self.k - 1)  # (c_in, c_in, 2k-1, 2k-1)
        bound = correlation.abs().sum((1, 2, 3), keepdim=True).transpose(0, 1)  # (1, c_in, 1, 1)
        return (self.weight / (bound + EPSILON).sqrt(),)
