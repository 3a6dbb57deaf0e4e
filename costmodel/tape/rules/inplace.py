"""Rules of what changes a tensor in place. In a graph that is a step like any other, unless the tensor is a view."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch

from ..errors import refused
from ..graph import attach
from ..table import rule
from ..tensor import Tensor
from .kernels import Operand, in_place
from .pointwise import div, mul, neg, scaled

Backward = Callable[[Sequence[Tensor], Tensor], "Sequence[Tensor | None]"]


def changed(
    x: Tensor, others: Sequence[Operand], name: str, backward: Backward | None = None, saved: Sequence[Tensor] = ()
) -> Tensor:
    """x, changed in place by a kernel; ``backward(saved, g)`` gives the gradients of x and of the others."""
    tensors = [other for other in others if type(other) is Tensor]
    recorded = torch.is_grad_enabled() and any(each.requires_grad for each in (x, *tensors))
    if recorded and (x.is_view or backward is None):
        raise refused(f"{name} in place on a view, or of a kind, that belongs to a graph")
    if recorded and x.is_leaf and x.requires_grad:
        raise RuntimeError("a leaf that requires grad is changed in place")
    in_place(name, x, *others)
    if recorded:
        assert backward is not None
        attach([x], [x, *tensors], saved, backward)
    return x


@rule("Tensor.add_", "Tensor.__iadd__")
def add_(x: Tensor, y: Operand, *, alpha: float = 1) -> Tensor:
    inputs = 1 + (type(y) is Tensor)
    return changed(x, [y], "add_", lambda _, g: [g, scaled(g, alpha)][:inputs])


@rule("Tensor.sub_", "Tensor.__isub__")
def sub_(x: Tensor, y: Operand, *, alpha: float = 1) -> Tensor:
    needs = type(y) is Tensor
    return changed(x, [y], "sub_", lambda _, g: [g, scaled(neg(g), alpha)] if needs else [g])


@rule("Tensor.mul_", "Tensor.__imul__")
def mul_(x: Tensor, y: Operand) -> Tensor:
    if type(y) is not Tensor:
        return changed(x, [y], "mul_", lambda _, g: [mul(g, y)])
    return changed(x, [y], "mul_", None if y.requires_grad else lambda saved, g: [mul(g, saved[0]), None], [y])


@rule("Tensor.div_", "Tensor.__itruediv__")
def div_(x: Tensor, y: Operand) -> Tensor:
    return changed(x, [y], "div_", None if type(y) is Tensor else lambda _, g: [div(g, y)])


def _changing(name: str) -> Any:
    return rule(f"Tensor.{name}")(lambda x, *others, **_: changed(x, others, name))


for _name in (
    "neg_", "clamp_min_", "clamp_max_", "clamp_", "bitwise_and_", "bitwise_or_", "bitwise_xor_", "sqrt_", "abs_",
    "masked_fill_", "reciprocal_", "addcmul_", "addcdiv_", "lerp_", "exp_", "pow_",
):  # fmt: skip
    _changing(_name)
