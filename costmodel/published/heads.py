"""The dense layers: cost of ``lipcost.layers.published.heads``."""

from __future__ import annotations

from .._method import FFT_DTYPES, Method
from .._ops import linear
from .._tensor import Tensor
from .bcop import bjorck, spectral_norms
from .cayley import cayley


class DenseMethod(Method):
    """A method whose input (b, c_in) meets one transformed matrix (c_out, c_in)."""

    def register(self) -> None:
        """Create the matrix."""
        self.weight = self.parameter(self.c_out, self.c_in)

    def input_transform(self, x: Tensor, weight: Tensor) -> Tensor:  # type: ignore[override]
        """One matrix product."""
        return linear(x, weight, self.bias)


class PublishedCayleyLinear(DenseMethod):
    """Trockman & Kolter, ICLR 2021: the Cayley transform of αW/‖W‖."""

    name = "cayley/published"
    title = "Cayley, dense, published"
    dtypes = FFT_DTYPES

    def register(self) -> None:
        """The matrix and its scale."""
        super().register()
        self.alpha = self.parameter()

    def parameter_transform(self) -> tuple[Tensor]:
        """Scale, orthogonalise."""
        w = self.alpha * self.weight / self.weight.norm()
        return (cayley(w.reshape(1, self.c_out, self.c_in)).select(0),)


class PublishedBjorckLinear(DenseMethod):
    """Anil, Lucas & Grosse, ICML 2019: Björck–Bowie iterations on W over an estimate of its spectral norm."""

    name = "bcop/published"
    title = "Björck, dense, published"
    options = {"iterations": 3, "eval_iterations": 15, "power_iterations": 10}

    def register(self) -> None:
        """The matrix and its power vector."""
        super().register()
        self.u = self.buffer(self.c_out, 1)

    def parameter_transform(self) -> tuple[Tensor]:
        """Estimate the norm, orthogonalise."""
        iterations = self.option["iterations" if self.training else "eval_iterations"]
        return (bjorck(self.weight / self.spectral_norm(), iterations),)

    def spectral_norm(self) -> Tensor:  # (1, 1)
        """The power iterations, outside the graph."""
        with self.tape.no_grad():
            norm, u = spectral_norms(self.weight, self.u, self.option["power_iterations"])
            if self.training:
                self.u.copy_(u)
            return norm


HEADS: dict[str, type[DenseMethod]] = {
    "bcop/published": PublishedBjorckLinear,
    "cayley/published": PublishedCayleyLinear,
}
