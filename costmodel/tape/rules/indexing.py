"""Rules of indexing: views by slices and integers, and writing into them."""

from __future__ import annotations

from typing import Any

import torch

from ..errors import refused
from ..graph import attach
from ..table import rule
from ..tape import Size
from ..tensor import Tensor
from .factories import filled
from .kernels import pointwise
from .views import narrowed, select, unsqueeze


@rule("Tensor.__getitem__")
def getitem(x: Tensor, index: Any) -> Tensor:
    axis, out = 0, x
    for each in _expanded(x, index):
        if each is None:
            out = unsqueeze(out, axis)
            axis += 1
        elif isinstance(each, slice):
            size, step = _length(out, axis, each)
            if size is not None:
                out = narrowed(out, axis, size, step)
            axis += 1
        elif isinstance(each, bool) or type(each) is Tensor:
            raise refused("indexing by a tensor or a truth")
        else:
            out = select(out, axis, each)
    return out.view_of(out.sizes, out._strides) if out is x and x.edge is None else out


def _expanded(x: Tensor, index: Any) -> list[Any]:
    """The index with its Ellipsis written out."""
    entries = list(index) if isinstance(index, tuple) else [index]
    at = next((i for i, entry in enumerate(entries) if entry is Ellipsis), None)
    if at is None:
        return entries
    taken = sum(entry is not None for entry in entries) - 1
    return [*entries[:at], *[slice(None)] * (x.rank - taken), *entries[at + 1 :]]


def _length(x: Tensor, axis: int, part: slice) -> tuple[Size | None, int]:
    """How many entries a slice takes, None for all of them as they are, and its step."""
    size, step = x.sizes[axis], 1 if part.step is None else part.step
    start = _bound(part.start, 0, size)
    stop = _bound(part.stop, size, size)
    if part.stop is not None and stop is not size and not x.tape.holds(stop < size):
        stop = size
    length = stop - start
    if isinstance(length, int):
        length = max(length, 0)
    if step != 1:
        return -(-length // step) if isinstance(length, int) else _ceiling(length, step), step
    return (None if length is size or length == size else length), 1


def _bound(given: Any, default: Size, size: Size) -> Size:
    if given is None:
        return default
    negative = given < 0 if isinstance(given, int) else given.is_negative
    return given + size if negative else given


def _ceiling(length: Any, step: Any) -> Any:
    import sympy  # noqa: PLC0415

    return -sympy.floor(-length / step)


@rule("Tensor.__setitem__")
def setitem(x: Tensor, index: Any, value: Any) -> None:
    target = getitem(x, index)
    if type(value) is Tensor:
        written(target, value)
    else:
        raise refused("writing a number into a part of a tensor")


@rule("Tensor.copy_")
def copy_(x: Tensor, source: Tensor, non_blocking: bool = False) -> Tensor:
    return written(x, source)


def written(x: Tensor, source: Tensor) -> Tensor:
    """``x.copy_(source)``."""
    if torch.is_grad_enabled() and (x.requires_grad or source.requires_grad):
        if x.is_view or x.requires_grad:
            raise refused("copying into a view, or a tensor, that belongs to a graph")
        x.tape.kernel("copy_", "pointwise", [x, source, x], flops=0)
        attach([x], [source], [], lambda _, g: [g])
    else:
        x.tape.kernel("copy_", "pointwise", [x, source, x], flops=0)
    x.memory.version += 1
    return x


def copied_into(base: Tensor, sizes: Any, source: Tensor) -> Tensor:
    """``source`` written into a view of ``base`` with ``sizes``; the result stands for the changed base.

    Autograd undoes that by a copy of the whole gradient (CopySlices).
    """
    tape, base_needs = base.tape, base.requires_grad
    target = base.view_of(sizes, base.strides)
    tape.kernel("copy_", "pointwise", [target, source, target], flops=0)
    out = base.alias()

    def backward(_: object, g: Tensor) -> list[Tensor | None]:
        result = g.new(g.sizes)
        tape.kernel("copy_", "pointwise", [result, g, result], flops=0)
        rest = result.view_of(sizes, result.strides)
        of_source = pointwise("clone", rest, flops_per_element=0)
        if not base_needs:
            return [None, of_source]
        tape.kernel("copy_", "pointwise", [rest, filled("zeros_like", tape, sizes, g.dtype), rest], flops=0)
        return [result, of_source]

    attach([out], [base, source], [], backward)
    return out


@rule("torch.scatter_add", "Tensor.scatter_add")
def scatter_add(x: Tensor, dim: int, index: Tensor, src: Tensor) -> Tensor:
    if src.requires_grad:
        raise refused("scatter_add of a source that needs a gradient")
    out = x.new(x.sizes)
    x.tape.kernel("scatter_add", "pointwise", [x, index, src, out], flops=out.elements)
    attach([out], [x], [], lambda _, g: [g])
    return out


@rule("torch.gather", "Tensor.gather")
def gather(x: Tensor, dim: int, index: Tensor) -> Tensor:
    raise refused("gather")
