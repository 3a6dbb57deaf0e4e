"""Rules of indexing: views by slices and integers, and writing into them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from .. import layout
from ..errors import refused
from ..graph import attach
from ..table import rule
from ..tape import Shape, Size
from ..tensor import Tensor
from .copies import to
from .factories import filled, of_numbers
from .kernels import broadcast, pointwise, strides_for
from .strided import changed_in_graph
from .views import expand, narrowed, real, select, unsqueeze, view

Index = Any  # a Tensor; None for an axis that is left as it is; MASKED for one that a mask before it takes too
MASKED = ...


@rule("Tensor.__getitem__")
def getitem(x: Tensor, index: Any) -> Tensor:
    if isinstance(index, slice) and x.rank:  # alone, it is a step of the graph even where it takes all
        size, step = _length(x, 0, index)
        return narrowed(x, 0, x.sizes[0] if size is None else size, step)
    out, indices = _part(x, index)
    if indices:
        return indexed(out, indices)
    return out.view_of(out.sizes, out._strides) if out is x and x.edge is None else out


def _part(x: Tensor, index: Any, written: bool = False) -> tuple[Tensor, list[Index]]:
    """The view by the integers, slices and new axes of an index; and the tensors in it, by the axis that they take."""
    axis, out = 0, x
    indices: list[Index] = []
    for each in _expanded(x, index):
        if each is None:
            out = unsqueeze(out, axis)
            axis += 1
        elif isinstance(each, slice):
            size, step = _length(out, axis, each)
            if size is not None:
                out = narrowed(out, axis, size, step)
            axis += 1
        elif isinstance(each, bool):
            raise refused("indexing by a truth")
        elif isinstance(each, (list, tuple)) or type(each) is Tensor:
            taken = _as_index(each, written)
            indices += [None] * (axis - len(indices)) + [taken]
            axis += taken.rank if taken.dtype is torch.bool else 1
            indices += [MASKED] * (axis - len(indices))
        else:
            out = select(out, axis, each)
    return out, indices


def _as_index(index: Any, written: bool) -> Tensor:
    """A tensor of integers as an index; one of truths only where something is written, as a value decides sizes."""
    tensor: Tensor = index if type(index) is Tensor else of_numbers(index)
    truths = tensor.dtype is torch.bool
    if tensor.dtype is torch.uint8 or (truths and not written):
        raise refused("indexing by a mask: its values decide the size of the result")
    if not truths and (tensor.rank == 0 or tensor.dtype.is_floating_point):
        raise refused("indexing by a tensor of one number, whose value torch code reads")
    return tensor


def _expanded(x: Tensor, index: Any) -> list[Any]:
    """The index with its Ellipsis written out."""
    entries = list(index) if isinstance(index, tuple) else [index]
    at = next((i for i, entry in enumerate(entries) if entry is Ellipsis), None)
    if at is None:
        return entries
    taken = sum(map(_axes_of, entries)) - 1
    return [*entries[:at], *[slice(None)] * (x.rank - taken), *entries[at + 1 :]]


def _axes_of(entry: Any) -> int:
    """How many axes an entry of an index takes; an Ellipsis counts as one."""
    if entry is None or isinstance(entry, bool):
        return 0
    return entry.rank if type(entry) is Tensor and entry.dtype is torch.bool else 1


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
    whole = length is size or length == size
    return (
        None if whole and not (part.start and _is_negative(part.start)) else length
    ), 1  # torch tells by the numbers


def _bound(given: Any, default: Size, size: Size) -> Size:
    if given is None:
        return default
    if not _is_negative(given):
        return given
    counted = given + size
    return max(counted, 0) if isinstance(counted, int) else counted


def _is_negative(given: Size) -> Any:
    return given < 0 if isinstance(given, int) else given.is_negative


def _ceiling(length: Any, step: Any) -> Any:
    import sympy  # noqa: PLC0415

    return -sympy.floor(-length / step)


# By tensors.


def indexed(x: Tensor, indices: Sequence[Index]) -> Tensor:
    """The kernel index, whose gradient is added up where elements were taken twice."""
    sizes, strides = _taken(x, indices)
    read = [each for each in indices if type(each) is Tensor]
    out = x.new(sizes, strides=strides)
    x.tape.kernel("index", "pointwise", [x.resolved(), *read, out], flops=0)
    before = x.sizes

    def backward(saved: Sequence[Tensor], g: Tensor) -> list[Tensor | None]:
        return [added(new_zeros(g, before), "index_put", [*saved, g])]

    attach([out], [x], read, backward)
    return out


def added(zeros: Tensor, name: str, read: Sequence[Tensor]) -> Tensor:
    """Gradients added into zeros; under a dispatch mode that makes another tensor."""
    read = [each.resolved() for each in read]
    out = zeros if zeros.tape.in_place else zeros.new(zeros.sizes, strides=zeros._strides)
    zeros.tape.kernel(name, "pointwise", [zeros, *read, out], flops=out.elements)
    return out


def new_zeros(g: Tensor, sizes: Shape) -> Tensor:
    """Zeros of a gradient's type; of a lazy conjugate torch makes a copy first, which nobody needs."""
    g = g.resolved()
    return filled("new_zeros", g.tape, sizes, g.dtype)


