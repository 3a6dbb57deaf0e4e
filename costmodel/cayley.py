"""Cayley: cost of ``lipcost.layers.CayleyConv2d``."""

from __future__ import annotations

from collections.abc import Sequence

from ._kernels import in_place, pointwise
from ._ops import adjoint, cat, filled, inverse, matmul
from ._spectral import SpectralMethod, fourier_basis, kernel_gradient, kernel_spectrum
from ._tape import Size
from ._tensor import Tensor


class Cayley(SpectralMethod):
    """Trockman & Kolter, ICLR 2021: the Cayley transform of a skew-Hermitian matrix at every frequency."""

    name = "cayley"
    title = "Cayley"

    @classmethod
    def check(cls, s: int, k: int) -> None:
        """Circular padding wraps at most once."""
        if k // 2 > s:
            raise ValueError(f"{cls.name} pads circularly and needs k // 2 <= s, got k={k} and s={s}")

    def register(self) -> None:
        """The kernel and its one scale."""
        super().register()
        self.alpha = self.parameter()

    def matrices(self, side: Size) -> Tensor:
        """Transform, scale, orthogonalise."""
        return cayley_transform(self.weight, self.alpha, side)


def cayley_transform(weight: Tensor, alpha: Tensor, side: Size) -> Tensor:
    """The Cayley transform of the scaled spectrum; saves q, the weight and α."""

    def forward() -> Tensor:
        w = kernel_spectrum(weight, fourier_basis(weight, side))
        return orthonormal(w * (alpha * 1.0 / norm_of(w)))

    def backward(saved: Sequence[Tensor], g: Tensor) -> list[Tensor]:
        weight, alpha, q = saved
        basis = fourier_basis(weight, side)
        w = kernel_spectrum(weight, basis)
        norm = norm_of(w)
        scale = 1.0 / norm
        factor = alpha * scale
        of_norm = kernel_gradient(w, weight, basis) / norm
        w = w * factor
        g = kernel_gradient(orthonormal_gradient(g, q, w), weight, basis)
        length = (g * weight).sum()
        return [(g - of_norm * (length / norm)) * factor, length * scale]

    return weight.tape.function([weight, alpha], forward, lambda q: [weight, alpha, q], backward)


def orthonormal(w: Tensor) -> Tensor:
    """2B - I and -2VB with B = (I + U - U* + V*V)⁻¹."""
    _, c_out, c_in = w.shape
    if w.tape.holds(c_in > c_out):
        return orthonormal(w.transpose(1, 2)).transpose(1, 2)
    tall = w.tape.holds(c_in < c_out)
    u, v = w.slice(1, c_in), w.slice(1, c_out - c_in)
    a = u - adjoint(u)
    if tall:
        a.add_(matmul(adjoint(v), v))
    q = inverse(shifted(a))
    del a
    if tall:
        q = cat(q, -matmul(v, q), axis=1)
    del w, u, v
    return guard(shifted(in_place("mul_", q)))


def guard(q: Tensor) -> Tensor:
    """A Newton-Schulz step, or the identity."""
    n, *shape = q.shape
    defect = shifted(matmul(adjoint(q), q))
    usable = pointwise("lt", components(defect).norm((1,)), kind="bool").reshape(n, 1, 1)
    q.add_(matmul(q, defect))
    return pointwise("where", usable, q, filled("eye", q.tape, tuple(shape), q.kind), kind=q.kind)


def orthonormal_gradient(g: Tensor, q: Tensor, w: Tensor) -> Tensor:
    """The gradient of w in :func:`orthonormal`."""
    _, c_out, c_in = w.shape
    if w.tape.holds(c_in > c_out):
        return orthonormal_gradient(g.transpose(1, 2), q.transpose(1, 2), w.transpose(1, 2)).transpose(1, 2).clone()
    tall = w.tape.holds(c_in < c_out)
    inverse = adjoint(shifted(q.slice(1, c_in) / 2))
    top, v = g.slice(1, c_in), w.slice(1, c_out - c_in)
    if tall:
        top = top - matmul(adjoint(v), g.slice(1, c_out - c_in))
    of_a = in_place("mul_", matmul(matmul(inverse, top), inverse))
    of_u = of_a - adjoint(of_a)
    if not tall:
        return of_u
    of_v = in_place("mul_", matmul(g.slice(1, c_out - c_in), inverse)) + matmul(v, of_a + adjoint(of_a))
    return cat(of_u, of_v, axis=1)


def shifted(a: Tensor) -> Tensor:
    """A multiple of the identity added in place."""
    in_place("add_", a.window((a.shape[0], a.shape[2])))
    return a


def norm_of(w: Tensor) -> Tensor:
    """The norm of all w, or 1 for zero."""
    norm = components(w).norm()
    return norm + pointwise("eq", norm, kind="bool")


def components(w: Tensor) -> Tensor:
    """The real numbers (n, m) in matrices (n, c, d)."""
    n, c, d = w.shape
    return w.as_kind("real", (n, 2 * c * d if w.kind == "complex" else c * d))
