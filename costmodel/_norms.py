"""Upper bounds of spectral norms: the mirror of ``lipcost.layers._norms``; used without gradient only."""

from __future__ import annotations

from ._convolution import CIRCULAR
from ._kernels import pointwise, reduced, reduction
from ._ops import adjoint, filled, matmul, rfft2
from ._tape import Size
from ._tensor import Tensor

GRAM_ITERATIONS = 10


def gram_bound(w: Tensor, iterations: int = GRAM_ITERATIONS) -> Tensor:
    """Upper bounds (..., 1, 1) of the spectral norms of matrices w (..., n, m), by Gram iteration."""
    largest = amax(pointwise("abs", w, kind="real")).clamp_min()
    gram = w / largest
    logarithm = filled("zeros_like", w.tape, largest.shape)
    if w.tape.holds(w.shape[-1] > w.shape[-2]):
        gram = adjoint(gram)
    for i in range(iterations):
        norm = gram.norm(_last_two(gram)).clamp_min()
        gram = gram / norm
        gram = matmul(adjoint(gram), gram)
        logarithm = logarithm + pointwise("log", norm) / 2**i
    last = gram.norm(_last_two(gram)).clamp_min()
    return largest * pointwise("exp", logarithm + pointwise("log", last) / 2**iterations)


def kernel_spectrum(kernel: Tensor, s: Size, padding_mode: str) -> Tensor:
    """The convolution's matrices (n, c_out, c_in), complex, at half the frequencies of the grid."""
    c_out, c_in, k, _ = kernel.shape
    holds = kernel.tape.holds
    if not holds(k > 1):
        return rfft2(kernel).reshape(c_out, c_in, 1).permute(2, 0, 1)
    side = s if padding_mode == CIRCULAR else s + k - 1
    if not holds(k > side):
        return rfft2(kernel, side).reshape(c_out, c_in, side * (side // 2 + 1)).permute(2, 0, 1)
    # The kernel wraps around, once or twice: a grid as many times finer, of which the image's frequencies are taken.
    times = 3 if holds(k > 2 * s) else 2
    spectrum = rfft2(kernel, times * s).slice(2, s).slice(3, s // 2 + 1)
    spectrum = spectrum.clone() if holds(s > 1) else spectrum
    return spectrum.reshape(c_out, c_in, s * (s // 2 + 1)).permute(2, 0, 1)


def amax(w: Tensor) -> Tensor:
    """The largest entries (..., 1, 1) of real matrices w (..., n, m)."""
    return reduction("amax", w, reduced(w.shape, _last_two(w), keepdim=True)[1])


def _last_two(w: Tensor) -> tuple[int, int]:
    return len(w.shape) - 2, len(w.shape) - 1
