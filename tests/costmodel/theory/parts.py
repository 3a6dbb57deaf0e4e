"""What theory says of a layer, and what the derivations share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import sympy

Pair = tuple[Any, Any]  # of the input and of the parameter transformation


class Theory(NamedTuple):
    """What theory says of a layer. Arrays are counted in real elements; a complex one is two."""

    forward: Pair
    backward: Pair
    parameters: Any
    cache: Any  # the transformed weights
    saved: Any  # for the backward pass, besides x and the layer's own tensors
    inference: Pair | None = None  # the forward there, if not as in training
    fft_forward: Pair = (0, 0)  # FLOPs of Fourier transforms
    fft_backward: Pair = (0, 0)
    fft_inference: Pair | None = None
    inverses: Pair = (0, 0)  # FLOPs, forward and backward: inverses 2n³, Cholesky n³/3, triangular solves n² a side;


@dataclass(frozen=True)
class Layer:
    """Sizes, and what recurs of them. The layers pad so that the output has the side s."""

    b: Any
    s: Any
    c_in: Any
    c_out: Any
    k: Any

    @property
    def n(self) -> Any:
        """The larger number of channels."""
        return sympy.Max(self.c_in, self.c_out)

    @property
    def m(self) -> Any:
        """The smaller."""
        return sympy.Min(self.c_in, self.c_out)

    @property
    def kernel(self) -> Any:
        """Entries of a c_out × c_in × k × k kernel."""
        return self.c_in * self.c_out * self.k**2

    @property
    def square_kernel(self) -> Any:
        """Entries of one on n channels."""
        return self.n**2 * self.k**2

    @property
    def pixels(self) -> Any:
        """Of the batch: a convolution is one MAC per pixel and entry of the kernel."""
        return self.b * self.s**2

    @property
    def widened(self) -> Any:
        """Elements of the input where zero channels make it one of n channels, which is then another array than x."""
        return 0 if self.n == self.c_in else self.n * self.pixels

    @property
    def padded(self) -> Any:
        """Elements of the input with k-1 more rows and columns, another array than x but for k = 1."""
        return 0 if self.k == 1 else self.b * self.c_in * (self.s + self.k - 1) ** 2


def half_spectrum(side: Any) -> Any:
    """Frequencies that a real image needs."""
    return side * (side // 2 + 1)


def real_fft(side: Any) -> Any:
    """FLOPs: 5/2 N log₂ N of N = side² points."""
    return 5 * side**2 * sympy.log(side) / sympy.log(2)


def polar(rows: Any, columns: Any, iterations: Any) -> Pair:
    """MACs of a real polar factor and of its gradient, rows ≥ columns (Amsel et al. 2025; Björck & Bowie 1971)."""
    # An odd polynomial X (aI + bG + cG²): G = X*X, G², and the product with X. The last has c = 0, so no G².
    tall, small = rows * columns**2, columns**3
    forward = iterations * (2 * tall + small) + 2 * tall
    # Its gradient, with S = X*g + g*X: X*g, g(bG + cG²), GS, and X times the rest. The last has no GS. Then the part
    # Q(Q*g + g*Q)/2 is taken off, two products.
    return forward, iterations * (3 * tall + small) + 3 * tall + 2 * tall


def spectral(z: Layer, side: Any, matrices: Pair, transforms: Pair) -> Theory:
    """A complex matrix c_out × c_in at each frequency of the half spectrum of images of ``side``; k = 1: a real one.

    Args:
        matrices: MACs of the parameter transformation of one frequency, if real, forward and backward.
        transforms: how often the kernel is transformed, by a product with k² exponentials, forward and backward.
    """
    # Applied at 4 real MACs per complex one; two gradients. x, the weight and Q are kept, the spectra computed anew. A
    # channel of the input or output takes one transform, forward and of its gradient; the input one more, anew.
    forward, backward = matrices
    parameters = z.kernel + z.c_out
    if z.k == 1:
        convolution = z.pixels * z.kernel
        return Theory((convolution, forward), (2 * convolution, backward), parameters, cache=z.kernel, saved=z.kernel)
    frequencies, channels = half_spectrum(side), z.c_in * z.c_out
    apply = 4 * frequencies * z.b * channels
    return Theory(
        forward=(apply, 4 * frequencies * (forward + transforms[0] * z.kernel)),
        backward=(2 * apply, 4 * frequencies * (backward + transforms[1] * z.kernel)),
        parameters=parameters,
        cache=2 * frequencies * channels,
        saved=2 * frequencies * channels,
        fft_forward=(z.b * (z.c_in + z.c_out) * real_fft(side), 0),
        fft_backward=(z.b * (2 * z.c_in + z.c_out) * real_fft(side), 0),
    )


def residual(z: Layer) -> Theory:
    """x - Vᵀ relu(Vx + b) on n channels, apart from how V is scaled (Meunier et al. 2022; Araujo et al. 2023)."""
    # Two convolutions. The gradient: h = -Vg, Vᵀh, and of V the correlations of h with x and of y with g. Kept are x,
    # y = relu(…), V and b.
    convolution = z.pixels * z.square_kernel
    return Theory(
        forward=(2 * convolution, 0),
        backward=(4 * convolution, 0),
        parameters=z.square_kernel + z.n,
        cache=z.square_kernel + z.n,
        saved=z.widened + z.n * z.pixels + z.square_kernel + z.n,
    )
