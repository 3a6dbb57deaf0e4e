"""Each algorithm's cost, derived by hand from its paper and its equations, is what the cost model says.

The functions of THEORY know nothing of the program that is recorded: they count the convolutions and products that a
method's equations ask for, and the arrays that its gradient needs. So a layer that drops a convolution or iterates
otherwise differs from them. docs/methods says the same in words. Sizes and iteration counts are numbers or symbols.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import product
from typing import Any, NamedTuple

import pytest
import sympy

from lipcost.costmodel import METHODS, formula, leading_order, predict

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
    # four times that if complex


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


def standard(z: Layer) -> Theory:
    # A convolution; its gradients of input and kernel are one each (Prach et al. 2024). Kept are x and the kernel,
    # which do not count.
    convolution = z.pixels * z.kernel
    return Theory(
        forward=(convolution, 0), backward=(2 * convolution, 0), parameters=z.kernel + z.c_out, cache=0, saved=0
    )


def standard_published(z: Layer) -> Theory:
    # The image is padded circularly, outside the convolution, so autograd keeps the padded one.
    return standard(z)._replace(saved=z.padded)


def aol(z: Layer) -> Theory:
    # Prach & Lampert 2022, Theorem 1: the kernel is correlated with itself, c_in × c_in channels at 2k-1 × 2k-1
    # displacements, c_out·k² MACs each. Two kernels come out of the gradient, one correlation each; as they are equal
    # one is computed, and the correlation anew. Kept: the kernel as divided, and the c_in square roots.
    correlation = z.c_in**2 * (2 * z.k - 1) ** 2 * z.c_out * z.k**2
    return Theory(
        forward=(z.pixels * z.kernel, correlation),
        backward=(2 * z.pixels * z.kernel, 2 * correlation),
        parameters=z.kernel + z.c_out,
        cache=z.kernel,
        saved=z.kernel + z.c_in,
    )


def aol_published(z: Layer) -> Theory:
    # Both gradients are computed, and the correlation is kept for the gradient of its modulus.
    theory = aol(z)
    return theory._replace(saved=theory.saved + z.padded + z.c_in**2 * (2 * z.k - 1) ** 2)


def polar(rows: Any, columns: Any, iterations: Any) -> Pair:
    """MACs of a real polar factor and of its gradient, rows ≥ columns (Amsel et al. 2025; Björck & Bowie 1971)."""
    # An odd polynomial X (aI + bG + cG²): G = X*X, G², and the product with X. The last has c = 0, so no G².
    tall, small = rows * columns**2, columns**3
    forward = iterations * (2 * tall + small) + 2 * tall
    # Its gradient, with S = X*g + g*X: X*g, g(bG + cG²), GS, and X times the rest. The last has no GS. Then the part
    # Q(Q*g + g*Q)/2 is taken off, two products.
    return forward, iterations * (3 * tall + small) + 3 * tall + 2 * tall


def bcop(z: Layer, iterations: Any) -> Theory:
    # Li et al. 2019, Algorithm 1, one projector at a time: 2k-1 polar factors n × n; 2(k-1) of them give projectors
    # HHᵀ, one product each. The kernel of blocks m × n grows by a tap per projector, all blocks times n × n: before it
    # has 1·1, 1·2, 2·2, 2·3, …, (k-1)·k blocks, in all Σ (j² + j(j+1)) over j < k.
    n, m, k = z.n, z.m, z.k
    factor, factor_gradient = polar(n, n, iterations)
    projectors = 2 * (k - 1) * n**3
    grown = sympy.Rational(1, 6) * k * (k - 1) * (4 * k + 1)  # blocks
    # Backwards the factors, the projectors and all kernels but the last, of k(k-1) products, are computed anew. A
    # growth's product has two gradients; of HHᵀ the two are equal, (g + gᵀ)H.
    again = factor * (2 * k - 1) + projectors + (grown - k * (k - 1)) * m * n**2
    return Theory(
        forward=(z.pixels * z.kernel, (2 * k - 1) * factor + projectors + grown * m * n**2),
        backward=(
            2 * z.pixels * z.kernel,
            again + (2 * k - 1) * factor_gradient + projectors + 2 * grown * m * n**2,
        ),
        parameters=(2 * k - 1) * n**2 + z.c_out,
        cache=z.kernel,
        saved=z.kernel,  # the backward starts from the free matrices
    )


def bcop_published(z: Layer, iterations: Any, power_iterations: Any) -> Theory:
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


def cayley(z: Layer) -> Theory:
    # Trockman & Kolter 2021: V*V for what is more than square, an inverse B, and VB, for Q = (2B - I, -2VB). A
    # Newton–Schulz step Q - Q(Q*Q - I)/2 takes two products. The gradient reads B off Q: B*gB* is two, and V*g, gB* and
    # the gradient of V*V, one product with V, one each. The kernel is transformed, backwards again, and two gradients
    # of a spectrum, of the weight's and of its norm, are transformed back.
    rest, n, m = z.n - z.m, z.n, z.m
    theory = spectral(z, z.s, (2 * rest * m**2 + 2 * n * m**2, 2 * m**3 + 3 * rest * m**2), transforms=(1, 1 + 2))
    inverse = 2 * m**3
    return theory._replace(
        parameters=theory.parameters + 1,  # α
        inverses=(inverse if z.k == 1 else 4 * inverse * half_spectrum(z.s), 0),
    )


def lot(z: Layer, iterations: Any) -> Theory:
    # Xu, Li & Li 2022, the polar factor by polynomials: at each frequency of the padded image. Its backward transforms
    # the kernel and iterates anew, then transforms the gradient back.
    forward, gradient = polar(z.n, z.m, iterations)
    return spectral(z, z.s + z.k - 1, (forward, forward + gradient), transforms=(1, 2))


def cayley_published(z: Layer) -> Theory:
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
    # Lai et al. 2025, by Cholesky: V*V, U = VL⁻* and D = I - U*U; L⁻¹L⁻*, which D is held to, D² and (I + D)D², r³
    # each; B = I + D + D² + D³ on the smaller side of the block, and the block UBU*. Backwards all but the last two
    # anew, UB, then (g + g*)UB (two blocks where it is not square), U* and UB times that, and L⁻¹. The kernel, n × r,
    # is transformed, backwards again, and its gradient back.
    n, m, r = z.n, z.m, rank
    weight, basis = n * r * z.k**2, 3 * n * r**2 + 3 * r**3
    block = n * n * r if z.c_in == z.c_out else 2 * n * m * r
    transform = 0 if z.k == 1 else weight
    forward = basis + m * r**2 + n * m * r + transform
    theory = spectral(z, z.s + z.k - 1, (forward, basis + 4 * n * r**2 + block + 2 * transform), transforms=(0, 0))
    solved = sympy.Rational(1, 3) * r**3 + r**3  # L, and L⁻¹ by a triangular solve of r right sides
    solved *= 1 if z.k == 1 else 4 * half_spectrum(z.s + z.k - 1)
    return theory._replace(parameters=weight + z.c_out, inverses=(solved, solved))


def bro_published(z: Layer, rank: Any) -> Theory:
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


def lot_published(z: Layer, iterations: Any) -> Theory:
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


def cpl(z: Layer, iterations: Any, eval_iterations: Any) -> Theory:
    # Meunier et al. 2022: two convolutions per power iteration, of one image of 4k × 4k pixels; <Wu, v> is known then,
    # its gradient one correlation of u and v. These are kept, and σ, √(σ² + ε), its reciprocal, the scale.
    theory, image = residual(z), 1 if z.k == 1 else (4 * z.k) ** 2
    # In eval: Gram iteration (Delattre et al. 2023), a product n × n each, at the frequencies of the padded image.
    gram, transform = eval_iterations * z.n**3, 0
    if z.k != 1:
        gram, transform = 4 * half_spectrum(z.s + z.k - 1) * gram, z.n**2 * real_fft(z.s + z.k - 1)
    return theory._replace(
        forward=(theory.forward[0], 2 * iterations * image * z.square_kernel),
        backward=(theory.backward[0], image * z.square_kernel),
        inference=(theory.forward[0], gram),
        fft_inference=(0, transform),
        saved=theory.saved + 2 * z.n * image + 4,
    )


def cpl_published(z: Layer, iterations: Any, eval_iterations: Any) -> Theory:
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
    # Araujo et al. 2023, Theorem 3: the correlation of the kernel with itself, as AOL's, n × n channels. Kept: its sums
    # over the displacements, n × n, and vectors: q, Σ_j …q_j, √, its reciprocal, the scale.
    theory, correlation = residual(z), z.n**3 * (2 * z.k - 1) ** 2 * z.k**2
    return theory._replace(
        forward=(theory.forward[0], correlation),
        backward=(theory.backward[0], 2 * correlation),
        parameters=theory.parameters + z.n,  # q
        saved=theory.saved + z.n**2 + 5 * z.n,
    )


def sll_published(z: Layer) -> Theory:
    # Kept: relu(…) and the scaled one; the correlation and its product with q; vectors: q, Σ_j …q_j, 1/T, the scale.
    theory = sll(z)
    return theory._replace(cache=z.n, saved=2 * z.n * z.pixels + 2 * z.n**2 * (2 * z.k - 1) ** 2 + 4 * z.n)


def soc(z: Layer, terms: Any, eval_terms: Any) -> Theory:
    # Singla & Feizi 2021, by Horner's scheme: t convolutions, n²k² MACs a pixel. Backwards t for the g_i, of which the
    # input's gradient is made, and t for that of the kernel; the last two z_i are kept, the t - 3 others computed anew.
    n, k = z.n, z.k
    convolution = z.pixels * z.square_kernel
    # One power iteration, uA and vAᵀ, of two reshapings, nk × nk and n × nk²; its gradient is one outer product.
    power, power_gradient = 2 * 2 * z.square_kernel, 2 * z.square_kernel
    # In eval ten Gram iterations of each: (nk)³ each; n·nk²·n for the first of the other, then n³.
    gram = 10 * (n * k) ** 3 + n**3 * k**2 + 9 * n**3
    # Kept of the norms: of each v, of length nk and nk², and Av, nk and n; the two norms, the reciprocal, the scale.
    norms = n * (k + k**2 + k + 1) + 4
    parameters = z.square_kernel + z.c_out
    if k == 1:  # the matrix polynomial: t - 1 products, two gradients each, of which factors are kept
        factors = terms * n**2 if terms != 1 else 0
        return Theory(
            forward=(convolution, power + (terms - 1) * n**3),
            backward=(2 * convolution, power_gradient + 2 * (terms - 1) * n**3),
            inference=(convolution, gram + (eval_terms - 1) * n**3),
            parameters=parameters,
            cache=n**2,
            saved=z.widened + 2 * n**2 + factors + norms,  # the kernel and S
        )
    return Theory(
        forward=(terms * convolution, power),
        backward=((2 * terms + sympy.Max(terms - 3, 0)) * convolution, power_gradient),
        inference=(eval_terms * convolution, gram),
        parameters=parameters,
        cache=z.square_kernel,
        # x with channels innermost and the two z_i; the kernel and S
        saved=(1 + sympy.Min(terms - 1, 2)) * n * z.pixels + 2 * z.square_kernel + norms,
    )


def soc_published(z: Layer, terms: Any, eval_terms: Any) -> Theory:
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


THEORY: dict[str, Callable[..., Theory]] = {
    "standard": standard,
    "aol": aol,
    "bcop": bcop,
    "bro": bro,
    "cayley": cayley,
    "cpl": cpl,
    "lot": lot,
    "sll": sll,
    "soc": soc,
    "standard/published": standard_published,
    "aol/published": aol_published,
    "bcop/published": bcop_published,
    "bro/published": bro_published,
    "cayley/published": cayley_published,
    "cpl/published": cpl_published,
    "lot/published": lot_published,
    "sll/published": sll_published,
    "soc/published": soc_published,
}

BYTES = 4  # of an element
B, S, C, K = (sympy.Symbol(name, integer=True, positive=True) for name in ("b", "s", "c", "k"))
M, R = sympy.symbols("m r", integer=True, positive=True)
LARGE = {K: 2 * M + 1, S: 2 * M + 1 + R, C: C + 1}  # an odd k above 1, an image larger than the kernel, c above 1
MANY = 2**10  # channels
ENOUGH = 3  # times that a loop runs at least, from where on every pass costs the same


def counts(method: str) -> dict[str, sympy.Symbol]:
    """The method's iteration counts, as formulas name them."""
    return {name: sympy.Symbol(name, integer=True, positive=True) for name in METHODS[method].counts}


