"""SOC: skew orthogonal convolutions."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ...base.layer import ZEROS, LipschitzConv2d

# The four reshapings of a kernel (c_out, c_in, k, k) to a matrix whose spectral norms bound the convolution's: for
# each, the axes that its columns (u) run over; the rows (v) run over the others.
# Singla & Feizi, "Fantastic Four", ICLR 2021.
COLUMNS = ((1, 3), (1, 2), (1, 2, 3), (0, 2, 3))
ROWS = tuple(tuple(axis for axis in range(4) if axis not in columns) for columns in COLUMNS)


class PublishedSOCConv2d(LipschitzConv2d):
    r"""The exponential of a skew-symmetric convolution, :math:`\sum_{i \le t} L^{*i} x / i!`, zero padding.

    Source: Singla & Feizi, "Skew Orthogonal Convolutions", ICML 2021.

    L = M - Mᵀ (channels transposed, kernel flipped), halved, times ``correction`` and divided by the least of the four
    spectral norms of its reshapings, each estimated by persistent power iterations (the buffers u1…u4, v1…v4), one per
    training step. Orthogonal up to the truncation at t terms. For c_in ≠ c_out the layer acts on max(c_in, c_out)
    channels: the input is padded with zero channels, the output cut.

    As published but for one thing: the power vectors start from 50 iterations on the initial kernel, instead of 50 more
    at every 200th step.

    Args:
        in_channels: c_in.
        out_channels: c_out.
        kernel_size: k, odd.
        terms: terms of the exponential in training, t (5 in the published comparison).
        eval_terms: terms in eval mode (12 there).
        bias: whether a bias is learned.
        device: where the parameters are created.
        dtype: their type.

    Raises:
        ValueError: as :class:`LipschitzConv2d`, or if a number of terms is not a positive integer.

    Example:
        >>> import torch
        >>> from lipcost.layers import LAYERS
        >>> LAYERS["soc/published"](3, 8, 3)(torch.zeros(2, 3, 16, 16)).shape
        torch.Size([2, 8, 16, 16])
    """

    name = "soc/published"
    title = "SOC, published"
    counts = {"terms": 5, "eval_terms": 12}
    padding_modes = (ZEROS,)
    acts_on_larger = True
    u1: Tensor
    v1: Tensor
    terms: int
    eval_terms: int
    initial_iterations = 50

    def _register(self, factory: dict[str, Any], bias: bool) -> None:
        n, k = self.channels[0], self.kernel_size
        shape = (n, n, k, k)
        self.weight = nn.Parameter(torch.empty(shape, **factory))
        self.register_parameter("bias", nn.Parameter(torch.empty(self.out_channels, **factory)) if bias else None)
        for i, (columns, rows) in enumerate(zip(COLUMNS, ROWS, strict=True), 1):
            self.register_buffer(f"u{i}", torch.empty([shape[a] if a in columns else 1 for a in range(4)], **factory))
            self.register_buffer(f"v{i}", torch.empty([shape[a] if a in rows else 1 for a in range(4)], **factory))

    @property
    def correction(self) -> float:
        """What the skew-symmetric kernel of norm 1 is multiplied by."""
        return 0.7 if self.kernel_size > 1 else 1.0

    def reset_parameters(self) -> None:
        """Normal kernel (std 1/√n), uniform bias, power vectors converged on the kernel."""
        nn.init.normal_(self.weight, std=self.weight.shape[0] ** -0.5)
        if self.bias is not None:
            bound = self.out_channels**-0.5
            nn.init.uniform_(self.bias, -bound, bound)
        for i in range(1, 5):
            nn.init.normal_(self.get_buffer(f"u{i}"))
        with torch.no_grad():
            self._update_power_vectors(self._skew(), self.initial_iterations)

    def parameter_transform(self, size: tuple[int, ...]) -> tuple[Tensor]:
        skew = self._skew()
        if self.training:
            self._update_power_vectors(skew, 1)
        sigma = (skew * self.u1 * self.v1).sum()
        for i in range(2, 5):
            sigma = torch.minimum(sigma, (skew * self.get_buffer(f"u{i}") * self.get_buffer(f"v{i}")).sum())
        return (self.correction * skew / sigma,)

    def input_transform(self, x: Tensor, kernel: Tensor) -> Tensor:  # type: ignore[override]
        if self.out_channels > self.in_channels:
            x = F.pad(x, (0, 0, 0, 0, 0, self.out_channels - self.in_channels))
        y = term = x
        for i in range(1, (self.terms if self.training else self.eval_terms) + 1):
            term = F.conv2d(term, kernel, padding=self.kernel_size // 2) / i
            y = y + term
        if self.out_channels < self.in_channels:
            y = y[:, : self.out_channels]
        return y if self.bias is None else y + self.bias[:, None, None]

    def _skew(self) -> Tensor:
        return 0.5 * (self.weight - self.weight.transpose(0, 1).flip(2, 3))

    @torch.no_grad()
    def _update_power_vectors(self, skew: Tensor, iterations: int) -> None:
        for i, (columns, rows) in enumerate(zip(COLUMNS, ROWS, strict=True), 1):
            u, v = self.get_buffer(f"u{i}"), self.get_buffer(f"v{i}")
            for _ in range(iterations):
                v.copy_(normalise((skew * u).sum(columns, keepdim=True)))
                u.copy_(normalise((skew * v).sum(rows, keepdim=True)))


def normalise(vector: Tensor) -> Tensor:
    """``vector`` over its norm, the norm at least 1e-12."""
    norm: Tensor = vector.norm()
    return vector / norm.clamp_min(1e-12)
