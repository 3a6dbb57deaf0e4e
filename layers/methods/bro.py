"""BRO: block reflector orthogonal convolution, the library's own algorithm and the published one."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..base.checks import FFT_FLOATS
from ..base.function import Function
from ..base.layer import CIRCULAR, LIPSCHITZ, ZEROS, LipschitzConv2d
from .families.spectral import SpectralConv2d, fourier_basis, kernel_gradient, kernel_spectrum

RELATIVE = 8  # what is added to a Gram matrix, in units of eps and its norm; rounding errors reached a sixth of it


def default_rank(c_in: int, c_out: int) -> int:
    """How many directions are reflected: an eighth of the channels, or all of the fewer ones where they differ.

    Example:
        >>> from lipcost.layers.methods.bro import default_rank
        >>> default_rank(64, 64), default_rank(4, 4), default_rank(3, 64)
        (8, 1, 3)
    """
    return max(c_in // 8, 1) if c_in == c_out else min(c_in, c_out)


def _register(layer: LipschitzConv2d, rank: int, factory: dict[str, Any], bias: bool) -> None:
    c, k = max(layer.channels), layer.kernel_size
    if rank > c:
        raise ValueError(f"rank must be at most {c}, the larger number of channels, got {rank}")
    layer.weight = nn.Parameter(torch.empty(c, rank, k, k, **factory))
    layer.register_parameter("bias", nn.Parameter(torch.empty(layer.out_channels, **factory)) if bias else None)


def _initialise(layer: LipschitzConv2d) -> None:
    """The identity, of which the first ``rank`` channels change their sign; a bias as torch.nn.Conv2d's."""
    nn.init.dirac_(layer.weight)
    if layer.bias is not None:
        bound = (layer.channels[0] * layer.kernel_size**2) ** -0.5
        nn.init.uniform_(layer.bias, -bound, bound)