def own_sizes(method: str) -> dict[str, sympy.Symbol]:
    """Likewise the method's own sizes."""
    return {name: sympy.Symbol(name, integer=True, positive=True) for name in METHODS[method].sizes}


def in_symbols(method: str, **own: Any) -> Theory:
    """In symbols, at large sizes and counts, c_in = c_out; ``own``: what the method's own sizes are, else above 1."""
    large = {name: symbol + ENOUGH for name, symbol in counts(method).items()}
    large |= {name: own.get(name, symbol + 1) for name, symbol in own_sizes(method).items()}
    return THEORY[method](Layer(B, LARGE[S], LARGE[C], LARGE[C], LARGE[K]), **large)


def by_default(method: str) -> Theory:
    """With the method's own sizes as its default has them for many channels: as parts of these."""
    return in_symbols(
        method, **{n: C * sympy.Rational(size(MANY, MANY), MANY) for n, size in METHODS[method].sizes.items()}
    )


def recorded(method: str, quantity: str, **arguments: Any) -> sympy.Expr:
    """The formula there: no condition is left of it."""
    large = LARGE | {symbol: symbol + ENOUGH for symbol in counts(method).values()}
    large |= {symbol: symbol + 1 for symbol in own_sizes(method).values()}
    return formula(method, quantity, **arguments).subs(large, simultaneous=True)


