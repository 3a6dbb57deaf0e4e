"""Rules of losses. A reduction is "none", "mean" or "sum"."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch

from ..errors import Mismatch, refused
from ..graph import attach
from ..table import rule
from ..tape import Shape
from ..tensor import Tensor
from .arithmetic import add, div, mul, sub
from .comparisons import lt
from .copies import clone
from .elementary import exp, log
from .factories import filled
from .formulas import differentiable, expressed
from .joining import broadcast_tensors
from .kernels import fits, pointwise, strides_for
from .kernels import reduction as reduction_kernel
from .reductions import mean, sum
from .views import expand, unsqueeze

F = "torch.nn.functional"
REDUCTIONS = ("none", "mean", "sum")


def loss_of(name: str) -> Callable[[Callable[..., Tensor]], Callable[..., Tensor]]:
    """Declare the rule of a loss of torch.nn.functional, whose last arguments are how it is reduced."""

    def declare(loss: Callable[..., Tensor]) -> Callable[..., Tensor]:
        @rule(f"{F}.{name}")
        def checked(
            *args: Any, size_average: Any = None, reduce: Any = None, reduction: str = "mean", **how: Any
        ) -> Tensor:
            if size_average is not None or reduce is not None:
                raise refused(f"{name} with size_average or reduce; say reduction=")
            if reduction not in (*REDUCTIONS, "batchmean"):
                raise Mismatch(f"{reduction} is not a valid reduction")
            return loss(*args, reduction=reduction, **how)

        return loss

    return declare


def reduced_by(reduction: str, loss: Tensor) -> Tensor:
    """A loss for each element, reduced by operators of their own."""
    return {"none": lambda x: x, "mean": mean, "sum": sum}[reduction](loss)  # type: ignore[no-any-return]


def fused(
    name: str, x: Tensor, others: Sequence[Tensor], reduction: str, sizes: Shape, *more: Tensor, shrunk: bool = False
) -> Tensor:
    """The loss by one kernel, which reduces it too.

    Args:
        name: of the kernel.
        x: its input.
        others: what else it reads.
        reduction: how it reduces.
        sizes: of the loss that is not reduced.
        *more: what else it writes.
        shrunk: whether it reduces into the memory of the loss that is not reduced, which stays as large.
    """
    memory = x.tape.allocate(x.tape.nbytes(sizes, x.dtype.itemsize)) if shrunk and reduction != "none" else None
    out = Tensor(x.tape, () if reduction != "none" else sizes, x.dtype, memory)
    x.tape.kernel(name, "pointwise", [x, *others, out, *more], flops=out.elements)
    return out


def _fused_backward(name: str, grad: Tensor, x: Tensor, *others: Tensor, like: bool = False) -> Tensor:
    """The gradient of x by one kernel; it lies without gaps, or like x."""
    out = x.new(x.sizes, strides=strides_for(x) if like else None)
    grad.tape.kernel(name, "pointwise", [grad, x, *others, out], flops=out.elements)
    return out


# Of two tensors of one shape.


def _elementwise_loss(name: str, shrunk: bool) -> Callable[..., Tensor]:
    """The rule of a loss whose gradient's kernel takes the two in both orders."""

    def loss(x: Tensor, target: Tensor, reduction: str) -> Tensor:
        x, target = broadcast_tensors(x, target)
        if reduction == "none":
            out = pointwise(name, x, target)
        else:
            out = fused(name, x, [target], reduction, x.sizes, shrunk=shrunk)
        backward = f"{name}_backward"
        formulas = {
            "self": lambda grad, self, target: grad.by(_gradient, self, target, name=backward),
            "target": lambda grad, self, target: grad.by(_gradient, target, self, name=backward),
        }
        differentiable(out, {"self": x, "target": target}, formulas)
        return out

    return loss


def _gradient(grad: Tensor, x: Tensor, target: Tensor, name: str) -> Tensor:
    return _fused_backward(name, grad, x, target)


_squared, _smooth = (_elementwise_loss(name, shrunk=True) for name in ("mse_loss", "smooth_l1_loss"))
_huber = _elementwise_loss("huber_loss", shrunk=False)