def _taken(x: Tensor, indices: Sequence[Index]) -> tuple[Shape, layout.Strides]:
    """The shape and strides of what indices take of x.

    Where they stand side by side, theirs are the axes in that place, else the first ones.
    """
    places = [axis for axis, each in enumerate(indices) if type(each) is Tensor]
    tensors = [each for each in indices if type(each) is Tensor]
    common = broadcast(*(each.sizes for each in tensors))
    rest = [axis for axis in range(x.rank) if axis not in places]
    front = places[0] if places == list(range(places[0], places[-1] + 1)) else 0
    before, behind = rest[:front], rest[front:]
    sizes = (*(x.sizes[a] for a in before), *common, *(x.sizes[a] for a in behind))
    steps = (*(x.strides[a] for a in before), *(0,) * len(common), *(x.strides[a] for a in behind))
    hints = tuple(map(x.tape.hint, sizes))
    operands = [(hints, steps)]
    for each in tensors:
        own = (*(1,) * (len(common) - each.rank), *each.hints, *(1,) * len(behind))
        strides = (*(0,) * (len(common) - each.rank), *each.strides, *(0,) * len(behind))
        operands.append((own, strides))
    return sizes, layout.iterated(hints, operands)


@rule("torch.index_put", "Tensor.index_put")
def index_put(x: Tensor, indices: Any, values: Tensor, accumulate: bool = False) -> Tensor:
    out = x.new(x.sizes, strides=strides_for(x))
    read = [_as_index(each, written=True) for each in indices if each is not None]
    x.tape.kernel("index_put", "pointwise", [x, *read, values, out], flops=out.elements)
    attach([out], [x, values], read, _put_backward(list(indices), x, values, accumulate))
    return out


@rule("Tensor.index_put_")
def index_put_(x: Tensor, indices: Any, values: Tensor, accumulate: bool = False) -> Tensor:
    return _put_into(
        x, [None if each is None else _as_index(each, written=True) for each in indices], values, accumulate
    )


def _put_into(x: Tensor, indices: Sequence[Index], values: Tensor, accumulate: bool = False) -> Tensor:
    read = [each for each in indices if type(each) is Tensor]
    needs = needs_gradient(x, values)
    backward = _put_backward(indices, x, values, accumulate)
    x.tape.kernel("index_put_", "pointwise", [x, *read, values, x], flops=x.elements)
    x.memory.version += 1
    return changed_in_graph(x, [values], read, backward) if needs else x


def _put_backward(indices: Sequence[Index], x: Tensor, values: Tensor, accumulate: bool) -> Any:
    of_x, of_values, shape, dtype = x.requires_grad, values.requires_grad, values.sizes, values.dtype
    places = [type(each) is Tensor for each in indices]
    if of_values and any(type(each) is Tensor and each.dtype is torch.bool for each in indices):
        raise refused("writing values that need a gradient where a mask says: its values decide their number")

    def backward(saved: Sequence[Tensor], g: Tensor) -> list[Tensor | None]:
        rest = g
        if of_x and not accumulate:
            zeros = filled("zeros", g.tape, shape, dtype)
            rest = g.new(g.sizes, strides=strides_for(g))
            g.tape.kernel("index_put", "pointwise", [g, *saved, zeros, rest], flops=rest.elements)
            del zeros
        found = iter(saved)
        again = [next(found) if place else None for place in places]
        return [rest if of_x else None, indexed(g, again) if of_values else None]

    return backward


# Writing.


def needs_gradient(x: Tensor, *others: Tensor) -> bool:
    """Whether changing x by others is a step of a graph."""
    if not torch.is_grad_enabled() or not any(each.requires_grad for each in (x, *others)):
        return False
    root = x if x.base is None else x.base
    if root.requires_grad and root.is_leaf:
        raise RuntimeError("a leaf that requires grad, or a view of one, is changed in place")
    return True


@rule("Tensor.__setitem__")
def setitem(x: Tensor, index: Any, value: Any) -> None:
    target, indices = _part(x, index, written=True)
    value = value if type(value) is Tensor else of_numbers(value, x.dtype)
    if indices:
        _put_into(target, indices, _trimmed(value))
    elif value.rank == 0 and target.rank:
        _fill(target, value)
    else:
        written(target, _spread(value, target.sizes))


def _trimmed(value: Tensor) -> Tensor:
    """A value without the axes of one element in front."""
    leading = next((axis for axis, size in enumerate(value.sizes) if size != 1), value.rank)
    return view(value, value.sizes[leading:]) if leading else value


def _spread(value: Tensor, sizes: Shape) -> Tensor:
    """A value without leading axes of one element, over all of the target."""
    if value.sizes == sizes:
        return value
    value = _trimmed(value)
    return value if value.sizes == sizes else expand(value, sizes)


def _fill(x: Tensor, value: Tensor) -> Tensor:
    needs = needs_gradient(x, value)
    of_x, of_value = x.requires_grad, value.requires_grad

    def backward(_: object, g: Tensor) -> list[Tensor | None]:
        rest = filled("zeros_like", g.tape, g.sizes, g.dtype) if of_x else None
        total: Any = g.sum() if of_value else None
        return [rest, total]

    x.tape.kernel("fill_", "pointwise", [x, value, x], flops=0)
    x.memory.version += 1
    return changed_in_graph(x, [value], [], backward) if needs else x


@rule("Tensor.copy_")
def copy_(x: Tensor, source: Tensor, non_blocking: bool = False) -> Tensor:
    return written(x, source)


def written(x: Tensor, source: Tensor) -> Tensor:
    """``x.copy_(source)``."""
    needs, of_x, dtype = needs_gradient(x, source), x.requires_grad, source.dtype

    def backward(_: object, g: Tensor) -> list[Tensor | None]:
        rest = filled("zeros_like", g.tape, g.sizes, g.dtype) if of_x else None
        return [rest, to(real(g) if g.dtype.is_complex and not dtype.is_complex else g, dtype)]

    x.tape.kernel("copy_", "pointwise", [x, source, x], flops=0)
    x.memory.version += 1
    return changed_in_graph(x, [source], [], backward) if needs else x


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