def difference(one: Any, other: Any) -> sympy.Expr:
    return sympy.expand(one - other)


def with_logarithm(expression: sympy.Expr) -> sympy.Expr:
    """The terms with one, which are Fourier transforms."""
    return sympy.Add(*(term for term in sympy.Add.make_args(sympy.expand(expression)) if term.has(sympy.log)))


def leading(expression: sympy.Expr) -> dict[tuple[int, int, int], sympy.Expr]:
    """The powers of b, s and c that no other term exceeds in all three, with coefficients; ⌊x⌋ is x, log x is 1."""
    expression = expression.replace(sympy.floor, lambda x: x).replace(sympy.log, lambda _: sympy.Integer(1))
    terms = dict(sympy.Poly(sympy.expand(expression), B, R, C).terms())
    return {p: terms[p] for p in terms if not any(p != q and all(map(int.__le__, p, q)) for q in terms)}


def order(expression: sympy.Expr) -> sympy.Expr:
    return sympy.Add(*(B**b * S**s * C**c for b, s, c in leading(expression)))


def test_every_method_has_a_theory() -> None:
    assert set(THEORY) == set(METHODS)


@pytest.mark.parametrize("part", ["input", "parameter"])
@pytest.mark.parametrize("method", METHODS)
def test_macs_in_symbols(method: str, part: str) -> None:
    expected, i = in_symbols(method), ["input", "parameter"].index(part)
    assert difference(recorded(method, "macs_forward", part=part), expected.forward[i]) == 0
    assert difference(recorded(method, "macs_backward", part=part), expected.backward[i]) == 0
    in_inference = (expected.inference or expected.forward)[i]
    assert difference(recorded(method, "macs_forward", mode="inference", part=part), in_inference) == 0


