"""The published algorithms."""

from __future__ import annotations

from typing import Any

import sympy

from . import own
from .parts import Layer, Theory, half_spectrum, real_fft, residual


def standard(z: Layer) -> Theory:
    # The image is padded circularly, outside the convolution, so autograd keeps the padded one.
    return own.standard(z)._replace(saved=z.padded)


def aol(z: Layer) -> Theory:
    # Both gradients are computed, and the correlation is kept for the gradient of its modulus.
    theory = own.aol(z)
    return theory._replace(saved=theory.saved + z.padded + z.c_in**2 * (2 * z.k - 1) ** 2)


def bcop(z: Layer, iterations: Any, power_iterations: Any) -> Theory:
    # Li et al. 2019, Algorithm 1. Of 2k-1 matrices n × n: the power method, Wᵀu and Wv, then uᵀWv; Björck–Bowie, WᵀW
    # and its product with W. 2(k-1) projectors, k-1 kernels of four products, and their block convolution: j² blocks
    # with four each. At last the k² blocks times the remaining matrix, m × n.
    n, m, k = z.n, z.m, z.k
    power = (2 * k - 1) * (2 * power_iterations * n**2 + n**2 + n)
    convolved = 0 if k == 1 else sympy.Rational(4, 6) * (k - 1) * k * (2 * k - 1) - 4  # Σ 4j², 2 ≤ j < k
    last = 0 if k == 1 else k**2 * m * n**2
    products = ((2 * k - 1) * 2 * iterations + 2 * (k - 1) + 4 * (k - 1) + convolved) * n**3 + last
    # Autograd keeps the factors of each product: W, W/2 and WᵀW per iteration; the orthogonal matrices, the halves, P
    # and I - P, four blocks per kernel of two taps, the blocks of each convolution, of side 3 to k; and the norms.
    blocks = 0 if k == 1 else sympy.Rational(1, 6) * k * (k + 1) * (2 * k + 1) - 5
    orthogonal = 0 if k == 1 else 2 * k - 1
    matrices = (2 * k - 1) * 3 * iterations + orthogonal + (2 + 2 + 2 + 4) * (k - 1) + blocks
    return Theory(
        forward=(z.pixels * z.kernel, power + products),
        backward=(2 * z.pixels * z.kernel, 2 * products),  # two gradients of each product; none of the norm
        parameters=(2 * k - 1) * n**2 + z.c_out,
        cache=z.kernel,
        saved=z.kernel + z.padded + matrices * n**2 + 2 * k - 1,
    )


def cayley(z: Layer) -> Theory:
    # Trockman & Kolter 2021: V*V, the inverse B of I + A, B(I - A) and VB, at every frequency for k = 1 too. Two
    # gradients of each product, and B*gB* of the inverse. The kernel is padded to the image and transformed.
    rest, m, frequencies, channels = z.n - z.m, z.m, half_spectrum(z.s), z.c_in * z.c_out
    apply = 4 * frequencies * z.b * channels
    # Kept per frequency: the phase, the spectra of x, of the kernel, scaled and (if [U; V] is used after A) divided by
    # its norm; I - A, B, -2V and Q. The transform keeps the padded kernel. Two numbers: the norm, the scale. The
    # gradient of a transform from real numbers, to half of the spectrum, is a complex one.
    divided = 0 if rest == 0 else channels
    kept = 1 + z.b * z.c_in + 3 * channels + divided + 2 * m**2 + rest * m
    padded = 0 if z.k == z.s else channels * z.s**2
    return Theory(
        forward=(apply, 4 * frequencies * (2 * rest * m**2 + m**3)),
        backward=(2 * apply, 4 * frequencies * (4 * rest * m**2 + 2 * m**3 + 2 * m**3)),
        parameters=z.kernel + z.c_out + 1,
        cache=2 * frequencies * channels,
        saved=2 * frequencies * kept + padded + 2,
        fft_forward=(z.b * (z.c_in + z.c_out) * real_fft(z.s), channels * real_fft(z.s)),
        fft_backward=(z.b * (2 * z.c_in + z.c_out) * real_fft(z.s), 2 * channels * real_fft(z.s)),
        inverses=(4 * 2 * m**3 * frequencies, 0),
    )


