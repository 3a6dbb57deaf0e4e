"""The methods whose weights are a kernel that meets the input in one convolution."""

from __future__ import annotations

from torch import Tensor

from ...base.conv2d import Conv2d
from ...base.layer import CIRCULAR
from ..parts.convolution import Convolution, correlate
from ..parts.norms import kernel_norm


class KernelConv2d(Conv2d):
    """A method whose parameter transformation yields a kernel (c_out, c_in, k, k) for a plain convolution."""

    even_kernels = True

    def _apply_weights(self, x: Tensor, kernel: Tensor) -> Tensor:  # type: ignore[override]
        if self.kernel_size > 1 and self.padding_mode == CIRCULAR:
            return Convolution.of(x, kernel, self.bias, CIRCULAR)
        return correlate(x, kernel, self.bias, self.padding_mode)

    def _bound(self, weights: tuple[Tensor, ...], size: tuple[int, ...]) -> float:
        return kernel_norm(weights[0], size, self.padding_mode)

    def _is_convolution(self) -> bool:
        return True
