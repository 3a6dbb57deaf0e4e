"""Rules of activations: functions of the elements whose gradient is a kernel of its own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .. import layout
from ..graph import attach
from ..sizes import multiple
from ..table import rule
from ..tensor import Tensor
from .inplace import changed
from .kernels import in_place, pointwise
from .pointwise import absolute, add, div, sub, unary
from .views import narrowed, reshape

F = "torch.nn.functional"


def _activation(
    kernel: str, keeps: str, *names: str, over: tuple[str, ...] = (), gradient: str = "", copied: bool = False
) -> Any:
    """The rule of an activation.

    Args:
        kernel: its name.
        keeps: what its gradient reads: "x" or "y".
        names: of the torch functions.
        over: of the torch functions that work in place; then the gradient reads the output.
        gradient: the name of the gradient's kernel.
        copied: whether the gradient reads a copy of the input where it works in place.
    """
    gradient = gradient or f"{kernel}_backward"

    def of(saved: Tensor, g: Tensor) -> Tensor:
        return pointwise(gradient, *((saved, g) if gradient == "threshold_backward" else (g, saved)), dtype=g.dtype)

    def in_its_place(x: Tensor, *_: Any, **__: Any) -> Tensor:
        backward = (lambda saved, g: [of(saved[0], g)]) if over else None
        return changed(x, [], f"{kernel}_", backward, [x], copied=copied)

    @rule(*names)
    def activation(x: Tensor, *_: Any, inplace: bool = False, **__: Any) -> Tensor:
        if inplace:
            return in_its_place(x)
        return unary(kernel, x, lambda g, x, y: of(x if keeps == "x" else y, g), keeps)

    if over:
        rule(*over)(in_its_place)
    return activation


relu = _activation(
    "relu", "y", "torch.relu", "Tensor.relu", f"{F}.relu", over=("torch.relu_", "Tensor.relu_"),
    gradient="threshold_backward",
)  # fmt: skip
threshold = _activation("threshold", "x", f"{F}.threshold", "torch.threshold", gradient="threshold_backward")
leaky_relu = _activation("leaky_relu", "x", f"{F}.leaky_relu", over=(f"{F}.leaky_relu_",))
elu = _activation("elu", "x", f"{F}.elu", f"{F}.selu", "torch.selu", over=(f"{F}.elu_", "torch.selu_"))
celu = _activation("celu", "x", f"{F}.celu", "torch.celu", over=("torch.celu_",), gradient="elu_backward")
hardtanh = _activation("hardtanh", "x", f"{F}.hardtanh", f"{F}.relu6", over=(f"{F}.hardtanh_",), copied=True)
sigmoid = _activation(
    "sigmoid", "y", "torch.sigmoid", "Tensor.sigmoid", f"{F}.sigmoid", over=("torch.sigmoid_", "Tensor.sigmoid_")
)
tanh = _activation("tanh", "y", "torch.tanh", "Tensor.tanh", f"{F}.tanh", over=("torch.tanh_", "Tensor.tanh_"))
gelu = _activation("gelu", "x", f"{F}.gelu")
silu = _activation("silu", "x", f"{F}.silu", over=("torch._C._nn.silu_",), copied=True)
mish = _activation("mish", "x", f"{F}.mish", over=("torch._C._nn.mish_",), copied=True)
softplus = _activation("softplus", "x", f"{F}.softplus")
hardswish = _activation("hardswish", "x", f"{F}.hardswish", over=("torch._C._nn.hardswish_",), copied=True)
hardsigmoid = _activation("hardsigmoid", "x", f"{F}.hardsigmoid")
softshrink = _activation("softshrink", "x", f"{F}.softshrink")
hardshrink = _activation("hardshrink", "x", f"{F}.hardshrink", "Tensor.hardshrink")


@rule(f"{F}.logsigmoid")
def logsigmoid(x: Tensor) -> Tensor:
    """Its kernel keeps a buffer of the size of x for the backward."""
    out, buffer = x.new(x.sizes), x.new(x.sizes)
    x.tape.kernel("log_sigmoid_forward", "pointwise", [x, out, buffer], flops=out.elements)
    attach([out], [x], [x, buffer], lambda saved, g: [pointwise("log_sigmoid_backward", g, *saved)])
    return out


@rule(f"{F}.glu")
def glu(x: Tensor, dim: int = -1) -> Tensor:
    """The first half of an axis times the sigmoid of the second."""
    axis = x.axis(dim)
    multiple(x.sizes[axis], 2, "the axis of glu")
    half = narrowed(x.alias(), axis, x.sizes[axis] // 2)
    strides = None if x._strides is None else layout.like(half.hints, half.strides)
    out = x.new(half.sizes, strides=strides)
    x.tape.kernel("glu", "pointwise", [x, out], flops=out.elements)

    def backward(saved: Sequence[Tensor], g: Tensor) -> list[Tensor]:
        gradient = g.new(saved[0].sizes)
        g.tape.kernel("glu_backward", "pointwise", [g, saved[0], gradient], flops=gradient.elements)
        return [gradient]

    attach([out], [x], [x], backward)
    return out


@rule(f"{F}.softsign")
def softsign(x: Tensor) -> Tensor:
    return div(x, add(absolute(x), 1))


@rule(f"{F}.tanhshrink")
def tanhshrink(x: Tensor) -> Tensor:
    return sub(x, tanh(x))


@rule("torch.prelu", "Tensor.prelu")
def prelu(x: Tensor, weight: Tensor) -> Tensor:
    """x (b, c, …) with one slope for each channel, or one for all."""
    slopes = reshape(weight, (1, weight.elements, *(1,) * (x.rank - 2)) if x.rank > 1 else (weight.elements,))

    def backward(saved: Sequence[Tensor], g: Tensor) -> list[Tensor]:
        gradients = [g.new(saved[0].sizes), g.new(saved[0].sizes)]
        g.tape.kernel("_prelu_kernel_backward", "pointwise", [g, *saved, *gradients], flops=g.elements)
        return gradients

    out = pointwise("_prelu_kernel", x, slopes)
    attach([out], [x, slopes], [x, slopes], backward)
    return out


@rule("torch.ops.aten.threshold_backward.grad_input")
def threshold_backward_into(g: Tensor, y: Tensor, threshold: float, *, grad_input: Tensor) -> Tensor:
    """The gradient of a relu, written over ``grad_input``, which is g."""
    return in_place("threshold_backward", grad_input, y)