@pytest.mark.parametrize("method", METHODS)
def test_bytes_in_symbols(method: str) -> None:
    expected = in_symbols(method)
    assert difference(recorded(method, "parameter_bytes"), BYTES * expected.parameters) == 0
    assert difference(recorded(method, "cache_bytes", mode="inference"), BYTES * expected.cache) == 0
    assert difference(recorded(method, "saved_bytes"), BYTES * expected.saved) == 0


@pytest.mark.parametrize("part", ["input", "parameter"])
@pytest.mark.parametrize("method", METHODS)
def test_fourier_transforms_in_symbols(method: str, part: str) -> None:
    expected, i = in_symbols(method), ["input", "parameter"].index(part)
    assert difference(with_logarithm(recorded(method, "flops_forward", part=part)), expected.fft_forward[i]) == 0
    assert difference(with_logarithm(recorded(method, "flops_backward", part=part)), expected.fft_backward[i]) == 0
    in_inference = (expected.fft_inference or expected.fft_forward)[i]
    flops = recorded(method, "flops_forward", mode="inference", part=part)
    assert difference(with_logarithm(flops), in_inference) == 0


@pytest.mark.parametrize("method", METHODS)
def test_leading_flops(method: str) -> None:
    """Two a MAC and the inverses; all else is of a lower order. For k = 3."""
    expected, k = in_symbols(method), {M: 1}
    forward = (2 * sum(expected.forward) + expected.inverses[0]).subs(k)
    backward = (2 * sum(expected.backward) + expected.inverses[1]).subs(k)
    assert leading(recorded(method, "flops_forward").subs(k)) == leading(forward)
    assert leading(recorded(method, "flops_backward").subs(k)) == leading(backward)
    expected = by_default(method)
    forward = (2 * sum(expected.forward) + expected.inverses[0]).subs(k)
    assert leading_order(method, "flops_forward") == order(forward)


