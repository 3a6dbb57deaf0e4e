"""Rules of views by strides, and of writing into views that belong to a graph."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import torch

from .. import layout
from ..errors import NeedsNumber, refused
from ..graph import attach
from ..node import Backward
from ..table import rule
from ..tape import Shape, Size
from ..tensor import Tensor
from .factories import filled
from .kernels import in_place
from .views import expand, reshape, squeeze

Geometry = tuple[Shape, layout.Strides]  # sizes and strides


@rule("torch.as_strided", "Tensor.as_strided")
def as_strided(x: Tensor, size: Any, stride: Any, storage_offset: int | None = None) -> Tensor:
    if x.tape.symbolic:
        raise NeedsNumber("torch.as_strided takes strides, so sizes must be numbers")
    if storage_offset is not None and x.is_view:
        raise refused("as_strided of a view, from a place in its memory")
    out = x.view_of(tuple(size), tuple(stride))
    return cut_out(out, x, storage_offset or 0)


def cut_out(view: Tensor, base: Tensor, offset: int = 0) -> Tensor:
    """Make ``view`` differentiable as a part of the memory of ``base``, which begins ``offset`` elements later."""
    own, of_base = (view.sizes, view.strides), (base.sizes, base.strides)
    attach([view], [base], [], lambda _, g: [as_strided_backward(g, of_base, own, offset)])
    return view


def as_strided_backward(g: Tensor, base: Geometry, view: Geometry, offset: int) -> Tensor:
    """The gradient of a base from that of a view, by way of the memory that both show.

    Source: torch/csrc/autograd/FunctionsManual.cpp, "as_strided Backward and layout-aware/agnostic autograd".
    """
    tape, (sizes, strides) = g.tape, view
    for axis in reversed(range(len(sizes))):
        if sizes[axis] == 1:
            g = squeeze(g, axis)
        elif strides[axis] == 0:
            total: Any = g.sum(axis)
            g = total
    shown = _without(view, repeated=True)
    whole = _without(base)
    memory = g.new((_extent(g, base, whole, shown, offset),))
    tape.kernel("new_zeros", "pointwise", [memory], flops=0)
    places = None
    if _overlaps(g, whole) or _overlaps(g, shown):
        places = filled("arange", tape, memory.sizes, torch.int64)
    if places is not None and _overlaps(g, shown):
        chosen = reshape(places.view_of(*shown), -1)
        in_place("index_add_", memory, chosen, reshape(g, -1))
        del chosen
    else:
        part = memory.view_of(*shown)
        tape.kernel("copy_", "pointwise", [part, g, part], flops=0)
    if places is not None and _overlaps(g, whole):
        _shared(memory, places, whole)
    return memory.view_of(*base)


def _shared(memory: Tensor, places: Tensor, whole: Geometry) -> None:
    """Divide by how often the base shows each element."""
    count = filled("zeros_like", memory.tape, memory.sizes, memory.dtype)
    chosen = reshape(places.view_of(*whole), -1)
    one = filled("ones", memory.tape, (1,), memory.dtype)
    in_place("index_add_", count, chosen, expand(one, chosen.sizes))
    in_place("div_", memory, count)


def _without(geometry: Geometry, repeated: bool = False) -> Geometry:
    """Without axes of one element, and those that repeat the elements."""
    kept = [(a, b) for a, b in zip(*geometry, strict=True) if a != 1 and not (repeated and b == 0)]
    return tuple(a for a, _ in kept), tuple(b for _, b in kept)


def _extent(g: Tensor, base: Geometry, whole: Geometry, shown: Geometry, offset: int) -> Size:
    """How many elements of memory they reach over."""
    hints = tuple(map(g.tape.hint, base[0]))
    if not offset and layout.is_dense(hints, base[1]):
        elements = prod(base[0])
        if g.tape.symbolic:
            return elements
        return max(elements, _reach(shown))
    if g.tape.symbolic:
        raise NeedsNumber("a view of what lies with gaps was written to, so sizes must be numbers")
    return max(_reach(whole), offset + _reach(shown))


def _reach(geometry: Geometry) -> int:
    reach: int = 1 + sum((size - 1) * stride for size, stride in zip(*geometry, strict=True))
    return reach


def _overlaps(g: Tensor, geometry: Geometry) -> bool:
    """Whether elements may share memory, as torch decides it."""
    reach = 0
    for stride, size in sorted((stride, g.tape.hint(size)) for size, stride in zip(*geometry, strict=True)):
        if stride <= reach:
            return True
        reach += stride * (size - 1)
    return False


# Writing into what belongs to a graph.


def renew(view: Tensor) -> None:
    """Make the node of a view anew, whose memory was written to since."""
    base = view.base
    assert base is not None
    if not base.is_followed:
        view.edge = view._edge
        return
    if view.dtype is not base.dtype or view.conjugated is not base.conjugated:
        raise refused("a view as another type of what was changed in place")
    with torch.enable_grad():
        cut_out(view, base)


def changed_in_graph(x: Tensor, others: Sequence[Tensor], saved: Sequence[Tensor | None], backward: Backward) -> Tensor:
    """x, whose memory an operation has just changed, as its output: a step of the graph like any other.

    Into a view it is a step of the view's base (CopySlices), whose gradient is copied, and the view's part of it
    replaced. Source: torch/csrc/autograd/functions/tensor.cpp.

    Args:
        x: what was changed.
        others: what else the operation is differentiated by.
        saved: what it keeps.
        backward: the gradients of x from before and of the others.
    """
    base = x.base
    if base is None:
        attach([x], [x, *others], saved, backward)
        return x
    if x.dtype is not base.dtype or x.conjugated is not base.conjugated:
        raise refused("writing into a view as another type")
    sizes, strides, of_base, wanted = x.sizes, x._strides, base._strides, base.requires_grad

    def sliced(saved: Sequence[Tensor | None], g: Tensor) -> list[Tensor | None]:
        tape = g.tape
        result = g.new(g.sizes, strides=of_base)
        tape.kernel("copy_", "pointwise", [result, g, result], flops=0)
        part = result.view_of(sizes, strides)
        copy = part.new(sizes)
        tape.kernel("clone", "pointwise", [part, copy], flops=0)
        found: list[Tensor | None] = list(backward(saved, copy))
        del copy
        first = found[0]
        if first is None or not wanted:
            return [None, *found[1:]]
        tape.kernel("copy_", "pointwise", [part, first, part], flops=0)
        return [result, *found[1:]]

    attach([base], [base, *others], saved, sliced)
    renew(x)
    return x
