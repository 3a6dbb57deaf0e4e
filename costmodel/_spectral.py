"""Convolutions in the Fourier domain: the mirror of ``lipcost.layers._spectral``."""

from __future__ import annotations

from collections.abc import Sequence

from ._convolution import ZEROS, correlate
from ._kernels import in_place, pointwise
from ._method import FFT_DTYPES, Method
from ._ops import filled, irfft2, matmul, rfft2, to_complex
from ._tape import Size
from ._tensor import Tensor


class SpectralMethod(Method):
    """A method whose parameter transformation yields a matrix per frequency of the half spectrum; for k = 1 one."""

    dtypes = FFT_DTYPES

    def parameter_transform(self) -> tuple[Tensor]:
        """The matrices (n, c_out, c_in) of the padded image, or the one as a kernel."""
        if not self.holds(self.k > 1):
            return (self.matrices(1).reshape(*self.weight.shape),)
        return (self.matrices(self.s + self.padding),)

    def matrices(self, side: Size) -> Tensor:
        """q for images of ``side``."""
        raise NotImplementedError

    @property
    def padding(self) -> Size:
        """Rows and columns of zeros."""
        return 2 * (self.k // 2) if self.padding_mode == ZEROS else 0

    def input_transform(self, x: Tensor, q: Tensor) -> Tensor:  # type: ignore[override]
        """One matrix product per frequency, or a convolution."""
        if not self.holds(self.k > 1):
            return correlate(x, q, self.bias, self.padding_mode)
        return spectral_convolution(x, q, self.bias, self.padding)


def spectral_convolution(x: Tensor, q: Tensor, bias: Tensor | None, padding: Size) -> Tensor:
    """q (n, c_out, c_in) on the spectrum of x (b, c_in, s, s), zero-padded by ``padding``, then cropped; saves both."""
    s, needs = x.shape[3], x.requires_grad
    side = s + padding

    def forward() -> Tensor:
        y = to_image(matmul(to_spectrum(x, side), q.transpose(1, 2)), side).slice(2, s).slice(3, s)
        if bias is None:
            return y
        channels = bias.reshape(bias.shape[0], 1, 1)
        return y.add_(channels) if isinstance(padding, int) and padding == 0 else y + channels

    def backward(saved: Sequence[Tensor], g: Tensor) -> list[Tensor | None]:
        x, q = saved
        g_bias = [] if bias is None else [g.sum((0, 2, 3))]
        g_x = None
        spectrum = to_spectrum(g, side)
        g_q = matmul(spectrum.transpose(1, 2), to_spectrum(x, side).conj())
        in_place("mul_", g_q.window((side, side - (side // 2 + 1), *g_q.shape[1:])))
        if needs:
            spectrum = matmul(spectrum, q.conj())
            g_x = to_image(spectrum, side).slice(2, s).slice(3, s)
        return [g_x, g_q, *g_bias]

    return x.tape.function([x, q, bias], forward, lambda _: [x, q], backward)


def to_spectrum(x: Tensor, side: Size) -> Tensor:
    """The half spectrum (n, b, c), n = side(⌊side/2⌋+1), of x zero-padded to ``side``."""
    b, c = x.shape[:2]
    n = side * (side // 2 + 1)
    z = rfft2(x, side).reshape(b * c, n)
    return z.t().clone().reshape(n, b, c)


def to_image(z: Tensor, side: Size) -> Tensor:
    """The real images (b, c, side, side) of a half spectrum (n, b, c)."""
    n, b, c = z.shape
    z = z.reshape(n, b * c).t().clone().reshape(b, c, side, side // 2 + 1)
    return irfft2(z, side)


def fourier_basis(kernel: Tensor, side: Size) -> Tensor | None:
    """The matrix (n, k²) that takes the taps of a kernel to its spectrum."""
    tape, k, half = kernel.tape, kernel.shape[3], side // 2 + 1
    if not tape.holds(k > 1):
        return None
    taps = filled("arange", tape, (k,)) * 1.0
    rows = filled("fft_fftfreq", tape, (side,)).reshape(side, 1, 1, 1) * taps.reshape(k, 1)
    columns = filled("fft_rfftfreq", tape, (half,)).reshape(half, 1, 1) * taps
    angle = (rows + columns).reshape(side * half, k * k)
    return pointwise("polar", filled("ones_like", tape, angle.shape), angle, kind="complex")


def kernel_spectrum(kernel: Tensor, basis: Tensor | None) -> Tensor:
    """The matrices (n, c_out, c_in) of a kernel (c_out, c_in, k, k)."""
    c_out, c_in, k, _ = kernel.shape
    if basis is None:
        return kernel.reshape(1, c_out, c_in)
    return matmul(basis, to_complex(kernel.reshape(c_out * c_in, k * k)).t()).reshape(basis.shape[0], c_out, c_in)


def kernel_gradient(g: Tensor, kernel: Tensor, basis: Tensor | None) -> Tensor:
    """The gradient of the kernel."""
    if basis is None:
        return g.reshape(*kernel.shape)
    n, c_out, c_in = g.shape
    return matmul(g.reshape(n, c_out * c_in).t(), basis.conj()).real().reshape(*kernel.shape)
