"""Convolutions that keep the image's size, with circular or zero padding, and save their input unpadded."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from ...base.function import Function
from ...base.layer import CIRCULAR, ZEROS


def correlate(x: Tensor, kernel: Tensor, bias: Tensor | None, padding_mode: str) -> Tensor:
    """x (b, c_in, h, w) with kernel (c_out, c_in, k, k): (b, c_out, h, w). An even kernel reaches further right."""
    k = kernel.shape[-1]
    if k == 1 or (padding_mode == ZEROS and k % 2):
        return F.conv2d(x, kernel, bias, padding=k // 2)
    return F.conv2d(pad(x, (k - 1) // 2, k // 2, padding_mode), kernel, bias)


def correlate_adjoint(y: Tensor, kernel: Tensor, padding_mode: str) -> Tensor:
    """The adjoint of :func:`correlate` without bias, y (b, c_out, h, w): (b, c_in, h, w)."""
    k = kernel.shape[-1]
    flipped = kernel.transpose(0, 1).flip(2, 3)
    if k % 2:
        return correlate(y, flipped, None, padding_mode)
    return F.conv2d(pad(y, k // 2, (k - 1) // 2, padding_mode), flipped)


def pad(x: Tensor, before: int, after: int, padding_mode: str) -> Tensor:
    """``before`` rows and columns in front of the image and ``after`` behind it, wrapped or zero."""
    return F.pad(x, (before, after) * 2, mode="circular" if padding_mode == CIRCULAR else "constant")


def kernel_gradient(x: Tensor, g: Tensor, kernel: Tensor, padding_mode: str) -> Tensor:
    """The gradient of :func:`correlate`'s kernel, where that of the output is ``g``."""
    k = kernel.shape[-1]
    padding = k // 2 if padding_mode == ZEROS and k % 2 else 0
    if k > 1 and padding == 0:
        x = pad(x, (k - 1) // 2, k // 2, padding_mode)
    mask = [False, True, False]
    gradient: Tensor = torch.ops.aten.convolution_backward(
        g, x, kernel, None, [1, 1], [padding, padding], [1, 1], False, [0, 0], 1, mask
    )[1]
    return gradient


class Convolution(Function):
    """:func:`correlate`, saving the input unpadded."""

    @staticmethod
    def forward(x: Tensor, kernel: Tensor, bias: Tensor | None, padding_mode: str) -> Tensor:
        return correlate(x, kernel, bias, padding_mode)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        x, kernel, _, ctx.padding_mode = inputs
        ctx.save_for_backward(x, kernel)

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor | None, ...]:
        x, kernel = ctx.saved_tensors
        of_x, of_kernel, of_bias, _ = ctx.needs_input_grad
        return (
            correlate_adjoint(g, kernel, ctx.padding_mode) if of_x else None,
            kernel_gradient(x, g, kernel, ctx.padding_mode) if of_kernel else None,
            g.sum((0, 2, 3)) if of_bias else None,
            None,
        )
