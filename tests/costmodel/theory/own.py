"""The library's own algorithms."""

from __future__ import annotations

from typing import Any

import sympy

from .parts import Layer, Theory, half_spectrum, polar, real_fft, residual, spectral


def standard(z: Layer) -> Theory:
    # A convolution; its gradients of input and kernel are one each (Prach et al. 2024). Kept are x and the kernel,
    # which do not count.
    convolution = z.pixels * z.kernel
    return Theory(
        forward=(convolution, 0), backward=(2 * convolution, 0), parameters=z.kernel + z.c_out, cache=0, saved=0
    )


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