@pytest.mark.parametrize("method", METHODS)
def test_order_of_memory(method: str) -> None:
    """Activations of the batch, the weights and what they are transformed to."""
    expected = by_default(method)
    assert leading_order(method, "memory") == order(B * C * LARGE[S] ** 2 + expected.parameters + expected.cache)


@pytest.mark.parametrize("k", [1, 3, 5])
@pytest.mark.parametrize("method", METHODS)
def test_numbers(method: str, k: int) -> None:
    """Where sizes coincide, c_in and c_out differ, and loops run once or twice."""
    channels = [(4, 4)] if METHODS[method].square else [(4, 4), (3, 5), (6, 2)]
    passes = [1, 2, ENOUGH + 1] if METHODS[method].counts or METHODS[method].sizes else [1]
    for (c_in, c_out), s, count in product(channels, [5, 8], passes):
        numbers = {name: count + i for i, name in enumerate(METHODS[method].counts)}
        numbers |= dict.fromkeys(METHODS[method].sizes, min(count, max(c_in, c_out)))
        sizes = {"b": 3, "s": s, "c_in": c_in, "c_out": c_out, "k": k}
        expected = THEORY[method](Layer(**sizes), **numbers)
        train = predict(method, **sizes, **numbers)
        inference = predict(method, mode="inference", **sizes, **numbers)
        assert {
            "forward": by_part(train, "macs_forward"),
            "backward": by_part(train, "macs_backward"),
            "inference": by_part(inference, "macs_forward"),
            "inverses": train.by_class["inverse"],
            "parameters": train.parameter_bytes,
            "saved": train.saved_bytes,
            "cache": inference.cache_bytes,
        } == {
            "forward": expected.forward,
            "backward": expected.backward,
            "inference": expected.inference or expected.forward,
            "inverses": sympy.floor(sum(expected.inverses) + sympy.Rational(1, 2)),  # thirds are rounded
            "parameters": BYTES * expected.parameters,
            "saved": BYTES * expected.saved,
            "cache": BYTES * expected.cache,
        }, (sizes, numbers)


def by_part(prediction: Any, quantity: str) -> Pair:
    return prediction.parts["input"][quantity], prediction.parts["parameter"][quantity]
