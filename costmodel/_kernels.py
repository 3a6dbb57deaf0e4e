"""Kernels over the elements of tensors, and the derivative formulas that take several of them.

As in PyTorch's, what is still referred to while the next kernel runs decides the peak.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ._tape import Kind, Shape

if TYPE_CHECKING:
    from ._tensor import Tensor


def pointwise(name: str, *tensors: Tensor, kind: Kind | None = None, flops_per_element: int = 1) -> Tensor:
    """A kernel that computes each output element from the corresponding ones of its (broadcast) inputs."""
    operands = [tensor.resolved() for tensor in tensors]
    if kind is None:
        kind = "complex" if any(t.kind == "complex" for t in operands) else "real"
    out = operands[0].new(broadcast(*(t.shape for t in operands)), kind)
    out.order = next((t.order for t in operands if t.shape == out.shape), None)
    out.tape.kernel(name, "pointwise", [*operands, out], flops=flops_per_element * out.numel)
    return out


def in_place(name: str, x: Tensor, *others: Tensor) -> Tensor:
    """A kernel that computes each element of ``x`` anew, from it and the corresponding ones of other tensors."""
    x.tape.kernel(name, "pointwise", [x, *(t.resolved() for t in others), x], flops=x.numel)
    return x


def reduction(name: str, tensor: Tensor, shape: Shape) -> Tensor:
    """A kernel that sums ``tensor`` up to ``shape``; a norm is real."""
    tensor = tensor.resolved()
    out = tensor.new(shape, "real" if name == "linalg_vector_norm" else tensor.kind)
    tensor.tape.kernel(name, "pointwise", [tensor, out], flops=tensor.numel)
    return out


def stack(tensors: Sequence[Tensor]) -> Tensor:
    """One new first axis."""
    first = tensors[0]
    out = first.new((len(tensors), *first.shape))
    first.tape.kernel("stack", "pointwise", [*tensors, out], flops=0)
    first.tape.attach([out], tensors, [], lambda _, g: g.unbind())
    return out


def broadcast(*shapes: Shape) -> Shape:
    """The common shape of broadcast operands."""
    rank = max(len(shape) for shape in shapes)
    padded = [(1,) * (rank - len(shape)) + tuple(shape) for shape in shapes]
    return tuple(next((size for size in sizes if size != 1), 1) for sizes in zip(*padded, strict=True))


def reduced(shape: Shape, axes: Sequence[int] | None, keepdim: bool) -> tuple[Shape, Shape]:
    """The shape after a reduction, with the reduced axes kept and as asked."""
    axes = range(len(shape)) if axes is None else axes
    kept = tuple(1 if i in axes else size for i, size in enumerate(shape))
    return kept, kept if keepdim else tuple(size for i, size in enumerate(shape) if i not in axes)


def divisor_gradient(a: Tensor, b: Tensor, g: Tensor) -> Tensor:
    """Of b in a / b."""
    first = a / b
    second = first / b  # all of them live until the product is there
    negative = -g
    return negative * second.conj()


def square_gradient(x: Tensor, g: Tensor) -> Tensor:
    """Of x in x²."""
    power = pointwise("pow", x)
    doubled = power * 2
    return g * doubled


def masked(g: Tensor, a: Tensor, b: Tensor) -> Tensor:
    """Half the gradient where a = b, none where the other one is the minimum."""
    half = g / 2
    equal = pointwise("eq", a, b, kind="bool")
    out = pointwise("where", equal, half, g, kind="real")
    above = pointwise("gt", a, b, kind="bool")
    out.tape.kernel("masked_fill_", "pointwise", [out, above, out], flops=out.numel)
    return out
