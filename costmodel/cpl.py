"""CPL: cost of ``lipcost.layers.CPLConv2d``."""

from __future__ import annotations

from ._convolution import CIRCULAR, convolution, correlate, correlate_adjoint
from ._kernels import pointwise, reduction
from ._norms import GRAM_ITERATIONS, gram_bound, kernel_spectrum
from ._residual import ResidualMethod
from ._tensor import Tensor


class CPL(ResidualMethod):
    """Meunier et al., ICML 2022, Corollary 1: x - 2/‖W‖² Wᵀ relu(W x + b)."""

    name = "cpl"
    title = "CPL"
    options = {"iterations": 1, "eval_iterations": GRAM_ITERATIONS}

    def register(self) -> None:
        """The kernel and the power vector, an image."""
        super().register()
        side = 4 * self.k if self.holds(self.k > 1) else 1
        self.u = self.buffer(1, self.channels[0], side, side)

    def squared_norm(self) -> Tensor:
        """‖W‖², in training by the power method, in inference by Gram iteration."""
        if self.training:
            u, v = self.power_vectors()
            sigma = (convolution(u, self.weight, None, CIRCULAR) * v).sum()
        else:
            bounds = gram_bound(self.matrices(), self.option["eval_iterations"])
            sigma = reduction("amax", bounds, ())
        return sigma.square()

    def power_vectors(self) -> tuple[Tensor, Tensor]:
        """The power iterations, outside the graph."""
        with self.tape.no_grad():
            u = self.u
            for _ in range(self.option["iterations"]):
                v = correlate(u, self.weight, None, CIRCULAR)
                v = v / v.norm().clamp_min()
                image = correlate_adjoint(v, self.weight, CIRCULAR)
                norm = image.norm()
                u = pointwise("where", pointwise("gt", norm, kind="bool"), image / norm.clamp_min(), u, kind="real")
            self.u.copy_(u)
            return u, v

    def matrices(self) -> Tensor:
        """The matrices (m, n, n) whose largest norm is at least the convolution's."""
        if not self.holds(self.k > 1):
            return self.weight.reshape(1, *self.channels)
        return kernel_spectrum(self.weight, self.s, self.padding_mode)
