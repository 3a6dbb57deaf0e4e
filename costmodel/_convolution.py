"""Convolutions that keep the image's size: the mirror of ``lipcost.layers._convolution``, for odd kernels."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from ._ops import circular_pad, conv2d, weight_gradient
from ._tensor import Tensor

CIRCULAR, ZEROS = "circular", "zeros"


def correlate(x: Tensor, kernel: Tensor, bias: Tensor | None, padding_mode: str) -> Tensor:
    """x (b, c_in, s, s) with kernel (c_out, c_in, k, k): (b, c_out, s, s)."""
    p = kernel.shape[3] // 2
    if padding_mode == ZEROS or not x.tape.holds(kernel.shape[3] > 1):
        return conv2d(x, kernel, bias, padding=p)
    return conv2d(circular_pad(x, p), kernel, bias)


def correlate_adjoint(y: Tensor, kernel: Tensor, padding_mode: str) -> Tensor:
    """The adjoint of :func:`correlate`."""
    return correlate(y, kernel.transpose(0, 1).flip(), None, padding_mode)


def kernel_gradient(x: Tensor, g: Tensor, kernel: Tensor, padding_mode: str) -> Tensor:
    """The gradient of the kernel."""
    if padding_mode == CIRCULAR and x.tape.holds(kernel.shape[3] > 1):
        x = circular_pad(x, kernel.shape[3] // 2)
    return weight_gradient(x, g, kernel, macs=prod(g.shape) * prod(kernel.shape[1:]))


def convolution(x: Tensor, kernel: Tensor, bias: Tensor | None, padding_mode: str) -> Tensor:
    """:func:`correlate`, saving the input unpadded."""
    needs = x.requires_grad

    def backward(saved: Sequence[Tensor], g: Tensor) -> list[Tensor | None]:
        x, kernel = saved
        of_x = correlate_adjoint(g, kernel, padding_mode) if needs else None
        of_kernel = kernel_gradient(x, g, kernel, padding_mode)
        return [of_x, of_kernel, *([] if bias is None else [g.sum((0, 2, 3))])]

    return x.tape.function(
        [x, kernel, bias], lambda: correlate(x, kernel, bias, padding_mode), lambda _: [x, kernel], backward
    )
