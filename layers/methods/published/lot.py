"""LOT: layer-wise orthogonal training."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ...base.checks import FFT_FLOATS
from ...base.layer import LIPSCHITZ, ORTHOGONAL, ZEROS, LipschitzConv2d
from .fourier import centring_phase


class PublishedLOTConv2d(LipschitzConv2d):
    r"""Convolution with :math:`(VV^*)^{-1/2} V` at every frequency, zero-padded before and cropped after.

    Source: Xu, Li & Li, "LOT: Layer-wise Orthogonal Training on Improving l2 Certified Robustness", NeurIPS 2022.

    The inverse square root is the limit of t coupled Newton iterations on VV* + εI divided by its Frobenius norm. The
    crop makes the layer 1-Lipschitz but orthogonal only for k = 1. A square layer starts at the identity.

    As published, but for three things: ε is 10⁻⁴ in float32 only and 10⁻¹² in float64, where the published value would
    cost the orthogonality (a singular value w becomes w/√(w²+ε)); a rectangular layer starts at a random orthogonal
    centre tap, from which 10 iterations converge; the last iterate of Y, which nothing reads, is not computed.

    Args:
        in_channels: c_in.
        out_channels: c_out.
        kernel_size: k, odd.
        iterations: Newton iterations, t (10 in the published comparison; 2 in its fast variant).
        epsilon: ε, positive; by default as above. 1e-4 is the published value.
        bias: whether a bias is learned.
        device: where the parameters are created.
        dtype: their type, float32 or float64.

    Raises:
        ValueError: as :class:`LipschitzConv2d`, if ``iterations`` is no positive integer or ``epsilon`` not positive.

    Example:
        >>> import torch
        >>> from lipcost.layers import LAYERS
        >>> LAYERS["lot/published"](3, 8, 3)(torch.zeros(2, 3, 16, 16)).shape
        torch.Size([2, 8, 16, 16])
    """

    name = "lot/published"
    title = "LOT, published"
    counts = {"iterations": 10}
    promise = LIPSCHITZ
    padding_modes = (ZEROS,)
    dtypes = FFT_FLOATS
    depends_on_size = True
    iterations: int

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        *,
        epsilon: float | None = None,
        bias: bool = True,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        **counts: int,
    ) -> None:
        if epsilon is not None and not epsilon > 0:
            raise ValueError(f"epsilon must be positive, got {epsilon!r}")
        self._epsilon = epsilon
        super().__init__(in_channels, out_channels, kernel_size, bias=bias, device=device, dtype=dtype, **counts)

    @classmethod
    def promises(cls, kernel_size: int, training: bool) -> str:
        """Nothing is cropped where the kernel is one pixel."""
        return ORTHOGONAL if kernel_size == 1 else super().promises(kernel_size, training)

    @property
    def epsilon(self) -> float:
        """What is added to the diagonal: as given, or by the precision in force."""
        if self._epsilon is not None:
            return self._epsilon
        return 1e-12 if self.weight.dtype == torch.float64 else 1e-4

    def reset_parameters(self) -> None:
        """Identity and zero bias where c_in = c_out, else a random orthogonal centre tap and torch.nn.Conv2d's bias."""
        super().reset_parameters()
        centre = self.kernel_size // 2
        nn.init.dirac_(self.weight)
        if self.in_channels != self.out_channels:
            nn.init.orthogonal_(self.weight[:, :, centre, centre])
        elif self.bias is not None:
            nn.init.zeros_(self.bias)

    def parameter_transform(self, size: tuple[int, ...]) -> tuple[Tensor]:
        pad = 2 * (self.kernel_size // 2)
        size = (size[0] + pad, size[1] + pad)
        phase = centring_phase(self.kernel_size, size, self.weight, half=False)
        v = (phase * torch.fft.fft2(self.weight, size).conj()).reshape(self.out_channels, self.in_channels, -1)
        v = v.permute(2, 0, 1)  # (N, c_out, c_in)
        identity = torch.eye(self.out_channels, dtype=v.dtype, device=v.device)
        gram = v @ v.transpose(1, 2).conj() + self.epsilon * identity
        norm = gram.norm(dim=(1, 2), keepdim=True) + self.epsilon
        return (inverse_sqrt(gram / norm, identity, self.iterations) @ v / norm.sqrt(),)

    def input_transform(self, x: Tensor, q: Tensor) -> Tensor:  # type: ignore[override]
        pad = self.kernel_size // 2
        x = x.to(self.weight.dtype)
        if pad > 0:
            x = F.pad(x, (pad,) * 4)
        b, _, h, w = x.shape
        x = torch.fft.fft2(x).permute(2, 3, 1, 0).reshape(h * w, self.in_channels, b)
        y = (q @ x).reshape(h, w, self.out_channels, b).permute(3, 2, 0, 1)
        y = torch.real(torch.fft.ifft2(y))
        if pad > 0:
            y = y[:, :, pad:-pad, pad:-pad]
        return y if self.bias is None else y + self.bias[:, None, None]


def inverse_sqrt(gram: Tensor, identity: Tensor, iterations: int) -> Tensor:  # (N, c, c) -> (N, c, c)
    """gram^(-1/2) by coupled Newton iterations Y ← Y T, Z ← T Z, T = (3I - ZY)/2, from Y = gram, Z = I."""
    y, z = gram, identity.expand(gram.shape)
    for i in range(iterations):
        t = 0.5 * (3 * identity - z @ y)
        if i + 1 < iterations:
            y = y @ t
        z = t @ z
    return z