def bro(z: Layer, rank: Any) -> Theory:
    # Lai et al. 2025: V*V, its inverse R, VR and VRV*, n × n, at every frequency for k = 1 too. Two gradients of each
    # product, and R*gR* of the inverse.
    n, r, side, channels = z.n, rank, z.s + z.k - 1, z.c_in * z.c_out
    frequencies, products = half_spectrum(side), n**2 * r + 2 * n * r**2
    apply = 4 * frequencies * z.b * channels
    # Kept per frequency: the spectra of x and of V; R, VR and the whole W. The transforms keep the padded x and kernel,
    # and there is I, which ε is multiplied by.
    kept = z.b * z.c_in + 2 * n * r + r**2 + n**2
    padded = z.padded + (0 if z.s == 1 else n * r * side**2)
    return Theory(
        forward=(apply, 4 * frequencies * products),
        backward=(2 * apply, 4 * frequencies * (2 * products + 2 * r**3)),
        parameters=n * r * z.k**2 + z.c_out,
        cache=2 * frequencies * n**2,
        saved=2 * frequencies * kept + padded + 2 * r**2,
        fft_forward=(z.b * (z.c_in + z.c_out) * real_fft(side), n * r * real_fft(side)),
        fft_backward=(z.b * (2 * z.c_in + z.c_out) * real_fft(side), 2 * n * r * real_fft(side)),
        inverses=(4 * 2 * r**3 * frequencies, 0),
    )


def lot(z: Layer, iterations: Any) -> Theory:
    # Xu, Li & Li 2022: VV*, then coupled Newton: ZY, TZ, and YT but in the last iteration, c_out × c_out; then ZV. At
    # all frequencies, as the transforms are complex. Two gradients of a product; of the first two with Z one, as Z = I.
    frequencies, channels = (z.s + z.k - 1) ** 2, z.c_in * z.c_out
    apply = 4 * frequencies * z.b * channels
    small, wide = z.c_out**3, z.c_out**2 * z.c_in
    newton = 3 * iterations - 1
    transform = 2 * real_fft(z.s + z.k - 1)
    # Kept per frequency: the phase, the spectrum of x, V, ZV and Q; VV*, and Y, Z, T of each iteration, of a single one
    # Z alone; three real numbers, ‖VV*‖, with ε, and its root. And I.
    iterates = 1 if iterations == 1 else 3 * iterations
    kept = 1 + z.b * z.c_in + 3 * channels + (1 + iterates) * z.c_out**2
    return Theory(
        forward=(apply, 4 * frequencies * (2 * wide + newton * small)),
        backward=(2 * apply, 4 * frequencies * (4 * wide + (2 * newton - 2) * small)),
        parameters=z.kernel + z.c_out,
        cache=2 * frequencies * channels,
        saved=(2 * kept + 3) * frequencies + 2 * z.c_out**2,
        fft_forward=(z.b * (z.c_in + z.c_out) * transform, channels * transform),
        fft_backward=(z.b * (z.c_in + z.c_out) * transform, channels * transform),
    )


def cpl(z: Layer, iterations: Any, eval_iterations: Any) -> Theory:
    # Meunier et al. 2022: two convolutions of one image per power iteration, and Wu for <Wu, v>, which has a gradient.
    # Kept: y = relu(…), Wᵀy for the gradient of the scale; u, v; σ, 1/(σ² + ε), the scale.
    image = z.s**2 * z.kernel
    theory = residual(z)
    return theory._replace(
        forward=(theory.forward[0], (2 * iterations + 1) * image),
        backward=(theory.backward[0], image),
        inference=(theory.forward[0], (2 * eval_iterations + 1) * image),
        cache=1,
        saved=2 * z.n * z.pixels + 2 * z.n * z.s**2 + 3,
    )


def sll(z: Layer) -> Theory:
    # Kept: relu(…) and the scaled one; the correlation and its product with q; vectors: q, Σ_j …q_j, 1/T, the scale.
    theory = own.sll(z)
    return theory._replace(cache=z.n, saved=2 * z.n * z.pixels + 2 * z.n**2 * (2 * z.k - 1) ** 2 + 4 * z.n)


def soc(z: Layer, terms: Any, eval_terms: Any) -> Theory:
    # Singla & Feizi 2021: the series, t convolutions; two gradients each, for k = 1 too. The norms' power iterations
    # are sums of pointwise products. Kept: all terms but x and the last, the kernel, 0.7 S, four norms, three minima.
    convolution = z.pixels * z.square_kernel
    return Theory(
        forward=(terms * convolution, 0),
        backward=(2 * terms * convolution, 0),
        inference=(eval_terms * convolution, 0),
        parameters=z.square_kernel + z.c_out,
        cache=z.square_kernel,
        saved=z.widened + (terms - 1) * z.n * z.pixels + 2 * z.square_kernel + 7,
    )
