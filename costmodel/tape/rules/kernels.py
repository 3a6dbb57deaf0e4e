"""What the rules share: kernels over elements and reductions, with the shape, type and strides of what they write."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import torch

from .. import layout
from ..errors import Mismatch
from ..sizes import fit, same
from ..table import active
from ..tape import DType, Shape, Size
from ..tensor import Tensor

Operand = Any  # a Tensor, or a Python number, which torch keeps on the host


def pointwise(
    name: str, *operands: Operand, dtype: DType = None, flops_per_element: int = 1, plain: bool = False
) -> Tensor:
    """A kernel that computes each output element from the corresponding ones of its (broadcast) inputs.

    Its output lies as they do or, ``plain``, without gaps, the last axis innermost.
    """
    tensors = [each.resolved() if each.conjugated else each for each in operands if type(each) is Tensor]
    dtype = promoted(operands) if dtype is None else dtype
    out = tensors[0].new(broadcast(*(x.sizes for x in tensors)), dtype) if plain else result_of(tensors, dtype)
    out.tape.kernel(name, "pointwise", [*tensors, out], flops=flops_per_element * out.elements)
    return out


def result_of(tensors: Sequence[Tensor], dtype: DType) -> Tensor:
    """A new tensor of the broadcast shape of ``tensors``, laid out as their kernel's output."""
    first = tensors[0]
    sizes = first.sizes
    for tensor in tensors[1:]:
        if tensor.sizes != sizes:
            sizes = broadcast(*(tensor.sizes for tensor in tensors))
            break
    if first._strides is None and first.sizes == sizes:
        return first.new(sizes, dtype)
    if all(tensor.is_plain for tensor in tensors) and any(tensor.sizes == sizes for tensor in tensors):
        return first.new(sizes, dtype)
    hints = tuple(map(first.tape.hint, sizes))
    if first.is_dense and all(tensor.sizes == sizes and tensor.strides == first.strides for tensor in tensors):
        return first.new(sizes, dtype, first.strides)
    return first.new(sizes, dtype, layout.iterated(hints, [(tensor.hints, tensor.strides) for tensor in tensors]))


def in_place(name: str, x: Tensor, *others: Operand) -> Tensor:
    """A kernel that computes each element of ``x`` anew, from it and the corresponding ones of other tensors."""
    tensors = [other.resolved() for other in others if type(other) is Tensor]
    x.tape.kernel(name, "pointwise", [x, *tensors, x], flops=x.elements)
    x.memory.version += 1
    return x


def accumulated(total: Tensor, other: Tensor) -> Tensor:
    """The sum of two of a backward's tensors: in place, unless a dispatch mode runs, where kernels are counted."""
    x = total.tape
    out = total if x.in_place else total.new(total.sizes, strides=total._strides)
    x.kernel("add", "pointwise", [total, other, out], flops=out.elements)
    return out


def reduction(name: str, x: Tensor, sizes: Shape, dtype: DType = None) -> Tensor:
    """A kernel that reduces ``x`` to ``sizes``."""
    x = x.resolved()
    out = x.new(sizes, dtype)
    x.tape.kernel(name, "pointwise", [x, out], flops=x.elements)
    return out


def moved(name: str, tensors: Sequence[Tensor], sizes: Shape, dtype: DType = None) -> Tensor:
    """A kernel that computes nothing: it writes what it reads elsewhere."""
    out = tensors[0].new(sizes, dtype)
    out.tape.kernel(name, "pointwise", [*tensors, out], flops=0)
    return out


def by_columns(x: Tensor, sizes: Shape) -> Tensor:
    """A new tensor like ``x`` whose matrices lie column by column, as LAPACK leaves its results."""
    rank = len(sizes)
    order = (*range(rank - 2), rank - 1, rank - 2)
    return x.new(sizes, strides=layout.contiguous(tuple(map(x.tape.hint, sizes)), order))


def image_strides(x: Tensor, sizes: Shape) -> layout.Strides | None:
    """The strides of an image batch of ``sizes`` that a kernel makes of x: channels lie innermost if they do in x."""
    if x._strides is None or not layout.is_channels_last(x.hints, x.strides):
        return None
    return layout.channels_last(tuple(map(x.tape.hint, sizes)))


def broadcast(*shapes: Shape) -> Shape:
    """The common shape of broadcast operands."""
    rank = max(map(len, shapes))
    padded = [(1,) * (rank - len(shape)) + tuple(shape) for shape in shapes]
    return tuple(_common(sizes) for sizes in zip(*padded, strict=True))


def _common(sizes: Sequence[Size]) -> Size:
    first, *others = [size for size in sizes if size != 1] or [1]
    for other in others:
        if not same(first, other):  # one of them may be 1 on some way
            for size in (first, other):
                active().holds(size > 1)
            fit(first, other, "operands of a pointwise function")
    return first


def alike(a: Tensor, b: Tensor, what: str) -> None:
    """Raise Mismatch unless two tensors have one type."""
    if a.dtype is not b.dtype:
        raise Mismatch(f"{what}: {a.dtype} does not fit {b.dtype}")


def fits(sizes: Shape, others: Shape) -> bool:
    """Whether two shapes are equal, however they are written."""
    return sizes == others or (len(sizes) == len(others) and all(map(same, sizes, others)))


def reduced(sizes: Shape, axes: Sequence[int], keepdim: bool) -> tuple[Shape, Shape]:
    """The shape after a reduction, with the reduced axes kept and as asked."""
    kept = tuple(1 if i in axes else size for i, size in enumerate(sizes))
    return kept, kept if keepdim else tuple(size for i, size in enumerate(sizes) if i not in axes)


def promoted(operands: Sequence[Operand]) -> DType:
    """The type in which torch computes with these operands: tensors with axes over those without, both over numbers."""
    first, *others = operands
    if type(first) is Tensor:
        own = first.dtype
        for other in others:
            if type(other) is Tensor:
                if other.dtype is not own:
                    break
            elif type(other) not in (int, float) or not (own.is_floating_point or own.is_complex):
                break
        else:
            return own
    return _promoted(tuple((o.dtype, o.rank > 0) if type(o) is Tensor else type(o) for o in operands))


@lru_cache(maxsize=1024)
def _promoted(kinds: tuple[Any, ...]) -> DType:
    numbers: dict[Any, Any] = {bool: True, int: 1, float: 1.0, complex: 1j}
    with torch._C.DisableTorchFunction():
        tensors = [
            torch.empty((1,) * kind[1], dtype=kind[0], device="meta") for kind in kinds if isinstance(kind, tuple)
        ]
        result = tensors[0]
        for other in (*tensors[1:], *(numbers.get(kind, 1) for kind in kinds if not isinstance(kind, tuple))):
            axes = max(result.ndim, getattr(other, "ndim", 0))
            result = torch.empty((1,) * axes, dtype=torch.result_type(result, other), device="meta")
    return result.dtype


def real_of(dtype: DType) -> DType:
    """The type of a complex type's parts; a real type itself."""
    return dtype.to_real() if dtype.is_complex else dtype


def strides_for(x: Tensor, memory_format: Any = None) -> layout.Strides | None:
    """The strides of a copy of x: in a memory format, by default in x's own order of the axes."""
    name, order = str(memory_format), layout.order_in(memory_format)
    if order is not None:
        return layout.contiguous(x.hints, order)
    if name.endswith("contiguous") or name.endswith("contiguous_format"):
        return None
    return None if x._strides is None else layout.like(x.hints, x.strides)
