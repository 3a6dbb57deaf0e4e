"""BCOP: block convolution orthogonal parameterisation."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..base.function import Function
from ..base.layer import CIRCULAR, ORTHOGONAL
from .families.kernel import KernelConv2d
from .parts.polar import Trail, iterate, polar_factor, trail_gradient
from .published.bcop import PublishedBCOPConv2d


class BCOPConv2d(KernelConv2d):
    r"""Orthogonal convolution: an orthogonal matrix times 2(k-1) orthogonal kernels of two taps, made of projectors.

    Source: Li, Haque, Anil, Lucas, Grosse & Jacobsen, "Preventing Gradient Attenuation in Lipschitz Constrained
    Convolutional Networks", NeurIPS 2019, Algorithm 1.

    With n = max(c_in, c_out), the 2k-1 free matrices (n, n) are replaced by their polar factors
    (:func:`~lipcost.layers.methods.parts.polar.polar`). The first one, cut to its first rows or columns where
    c_in ≠ c_out, is a kernel of one pixel. The first ⌊n/2⌋ columns H of each other give a projector P = HHᵀ, and the
    kernel with blocks :math:`X_i` grows by

    .. math:: Y_i = X_i P + X_{i-1} (I - P),

    alternately along rows and columns: it is multiplied by :math:`P + (I-P) e^{-i\theta}` at each frequency. For an
    eigenvalue p of P in [0, 1], :math:`|p + (1-p) e^{-i\theta}| \le 1`. So contractions H suffice, and the layer is
    1-Lipschitz for every weight; it is orthogonal where the polar factors have converged.

    The backward pass keeps the weight alone and computes the rest anew.

    Args:
        iterations: polynomials of the polar factor. Seven do for condition numbers up to 2·10³.

    Other arguments and errors: those of :class:`Conv2d`, or a ValueError if ``iterations`` is no positive integer.

    Example:
        >>> import torch
        >>> from lipcost.layers import BCOPConv2d
        >>> BCOPConv2d(3, 8, 3)(torch.zeros(2, 3, 16, 16)).shape
        torch.Size([2, 8, 16, 16])
    """

    name = "bcop"
    title = "BCOP"
    colour, marker = "#E69F00", "D"
    counts = {"iterations": 7}
    promise = ORTHOGONAL
    orthogonal_paddings = (CIRCULAR,)
    algorithms: ClassVar = {"published": PublishedBCOPConv2d}
    iterations: int

    def _register(self, factory: dict[str, Any], bias: bool) -> None:
        n, c_out = max(self.channels), self.out_channels
        self.weight = nn.Parameter(torch.empty(2 * self.kernel_size - 1, n, n, **factory))
        self.register_parameter("bias", nn.Parameter(torch.empty(c_out, **factory)) if bias else None)

    def reset_parameters(self) -> None:
        """Random orthogonal matrices (scaled by 1/√n), uniform bias."""
        for matrix in self.weight.detach():
            precise = matrix.to(torch.promote_types(matrix.dtype, torch.float32))  # QR knows no bfloat16
            matrix.copy_(nn.init.orthogonal_(precise, gain=matrix.shape[0] ** -0.5))
        if self.bias is not None:
            bound = self.out_channels**-0.5
            nn.init.uniform_(self.bias, -bound, bound)

    def parameter_transform(self, size: tuple[int, ...]) -> tuple[Tensor]:
        blocks = OrthogonalBlocks.of(self.weight, self.channels, self.iterations)
        c_in, c_out = self.channels
        return (blocks.permute(2, 3, 0, 1) if c_in > c_out else blocks.permute(3, 2, 0, 1),)


class OrthogonalBlocks(Function):
    """The blocks (k, k, min, max) of the orthogonal kernel of free matrices w (2k-1, max, max)."""

    @staticmethod
    def forward(w: Tensor, channels: tuple[int, int], iterations: int) -> Tensor:
        factors = polar_factor(w, iterations)
        x = _corner(factors, channels)
        if factors.shape[0] == 1:
            return x.clone(memory_format=torch.contiguous_format)
        for i, p in enumerate(_projectors(_halves(factors))):
            x = _grown(x, p, 1 - i % 2)
        return x

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, tuple[int, int], int], output: Tensor) -> None:
        w, ctx.channels, ctx.iterations = inputs
        ctx.save_for_backward(w)

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor, None, None]:
        (w,) = ctx.saved_tensors
        trail: Trail = []
        factors, scale = iterate(w, ctx.iterations, trail)
        of_factors = _factors_gradient(g, factors, ctx.channels)
        return trail_gradient(of_factors, factors, trail) / scale, None, None


def _factors_gradient(g: Tensor, factors: Tensor, channels: tuple[int, int]) -> Tensor:
    """The gradient of the polar factors, where that of the blocks is ``g``."""
    g = g.clone(memory_format=torch.contiguous_format)
    out = torch.zeros_like(factors)
    if factors.shape[0] > 1:
        halves = _halves(factors)
        projectors = _projectors(halves)
        blocks = [_corner(factors, channels)]
        for i, p in enumerate(projectors[:-1]):
            blocks.append(_grown(blocks[-1], p, 1 - i % 2))
        for i in reversed(range(len(projectors))):
            g, of_p = _grown_gradient(g, blocks.pop(), projectors[i], 1 - i % 2)
            out[1 + i].copy_(of_p).add_(of_p.t())
        out[1:].copy_(_masked(out[1:] @ halves))
    _corner(out, channels).copy_(g)
    return out


def _corner(factors: Tensor, channels: tuple[int, int]) -> Tensor:
    """The first rows or columns of the first matrix, as a kernel of one pixel (1, 1, min, max)."""
    c_in, c_out = channels
    corner = factors[0, :c_in, :c_out]
    return (corner.t() if c_in > c_out else corner)[None, None]


def _halves(factors: Tensor) -> Tensor:
    """The matrices but the first, only their first ⌊n/2⌋ columns other than zero."""
    return _masked(factors[1:])


def _masked(x: Tensor) -> Tensor:
    n = x.shape[-1]
    return x * (torch.arange(n, device=x.device) < n // 2)


def _projectors(halves: Tensor) -> tuple[Tensor, ...]:
    return (halves @ halves.mT).unbind()


def _grown(x: Tensor, p: Tensor, axis: int) -> Tensor:
    """Y_i = X_i P + X_{i-1} (I - P) along an axis of x (rows, columns, m, n)."""
    product = (x.flatten(0, 2) @ p).view(x.shape)
    y = F.pad(x - product, (0,) * 2 * (3 - axis) + (1, 0))
    y.narrow(axis, 0, x.shape[axis]).add_(product)
    return y


def _grown_gradient(g: Tensor, x: Tensor, p: Tensor, axis: int) -> tuple[Tensor, Tensor]:
    """The gradients of x and P: g_{i+1} + D_i P and Σ X_iᵀ D_i for the differences D_i = g_i - g_{i+1}."""
    size = x.shape[axis]
    later = g.narrow(axis, 1, size)
    differences = (g.narrow(axis, 0, size) - later).flatten(0, 2)
    of_p = x.flatten(0, 2).t() @ differences
    return later + (differences @ p).view(x.shape), of_p
