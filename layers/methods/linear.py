"""The methods on vectors: each convolution with kernel size 1, applied to images of one pixel."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from types import new_class
from typing import Any, cast

import torch
from torch import Tensor

from ..base.conv2d import Conv2d
from .registry import CLASSES, LAYERS, Classes, linear_name


class Linear(Conv2d):
    r"""Base class of the dense layers :math:`R^{n_{in}} \to R^{n_{out}}`.

    Args:
        in_features: n_in, a positive integer.
        out_features: n_out, a positive integer.
        bias: whether a bias is learned.
        device: where the parameters are created.
        dtype: their floating-point type, one of the class's ``dtypes``.
        **options: what else the convolution of the same method takes, iteration counts for instance.

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
        return f"{self.in_features}, {self.out_features}{self._stated_sizes()}, bias={self.bias is not None}"


@cache
def _linear(convolution: type[Conv2d]) -> type[Linear]:
    """The class of a method on vectors. Pickle finds it by its name, as an attribute of this module."""
    name = linear_name(convolution.__name__)
    text = f"""{convolution.title} on vectors: a dense layer.

    It is :class:`{convolution.__name__}` with kernel_size=1 on images of one pixel; arguments and errors as there, with
    in_features and out_features for the channels.
    """
    namespace = {"__doc__": text, "__module__": __name__, "__qualname__": name}
    return cast("type[Linear]", new_class(name, (Linear, convolution), exec_body=lambda body: body.update(namespace)))


def _load(method: str) -> type[Linear]:
    convolution = LAYERS[method]
    if not issubclass(convolution, Conv2d):
        raise TypeError(f"{convolution.__name__}, a method of the library's own, must extend Conv2d")
    return _linear(convolution)


LINEARS: Mapping[str, type[Linear]] = Classes(lambda: CLASSES, _load)


def __getattr__(name: str) -> type[Linear]:
    for method, (convolution, *_) in CLASSES.items():
        if name == linear_name(convolution):
            return LINEARS[method]
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
