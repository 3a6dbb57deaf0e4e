"""CPL: cost of ``lipcost.layers.CPLConv2d``."""

from __future__ import annotations

from .._method import Method
from .._ops import conv2d, conv_transpose2d
from .._tensor import Tensor

EPSILON = 1e-6


class PublishedCPL(Method):
    """Meunier et al., ICML 2022, Corollary 1: x - 2/‖W‖² Wᵀ relu(W x + b)."""

    name = "cpl/published"
    title = "CPL, published"
    options = {"iterations": 1, "eval_iterations": 100}
    square = True

    def register(self) -> None:
        """The kernel and the power vector, an image."""
        super().register()
        self.u = self.buffer(1, self.c_in, self.s, self.s)

    def parameter_transform(self) -> tuple[Tensor]:
        """2/‖W‖², the norm by the convolutional power method."""
        u, v = self.power_vectors()
        sigma = (self.conv(u) * v).sum()
        return (2 / (sigma.square() + EPSILON),)

    def input_transform(self, x: Tensor, scale: Tensor) -> Tensor:  # type: ignore[override]
        """The residual step."""
        y = self.conv(x, self.bias).relu()
        return x - scale * self.conv_transpose(y)

    def power_vectors(self) -> tuple[Tensor, Tensor]:
        """The power iterations, outside the graph."""
        with self.tape.no_grad():
            u = self.u
            for _ in range(self.option["iterations" if self.training else "eval_iterations"]):
                v = self.conv(u)
                v = v / (v.norm() + EPSILON)
                u = self.conv_transpose(v)
                u = u / (u.norm() + EPSILON)
            if self.training:
                self.u.copy_(u)
            return u, v

    def conv(self, x: Tensor, bias: Tensor | None = None) -> Tensor:
        """W x + b."""
        return conv2d(x, self.weight, bias, padding=self.k // 2)

    def conv_transpose(self, y: Tensor) -> Tensor:
        """Wᵀ y."""
        return conv_transpose2d(y, self.weight, padding=self.k // 2)
