"""SOC: cost of ``lipcost.layers.SOCConv2d``."""

from __future__ import annotations

from ._convolution import ZEROS, correlate
from ._exponential import KEPT, matrix_polynomial, polynomial_convolution
from ._kernels import pointwise
from ._method import Method
from ._norms import gram_bound
from ._ops import matmul, pad_channels
from ._tape import Size
from ._tensor import Tensor


class SOC(Method):
    """Singla & Feizi, ICML 2021, with polynomials of modulus 1: p(L) x ≈ exp(L) x of a skew-symmetric convolution."""

    name = "soc"
    title = "SOC"
    options = {"terms": 3, "eval_terms": 7}
    padding_mode = ZEROS
    alike_from = KEPT + 1

    def register(self) -> None:
        """The free kernel and two power vectors."""
        self.n: Size = self.c_in if self.holds(self.c_in > self.c_out) else self.c_out
        self.weight = self.parameter(self.n, self.n, self.k, self.k)
        self.u1, self.u2 = self.buffer(1, self.n * self.k), self.buffer(1, self.n)

    @property
    def degree(self) -> int:
        """Of the polynomial."""
        return self.option["terms" if self.training else "eval_terms"]

    def parameter_transform(self) -> tuple[Tensor]:
        """The skew-symmetric kernel over the least of its reshapings' norms; with k = 1 its polynomial."""
        skew = self.skew()
        norms = self.estimate(*self.reshaped(skew)) if self.training else map(gram_bound, self.reshaped(skew))
        sigma = Tensor.minimum(*norms)
        kernel = skew * (1.5 / (sigma + pointwise("lt", sigma, kind="bool")))
        if self.holds(self.k > 1):
            return (kernel,)
        return (matrix_polynomial(kernel.reshape(self.n, self.n), self.degree).reshape(self.n, self.n, 1, 1),)

    def input_transform(self, x: Tensor, kernel: Tensor) -> Tensor:  # type: ignore[override]
        """The polynomial, on the larger number of channels."""
        if self.holds(self.c_out > self.c_in):
            x = pad_channels(x, self.n)
        return self.apply_weights(x, kernel).slice(1, self.c_out)

    def apply_weights(self, x: Tensor, kernel: Tensor) -> Tensor:
        """The polynomial of the kernel, or with k = 1 the kernel."""
        bias = self.bias
        if bias is not None and self.holds(self.c_in > self.c_out):
            bias = pad_channels(bias.reshape(1, self.c_out), self.n).reshape(self.n)
        if not self.holds(self.k > 1):
            return correlate(x, kernel, bias, self.padding_mode)
        return polynomial_convolution(x, kernel, bias, self.degree, self.padding_mode)

    def skew(self) -> Tensor:
        """(M - Mᵀ)/2."""
        return 0.5 * (self.weight - self.weight.transpose(0, 1).flip())

    def estimate(self, first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
        """Two norms by power iteration."""
        return power_iteration(first, self.u1), power_iteration(second, self.u2)

    def reshaped(self, kernel: Tensor) -> tuple[Tensor, Tensor]:
        """The matrices (n·k, n·k), a copy, and (n, n·k²)."""
        n, k = self.n, self.k
        first = kernel.transpose(1, 2)
        first = first.clone() if self.holds(n > 1) and self.holds(k > 1) else first
        return first.reshape(n * k, n * k), kernel.reshape(n, n * k**2)


def power_iteration(matrix: Tensor, u: Tensor) -> Tensor:
    """A lower bound of the norm, differentiable; the buffer u takes the next vector."""
    with u.tape.no_grad():
        v = matmul(u, matrix)
        v = v / v.norm().clamp_min()
    w = matmul(v, matrix.t())
    norm = w.norm()
    with u.tape.no_grad():
        u.copy_(pointwise("where", pointwise("gt", norm, kind="bool"), w / norm, u, kind="real"))
    return norm
