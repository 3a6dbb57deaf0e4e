"""Rules of copies that arrange a tensor's elements anew: repeated, rolled, turned."""

from __future__ import annotations

from typing import Any

from .. import layout
from ..errors import NeedsNumber, refused
from ..graph import attach
from ..table import rule
from ..tape import Shape
from ..tensor import Tensor
from .copies import clone, flip
from .kernels import moved, strides_for
from .views import expand, flatten, reshape, unsqueeze, view


@rule("Tensor.repeat")
def repeat(x: Tensor, *times: Any, repeats: Any = None) -> Tensor:
    counts = _several(times) if repeats is None else tuple(repeats)
    before = x.sizes
    own = (1,) * (len(counts) - x.rank) + before
    out = moved("repeat", [x.resolved()], tuple(size * count for size, count in zip(own, counts, strict=True)))
    attach([out], [x], [], lambda _, g: [_repeat_backward(g, counts, before)])
    return out


def _several(given: tuple[Any, ...]) -> Shape:
    return tuple(given[0]) if len(given) == 1 and isinstance(given[0], (tuple, list)) else given


def _repeat_backward(g: Tensor, counts: Shape, before: Shape) -> Tensor:
    """Summed over the repetitions: those that add an axis first, then those along one."""
    if not all(isinstance(count, int) for count in counts):
        raise NeedsNumber("how often a tensor is repeated decides what its gradient sums, so it must be a number")
    total: Any = g
    leading = len(counts) - len(before)
    if leading:
        total = total.sum(tuple(range(leading)))
    cut: list[Any] = []
    repeated = []
    for count, size in zip(counts[leading:], before, strict=True):
        if count != 1:
            repeated.append(len(cut))
            cut.append(count)
        cut.append(size)
    if repeated:
        total = reshape(total, cut).sum(tuple(repeated))
    return total  # type: ignore[no-any-return]


@rule("torch.tile", "Tensor.tile")
def tile(x: Tensor, *times: Any, dims: Any = None) -> Tensor:
    counts = _several(times) if dims is None else tuple(dims)
    return repeat(x, (1,) * (x.rank - len(counts)) + counts)


@rule("torch.repeat_interleave", "Tensor.repeat_interleave")
def repeat_interleave(x: Tensor, repeats: Any = None, dim: int | None = None, *, output_size: Any = None) -> Tensor:
    if not isinstance(repeats, int):
        raise refused("repeat_interleave by a tensor: its values decide the size of the result")
    if dim is None:
        x, dim = flatten(x), 0
    axis = x.axis(dim)
    column = unsqueeze(x, axis + 1)
    repeated = expand(column, (*x.sizes[: axis + 1], repeats, *x.sizes[axis + 1 :]))
    copy = clone(repeated, memory_format="contiguous")
    return view(copy, (*x.sizes[:axis], x.sizes[axis] * repeats, *x.sizes[axis + 1 :]))


@rule("torch.roll", "Tensor.roll")
def roll(x: Tensor, shifts: Any, dims: Any = ()) -> Tensor:
    strides = None
    if x._strides is not None and layout.is_channels_last(x.hints, x.strides) and _moves(x, shifts, dims):
        strides = layout.contiguous(x.hints, layout.CHANNELS_LAST)
    out = x.new(x.sizes, strides=strides)
    x.tape.kernel("roll", "pointwise", [x.resolved(), out], flops=0)
    attach([out], [x], [], lambda _, g: [roll(g, shifts, dims)])
    return out


def _moves(x: Tensor, shifts: Any, dims: Any) -> bool:
    """Whether each of the axes is cut in two; without axes it rolls as one row."""
    if dims == ():
        return False
    pairs = zip(shifts, dims, strict=True) if isinstance(dims, (tuple, list)) else [(shifts, dims)]
    return all(shift % x.hints[dim] for shift, dim in pairs)


@rule("torch.rot90", "Tensor.rot90")
def rot90(x: Tensor, k: int = 1, dims: Any = (0, 1)) -> Tensor:
    first, second = (x.axis(a) for a in dims)
    sizes, strides = list(x.sizes), list(strides_for(x) or x.strides)
    if k % 2:
        sizes[first], sizes[second] = sizes[second], sizes[first]
        strides[first], strides[second] = strides[second], strides[first]
    out = x.new(tuple(sizes), strides=tuple(strides) if k % 4 else None)
    x.tape.kernel("rot90", "pointwise", [x.resolved(), out], flops=0)
    attach([out], [x], [], lambda _, g: [rot90(g, -k, dims)])
    return out


@rule("torch.fliplr", "Tensor.fliplr")
def fliplr(x: Tensor) -> Tensor:
    return flip(x, 1)


@rule("torch.flipud", "Tensor.flipud")
def flipud(x: Tensor) -> Tensor:
    return flip(x, 0)
