"""Rules of copies: clones, other types, reversed axes."""

from __future__ import annotations

from typing import Any

import torch

from .. import layout
from ..errors import refused
from ..graph import attach
from ..table import rule
from ..tape import DType
from ..tensor import Tensor
from .kernels import result_of, strides_for


@rule("torch.clone", "Tensor.clone")
def clone(x: Tensor, *, memory_format: Any = None) -> Tensor:
    out = x.new(x.sizes, strides=strides_for(x, memory_format))
    x.tape.kernel("clone", "pointwise", [x, out], flops=0)
    attach([out], [x], [], lambda _, g: [g])
    return out


@rule("Tensor.contiguous")
def contiguous(x: Tensor, *, memory_format: Any = "contiguous") -> Tensor:
    order = layout.order_in(memory_format)
    if not x.conjugated and (x.is_plain if order is None else layout.is_contiguous(x.hints, x.strides, order)):
        return x
    return clone(x, memory_format=memory_format)


@rule("torch.flip", "Tensor.flip")
def flip(x: Tensor, *axes: Any, dims: Any = None) -> Tensor:
    x = x.resolved()
    out = x.new(x.sizes, strides=None if x._strides is None else layout.like(x.hints, x.strides))
    x.tape.kernel("flip", "pointwise", [x, out], flops=0)
    attach([out], [x], [], lambda _, g: [flip(g, *axes, dims=dims)])
    return out


@rule("torch.resolve_conj", "Tensor.resolve_conj")
def resolve_conj(x: Tensor) -> Tensor:
    return clone(x) if x.conjugated else x


@rule("Tensor.to")
def to(
    x: Tensor, *args: Any, dtype: DType = None, device: Any = None, other: Tensor | None = None,
    non_blocking: bool = False, copy: bool = False, memory_format: Any = None,
) -> Tensor:  # fmt: skip
    """x in another type or memory format; itself where it is so already, unless a copy is asked for."""
    truths = [each for each in args if isinstance(each, bool)]  # non_blocking, copy
    copy = copy or truths[1:] == [True]
    for argument in (*args, other):
        if type(argument) is Tensor:
            dtype = argument.dtype
        elif hasattr(argument, "itemsize"):
            dtype = argument
        elif argument is not None and not isinstance(argument, bool):
            device = argument
    check_device(device)
    dtype = dtype or x.dtype
    if dtype is x.dtype and not copy and _lies_in(x, memory_format):
        return x
    return _converted(x, dtype, memory_format)


def _lies_in(x: Tensor, memory_format: Any) -> bool:
    """Whether torch takes x for one in a memory format: whatever has not its channels innermost lies in a row."""
    name = str(memory_format).removeprefix("torch.")
    last = x._strides is not None and layout.is_channels_last(x.hints, x.strides)
    return name in ("None", "preserve_format") or last is name.startswith("channels_last")


def _converted(x: Tensor, dtype: DType, memory_format: Any) -> Tensor:
    before = x.dtype
    x_ = x.resolved()
    out = x.new(x.sizes, dtype, strides_for(x_, memory_format))
    x.tape.kernel("_to_copy", "pointwise", [x_, out], flops=0)
    if dtype.is_floating_point or dtype.is_complex:
        attach([out], [x], [], lambda _, g: [to(g.real if g.dtype.is_complex and not before.is_complex else g, before)])
    return out


def check_device(device: Any) -> None:
    """Refuse another device than the one that a recording has, which torch code sees as the CPU."""
    if device is not None and str(device).partition(":")[0] != "cpu":
        raise refused(f"a tensor on {device}: a recording has one device, which is called cpu")


@rule("Tensor.cpu")
def cpu(x: Tensor, memory_format: Any = None) -> Tensor:
    return to(x, memory_format=memory_format)


@rule("Tensor.cuda", "Tensor.xpu")
def cuda(x: Tensor, device: Any = "cuda", **_: Any) -> Tensor:
    check_device(device)
    return x


@rule("Tensor.type")
def type_(x: Tensor, dtype: Any = None, non_blocking: bool = False) -> Any:
    """x in another type, which may be given by the name of its old class; that name of its own."""
    if dtype is None:
        return f"torch.{NAMES[x.dtype]}"
    if isinstance(dtype, str) or not hasattr(dtype, "itemsize"):
        name = dtype.removeprefix("torch.") if isinstance(dtype, str) else dtype.__name__
        found = [each for each, own in NAMES.items() if own == name]
        if not found:
            raise refused(f"Tensor.type of {dtype}")
        (dtype,) = found
    return to(x, dtype)


NAMES = {
    torch.float32: "FloatTensor", torch.float64: "DoubleTensor", torch.float16: "HalfTensor",
    torch.bfloat16: "BFloat16Tensor", torch.uint8: "ByteTensor", torch.int8: "CharTensor", torch.int16: "ShortTensor",
    torch.int32: "IntTensor", torch.int64: "LongTensor", torch.bool: "BoolTensor",
    torch.complex64: "ComplexFloatTensor", torch.complex128: "ComplexDoubleTensor",
}  # fmt: skip


def _converts(name: str, dtype: DType) -> None:
    @rule(f"Tensor.{name}")
    def convert(x: Tensor, memory_format: Any = None) -> Tensor:
        return to(x, dtype, memory_format=memory_format)


for _name, _dtype in {
    "float": torch.float32, "double": torch.float64, "half": torch.float16, "bfloat16": torch.bfloat16,
    "byte": torch.uint8, "char": torch.int8, "short": torch.int16, "int": torch.int32, "long": torch.int64,
    "bool": torch.bool, "cfloat": torch.complex64, "cdouble": torch.complex128, "chalf": torch.complex32,
}.items():  # fmt: skip
    _converts(_name, _dtype)


@rule("Tensor.type_as")
def type_as(x: Tensor, other: Tensor) -> Tensor:
    return to(x, other.dtype)


@rule("torch.conj_physical", "Tensor.conj_physical")
def conj_physical(x: Tensor) -> Tensor:
    if not x.dtype.is_complex:
        return x
    out = result_of([x.resolved()], x.dtype)
    x.tape.kernel("_conj_physical", "pointwise", [x, out], flops=out.elements)
    attach([out], [x], [], lambda _, g: [conj_physical(g)])
    return out


@rule("torch.resolve_neg", "Tensor.resolve_neg")
def resolve_neg(x: Tensor) -> Tensor:
    return x
