"""Rules of kernels that treat lists of tensors at once, as optimizers run them: one launch, 1 FLOP per element."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..table import rule
from ..tensor import Tensor
from .kernels import strides_for

NAMES = (
    "abs", "add", "addcdiv", "addcmul", "clamp_max", "clamp_min", "div", "exp", "lerp", "maximum", "minimum", "mul",
    "neg", "pow", "reciprocal", "rsqrt", "sign", "sqrt", "sub",
)  # fmt: skip
FUSED = ("_fused_adagrad_", "_fused_adam_", "_fused_adamw_", "_fused_sgd_")


def _tensors(arguments: Sequence[Any]) -> list[Tensor]:
    found: list[Tensor] = []
    for each in arguments:
        if type(each) is Tensor:
            found.append(each)
        elif isinstance(each, (list, tuple)):
            found += _tensors(each)
    return found


def _kernel(name: str, arguments: Sequence[Any], written: Sequence[Tensor]) -> None:
    elements = sum(tensor.elements for tensor in written)
    written[0].tape.kernel(name, "pointwise", [*_tensors(arguments), *written], flops=elements)


def _in_place(name: str) -> Any:
    @rule(f"torch.{name}")
    def change(changed: list[Tensor], *others: Any, **settings: Any) -> None:
        _kernel(name, [changed, *others, *settings.values()], changed)
        for tensor in changed:
            tensor.memory.version += 1

    return change


def _out_of_place(name: str) -> Any:
    @rule(f"torch.{name}")
    def make(tensors: list[Tensor], *others: Any, **settings: Any) -> list[Tensor]:
        written = [tensor.new(tensor.sizes, strides=strides_for(tensor)) for tensor in tensors]
        _kernel(name, [tensors, *others, *settings.values()], written)
        return written

    return make


for _name in NAMES:
    _out_of_place(f"_foreach_{_name}")
for _name in (*(f"_foreach_{name}_" for name in NAMES), *FUSED):
    _in_place(_name)


@rule("torch._foreach_zero_")
def foreach_zero_(changed: list[Tensor]) -> None:
    changed[0].tape.kernel("_foreach_zero_", "pointwise", changed, flops=0)


@rule("torch._foreach_copy_")
def foreach_copy_(changed: list[Tensor], sources: list[Tensor], non_blocking: bool = False) -> None:
    changed[0].tape.kernel("_foreach_copy_", "pointwise", [*changed, *sources, *changed], flops=0)


@rule("torch._foreach_norm")
def foreach_norm(tensors: list[Tensor], ord: Any = 2, dtype: Any = None) -> list[Tensor]:
    """The norm of each."""
    written = [tensor.new((), dtype) for tensor in tensors]
    elements = sum(tensor.elements for tensor in tensors)
    tensors[0].tape.kernel("_foreach_norm", "pointwise", [*tensors, *written], flops=elements)
    return written
