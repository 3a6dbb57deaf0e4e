"""LOT: cost of ``lipcost.layers.LOTConv2d``."""

from __future__ import annotations

from .._method import FFT_DTYPES, Method
from .._ops import fft2, filled, ifft2, matmul, pad2d
from .._tensor import Tensor
from ._fourier import centring_phase

EPSILON = 1e-4


class PublishedLOT(Method):
    """Xu, Li & Li, NeurIPS 2022: (VV*)^(-1/2) V at every frequency, by coupled Newton iterations."""

    name = "lot/published"
    title = "LOT, published"
    options = {"iterations": 10}
    dtypes = FFT_DTYPES

    def parameter_transform(self) -> tuple[Tensor]:
        """Transform on the padded grid, orthogonalise: (n, c_out, c_in) with n = (s + 2⌊k/2⌋)² frequencies."""
        side = self.s + 2 * (self.k // 2)
        phase = centring_phase(self.tape, side, side)
        v = (phase * fft2(self.weight, side).conj()).reshape(self.c_out, self.c_in, side**2)
        v = v.permute(2, 0, 1)
        identity = filled("eye", self.tape, (self.c_out, self.c_out), "complex")
        gram = matmul(v, v.transpose(1, 2).conj()) + EPSILON * identity
        norm = gram.norm((1, 2)) + EPSILON
        return (matmul(inverse_sqrt(gram / norm, identity, self.option["iterations"]), v) / norm.sqrt(),)

    def input_transform(self, x: Tensor, q: Tensor) -> Tensor:  # type: ignore[override]
        """Zero-pad, one matrix product per frequency, crop."""
        side = self.s + 2 * (self.k // 2)
        if self.holds(self.k > 1):
            x = pad2d(x, side)
        x = fft2(x).permute(2, 3, 1, 0).reshape(side**2, self.c_in, self.b)
        y = matmul(q, x).reshape(side, side, self.c_out, self.b).permute(3, 2, 0, 1)
        y = ifft2(y).real()
        if self.holds(self.k > 1):
            y = y.slice(2, self.s).slice(3, self.s)
        return y if self.bias is None else y + self.bias.reshape(self.c_out, 1, 1)


def inverse_sqrt(gram: Tensor, identity: Tensor, iterations: int) -> Tensor:
    """Y ← Y T, Z ← T Z, T = (3I - ZY)/2."""
    y, z = gram, identity.expand(*gram.shape)
    for i in range(iterations):
        t = 0.5 * (3 * identity - matmul(z, y))
        if i + 1 < iterations:
            y = matmul(y, t)
        z = matmul(t, z)
    return z
