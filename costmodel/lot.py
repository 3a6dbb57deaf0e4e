"""LOT: cost of ``lipcost.layers.LOTConv2d``."""

from __future__ import annotations

from collections.abc import Sequence

from ._convolution import ZEROS
from ._polar import polar_factor, polar_gradient
from ._spectral import SpectralMethod, fourier_basis, kernel_gradient, kernel_spectrum
from ._tape import Size
from ._tensor import Tensor


class LOT(SpectralMethod):
    """Xu, Li & Li, NeurIPS 2022: the polar factor of the kernel's spectrum, zero padding, crop."""

    name = "lot"
    title = "LOT"
    options = {"iterations": 6}
    padding_mode = ZEROS

    def matrices(self, side: Size) -> Tensor:
        """Transform, orthogonalise."""
        return polar_spectrum(self.weight, self.option["iterations"], side)


def polar_spectrum(weight: Tensor, iterations: int, side: Size) -> Tensor:
    """The polar factors of a kernel's spectrum, saving the kernel alone."""
    wide = weight.tape.holds(weight.shape[0] < weight.shape[1])

    def forward() -> Tensor:
        w = kernel_spectrum(weight, fourier_basis(weight, side))
        if wide:
            return polar_factor(w.transpose(1, 2), iterations).transpose(1, 2)
        return polar_factor(w, iterations)

    def backward(saved: Sequence[Tensor], g: Tensor) -> list[Tensor]:
        (weight,) = saved
        basis = fourier_basis(weight, side)
        w = kernel_spectrum(weight, basis)
        if wide:
            g = polar_gradient(g.transpose(1, 2), w.transpose(1, 2), iterations).transpose(1, 2).clone()
        else:
            g = polar_gradient(g, w, iterations)
        return [kernel_gradient(g, weight, basis)]

    return weight.tape.function([weight], forward, lambda _: [weight], backward)
