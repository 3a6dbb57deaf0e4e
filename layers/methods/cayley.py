"""Cayley: orthogonal convolution by the Cayley transform at every frequency."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from ..base.function import Function
from ..base.layer import CIRCULAR, ORTHOGONAL
from .families.spectral import SpectralConv2d, fourier_basis, kernel_gradient, kernel_spectrum
from .parts.sizes import square_root
from .published.cayley import PublishedCayleyConv2d


class CayleyConv2d(SpectralConv2d):
    r"""Orthogonal circular convolution, computed in the Fourier domain on the half spectrum of a real image.

    Source: Trockman & Kolter, "Orthogonalizing Convolutional Layers with the Cayley Transform", ICLR 2021.

    At each of the n = h(⌊w/2⌋+1) frequencies the kernel's transform Ŵ (c_out, c_in) is scaled to α√n Ŵ/‖Ŵ‖, with ‖Ŵ‖
    its norm over all n frequencies and α learned, and goes through the transform of :class:`CayleyTransform`. Zero
    weights count as of norm 1. For k = 1 one real matrix does for all frequencies, and the layer is a 1×1 convolution.

    With ``padding_mode="zeros"`` the layer is a part of the circular one on an image larger by k-1: 1-Lipschitz, and
    not orthogonal.

    Args and errors: those of :class:`Conv2d`; float32 and float64 only.

    Example:
        >>> import torch
        >>> from lipcost.layers import CayleyConv2d
        >>> CayleyConv2d(3, 8, 3)(torch.zeros(2, 3, 15, 16)).shape
        torch.Size([2, 8, 15, 16])
    """

    name = "cayley"
    title = "Cayley"
    colour, marker = "#009E73", "^"
    promise = ORTHOGONAL
    orthogonal_paddings = (CIRCULAR,)
    algorithms: ClassVar = {"published": PublishedCayleyConv2d}

    def _register(self, factory: dict[str, Any], bias: bool) -> None:
        super()._register(factory, bias)
        self.alpha = nn.Parameter(torch.empty((), **factory))

    def reset_parameters(self) -> None:
        """As torch.nn.Conv2d; α = ‖W‖."""
        super().reset_parameters()
        with torch.no_grad():
            self.alpha.copy_(self.weight.norm())

    def _matrices(self, size: tuple[int, int]) -> Tensor:
        return CayleyTransform.of(self.weight, self.alpha, size)


class CayleyTransform(Function):
    r"""The Cayley transform q (n, c_out, c_in) of the spectrum of α√n W/‖Ŵ‖, and all but q recomputed in its backward.

    For :math:`\begin{pmatrix} U \\ V \end{pmatrix}`, and the transpose of a wide matrix, with
    :math:`B = (I + U - U^* + V^* V)^{-1}`

    .. math:: q = \begin{pmatrix} 2 B - I \\ -2 V B \end{pmatrix}

    It saves q, from which the backward reads B = (q + I)/2, and W and α.
    """

    @staticmethod
    def forward(weight: Tensor, alpha: Tensor, size: tuple[int, int]) -> Tensor:
        w = kernel_spectrum(weight, fourier_basis(weight, size))
        return orthonormal(w * (alpha * square_root(w.shape[0]) / _norm(w)))

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        weight, alpha, ctx.size = inputs
        ctx.save_for_backward(weight, alpha, output)

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor, Tensor, None]:
        weight, alpha, q = ctx.saved_tensors
        basis = fourier_basis(weight, ctx.size)
        w = kernel_spectrum(weight, basis)
        norm = _norm(w)
        scale = square_root(w.shape[0]) / norm
        factor = alpha * scale
        of_norm = kernel_gradient(w, weight, basis) / norm
        w = w * factor
        g = kernel_gradient(orthonormal_gradient(g, q, w), weight, basis)
        length = (g * weight).sum()
        return (g - of_norm * (length / norm)) * factor, length * scale, None


def orthonormal(w: Tensor) -> Tensor:
    """The Cayley transform of matrices w (n, c_out, c_in): orthonormal columns, or rows where these are fewer."""
    c_out, c_in = w.shape[1:]
    if c_in > c_out:
        return orthonormal(w.mT).mT
    u, v = w[:, :c_in], w[:, c_in:]
    a = u - u.mH
    if c_in < c_out:
        a += v.mH @ v
    q = torch.linalg.inv_ex(_shifted(a, 1))[0]
    del a
    if c_in < c_out:
        q = torch.cat((q, -(v @ q)), 1)
    del w, u, v
    return guard(_shifted(q.mul_(2), -1))


def guard(q: Tensor) -> Tensor:
    """q (n, c_out, c_in), orthonormal but for rounding errors, made so by a Newton-Schulz step, in place.

    The step maps singular values of up to √3 to at most 1. Where they are larger, as rounding left nothing of the
    inverse of a matrix of norm above 1/eps, the result is the identity. So its norm is at most 1 in any case.
    """
    defect = _shifted(q.mH @ q, -1)
    usable = torch.linalg.vector_norm(_components(defect), dim=1)[:, None, None] < 2
    q.add_(q @ defect, alpha=-0.5)
    return torch.where(usable, q, torch.eye(*q.shape[1:], dtype=q.dtype, device=q.device))


def orthonormal_gradient(g: Tensor, q: Tensor, w: Tensor) -> Tensor:
    """The gradient of w, where that of q = :func:`orthonormal` (w) is ``g``."""
    c_out, c_in = w.shape[1:]
    if c_in > c_out:
        return orthonormal_gradient(g.mT, q.mT, w.mT).mT.clone(memory_format=torch.contiguous_format)
    inverse = _shifted(q[:, :c_in] / 2, 0.5).mH
    top, v = g[:, :c_in], w[:, c_in:]
    if c_in < c_out:
        top = top - v.mH @ g[:, c_in:]
    of_a = (inverse @ top @ inverse).mul_(-2)
    of_u = of_a - of_a.mH
    if c_in == c_out:
        return of_u
    of_v = (g[:, c_in:] @ inverse).mul_(-2) + v @ (of_a + of_a.mH)
    return torch.cat((of_u, of_v), 1)


def _shifted(a: Tensor, by: float) -> Tensor:
    """a with a multiple of the identity added in place."""
    a.diagonal(dim1=1, dim2=2).add_(by)
    return a


def _norm(w: Tensor) -> Tensor:
    """The norm of all w, or 1 for zero."""
    norm: Tensor = torch.linalg.vector_norm(_components(w))
    return norm + (norm == 0)


def _components(w: Tensor) -> Tensor:
    """The real numbers (n, m) in matrices (n, …); norms of complex numbers are slow."""
    w = w.flatten(1)
    return torch.view_as_real(w).flatten(1) if w.is_complex() else w
