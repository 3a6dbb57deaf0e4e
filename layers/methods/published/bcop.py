"""BCOP: block convolution orthogonal parameterisation."""

from __future__ import annotations

from itertools import product
from typing import Any

import torch
from torch import Tensor, nn

from ...base.layer import ORTHOGONAL, CircularConv2d

Blocks = dict[tuple[int, int], Tensor]  # a kernel as matrices: (row, column) -> (n, n)


class PublishedBCOPConv2d(CircularConv2d):
    r"""Orthogonal convolution: a product of 2×2 orthogonal kernels made of projectors, times an orthogonal matrix.

    Source: Li, Haque, Anil, Lucas, Grosse & Jacobsen, "Preventing Gradient Attenuation in Lipschitz Constrained
    Convolutional Networks", NeurIPS 2019, Algorithm 1; Björck & Bowie 1971 for the orthogonalisation.

    With n = max(c_in, c_out), the 2(k-1)+1 free matrices (n, n) are orthogonalised by :func:`bjorck`. 2(k-1) of them,
    cut to rank ⌊n/2⌋, give symmetric projectors P; each pair gives the orthogonal kernel
    [[P₁P₂, P₁(I-P₂)], [(I-P₁)P₂, (I-P₁)(I-P₂)]]; the block convolution of these k-1 kernels, times the remaining matrix
    (its first rows, where c_in ≠ c_out), is the k×k kernel.

    Args:
        in_channels: c_in.
        out_channels: c_out.
        kernel_size: k, odd.
        iterations: Björck–Bowie iterations, t (20 in the published comparison).
        power_iterations: iterations of the estimate of each matrix's spectral norm, t_power (10 there). They start
            from the buffer ``u``, which every training step updates.
        bias: whether a bias is learned.
        device: where the parameters are created.
        dtype: their type.

    Raises:
        ValueError: as :class:`LipschitzConv2d`, or if an iteration count is not a positive integer.

    Example:
        >>> import torch
        >>> from lipcost.layers import LAYERS
        >>> LAYERS["bcop/published"](3, 8, 3)(torch.zeros(2, 3, 16, 16)).shape
        torch.Size([2, 8, 16, 16])
    """

    name = "bcop/published"
    title = "BCOP, published"
    counts = {"iterations": 20, "power_iterations": 10}
    promise = ORTHOGONAL
    u: Tensor
    mask: Tensor
    iterations: int
    power_iterations: int

    def _register(self, factory: dict[str, Any], bias: bool) -> None:
        n, count = max(self.in_channels, self.out_channels), 2 * self.kernel_size - 1
        self.weight = nn.Parameter(torch.empty(count, n, n, **factory))
        self.register_parameter("bias", nn.Parameter(torch.empty(self.out_channels, **factory)) if bias else None)
        self.register_buffer("u", torch.empty(count, n, 1, **factory))
        first_half = torch.arange(n, device=factory["device"]) < n // 2
        self.register_buffer("mask", first_half.to(self.weight), persistent=False)

    def reset_parameters(self) -> None:
        """Random orthogonal matrices (scaled by 1/√n), random power vectors, uniform bias."""
        for matrix in self.weight.detach():
            precise = matrix.to(torch.promote_types(matrix.dtype, torch.float32))  # QR knows no bfloat16
            matrix.copy_(nn.init.orthogonal_(precise, gain=matrix.shape[0] ** -0.5))
        nn.init.normal_(self.u)
        if self.bias is not None:
            bound = self.out_channels**-0.5
            nn.init.uniform_(self.bias, -bound, bound)

    def parameter_transform(self, size: tuple[int, ...]) -> tuple[Tensor]:
        orthogonal = bjorck(self.weight / self._spectral_norms(), self.iterations)
        h = orthogonal[0, : self.in_channels, : self.out_channels]
        if self.in_channels > self.out_channels:
            h = h.t()
        if self.kernel_size == 1:
            blocks = {(0, 0): h}
        else:
            halves = orthogonal[1:] * self.mask
            projectors = (halves @ halves.transpose(1, 2)).unbind(0)
            blocks = block_orthogonal(projectors[0], projectors[1])
            for i in range(2, len(projectors), 2):
                blocks = block_convolution(blocks, block_orthogonal(projectors[i], projectors[i + 1]))
            blocks = {position: h @ block for position, block in blocks.items()}
        rows = range(self.kernel_size)
        kernel = torch.stack([torch.stack([blocks[i, j] for j in rows]) for i in rows])  # (k, k, min, max)
        if self.in_channels > self.out_channels:
            return (kernel.permute(2, 3, 1, 0),)
        return (kernel.permute(3, 2, 1, 0),)

    def _spectral_norms(self) -> Tensor:  # (2k-1, 1, 1)
        norms, u = spectral_norms(self.weight, self.u, self.power_iterations)
        if self.training:
            self.u.copy_(u)
        return norms


@torch.no_grad()
def spectral_norms(w: Tensor, u: Tensor, iterations: int) -> tuple[Tensor, Tensor]:  # (..., n, m), (..., n, 1)
    """Estimates (..., 1, 1) of the spectral norms of ``w`` by power iterations from ``u``; the last u (..., n, 1)."""
    for _ in range(iterations):
        v = w.transpose(-2, -1) @ u
        v = v / v.norm(dim=-2, keepdim=True)
        u = w @ v
        u = u / u.norm(dim=-2, keepdim=True)
    return u.transpose(-2, -1) @ w @ v, u


def bjorck(w: Tensor, iterations: int) -> Tensor:  # (..., n, n) -> (..., n, n)
    """The nearest orthogonal matrices to ``w``, by first-order Björck–Bowie iterations W ← 3/2 W - 1/2 W WᵀW.

    Converges where 0 < σ(w) < √3; the caller scales.
    """
    for _ in range(iterations):
        gram = w.transpose(-2, -1) @ w
        w = 1.5 * w - 0.5 * w @ gram
    return w


def block_orthogonal(p1: Tensor, p2: Tensor) -> Blocks:
    """The orthogonal 2×2 kernel of two projectors (n, n)."""
    identity = torch.eye(p1.shape[0], dtype=p1.dtype, device=p1.device)
    q1, q2 = identity - p1, identity - p2
    return {(0, 0): p1 @ p2, (0, 1): p1 @ q2, (1, 0): q1 @ p2, (1, 1): q1 @ q2}


def block_convolution(a: Blocks, b: Blocks) -> Blocks:
    """The full convolution of two kernels of matrices, order of the matrix products kept."""
    result: Blocks = {}
    for (i, j), (di, dj) in product(a, b):
        term, at = a[i, j] @ b[di, dj], (i + di, j + dj)
        result[at] = result[at] + term if at in result else term
    return result
