"""Rules of copies: clones, other types, reversed axes."""

from __future__ import annotations

from typing import Any

import torch

from .. import layout
from ..graph import attach
from ..table import rule
from ..tape import DType
from ..tensor import Tensor
from .kernels import strides_for


@rule("torch.clone", "Tensor.clone")
def clone(x: Tensor, *, memory_format: Any = None) -> Tensor:
    out = x.new(x.sizes, strides=strides_for(x, memory_format))
    x.tape.kernel("clone", "pointwise", [x, out], flops=0)
    attach([out], [x], [], lambda _, g: [g])
    return out


@rule("Tensor.contiguous")
def contiguous(x: Tensor, *, memory_format: Any = "contiguous") -> Tensor:
    order = layout.CHANNELS_LAST if str(memory_format).endswith("channels_last") else None
    if not x.conjugated and (x.is_plain if order is None else layout.is_contiguous(x.hints, x.strides, order)):
        return x
    return clone(x, memory_format=memory_format)


@rule("torch.flip", "Tensor.flip")
def flip(x: Tensor, *dims: Any) -> Tensor:
    x = x.resolved()
    out = x.new(x.sizes, strides=None if x._strides is None else layout.like(x.hints, x.strides))
    x.tape.kernel("flip", "pointwise", [x, out], flops=0)
    attach([out], [x], [], lambda _, g: [flip(g, *dims)])
    return out


@rule("torch.resolve_conj", "Tensor.resolve_conj")
def resolve_conj(x: Tensor) -> Tensor:
    return clone(x) if x.conjugated else x


@rule("Tensor.to")
def to(x: Tensor, *args: Any, dtype: DType = None, memory_format: Any = None, **_: Any) -> Tensor:
    for argument in args:
        if type(argument) is Tensor:
            dtype = argument.dtype
        elif hasattr(argument, "itemsize"):
            dtype = argument
    if dtype is None or dtype is x.dtype:
        return x if memory_format is None else contiguous(x, memory_format=memory_format)
    before = x.dtype
    x_ = x.resolved()
    out = x.new(x.sizes, dtype, strides_for(x_, memory_format))
    x.tape.kernel("_to_copy", "pointwise", [x_, out], flops=0)
    if dtype.is_floating_point or dtype.is_complex:  # integers have no gradient
        attach([out], [x], [], lambda _, g: [to(g.real if g.dtype.is_complex and not before.is_complex else g, before)])
    return out


def _converts(name: str, dtype: str) -> None:
    @rule(f"Tensor.{name}")
    def convert(x: Tensor) -> Tensor:
        return to(x, getattr(torch, dtype))


for _name, _dtype in {"float": "float32", "double": "float64", "bfloat16": "bfloat16", "half": "float16",
                      "long": "int64", "int": "int32", "bool": "bool"}.items():  # fmt: skip
    _converts(_name, _dtype)


@rule("Tensor.type_as")
def type_as(x: Tensor, other: Tensor) -> Tensor:
    return to(x, other.dtype)
