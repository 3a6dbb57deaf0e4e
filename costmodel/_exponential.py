"""A polynomial of a skew-symmetric convolution: the mirror of ``lipcost.layers._exponential``."""

from __future__ import annotations

from collections.abc import Sequence

from ._convolution import correlate, kernel_gradient
from ._ops import filled, matmul
from ._tensor import Tensor


def polynomial_convolution(x: Tensor, kernel: Tensor, bias: Tensor | None, degree: int, padding_mode: str) -> Tensor:
    """p(L) x + bias by Horner's scheme; saves x and the kernel, whatever the degree."""
    needs, biased = x.requires_grad, bias is not None

    def backward(saved: Sequence[Tensor], g: Tensor) -> list[Tensor | None]:
        x, kernel = saved
        bias_gradient = [g.sum((0, 2, 3))] if biased else []
        return [*_gradients(x, kernel, g, degree, padding_mode, of_x=needs), *bias_gradient]

    return x.tape.function(
        [x, kernel, bias], lambda: _forward(x, kernel, bias, degree, padding_mode), lambda _: [x, kernel], backward
    )


def matrix_polynomial(a: Tensor, degree: int) -> Tensor:
    """p(a) of a matrix by Horner's scheme."""
    identity = filled("eye", a.tape, a.shape)
    out = a + identity * 1.0
    for _ in range(degree - 1):
        out = matmul(out, a) + identity * 1.0
    return out


def _forward(x: Tensor, kernel: Tensor, bias: Tensor | None, degree: int, padding_mode: str) -> Tensor:
    x = x.clone()
    z = x
    for _ in range(degree - 1):
        z = correlate(z, kernel, None, padding_mode).add_(x)
    y = correlate(z, kernel, bias, padding_mode)
    del z
    y.add_(x)
    del x
    return y.clone()


def _gradients(
    x: Tensor, kernel: Tensor, g: Tensor, degree: int, padding_mode: str, *, of_x: bool
) -> tuple[Tensor | None, Tensor]:
    """Of input and kernel."""
    x, g = x.clone(), g.clone()
    iterates = [x]
    for _ in range(degree - 1):
        iterates.append(correlate(iterates[-1], kernel, None, padding_mode).add_(x))
    del x
    transposed = -kernel
    input_gradient = g * 1.0 if of_x else None
    total = filled("zeros_like", kernel.tape, kernel.shape)
    for _ in range(degree - 1):
        total.add_(kernel_gradient(iterates.pop(), g, kernel, padding_mode))
        g = correlate(g, transposed, None, padding_mode)
        if input_gradient is not None:
            input_gradient.add_(g)
    total.add_(kernel_gradient(iterates.pop(), g, kernel, padding_mode))
    if input_gradient is None:
        return None, total
    input_gradient.add_(correlate(g, transposed, None, padding_mode))
    del g
    return input_gradient.clone(), total
