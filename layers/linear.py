"""The methods on vectors: each convolution with kernel size 1, applied to images of one pixel."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ._conv2d import Conv2d
from .aol import AOLConv2d
from .bcop import BCOPConv2d
from .cayley import CayleyConv2d
from .cpl import CPLConv2d
from .lot import LOTConv2d
from .sll import SLLConv2d
from .soc import SOCConv2d
from .standard import StandardConv2d


class Linear(Conv2d):
    r"""Base class of the dense layers :math:`R^{n_{in}} \to R^{n_{out}}`.

    Args:
        in_features: n_in, a positive integer.
        out_features: n_out, a positive integer.
        bias: whether a bias is learned.
        device: where the parameters are created.
        dtype: their floating-point type, one of the class's ``dtypes``.
        **options: iteration counts, as of the convolution of the same method.

    Raises:
        ValueError: if an argument breaks a rule above or one of the method's own.

    Example:
        >>> import torch
        >>> from lipcost.layers import CayleyLinear
        >>> layer = CayleyLinear(6, 4)
        >>> layer(torch.zeros(2, 6)).shape, round(layer.lipschitz_upper_bound(), 5)
        (torch.Size([2, 4]), 1.0)
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        *,
        bias: bool = True,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        **options: Any,
    ) -> None:
        super().__init__(in_features, out_features, 1, bias=bias, device=device, dtype=dtype, **options)

    @property
    def in_features(self) -> int:
        """n_in."""
        return self.in_channels

    @property
    def out_features(self) -> int:
        """n_out."""
        return self.out_channels

    def forward(self, x: Tensor) -> Tensor:
        """Apply the layer to ``x`` (b, n_in); returns (b, n_out)."""
        if x.dim() != 2 or x.shape[1] != self.in_features:
            raise ValueError(
                f"{type(self).__name__} takes inputs of shape (b, {self.in_features}), got {tuple(x.shape)}"
            )
        return super().forward(x[:, :, None, None]).flatten(1)

    def lipschitz_upper_bound(self, input_shape: tuple[int, ...] | None = None) -> float:
        """As of :class:`Conv2d`; there is one input shape, (n_in,), which need not be given."""
        if input_shape is not None and tuple(input_shape) != (self.in_features,):
            raise ValueError(f"{type(self).__name__} takes vectors of shape ({self.in_features},), got {input_shape}")
        return super().lipschitz_upper_bound((self.in_features, 1, 1))

    def extra_repr(self) -> str:
        return f"{self.in_features}, {self.out_features}, bias={self.bias is not None}"


class StandardLinear(Linear, StandardConv2d):
    """The plain dense layer, no constraint."""


class AOLLinear(Linear, AOLConv2d):
    """AOL on vectors: the columns of the matrix rescaled."""


class BCOPLinear(Linear, BCOPConv2d):
    """BCOP on vectors: the orthogonal polar factor."""


class CayleyLinear(Linear, CayleyConv2d):
    """Cayley on vectors: the Cayley transform of a skew-symmetric matrix."""


class CPLLinear(Linear, CPLConv2d):
    """CPL on vectors: a convex potential step."""


class LOTLinear(Linear, LOTConv2d):
    """LOT on vectors: the orthogonal polar factor."""


class SLLLinear(Linear, SLLConv2d):
    """SLL on vectors: a residual step."""


class SOCLinear(Linear, SOCConv2d):
    """SOC on vectors: the exponential of a skew-symmetric matrix."""


LINEARS: dict[str, type[Linear]] = {
    "standard": StandardLinear,
    "aol": AOLLinear,
    "bcop": BCOPLinear,
    "cayley": CayleyLinear,
    "cpl": CPLLinear,
    "lot": LOTLinear,
    "sll": SLLLinear,
    "soc": SOCLinear,
}
