"""A polynomial of a skew-symmetric convolution: the mirror of ``lipcost.layers._exponential``."""

from __future__ import annotations

from collections.abc import Sequence

from ._convolution import correlate, kernel_gradient
from ._kernels import in_place
from ._ops import filled, matmul
from ._tensor import Tensor

KEPT = 2


def polynomial_convolution(x: Tensor, kernel: Tensor, bias: Tensor | None, degree: int, padding_mode: str) -> Tensor:
    """p(L) x + bias by Horner's scheme; for a gradient it saves x, the kernel and two iterates, whatever the degree."""
    x = x.clone()
    needs, biased = x.requires_grad, bias is not None
    known: list[Tensor] = []

    def backward(saved: Sequence[Tensor], g: Tensor) -> list[Tensor | None]:
        x, kernel, *known = saved
        bias_gradient = [g.sum((0, 2, 3))] if biased else []
        return [*_gradients(x, kernel, known, g, degree=degree, padding_mode=padding_mode, of_x=needs), *bias_gradient]

    return x.tape.function(
        [x, kernel, bias],
        lambda: _forward(x, kernel, bias, known, degree=degree, padding_mode=padding_mode),
        lambda _: [x, kernel, *known],
        backward,
    )


def matrix_polynomial(a: Tensor, degree: int) -> Tensor:
    """p(a) of a matrix by Horner's scheme."""
    identity = filled("eye", a.tape, a.shape)
    out = a * 1.0 + identity * 1.0
    for _ in range(degree - 1):
        out = matmul(out, a) + identity * 1.0
    return out


def _forward(
    x: Tensor, kernel: Tensor, bias: Tensor | None, known: list[Tensor], *, degree: int, padding_mode: str
) -> Tensor:
    kept = KEPT if kernel.requires_grad else 0
    z, weight = x, kernel * 1.0
    for i in range(degree - 1, 0, -1):
        z = correlate(z, weight, None, padding_mode).add_(x)
        weight = kernel
        if i <= kept:
            known.append(z)
    y = correlate(z, weight, bias, padding_mode)
    del z
    y.add_(x)
    del x
    return y.clone()


def _gradients(
    x: Tensor, kernel: Tensor, known: list[Tensor], g: Tensor, *, degree: int, padding_mode: str, of_x: bool
) -> tuple[Tensor | None, Tensor]:
    """Of input and kernel; the last iterates are known."""
    g = g.clone()
    leading = kernel * 1.0
    iterates, weight = [x], leading
    for _ in range(degree - 1 - len(known)):
        iterates.append(correlate(iterates[-1], weight, None, padding_mode).add_(x))
        weight = kernel
    iterates += known
    del x, known, weight
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
    in_place("sub_", input_gradient, correlate(g, leading, None, padding_mode))
    del g
    return input_gradient.clone(), total
