"""Upper bounds of spectral norms: of matrices by Gram iteration, of convolutions frequency by frequency."""

from __future__ import annotations

import torch
from torch import Tensor

from ...base.layer import CIRCULAR

GRAM_ITERATIONS = 10


def gram_bound(w: Tensor, iterations: int = GRAM_ITERATIONS) -> Tensor:
    r"""Upper bounds (..., 1, 1), real, of the spectral norms of matrices w (..., n, m), real or complex.

    Source: Delattre, Barthélemy, Araujo & Allauzen, "Efficient Bound of Lipschitz Constant for Convolutional Layers by
    Gram Iteration", ICML 2023.

    With :math:`G_0 = w`, :math:`G_{i+1} = G_i^* G_i` the norm is at most :math:`\|G_t\|_F^{1/2^t}`, and at least
    that over :math:`r^{1/2^{t+1}}`, r the rank: 1.004 for rank 4096 and t = 10. Each :math:`G_i` is divided by its
    Frobenius norm, of which the logarithms add up, so that nothing overflows. Rounding errors of the i-th product enter
    divided by 2^i: together at most 2·n·eps, relative. Zero matrices get 0.

    Args:
        w: the matrices, finite.
        iterations: t.

    Example:
        >>> import torch
        >>> from lipcost.layers.methods.parts.norms import gram_bound
        >>> round(float(gram_bound(torch.diag(torch.tensor([3.0, 2.0])))), 4)
        3.0
    """
    tiny = torch.finfo(w.dtype).tiny
    largest = w.abs().amax((-2, -1), keepdim=True).clamp_min(tiny)
    gram = w / largest
    logarithm = torch.zeros_like(largest)
    if w.shape[-2] < w.shape[-1]:
        gram = gram.mT.conj()
    for i in range(iterations):
        norm = torch.linalg.vector_norm(gram, dim=(-2, -1), keepdim=True).clamp_min(tiny)
        gram = gram / norm
        gram = gram.mT.conj() @ gram
        logarithm = logarithm + norm.log() / 2**i
    last = torch.linalg.vector_norm(gram, dim=(-2, -1), keepdim=True).clamp_min(tiny)
    bound: Tensor = largest * (logarithm + last.log() / 2**iterations).exp()
    return bound


def kernel_spectrum(kernel: Tensor, size: tuple[int, ...], padding_mode: str) -> Tensor:
    """The convolution's matrices (n, c_out, c_in), complex, at the frequencies whose largest norm bounds its norm.

    With circular padding those are of the image's grid and the largest norm is the convolution's. With zero padding the
    convolution is a part (rows and columns) of the circular one on an image that is larger by k-1, so its norm is at
    most that one's. Half the frequencies do, as the kernel is real.
    """
    k = kernel.shape[-1]
    h, w = size if padding_mode == CIRCULAR else (side + k - 1 for side in size)
    if k == 1:
        h = w = 1
    # A kernel larger than the image wraps around: a finer grid has all frequencies of the coarse one.
    y, x = -(-k // h), -(-k // w)
    spectrum: Tensor = torch.fft.rfft2(kernel, (y * h, x * w))[..., ::y, ::x]
    return spectrum.flatten(2).permute(2, 0, 1)


def kernel_norm(kernel: Tensor, size: tuple[int, ...], padding_mode: str) -> float:
    """The norm of the convolution with ``kernel`` (c_out, c_in, k, k), with zero padding an upper bound of it."""
    return largest_norm(kernel_spectrum(kernel.double(), size, padding_mode))


def largest_norm(matrices: Tensor) -> float:
    """The largest spectral norm of matrices (n, c_out, c_in), by singular values in double precision."""
    double = torch.complex128 if matrices.is_complex() else torch.float64
    return float(torch.linalg.matrix_norm(matrices.to(double), ord=2).max())
