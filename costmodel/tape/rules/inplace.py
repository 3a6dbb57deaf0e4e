"""Rules of what changes a tensor in place and computes nothing. In a graph that is a step like any other."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch

from ..errors import refused
from ..table import rule
from ..tensor import Tensor
from .formulas import check_changeable, overwritten
from .kernels import Operand, in_place
from .strided import changed_in_graph

Backward = Callable[[Sequence[Tensor], Tensor], "Sequence[Tensor | None]"]


def changed(
    x: Tensor, others: Sequence[Operand], name: str, backward: Backward | None = None, saved: Sequence[Tensor] = ()
) -> Tensor:
    """x, changed in place by a kernel, its derivative written in tensors.

    Args:
        x: what is changed.
        others: what else the kernel reads.
        name: of the kernel.
        backward: ``backward(saved, g)`` gives the gradients of x and of the tensors in ``others``.
        saved: what it reads.
    """
    tensors = [other for other in others if type(other) is Tensor]
    if not (torch.is_grad_enabled() and any(each.requires_grad for each in (x, *tensors))):
        return in_place(name, x, *others)
    if backward is None:
        raise refused(f"{name} of a tensor that belongs to a graph")
    check_changeable(x)
    in_place(name, x, *others)
    return changed_in_graph(x, tensors, saved, backward)


def _constant(name: str) -> Any:
    @rule(f"Tensor.{name}")
    def constant(x: Tensor, value: Operand = 0) -> Tensor:
        if type(value) is Tensor and value.requires_grad and torch.is_grad_enabled():
            raise refused(f"{name} with a value that needs a gradient")

        read = [value] if type(value) is Tensor else []

        def kernel() -> None:
            x.tape.kernel(name, "pointwise", [x, *read, x], flops=0)
            x.memory.version += 1

        return overwritten(x, {"self": x}, {"self": lambda grad: grad.zeros_like()}, kernel)

    return constant


fill_, zero_ = _constant("fill_"), _constant("zero_")
rule("torch.zero_")(zero_)
rule("torch.fill_")(fill_)
