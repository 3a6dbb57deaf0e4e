"""CPL: cost of ``lipcost.layers.CPLConv2d``."""

from __future__ import annotations

from collections.abc import Sequence

from ._convolution import CIRCULAR, correlate, correlate_adjoint, kernel_gradient
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
            sigma = product(self.weight, *self.power_method())
        else:
            bounds = gram_bound(self.matrices(), self.option["eval_iterations"])
            sigma = reduction("amax", bounds, ())
        return sigma.square()

    def power_method(self) -> tuple[Tensor, Tensor, Tensor]:
        """Directions u and v, and <Wu, v>."""
        with self.tape.no_grad():
            u = self.u
            for _ in range(self.option["iterations"]):
                v = correlate(u, self.weight, None, CIRCULAR)
                v = v / v.norm().clamp_min()
                image = correlate_adjoint(v, self.weight, CIRCULAR)
                norm = image.norm()
                u = pointwise("where", pointwise("gt", norm, kind="bool"), image / norm.clamp_min(), u, kind="real")
            self.u.copy_(u)
            return u, v, norm

    def matrices(self) -> Tensor:
        """The matrices (m, n, n) whose largest norm is at least the convolution's."""
        if not self.holds(self.k > 1):
            return self.weight.reshape(1, *self.channels)
        return kernel_spectrum(self.weight, self.s, self.padding_mode)


def product(weight: Tensor, u: Tensor, v: Tensor, known: Tensor) -> Tensor:
    """<Wu, v>, already known."""

    def backward(saved: Sequence[Tensor], g: Tensor) -> list[Tensor | None]:
        weight, u, v = saved
        return [g * kernel_gradient(u, v, weight, CIRCULAR), None, None, None]

    return weight.tape.function([weight, u, v, known], known.clone, lambda _: [weight, u, v], backward)
