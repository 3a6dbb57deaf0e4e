"""SOC: skew orthogonal convolutions."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..base.conv2d import Conv2d
from ..base.layer import CIRCULAR, LIPSCHITZ, NONE, ZEROS
from .parts.convolution import correlate
from .parts.exponential import (
    Polynomial,
    exponential_polynomial,
    largest_modulus,
    matrix_polynomial,
    polar_polynomial,
    polynomial_convolution,
)
from .parts.norms import gram_bound, kernel_norm
from .published.soc import PublishedSOCConv2d

RADIUS = 1.5


class SOCConv2d(Conv2d):
    r"""A rotation by a skew-symmetric convolution, :math:`p(L) x \approx e^L x`, 1-Lipschitz in eval mode.

    Source: Singla & Feizi, "Skew Orthogonal Convolutions", ICML 2021; "Fantastic Four", ICLR 2021, for the norm.

    .. math:: L = \frac{3}{2k} \frac{S}{\sigma}, \qquad S = \tfrac12 (M - M^\top)

    with channels transposed and the kernel flipped in :math:`M^\top`, and σ the least spectral norm of the four
    matrices that the kernel can be reshaped to. As S is skew-symmetric, two and two of them have equal norms, so two
    are computed. By "Fantastic Four" :math:`\|L\| \le 1.5` on images of any size, with either padding.

    The eigenvalues of L are imaginary. In training p is the polynomial of degree ``terms`` whose modulus is next to 1
    on :math:`[-1.5\,i, 1.5\,i]`, and whose angle is near that of exp; see :func:`exponential_polynomial`. σ comes from
    one power iteration per step on the vectors ``u1`` and ``u2``, as published; where these have converged, the norms
    are in 1 ± 0.0035.

    In eval mode p, of degree ``eval_terms``, has the same angles, and is scaled so that |p| ≤ 1; σ is an upper bound,
    by Gram iteration. So the layer is 1-Lipschitz, and orthogonal to 3e-6: the polar factor of the one trained.

    With k = 1 the weights are the orthogonal matrix itself. Zero weights give the identity.

    Args and errors: those of :class:`Conv2d`, and

    Args:
        terms: the degree of p in training.
        eval_terms: the degree in eval mode.

    Example:
        >>> import torch
        >>> from lipcost.layers import SOCConv2d
        >>> SOCConv2d(3, 8, 3)(torch.zeros(2, 3, 16, 16)).shape
        torch.Size([2, 8, 16, 16])
    """

    name = "soc"
    title = "SOC"
    colour, marker = "#9A8B00", "X"
    counts = {"terms": 3, "eval_terms": 7}
    promise, train_promise = LIPSCHITZ, NONE
    orthogonal_paddings = (ZEROS, CIRCULAR)  # with zeros too the layer's matrix is skew-symmetric
    algorithms: ClassVar = {"published": PublishedSOCConv2d}
    padding_modes = (ZEROS, CIRCULAR)
    acts_on_larger = True
    initial_iterations = 50
    u1: Tensor
    u2: Tensor
    terms: int
    eval_terms: int

    def _register(self, factory: dict[str, Any], bias: bool) -> None:
        polynomial = exponential_polynomial(self.terms, RADIUS)
        self._polynomials = {True: polynomial, False: polar_polynomial(polynomial, self.eval_terms, RADIUS)}
        n, k = self.channels[0], self.kernel_size
        self.weight = nn.Parameter(torch.empty(n, n, k, k, **factory))
        self.register_parameter("bias", nn.Parameter(torch.empty(self.out_channels, **factory)) if bias else None)
        self.register_buffer("u1", torch.empty(1, n * k, **factory))
        self.register_buffer("u2", torch.empty(1, n, **factory))

    def reset_parameters(self) -> None:
        """Normal kernel (std 1/√n), uniform bias, power vectors converged on the kernel."""
        nn.init.normal_(self.weight, std=self.weight.shape[0] ** -0.5)
        if self.bias is not None:
            bound = self.out_channels**-0.5
            nn.init.uniform_(self.bias, -bound, bound)
        nn.init.normal_(self.u1)
        nn.init.normal_(self.u2)
        with torch.no_grad():
            matrices = reshaped(self._skew())
            for _ in range(self.initial_iterations):
                self._estimate(*matrices)

    def parameter_transform(self, size: tuple[int, ...]) -> tuple[Tensor]:
        skew = self._skew()
        norms = self._estimate(*reshaped(skew)) if self.training else map(gram_bound, reshaped(skew))
        sigma = torch.minimum(*norms)
        kernel = skew * (RADIUS / self.kernel_size / (sigma + (sigma < torch.finfo(sigma.dtype).tiny ** 0.5)))
        if self.kernel_size > 1:
            return (kernel,)
        return (matrix_polynomial(kernel.flatten(1), self._polynomial).reshape(kernel.shape),)

    def _apply_weights(self, x: Tensor, kernel: Tensor) -> Tensor:  # type: ignore[override]
        bias: Tensor | None = self.bias
        missing = self.channels[1] - self.out_channels
        if bias is not None and missing:
            bias = F.pad(bias, (0, missing))
        if self.kernel_size == 1:
            return correlate(x, kernel, bias, self.padding_mode)
        return polynomial_convolution(x, kernel, bias, self._polynomial, self.padding_mode)

    def _bound(self, weights: tuple[Tensor, ...], size: tuple[int, ...]) -> float:
        norm = kernel_norm(weights[0], size, self.padding_mode)
        return norm if self.kernel_size == 1 else largest_modulus(self._polynomial, norm)

    def _is_convolution(self) -> bool:
        return self.kernel_size == 1

    @property
    def _polynomial(self) -> Polynomial:
        return self._polynomials[self.training]

    def _skew(self) -> Tensor:
        return 0.5 * (self.weight - self.weight.transpose(0, 1).flip(2, 3))

    def _estimate(self, first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
        """Lower bounds of two norms, after one power iteration."""
        return power_iteration(first, self.u1), power_iteration(second, self.u2)


def reshaped(kernel: Tensor) -> tuple[Tensor, Tensor]:
    """The matrices (n·k, n·k) and (n, n·k²): rows over (out, height) or out alone, columns over the rest."""
    n, _, k, _ = kernel.shape
    return kernel.transpose(1, 2).reshape(n * k, n * k), kernel.reshape(n, n * k**2)


def power_iteration(matrix: Tensor, u: Tensor) -> Tensor:
    """A lower bound of the norm of a matrix (n, m), differentiable; the buffer u (1, n) takes the next vector."""
    with torch.no_grad():
        v = u @ matrix
        v = v / torch.linalg.vector_norm(v).clamp_min(torch.finfo(v.dtype).tiny)
    w = v @ matrix.t()
    norm: Tensor = torch.linalg.vector_norm(w)
    with torch.no_grad():
        u.copy_(torch.where(norm > 0, w / norm, u))  # a zero vector would stay zero
    return norm
