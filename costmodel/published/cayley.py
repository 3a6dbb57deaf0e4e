"""Cayley: cost of ``lipcost.layers.CayleyConv2d``."""

from __future__ import annotations

from .._method import FFT_DTYPES, Method
from .._ops import cat, filled, inverse, irfft2, matmul, rfft2
from .._tensor import Tensor
from ._fourier import centring_phase


class PublishedCayley(Method):
    """Trockman & Kolter, ICLR 2021: the Cayley transform of a skew-Hermitian matrix at every frequency."""

    name = "cayley/published"
    title = "Cayley, published"
    dtypes = FFT_DTYPES

    @classmethod
    def check(cls, s: int, k: int) -> None:
        """The kernel must fit the image."""
        if k > s:
            raise ValueError(f"cayley transforms the kernel on the image's grid and needs k <= s, got k={k} and s={s}")

    def register(self) -> None:
        """The kernel and its one scale."""
        super().register()
        self.alpha = self.parameter()

    def parameter_transform(self) -> tuple[Tensor]:
        """Transform, scale, orthogonalise: (n, c_out, c_in) with n = s(⌊s/2⌋+1) frequencies."""
        n = self.s * (self.s // 2 + 1)
        phase = centring_phase(self.tape, self.s, self.s // 2 + 1).reshape(n, 1, 1)
        w = rfft2(self.weight, self.s).reshape(self.c_out, self.c_in, n)
        w = phase * w.permute(2, 0, 1).conj()
        scale = self.alpha * 1.0
        return (cayley(scale * w / w.norm()),)

    def input_transform(self, x: Tensor, q: Tensor) -> Tensor:  # type: ignore[override]
        """One matrix product per frequency."""
        half = self.s // 2 + 1
        x = rfft2(x).permute(2, 3, 1, 0).reshape(self.s * half, self.c_in, self.b)
        spectrum = matmul(q, x).reshape(self.s, half, self.c_out, self.b)
        y = irfft2(spectrum.permute(3, 2, 0, 1), self.s)
        if self.bias is not None:
            y = y.add_(self.bias.reshape(self.c_out, 1, 1))
        return y


def cayley(w: Tensor) -> Tensor:
    """(I+A)⁻¹(I-A) and -2V(I+A)⁻¹, A = U - U* + V*V."""
    _, c_out, c_in = w.shape
    if w.tape.holds(c_in > c_out):
        return cayley(w.transpose(1, 2)).transpose(1, 2)
    identity = filled("eye", w.tape, (c_in, c_in), w.kind)
    u = w.slice(1, c_in)
    a = u - u.conj().transpose(1, 2)
    if not w.tape.holds(c_in < c_out):
        return matmul(inverse(identity + a), identity - a)
    v = w.slice(1, c_out - c_in)
    a = a + matmul(v.conj().transpose(1, 2), v)
    inverted = inverse(identity + a)
    return cat(matmul(inverted, identity - a), matmul(-2 * v, inverted), axis=1)
