"""The residual layers x - Vᵀ relu(V x + b) of CPL and SLL, which differ in how V is scaled."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ...base.conv2d import Conv2d
from ...base.function import Function
from ...base.layer import CIRCULAR, ZEROS
from ..parts.convolution import correlate, correlate_adjoint, kernel_gradient
from ..parts.norms import kernel_norm


class ResidualConv2d(Conv2d):
    r"""Base class of the layers :math:`x \mapsto x - V^\top \mathrm{relu}(V x + b')`, V a convolution.

    A subclass says what ``weight`` and ``bias`` are multiplied by to give V and b'. With :math:`\|V\|_2^2 \le 2` the
    layer is 1-Lipschitz (see :func:`lipcost.validate.lipschitz_upper_bound` for the proof).

    Args and errors: those of :class:`Conv2d`.
    """

    residual = True
    acts_on_larger = True
    even_kernels = True
    padding_modes = (ZEROS, CIRCULAR)
    epsilon = 1e-6

    def parameter_transform(self, size: tuple[int, ...]) -> tuple[Tensor, ...]:
        # A scale rounded up, or a kernel as it is rounded, must not lift the norm: in bfloat16 that would be seen.
        numerator = 2**0.5 * (1 - torch.finfo(self.weight.dtype).eps)
        scale = (numerator / (self._squared_norm(size) + self.epsilon).sqrt()).to(self.weight.dtype)
        kernel = scale.reshape(-1, 1, 1, 1) * self.weight
        return (kernel,) if self.bias is None else (kernel, scale * self.bias)

    def _squared_norm(self, size: tuple[int, ...]) -> Tensor:
        """The number, or one per channel (n,), of which 2/(it + ε) times WᵀW has at most norm 2."""
        raise NotImplementedError

    def _apply_weights(self, x: Tensor, kernel: Tensor, bias: Tensor | None = None) -> Tensor:  # type: ignore[override]
        return Residual.of(x, kernel, bias, self.padding_mode)

    def residual_branch(self, x: Tensor) -> tuple[Tensor, str, tuple[int, int, int]]:
        self._check_input(x)
        h, w = size = self._size(x)
        return self._weights(size)[0], self.padding_mode, (self.channels[0], h, w)

    def _bound(self, weights: tuple[Tensor, ...], size: tuple[int, ...]) -> float:
        return max(1.0, kernel_norm(weights[0], size, self.padding_mode) ** 2 - 1)


class Residual(Function):
    r"""x - Vᵀ y with y = relu(V x + b), saving x, y, V and b.

    With g the output's gradient and h that of y, :math:`-V g` where y > 0: x gets :math:`g + V^\top h`, b the sum of h,
    and V the gradient of a convolution that takes x to an output with gradient h, minus that of one that takes g to an
    output with gradient y. Channels lie innermost inside, which
    CPUs convolve up to four times as fast; input and output are contiguous.
    """

    @staticmethod
    def forward(x: Tensor, kernel: Tensor, bias: Tensor | None, padding_mode: str) -> tuple[Tensor, Tensor]:
        x = x.clone(memory_format=torch.channels_last)
        y = correlate(x, kernel, bias, padding_mode).clamp_min_(0)
        x.sub_(correlate_adjoint(y, kernel, padding_mode))
        return x.clone(memory_format=torch.contiguous_format), y

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
        x, kernel, bias, ctx.padding_mode = inputs
        ctx.mark_non_differentiable(output[1])
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(x, output[1], kernel, bias)

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor | None, ...]:
        x, y, kernel, bias = ctx.saved_tensors
        mode = ctx.padding_mode
        of_x, of_kernel, of_bias, _ = ctx.needs_input_grad
        g, x = (t.clone(memory_format=torch.channels_last) for t in (g, x))
        h = correlate(g, -kernel, None, mode)
        if torch.is_grad_enabled():  # to be differentiated again
            y = correlate(x, kernel, bias, mode).clamp_min(0)
            h = torch.where(y > 0, h, 0.0)
        else:
            torch.ops.aten.threshold_backward.grad_input(h, y, 0, grad_input=h)
        to_kernel = None
        if of_kernel:
            to_kernel = torch.zeros_like(kernel)
            to_kernel.add_(kernel_gradient(x, h, kernel, mode))
            to_kernel.sub_(kernel_gradient(g, y, kernel, mode))
        del x
        to_bias = h.sum((0, 2, 3)) if of_bias else None
        if not of_x:
            return None, to_kernel, to_bias, None
        g = correlate_adjoint(h, kernel, mode).add_(g)
        del h
        return g.clone(memory_format=torch.contiguous_format), to_kernel, to_bias, None