@loss_of("mse_loss")
def mse_loss(x: Tensor, target: Tensor, *, reduction: str, weight: Tensor | None = None) -> Tensor:
    if weight is None:
        return _squared(x, target, reduction)
    x, target = broadcast_tensors(x, target)
    squares = sub(x, target).pow(2)
    weighted = mul(squares, weight)
    if reduction == "mean":
        return div(sum(weighted), sum(weight))
    return reduced_by(reduction, weighted)


@loss_of("huber_loss")
def huber_loss(
    x: Tensor, target: Tensor, *, reduction: str, delta: float = 1.0, weight: Tensor | None = None
) -> Tensor:
    if weight is None:
        return _huber(x, target, reduction)
    unweighted = _huber(x, target, "none")
    return reduced_by(reduction, mul(unweighted, weight))


@loss_of("smooth_l1_loss")
def smooth_l1_loss(x: Tensor, target: Tensor, *, reduction: str, beta: float = 1.0) -> Tensor:
    return l1_loss(x, target, reduction=reduction) if beta == 0 else _smooth(x, target, reduction)


@loss_of("l1_loss")
def l1_loss(x: Tensor, target: Tensor, *, reduction: str, weight: Tensor | None = None) -> Tensor:
    x, target = broadcast_tensors(x, target)
    if weight is not None:
        raise refused("l1_loss with a weight")
    return expressed(lambda x, t: (x - t).abs().by(lambda loss: reduced_by(reduction, loss)), x, target)


@loss_of("soft_margin_loss")
def soft_margin_loss(x: Tensor, target: Tensor, *, reduction: str) -> Tensor:
    if reduction == "none":
        out = pointwise("soft_margin_loss", x, target)
    else:
        out = fused("soft_margin_loss", x, [target], reduction, x.sizes, shrunk=True)
    return with_gradient(out, "soft_margin_loss_backward", x, target)


def with_gradient(
    out: Tensor, name: str, x: Tensor, target: Tensor, *others: Tensor | None, like: bool = False
) -> Tensor:
    """The gradient of x by one kernel that reads it, a target that has none and others."""
    _constant(target, name)

    def backward(saved: Sequence[Tensor | None], g: Tensor) -> list[Tensor]:
        x, *rest = [each for each in saved if each is not None]
        return [_fused_backward(name, g, x, *rest, like=like)]

    attach([out], [x], [x, target, *others], backward)
    return out


def _constant(target: Tensor, name: str) -> None:
    if target.requires_grad and torch.is_grad_enabled():
        raise refused(f"the gradient of the target of {name.removesuffix('_backward')}")


# Of probabilities.


@loss_of("binary_cross_entropy")
def binary_cross_entropy(x: Tensor, target: Tensor, weight: Tensor | None = None, *, reduction: str) -> Tensor:
    if not fits(x.sizes, target.sizes):
        raise Mismatch(f"binary_cross_entropy: a target of shape {target.sizes} does not fit {x.sizes}")
    weights = [] if weight is None else [expand(weight, x.sizes)]
    if reduction == "none":
        out = x.new(x.sizes, strides=strides_for(x))
        x.tape.kernel("binary_cross_entropy", "pointwise", [x, target, *weights, out], flops=out.elements)
    else:
        out = fused("binary_cross_entropy", x, [target, *weights], reduction, x.sizes, shrunk=True)
    return with_gradient(out, "binary_cross_entropy_backward", x, target, *weights, like=True)