class PublishedBROConv2d(LipschitzConv2d):
    r"""Convolution with a block reflector at every frequency, zero-padded before and cropped after.

    Source: Lai, Huang, Kung & Chen, "Enhancing Certified Robustness via Block Reflector Orthogonal Layers and Logit
    Annealing Loss", ICML 2025.

    With V (c, rank), c the larger number of channels, the transform of the free kernel on the padded grid

    .. math:: W = I - 2 V (V^* V + \epsilon I)^{-1} V^*

    for ε ``epsilon`` times the mean of the diagonal of V*V. It is Hermitian with eigenvalues 1 and 1 - 2σ²/(σ²+ε), σ
    the singular values of V, so never of norm above 1. Its first c_out rows and c_in columns are the matrix that a
    frequency is multiplied by. The crop of the image makes the layer 1-Lipschitz but orthogonal only for k = 1.

    As published, but that odd sides keep their size: there the published inverse transform is not told the width and
    returns a column less. There is no ε where V is zero: zero weights are an error.

    Args:
        in_channels: c_in.
        out_channels: c_out.
        kernel_size: k, odd.
        rank: directions that are reflected, at most max(c_in, c_out); by default :func:`default_rank`.
        epsilon: relative to the mean of the diagonal, positive. The published networks use 1e-5 and 1e-7.
        bias: whether a bias is learned.
        device: where the parameters are created.
        dtype: their type, float32 or float64.

    Raises:
        ValueError: as :class:`LipschitzConv2d`, if ``rank`` is no positive integer or too large, or ``epsilon`` not
            positive.
        torch.linalg.LinAlgError: by the forward, where V is zero at a frequency.

    Example:
        >>> import torch
        >>> from lipcost.layers import LAYERS
        >>> LAYERS["bro/published"](3, 8, 3)(torch.zeros(2, 3, 15, 16)).shape
        torch.Size([2, 8, 15, 16])
    """

    name = "bro/published"
    title = "BRO, published"
    sizes = {"rank": default_rank}
    promise = LIPSCHITZ
    padding_modes = (ZEROS,)
    dtypes = FFT_FLOATS
    depends_on_size = True
    rank: int

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        *,
        epsilon: float = 1e-5,
        bias: bool = True,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        **sizes: int,
    ) -> None:
        if not epsilon > 0:
            raise ValueError(f"epsilon must be positive, got {epsilon!r}")
        self.epsilon = epsilon
        super().__init__(in_channels, out_channels, kernel_size, bias=bias, device=device, dtype=dtype, **sizes)

    def _register(self, factory: dict[str, Any], bias: bool) -> None:
        _register(self, self.rank, factory, bias)

    def reset_parameters(self) -> None:
        """The identity, of which the first ``rank`` channels change their sign; the bias as torch.nn.Conv2d's."""
        _initialise(self)

    def parameter_transform(self, size: tuple[int, ...]) -> tuple[Tensor]:
        pad = 2 * (self.kernel_size // 2)
        v = torch.fft.rfft2(self.weight, (size[0] + pad, size[1] + pad)).flatten(2).permute(2, 0, 1)  # (N, c, rank)
        gram = v.mH @ v
        epsilon = self.epsilon * gram.diagonal(dim1=1, dim2=2).real.mean(1)[:, None, None]
        identity = torch.eye(self.rank, dtype=v.dtype, device=v.device)
        inverse = torch.inverse(gram + epsilon * identity)
        identity = torch.eye(v.shape[1], dtype=v.dtype, device=v.device)
        w = identity - 2 * (v @ inverse @ v.mH)
        return (w[:, : self.out_channels, : self.in_channels],)

    def input_transform(self, x: Tensor, w: Tensor) -> Tensor:  # type: ignore[override]
        pad = self.kernel_size // 2
        x = x.to(self.weight.dtype)
        if pad > 0:
            x = F.pad(x, (pad,) * 4)
        b, c_in, h, width = x.shape
        x = torch.fft.rfft2(x).permute(2, 3, 1, 0).reshape(-1, c_in, b)
        spectrum = (w @ x).reshape(h, width // 2 + 1, self.out_channels, b).permute(3, 2, 0, 1)
        y: Tensor = torch.fft.irfft2(spectrum, (h, width))
        if pad > 0:
            y = y[:, :, pad:-pad, pad:-pad]
        return y if self.bias is None else y + self.bias[:, None, None]


class BROConv2d(SpectralConv2d):
    r"""Convolution with a block reflector :math:`I - 2 V (V^* V)^{-1} V^*` at every frequency.

    Source: Lai, Huang, Kung & Chen, "Enhancing Certified Robustness via Block Reflector Orthogonal Layers and Logit
    Annealing Loss", ICML 2025.

    V (c, rank), c the larger number of channels, is the transform of the free kernel, on the half spectrum of the
    image. The matrix changes the sign of V's columns and of what they span, and nothing else; its first c_out rows and
    c_in columns are used. It is computed as in :func:`bases`, whose norm is at most 1 for any V. By default the image
    is zero-padded by k-1 and the output cropped, as published: 1-Lipschitz, orthogonal for k = 1 only. With
    ``padding_mode="circular"`` the layer is orthogonal wherever V has full rank. For k = 1 one real matrix does for all
    frequencies, and the layer is a 1×1 convolution.

    Against the published function there is no ε that costs orthogonality. Directions in which V is zero stay, so that
    zero weights give the identity.

    Args:
        in_channels: c_in.
        out_channels: c_out.
        kernel_size: k.
        rank: directions that are reflected, at most the larger of c_in·stride² and c_out; by default
            :func:`default_rank` of these.

    Other arguments and errors: those of :class:`Conv2d`, float32 and float64 only, or a ValueError if ``rank`` is no
    positive integer or too large.

    Example:
        >>> import torch
        >>> from lipcost.layers import BROConv2d
        >>> BROConv2d(3, 8, 3)(torch.zeros(2, 3, 16, 16)).shape
        torch.Size([2, 8, 16, 16])
    """

    name = "bro"
    title = "BRO"
    colour, marker = "#6A3D9A", "p"
    sizes = {"rank": default_rank}
    promise = LIPSCHITZ
    orthogonal_paddings = (CIRCULAR,)
    algorithms: ClassVar = {"published": PublishedBROConv2d}
    padding_modes = (ZEROS, CIRCULAR)
    rank: int

    def _register(self, factory: dict[str, Any], bias: bool) -> None:
        _register(self, self.rank, factory, bias)

    def reset_parameters(self) -> None:
        """The identity, of which the first ``rank`` channels change their sign; the bias as torch.nn.Conv2d's."""
        _initialise(self)

    def _matrices(self, size: tuple[int, int]) -> Tensor:
        return BlockReflector.of(self.weight, self.channels, size)


class BlockReflector(Function):
    r"""The first c_out rows and c_in columns of the block reflectors of a kernel's spectrum, saving the kernel alone.

    :math:`W = I - 2 U B U^*` with U, B of :func:`bases`. The kernel is divided by its largest entry first. One without
    an entry above √tiny counts as zero.

    What is here called spectrum is the correlation's, whose conjugate is the transform that the paper takes. As the
    reflector of that is :math:`\bar W = W^T`, the matrices are returned transposed.

    The gradient is that of the exact reflector, for a constant scale, with :math:`V (V^*V)^{-1} = U B L^{-1}`:

    .. math:: g_V = -2 (I - U B U^*) (g + g^*) U B L^{-1}

    where g, of W, is padded with zeros. It is the regularised function's too, but for what that has left of
    (ε/(σ²+ε))⁴, and at most 5/√ε times as large as g for any V.
    """

    @staticmethod
    def forward(weight: Tensor, channels: tuple[int, int], size: tuple[int, int]) -> Tensor:
        c_in, c_out = channels
        u, b, _ = bases(kernel_spectrum(weight / _scale(weight), fourier_basis(weight, size)))
        b = b * -2
        left, right = u[:, :c_in], u[:, :c_out]
        if c_in <= c_out:
            left = left @ b
        else:
            right = right @ b
        w = left @ right.mH
        w.diagonal(dim1=1, dim2=2).add_(1)
        return w.mT

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        weight, ctx.channels, ctx.size = inputs
        ctx.save_for_backward(weight)

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor, None, None]:
        (weight,) = ctx.saved_tensors
        basis, scale = fourier_basis(weight, ctx.size), _scale(weight)
        v = kernel_spectrum(weight / scale, basis)
        return kernel_gradient(reflector_gradient(g.mT, v), weight, basis) / scale, None, None


def bases(v: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    r"""U (n, c, r), B and L⁻¹ (n, r, r) such that UBU* is the orthogonal projection on the columns of v (n, c, r).

    By one Cholesky factorisation and four terms of a Neumann series,

    .. math:: L L^* = v^* v + \epsilon I, \quad U = v L^{-*}, \quad D = I - U^* U, \quad B = I + D + D^2 + D^3

    A singular value σ of v leaves an eigenvalue d = ε/(σ²+ε) of D, and gives the eigenvalue 1 - d⁴ of UBU*. So the
    reflector I - 2UBU* has a norm of at most 1 for any v. This holds for any U with D ≥ -I: errors of L do not matter,
    as D is that of U itself. Without rounding errors D is ε L⁻¹L⁻*. Where it differs from that by more than 1, or the
    factorisation failed, B is zero, which makes the reflector the identity; in full precision neither was ever seen.

    ε is RELATIVE eps ‖v*v‖ + eps, so entries of v are to be about 1.

    Example:
        >>> import torch
        >>> from lipcost.layers.methods.bro import bases
        >>> u, b, _ = bases(torch.tensor([[[2.0], [0.0]]]))
        >>> torch.allclose(u @ b @ u.mH, torch.diag(torch.tensor([1.0, 0.0])))
        True
    """
    identity = torch.eye(v.shape[2], dtype=v.dtype, device=v.device)
    eps = torch.finfo(v.dtype).eps
    gram = v.mH @ v
    epsilon = torch.linalg.vector_norm(gram, dim=(-2, -1), keepdim=True) * (RELATIVE * eps) + eps
    factor, info = torch.linalg.cholesky_ex(gram + epsilon * identity)
    inverse = torch.linalg.solve_triangular(factor, identity, upper=False)
    inverse = torch.where((info == 0)[:, None, None], inverse, 0)
    u = v @ inverse.mH
    del v, gram, factor
    d = identity - u.mH @ u
    error = torch.linalg.vector_norm(d - epsilon * (inverse @ inverse.mH), dim=(-2, -1), keepdim=True)
    sum_of_two = identity + d
    b = torch.baddbmm(sum_of_two, sum_of_two, d @ d)
    return u, torch.where(error < 1, b, 0), inverse


def reflector_gradient(g: Tensor, v: Tensor) -> Tensor:
    """The gradient of v (n, c, r), where that of a block of its reflectors is ``g``, of c rows or columns."""
    u, b, inverse = bases(v)
    ub = u @ b
    rows, columns = g.shape[1:]
    if rows == columns:
        t = (g + g.mH) @ ub
    else:
        t, other = g @ ub[:, :columns], g.mH @ ub[:, :rows]
        if rows < columns:
            t, other = other, t
        t[:, : other.shape[1]].add_(other)
    t = torch.baddbmm(t, ub, u.mH @ t, beta=-2, alpha=2)
    return t @ inverse


def _scale(weight: Tensor) -> Tensor:
    """The largest modulus in the weight; about 1 where it counts as zero."""
    largest = weight.abs().amax()
    scale: Tensor = largest + (largest < torch.finfo(weight.dtype).tiny ** 0.5)
    return scale
