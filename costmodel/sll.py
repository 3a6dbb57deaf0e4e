"""SLL: cost of ``lipcost.layers.SLLConv2d``."""

from __future__ import annotations

from ._correlation import absolute_correlation
from ._residual import EPSILON, ResidualMethod
from ._tensor import Tensor


class SLL(ResidualMethod):
    """Araujo et al., ICLR 2023, Theorem 3: x - 2 Wᵀ T⁻¹ relu(W x + b), T_i = Σ_j |WWᵀ|_ij q_j / q_i."""

    name = "sll"
    title = "SLL"

    def register(self) -> None:
        """The kernel and the diagonal q."""
        super().register()
        self.q = self.parameter(self.channels[0])

    def squared_norm(self) -> Tensor:
        """The sums of |WWᵀ| weighted by q, (n,)."""
        q = self.q.abs() + EPSILON
        return (absolute_correlation(self.weight) * q).sum((1,)) / q