@loss_of("binary_cross_entropy_with_logits")
def binary_cross_entropy_with_logits(
    x: Tensor, target: Tensor, weight: Tensor | None = None, *, reduction: str, pos_weight: Tensor | None = None
) -> Tensor:
    if not fits(x.sizes, target.sizes):
        raise Mismatch(f"binary_cross_entropy_with_logits: a target of shape {target.sizes} does not fit {x.sizes}")
    _constant(target, "binary_cross_entropy_with_logits")
    others = [each for each in (target, weight, pos_weight) if each is not None]
    out = x.new(() if reduction != "none" else x.sizes, strides=strides_for(target) if reduction == "none" else None)
    x.tape.kernel("binary_cross_entropy_with_logits", "pointwise", [x, *others, out], flops=out.elements)

    def backward(saved: Sequence[Tensor | None], g: Tensor) -> list[Tensor]:
        x, target, weight, pos_weight = saved
        assert x is not None and target is not None
        return [_logit_gradient(g, x, target, weight, pos_weight, reduction)]

    attach([out], [x], [x, target, weight, pos_weight], backward)
    return out


def _logit_gradient(
    g: Tensor, x: Tensor, target: Tensor, weight: Tensor | None, pos_weight: Tensor | None, reduction: str
) -> Tensor:
    """As torch writes it, in place but under a dispatch mode."""
    how = {"inplace": g.tape.in_place}
    if pos_weight is None:
        gradient = sub(x.sigmoid(), target, **how)
    else:
        positive = mul(pos_weight, target)
        gradient = expressed(
            lambda p, x, t: p.add(1).by(sub, t, **how).by(mul, x.sigmoid(), **how).by(sub, p, **how),
            positive, x, target,
        )  # fmt: skip
    gradient = mul(gradient, g, **how)
    if weight is not None:
        gradient = mul(gradient, weight, **how)
    return div(gradient, 2, inplace=True) if reduction == "mean" else gradient


@loss_of("kl_div")
def kl_div(x: Tensor, target: Tensor, *, reduction: str, log_target: bool = False) -> Tensor:
    if log_target:
        loss = expressed(lambda x, t: (t - x).by(_times_exponential, t), x, target)
    else:
        loss = expressed(lambda x, t: (t * x).by(_from_entropy, t), x, target)
    if reduction == "batchmean":
        total = sum(loss)
        return div(total, 2) if x.rank else total
    return reduced_by(reduction, loss)


def _times_exponential(difference: Tensor, target: Tensor) -> Tensor:
    return mul(exp(target), difference)


def _from_entropy(product: Tensor, target: Tensor) -> Tensor:
    return sub(target.xlogy(target), product)


@loss_of("poisson_nll_loss")
def poisson_nll_loss(
    x: Tensor, target: Tensor, log_input: bool = True, full: bool = False, eps: float = 1e-8, *, reduction: str
) -> Tensor:
    if log_input:
        loss = expressed(lambda x, t: (t * x).by(lambda product, x: sub(exp(x), product), x), x, target)
    else:
        loss = expressed(lambda x, t: x - t * (x + eps).log(), x, target)
    if full:
        _constant(target, "poisson_nll_loss")
        stirling = expressed(lambda t: (0.5 * (2 * math.pi * t).log()).by(_stirling, t), target)
        loss = expressed(lambda loss, s, t: loss.add_(s.masked_fill(t.le(1), 0)), loss, stirling, target)
    return reduced_by(reduction, loss)


def _stirling(rest: Tensor, target: Tensor) -> Tensor:
    return expressed(lambda t, rest: t * t.log() - t + rest, target, rest)


@loss_of("gaussian_nll_loss")
def gaussian_nll_loss(
    x: Tensor, target: Tensor, var: Any, full: bool = False, eps: float = 1e-6, *, reduction: str
) -> Tensor:
    if type(var) is not Tensor:
        var = mul(filled("ones_like", x.tape, x.sizes, x.dtype), var)
    else:
        reduction_kernel("any", lt(var, 0), (), torch.bool)  # torch looks whether one is negative, and would raise
        if not fits(var.sizes, x.sizes) and fits(x.sizes[:-1], var.sizes):
            var = unsqueeze(var, -1)
    var = clone(var)
    var.memory.version += 1
    var.tape.kernel("clamp_", "pointwise", [var, var], flops=var.elements)
    loss = mul(add(log(var), div(sub(x, target).pow(2), var)), 0.5)
    if full:
        loss = add(loss, 0.5 * math.log(2 * math.pi), inplace=True)
    return reduced_by(reduction, loss)
