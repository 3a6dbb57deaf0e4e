"""SLL: cost of ``lipcost.layers.SLLConv2d``."""

from __future__ import annotations

from .._method import Method
from .._ops import conv2d, conv_transpose2d
from .._tensor import Tensor

EPSILON = 1e-6


class PublishedSLL(Method):
    """Araujo et al., ICLR 2023, Theorem 3: x - 2 Wᵀ T⁻¹ relu(W x + b), T_i = Σ_j |WWᵀ|_ij q_j / q_i."""

    name = "sll/published"
    title = "SLL, published"
    square = True

    def register(self) -> None:
        """The kernel and the diagonal q."""
        super().register()
        self.q = self.parameter(self.c_out)

    def parameter_transform(self) -> tuple[Tensor]:
        """2 T⁻¹, one number per channel."""
        correlation = conv2d(self.weight, self.weight, padding=self.k - 1)  # (c, c, 2k-1, 2k-1)
        q = self.q.abs() + EPSILON
        bound = (correlation * q.reshape(self.c_out, 1, 1)).abs().sum((1, 2, 3)) / q
        return (2 / (bound + EPSILON),)

    def input_transform(self, x: Tensor, scale: Tensor) -> Tensor:  # type: ignore[override]
        """The residual step."""
        y = conv2d(x, self.weight, self.bias, padding=self.k // 2).relu()
        y = scale.reshape(self.c_out, 1, 1) * y
        return x - conv_transpose2d(y, self.weight, padding=self.k // 2)
