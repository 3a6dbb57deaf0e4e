"""Rules of activations: functions of the elements whose gradient is a kernel of its own."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import torch

from .. import layout
from ..graph import attach
from ..sizes import multiple
from ..table import rule
from ..tape import Shape
from ..tensor import Tensor
from .arithmetic import add, div, divided, neg, sub
from .copies import to
from .elementary import absolute, log
from .factories import filled
from .formulas import Formula, Formulas, Term, differentiable, elementwise
from .kernels import in_place, pointwise
from .views import detach, narrowed, reshape

F = "torch.nn.functional"


def _by_kernel(name: str, reads: str) -> Formula:
    """The gradient by a kernel of its own, which reads the input or the result beside it."""
    if reads == "self":
        return lambda grad, self: grad.kernel(name, self)
    return lambda grad, result: grad.kernel(name, result)


def _of_threshold(grad: Term, self: Term) -> Term:
    return self.kernel("threshold_backward", grad)


def _of_relu(grad: Term, result: Term) -> Term:
    return result.kernel("threshold_backward", grad)


# By the kernel: what the gradient's kernel reads, or the gradient itself where the kernel is named otherwise.
GRADIENTS: dict[str, Formula] = {
    **{
        name: _by_kernel(f"{name}_backward", "self")
        for name in (
            "elu", "gelu", "hardshrink", "hardsigmoid", "hardswish", "hardtanh", "leaky_relu", "mish", "silu",
            "softplus", "softshrink",
        )
    },
    **{name: _by_kernel(f"{name}_backward", "result") for name in ("sigmoid", "tanh")},
    "celu": _by_kernel("elu_backward", "self"),
    "relu": _of_relu,
    "threshold": _of_threshold,
}  # fmt: skip
# Of those that know the input from the result where they work in place; the others keep a copy of it.
IN_PLACE: dict[str, Formula] = {
    "celu": _by_kernel("elu_backward", "result"),
    "elu": _by_kernel("elu_backward", "result"),
    "leaky_relu": _by_kernel("leaky_relu_backward", "result"),
}
KERNELS = {"selu": "elu", "relu6": "hardtanh", "expit": "sigmoid"}  # of those that have none of their own
OF_FLOATS = ("sigmoid", "tanh")  # take integers too


def _activation(name: str) -> Any:
    kernel = KERNELS.get(name, name)

    def activation(x: Tensor, *_: Any, inplace: bool = False, out: Tensor | None = None, **__: Any) -> Tensor:
        gradient = IN_PLACE.get(kernel, GRADIENTS[kernel]) if inplace else GRADIENTS[kernel]
        dtype = divided(x) if kernel in OF_FLOATS else None
        return elementwise(kernel, {"self": x}, {"self": gradient}, dtype=dtype, inplace=inplace, out=out)

    places = ("torch", "Tensor", F, "torch.special")
    rule(*(f"{place}.{name}" for place in places))(activation)
    rule(*(f"{place}.{name}_" for place in (*places, "torch._C._nn")))(
        lambda x, *others, **how: activation(x, *others, inplace=True, **how)
    )
    return activation


_RULES = {name: _activation(name) for name in (*GRADIENTS, *KERNELS)}
relu, sigmoid, tanh, relu6 = (_RULES[name] for name in ("relu", "sigmoid", "tanh", "relu6"))


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
    slopes = reshape(weight, (1, weight.elements, *(1,) * (x.rank - 2)) if x.rank > 1 else (1,) * x.rank)

    def backward(saved: Sequence[Tensor], g: Tensor) -> list[Tensor]:
        gradients = [g.new(saved[0].sizes), g.new(saved[0].sizes)]
        g.tape.kernel("_prelu_kernel_backward", "pointwise", [g, *saved, *gradients], flops=g.elements)
        return gradients

    out = pointwise("_prelu_kernel", x, slopes)
    attach([out], [x, slopes], [x, slopes], backward)
    return out


def rrelu(
    x: Tensor, lower: float = 1 / 8, upper: float = 1 / 3, training: bool = False, inplace: bool = False
) -> Tensor:
    """A leaky relu, in training with slopes that are drawn and kept as the noise."""
    noise = x.new(x.sizes)
    reads = "result" if inplace else "self"
    formulas: Formulas = {"self": _rrelu_gradient(reads, training)}
    return elementwise("rrelu_with_noise", {"self": x, "noise": noise}, formulas, inplace=inplace, plain=True)


def _rrelu_gradient(reads: str, training: bool) -> Formula:
    """By one kernel, which starts from the noise in training."""

    def of_self(grad: Term, self: Term, noise: Term) -> Term:
        first, second = (noise, grad) if training else (grad, noise)
        return first.kernel("rrelu_with_noise_backward", self, second)

    def of_result(grad: Term, result: Term, noise: Term) -> Term:
        return of_self(grad, result, noise)

    return of_self if reads == "self" else of_result


rule(f"{F}.rrelu", "torch.rrelu")(rrelu)
rule(f"{F}.rrelu_", "torch.rrelu_")(partial(rrelu, inplace=True))


@rule("torch.ops.aten.threshold_backward.grad_input")
def threshold_backward_into(g: Tensor, y: Tensor, threshold: float, *, grad_input: Tensor) -> Tensor:
    """The gradient of a relu, written over ``grad_input``, which is g."""
    return in_place("threshold_backward", grad_input, y)


# Softmax.


def plain(name: str, x: Tensor, *others: Tensor) -> Tensor:
    """A kernel whose output lies without gaps, the last axis innermost, however x lies."""
    out = x.new(x.sizes)
    x.tape.kernel(name, "pointwise", [x, *others, out], flops=out.elements)
    return out


def _softmax(name: str) -> Any:
    places = ("torch", "Tensor", F, "torch.special")

    @rule(*(f"{place}.{name}" for place in places))
    def softmax(x: Tensor, dim: Any = None, *_: Any, dtype: Any = None, **__: Any) -> Tensor:
        if dtype is not None:
            x = to(x, dtype)
        out = plain(f"_{name}", x)
        gradient = {"self": lambda grad, result: grad.by(lambda g, y: plain(f"_{name}_backward_data", g, y), result)}
        differentiable(out, {"self": x}, gradient)
        return out

    return softmax


softmax, log_softmax = _softmax("softmax"), _softmax("log_softmax")


@rule(f"{F}.softmin")
def softmin(x: Tensor, dim: Any = None, _stacklevel: int = 3, dtype: Any = None) -> Tensor:
    return softmax(neg(x), dim, dtype=dtype)  # type: ignore[no-any-return]


@rule(f"{F}.gumbel_softmax")
def gumbel_softmax(x: Tensor, tau: float = 1, hard: bool = False, eps: float = 1e-10, dim: int = -1) -> Tensor:
    """Softmax of x and a drawn noise; or, where hard, ones at its largest entries with the gradient of softmax."""
    gumbels = neg(log(in_place("exponential_", x.new(x.sizes))))
    gumbels = div(add(x, gumbels), tau)
    soft: Tensor = softmax(gumbels, dim)
    if not hard:
        return soft
    index = _largest(soft.alias(), x.axis(dim))
    ones = filled("zeros_like", x.tape, x.sizes, x.dtype)
    x.tape.kernel("scatter_", "pointwise", [ones, index, ones], flops=0)
    return add(sub(ones, detach(soft)), soft)


def _largest(x: Tensor, axis: int) -> Tensor:
    """Where the largest entries of an axis are."""
    sizes: Shape = (*x.sizes[:axis], 1, *x.sizes[axis + 1 :])
    values, indices = x.new(sizes), x.new(sizes, torch.int64)
    x.tape.kernel("max", "pointwise", [x, values, indices], flops=x.elements)
    return indices
