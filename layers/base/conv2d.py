"""The base of the library's own algorithms: stride, padding, channels that differ, bounds, plain equivalents."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .checks import autocast_enabled, full_precision, positive
from .layer import CIRCULAR, ZEROS, LipschitzConv2d


class Conv2d(LipschitzConv2d):
    r"""Base class of the layers :math:`R^{c_{in} \times h \times w} \to R^{c_{out} \times h/stride \times w/stride}`.

    A stride is taken by invertible downsampling: each stride × stride square of pixels becomes one pixel of stride²
    times the channels, which keeps every norm, and the layer acts on these. A method that ``acts_on_larger`` has as
    many channels in as out, the larger number of the two: zero channels are appended to its input, or its output is
    cut. Neither raises a Lipschitz constant.

    Args:
        in_channels: c_in, a positive integer.
        out_channels: c_out, a positive integer.
        kernel_size: k, a positive integer, odd unless the class says ``even_kernels``. An even kernel reaches one pixel
            further right and down than left and up.
        stride: a positive integer that divides the sides of the images.
        padding_mode: one of the class's ``padding_modes``, of which the first is the default.
        bias: whether a bias is learned.
        device: where the parameters are created.
        dtype: their floating-point type, one of the class's ``dtypes``.
        **options: the method's own ``counts`` and ``sizes``.
        algorithm: "lipcost", or "published" for the layer of the published comparison, which takes other arguments.

    Raises:
        ValueError: if an argument breaks a rule above or one of the method's own.
    """

    padding_modes = (CIRCULAR, ZEROS)

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        *,
        stride: int = 1,
        padding_mode: str | None = None,
        bias: bool = True,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        **options: int,
    ) -> None:
        self.stride = positive("stride", stride)
        self.padding_mode = self.padding_modes[0] if padding_mode is None else padding_mode
        if self.padding_mode not in self.padding_modes:
            modes = ", ".join(self.padding_modes)
            raise ValueError(f"{self.name} has no padding_mode {padding_mode!r}; its padding modes: {modes}")
        super().__init__(in_channels, out_channels, kernel_size, bias=bias, device=device, dtype=dtype, **options)

    @property
    def channels(self) -> tuple[int, int]:
        return self._acted_on(self.in_channels * self.stride**2, self.out_channels)

    def _register(self, factory: dict[str, Any], bias: bool) -> None:
        c_in, c_out = self.channels
        k = self.kernel_size
        self.weight = nn.Parameter(torch.empty(c_out, c_in, k, k, **factory))
        self.register_parameter("bias", nn.Parameter(torch.empty(c_out, **factory)) if bias else None)

    def forward(self, x: Tensor) -> Tensor:
        """Apply the layer to ``x``.

        Under autocast too it computes in the type of its parameters, and returns it: weights rounded to bfloat16 exceed
        the norm that they were given, by up to 3 %.
        """
        device_type = x.device.type
        if not autocast_enabled(device_type):
            return super().forward(x)
        with full_precision(device_type):
            return super().forward(x.to(self.weight.dtype))

    def input_transform(self, x: Tensor, *weights: Tensor) -> Tensor:
        if self.stride > 1:
            x = F.pixel_unshuffle(x, self.stride)
        missing = self.channels[0] - x.shape[1]
        if missing:
            x = F.pad(x, (0, 0, 0, 0, 0, missing))
        return self._apply_weights(x, *weights)[:, : self.out_channels]

    def _apply_weights(self, x: Tensor, *weights: Tensor) -> Tensor:
        """The method's output for x of ``channels[0]`` channels."""
        raise NotImplementedError

    def lipschitz_upper_bound(self, input_shape: tuple[int, int, int]) -> float:
        """A number that the layer's Lipschitz constant on images of ``input_shape`` does not exceed, up to rounding.

        In training mode it is of the weights that the next forward uses; nothing of the layer changes. The norms are
        computed in float64 from the transformed weights as they are, rounding included, per frequency of the image's
        grid. With circular padding the bound of a linear layer, but SOC, is the constant itself.

        Args:
            input_shape: (c, h, w) of one image.

        Raises:
            ValueError: for an image that the layer does not take.

        Example:
            >>> from lipcost.layers import AOLConv2d
            >>> round(AOLConv2d(3, 3, 3).lipschitz_upper_bound((3, 8, 8)), 3)
            1.0
        """
        self._check_input(torch.empty(1, *input_shape, device="meta"))
        layer = copy.deepcopy(self) if self.training else self
        size = layer._inner_size(input_shape[1:])
        with torch.no_grad():
            return layer._bound(layer._weights(size), size)

    def _bound(self, weights: tuple[Tensor, ...], size: tuple[int, ...]) -> float:
        """An upper bound of the Lipschitz constant for transformed weights."""
        raise NotImplementedError

    def to_conv2d(self) -> nn.Conv2d:
        """The plain convolution of the same function, with the weights of eval mode, for use without this library.

        Raises:
            ValueError: where none exists: the method's weights are no kernel, or an even kernel would need unequal
                padding.

        Example:
            >>> from lipcost.layers import AOLConv2d
            >>> AOLConv2d(3, 8, 3, stride=2).to_conv2d()
            Conv2d(3, 8, kernel_size=(6, 6), stride=(2, 2), padding=(2, 2), padding_mode=circular)
        """
        k, n = self.kernel_size, self.stride
        if not self._is_convolution() or k % 2 == 0:
            raise ValueError(
                f"no nn.Conv2d equals {self}: it takes an odd kernel_size, and a method whose transformed weight is a "
                "kernel (as of aol), if need be with kernel_size=1 (as of soc)"
            )
        layer = self if not self.training else copy.deepcopy(self).eval()
        with torch.no_grad():
            kernel = layer._weights((k, k))[0][: self.out_channels, : self.in_channels * n**2]
            conv = nn.Conv2d(
                self.in_channels,
                self.out_channels,
                k * n,
                stride=n,
                padding=k // 2 * n,
                padding_mode="circular" if k > 1 and self.padding_mode == CIRCULAR else "zeros",
                bias=self.bias is not None,
                device=kernel.device,
                dtype=kernel.dtype,
            )
            conv.weight.copy_(F.pixel_shuffle(kernel, n))
            if conv.bias is not None and self.bias is not None:
                conv.bias.copy_(self.bias[: self.out_channels])
        return conv

    def _is_convolution(self) -> bool:
        """Whether the transformed weight is a kernel that meets the input in one convolution."""
        return False

    def _size(self, x: Tensor) -> tuple[int, ...]:
        return self._inner_size(x.shape[2:])

    def _inner_size(self, size: tuple[int, ...]) -> tuple[int, ...]:
        return tuple(side // self.stride for side in size)

    def _check_size(self, h: int, w: int) -> None:
        if h % self.stride or w % self.stride:
            raise ValueError(f"stride must divide the sides of the image, got stride={self.stride} on {h}x{w}")
        h, w = h // self.stride, w // self.stride
        if self.padding_mode == CIRCULAR and self.kernel_size // 2 > min(h, w):
            raise ValueError(
                f"circular padding wraps at most once: kernel_size // 2 <= image side, "
                f"got kernel_size={self.kernel_size} on {h}x{w}"
            )

    def extra_repr(self) -> str:
        more = f", stride={self.stride}" if self.stride > 1 else ""
        return f"{super().extra_repr()}{more}, padding_mode={self.padding_mode}"
