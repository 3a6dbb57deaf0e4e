"""The residual layers of CPL and SLL: the mirror of ``lipcost.layers._residual``."""

from __future__ import annotations

from collections.abc import Sequence

from ._convolution import ZEROS, correlate, correlate_adjoint, kernel_gradient
from ._kernels import in_place
from ._method import Method
from ._ops import filled, pad_channels
from ._tensor import Tensor

EPSILON = 1e-6


class ResidualMethod(Method):
    """x - Vᵀ relu(V x + b'), V and b' scaled from the kernel and the bias by the method."""

    acts_on_larger = True
    padding_mode = ZEROS

    def parameter_transform(self) -> tuple[Tensor, ...]:
        """V and b'."""
        scale = 2**0.5 / (self.squared_norm() + EPSILON).sqrt()
        kernel = scale.reshape(*scale.shape or (1,), 1, 1, 1) * self.weight
        return (kernel,) if self.bias is None else (kernel, scale * self.bias)

    def squared_norm(self) -> Tensor:
        """What W is divided by, squared."""
        raise NotImplementedError

    def input_transform(self, x: Tensor, kernel: Tensor, bias: Tensor | None = None) -> Tensor:  # type: ignore[override]
        """The residual step on the larger number of channels."""
        if self.holds(self.c_out > self.c_in):
            x = pad_channels(x, self.c_out)
        return residual(x, kernel, bias, self.padding_mode).slice(1, self.c_out)


def residual(x: Tensor, kernel: Tensor, bias: Tensor | None, mode: str) -> Tensor:
    """x - Vᵀ y with y = relu(V x + b), saving x, y, V and b."""
    needs = x.requires_grad
    kept: list[Tensor] = []

    def forward() -> Tensor:
        inner = x.clone()
        kept.append(in_place("clamp_min_", correlate(inner, kernel, bias, mode)))
        in_place("sub_", inner, correlate_adjoint(kept[0], kernel, mode))
        return inner.clone()

    def backward(saved: Sequence[Tensor | None], g: Tensor) -> list[Tensor | None]:
        x, y, kernel, bias = saved
        assert x is not None
        assert y is not None
        assert kernel is not None
        g, x = g.clone(), x.clone()
        h = correlate(g, -kernel, None, mode)
        in_place("threshold_backward", h, y)
        to_kernel = filled("zeros_like", h.tape, kernel.shape)
        to_kernel.add_(kernel_gradient(x, h, kernel, mode))
        in_place("sub_", to_kernel, kernel_gradient(g, y, kernel, mode))
        del x
        to_bias = [] if bias is None else [h.sum((0, 2, 3))]
        if not needs:
            return [None, to_kernel, *to_bias]
        g = correlate_adjoint(h, kernel, mode).add_(g)
        del h
        return [g.clone(), to_kernel, *to_bias]

    return x.tape.function([x, kernel, bias], forward, lambda _: [x, kept[0], kernel, bias], backward)
