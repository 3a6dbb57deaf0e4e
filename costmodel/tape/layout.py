"""Strides: which views need no copy, and how the results of kernels lie in memory.

Sizes and strides are numbers here; for symbolic sizes a recording's hints stand in. Source of the rules: PyTorch's
ATen/TensorUtils.cpp, ATen/TensorIterator.cpp and c10/core/MemoryFormat.h.
"""

from __future__ import annotations

from collections.abc import Sequence

Strides = tuple[int, ...]
Sizes = Sequence[int]

CHANNELS_LAST = (0, 2, 3, 1)  # axes of an image batch from the outermost in memory to the innermost
CHANNELS_LAST_3D = (0, 2, 3, 4, 1)  # likewise of a batch of volumes
_FORMATS = {"channels_last": CHANNELS_LAST, "channels_last_3d": CHANNELS_LAST_3D}
_BY_RANK = {len(order): order for order in _FORMATS.values()}


def contiguous(sizes: Sizes, order: Sequence[int] | None = None) -> Strides:
    """The strides of a tensor without gaps whose axes lie in ``order``, from the outermost; their own by default.

    Example:
        >>> from lipcost.costmodel.tape.layout import CHANNELS_LAST, contiguous
        >>> contiguous((2, 3, 4, 5)), contiguous((2, 3, 4, 5), CHANNELS_LAST)
        ((60, 20, 5, 1), (60, 1, 15, 3))
    """
    strides, step = [1] * len(sizes), 1
    for axis in reversed(range(len(sizes)) if order is None else order):
        strides[axis] = step
        step *= max(sizes[axis], 1)
    return tuple(strides)


def is_contiguous(sizes: Sizes, strides: Strides, order: Sequence[int] | None = None) -> bool:
    """Whether the elements lie without gaps in ``order``; axes of one element may have any stride."""
    step = 1
    for axis in reversed(range(len(sizes)) if order is None else order):
        if sizes[axis] != 1:
            if strides[axis] != step:
                return False
            step *= sizes[axis]
    return True


def is_dense(sizes: Sizes, strides: Strides) -> bool:
    """Whether the elements fill a piece of memory, each once, in any order of the axes."""
    step = 1
    for stride, size in sorted((stride, size) for stride, size in zip(strides, sizes, strict=True) if size != 1):
        if stride != step:
            return False
        step *= size
    return True


def order_of(strides: Strides) -> list[int]:
    """The axes from the outermost in memory to the innermost; of equal strides the first stays outside."""
    return sorted(range(len(strides)), key=lambda axis: -strides[axis])


def viewed(sizes: Sizes, strides: Strides, new: Sizes) -> Strides | None:
    """The strides that show the same elements in another shape, or None where only a copy can.

    Example:
        >>> from lipcost.costmodel.tape.layout import viewed
        >>> viewed((2, 3, 4), (12, 4, 1), (6, 4)), viewed((3, 2), (1, 3), (6,))
        ((4, 1), None)
    """
    if 0 in sizes:
        return contiguous(new)
    out, last = [0] * len(new), len(new) - 1
    elements, step = 1, strides[-1] if strides else 1
    for axis in reversed(range(len(sizes))):  # runs of axes that lie behind each other are cut anew
        elements *= sizes[axis]
        if axis and (sizes[axis - 1] == 1 or strides[axis - 1] == elements * step):
            continue
        taken = 1
        while last >= 0 and (taken < elements or new[last] == 1):
            out[last] = taken * step
            taken *= new[last]
            last -= 1
        if taken != elements:
            return None
        if axis:
            elements, step = 1, strides[axis - 1]
    while last >= 0:  # of a tensor without axes
        out[last], last = step, last - 1
    return tuple(out)


def iterated(shape: Sizes, operands: Sequence[tuple[Sizes, Strides]]) -> Strides:
    """The strides of what a pointwise kernel writes, from the operands that it reads.

    The first operand that tells two axes apart decides which is inside; an axis that it repeats tells nothing.
    """
    rank = len(shape)
    steps = [_broadcast(shape, sizes, strides) for sizes, strides in operands]

    def outside(inner: int, outer: int) -> int:
        for strides in steps:
            a, b = strides[inner], strides[outer]
            if a == 0 or b == 0:
                continue
            if a != b:
                return -1 if a < b else 1
            if shape[inner] > shape[outer]:
                return 1
        return 0

    order = list(reversed(range(rank)))  # from the innermost
    for i in range(1, rank):
        at = i
        for j in reversed(range(i)):
            comparison = outside(order[j], order[at])
            if comparison > 0:
                order[j], order[at], at = order[at], order[j], j
            elif comparison < 0:
                break
    return contiguous(shape, list(reversed(order)))


def _broadcast(shape: Sizes, sizes: Sizes, strides: Strides) -> list[int]:
    leading = len(shape) - len(sizes)
    own = [0 if size == 1 != all_ else step for size, step, all_ in zip(sizes, strides, shape[leading:], strict=True)]
    return [0] * leading + own


def like(sizes: Sizes, strides: Strides) -> Strides:
    """The strides of a copy that keeps the order of the axes, gaps left out."""
    return strides if is_dense(sizes, strides) else iterated(sizes, [(sizes, strides)])


def is_channels_last(sizes: Sizes, strides: Strides) -> bool:
    """Whether a batch of images or volumes is taken as one whose channels lie innermost."""
    order = _BY_RANK.get(len(sizes))
    if order is None or strides[1] == 0 or 0 in sizes:
        return False
    least = 0
    for axis in reversed(order):
        if strides[axis] < least or (axis == 0 and least == strides[1]):
            return False
        least = strides[axis] * max(sizes[axis], 1)
    return True


def channels_last(sizes: Sizes) -> Strides:
    """The strides of a batch of images or volumes whose channels lie innermost."""
    return contiguous(sizes, _BY_RANK[len(sizes)])


def order_in(memory_format: object) -> Sequence[int] | None:
    """The order of the axes in a torch.memory_format, or its name; None where they lie in their own.

    Example:
        >>> from lipcost.costmodel.tape.layout import order_in
        >>> order_in("channels_last")
        (0, 2, 3, 1)
    """
    return _FORMATS.get(str(memory_format).removeprefix("torch."))


def format_of(sizes: Sizes, strides: Strides) -> str:
    """The torch.memory_format, by name, that torch takes strides for.

    Example:
        >>> from lipcost.costmodel.tape.layout import format_of
        >>> format_of((2, 3, 4, 5), (60, 1, 15, 3)), format_of((2, 3, 4, 5), (60, 20, 5, 1))
        ('channels_last', 'contiguous')
    """
    if not is_channels_last(sizes, strides):
        return "contiguous"
    return next(name for name, order in _FORMATS.items() if len(order) == len(sizes))
