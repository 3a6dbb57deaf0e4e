"""Rules of taking tensors apart along an axis, and of joining them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

from .. import layout
from ..errors import NeedsNumber, refused
from ..graph import attach
from ..sizes import as_int, fit, quotient
from ..table import rule
from ..tape import Shape, Size
from ..tensor import Tensor
from .factories import filled
from .kernels import broadcast, moved, promoted
from .views import atleast_1d, atleast_2d, atleast_3d, expand, flatten, narrowed, real, reshape, squeeze, view


@rule("torch.unbind", "Tensor.unbind")
def unbind(x: Tensor, dim: int = 0) -> tuple[Tensor, ...]:
    axis = x.axis(dim)
    count, sizes = x.sizes[axis], (*x.sizes[:axis], *x.sizes[axis + 1 :])
    if not isinstance(count, int):
        raise NeedsNumber(f"a program goes through the {count} entries of an axis, so it must be a number")
    strides = (*x.strides[:axis], *x.strides[axis + 1 :])
    outs = [x.view_of(sizes, strides) for _ in range(count)]

    def backward(_: object, *gradients: Tensor | None) -> list[Tensor]:
        like = next(each for each in gradients if each is not None)
        return [stack([_repeated_zero(like, sizes) if g is None else g for g in gradients], axis)]

    attach(outs, [x], [], backward)
    return tuple(outs)


def _repeated_zero(like: Tensor, sizes: Shape) -> Tensor:
    return expand(filled("zeros", like.tape, (), like.dtype), sizes)


def _or_zeros(g: Tensor | None, sizes: Shape, all_: Sequence[Tensor | None]) -> Tensor:
    if g is not None:
        return g
    like = next(each for each in all_ if each is not None)
    return filled("zeros", like.tape, sizes, like.dtype)


@rule("torch.split", "Tensor.split", "torch.functional.split", "torch.split_with_sizes", "Tensor.split_with_sizes")
def split(x: Tensor, split_size_or_sections: Any = None, dim: int = 0, *, split_size: Any = None) -> tuple[Tensor, ...]:
    axis, asked = x.axis(dim), split_size_or_sections if split_size is None else split_size
    sections = list(asked if isinstance(asked, (tuple, list)) else _equal_parts(x.sizes[axis], asked))
    fit(sum(sections), x.sizes[axis], "sections of an axis")
    outs = [x.view_of((*x.sizes[:axis], size, *x.sizes[axis + 1 :]), x.strides) for size in sections]
    shapes = [out.sizes for out in outs]

    def backward(_: object, *gradients: Tensor | None) -> list[Tensor]:
        return [cat([_or_zeros(g, shape, gradients) for g, shape in zip(gradients, shapes, strict=True)], axis)]

    attach(outs, [x], [], backward)
    return tuple(outs)


def _equal_parts(size: Size, part: Size) -> list[Size]:
    """Parts of an axis, the last of which may be shorter."""
    if isinstance(size, int) and isinstance(part, int):
        whole, rest = divmod(size, part) if part else (1, 0)
        return [part] * whole + ([rest] if rest or not whole else [])
    count = as_int(quotient(size, part))
    if count is None:
        raise NeedsNumber(f"parts of {part} entries of an axis of {size}: their number must be one")
    return [part] * count


@rule("torch.chunk", "Tensor.chunk")
def chunk(x: Tensor, chunks: int, dim: int = 0) -> tuple[Tensor, ...]:
    size = x.sizes[x.axis(dim)]
    if isinstance(size, int):
        return split(x, -(-size // chunks) or [0] * chunks, dim)
    part: Any = quotient(size, chunks)
    if not part.is_integer:
        raise NeedsNumber(f"{chunks} parts of an axis of {size} may be of several sizes, so it must be a number")
    return split(x, part, dim)


@rule("torch.tensor_split", "Tensor.tensor_split")
def tensor_split(
    x: Tensor, indices_or_sections: Any = None, dim: int = 0, *, indices: Any = None, sections: Any = None
) -> tuple[Tensor, ...]:
    asked = next(each for each in (indices_or_sections, indices, sections) if each is not None)
    if type(asked) is Tensor:
        raise refused("tensor_split at a tensor: its values decide sizes")
    axis = x.axis(dim)
    size = x.sizes[axis]
    if not isinstance(size, int):
        raise NeedsNumber(f"an axis of {size} entries is split at numbers, so it must be one")
    if isinstance(asked, int):
        least, more = divmod(size, asked)
        lengths = [least + (i < more) for i in range(asked)]
    else:
        bounds = [0, *(min(each + size if each < 0 else each, size) for each in asked), size]
        lengths = [max(end - start, 0) for start, end in pairwise(bounds)]
    return tuple(narrowed(x, axis, length) for length in lengths)


def _split_along(name: str, place: Callable[[Tensor], int]) -> None:
    @rule(f"torch.{name}", f"Tensor.{name}")
    def along(x: Tensor, *asked: Any, indices: Any = None, sections: Any = None) -> tuple[Tensor, ...]:
        given = asked[0] if len(asked) == 1 else asked or None
        return tensor_split(x, given, place(x), indices=indices, sections=sections)


for _name, _place in {"hsplit": lambda x: int(x.rank > 1), "vsplit": lambda _: 0, "dsplit": lambda _: 2}.items():
    _split_along(_name, _place)


@rule("torch.stack")
def stack(tensors: Sequence[Tensor], dim: int = 0) -> Tensor:
    first = tensors[0]
    axis = dim + first.rank + 1 if dim < 0 else dim
    _check_joined(tensors)
    read = [each.resolved() for each in tensors]
    out = moved("stack", read, (*first.sizes[:axis], len(tensors), *first.sizes[axis:]), promoted(tensors))
    if axis < first.rank and all(layout.is_channels_last(each.hints, each.strides) for each in tensors):
        step = first.hints[axis]  # as one that is cut after joining
        joined = (*first.hints[:axis], step * len(tensors), *first.hints[axis + 1 :])
        strides = layout.channels_last(joined)
        out._strides = (*strides[:axis], step * strides[axis], *strides[axis:])
    attach([out], tensors, [], lambda _, g: unbind(g, axis))
    return out


def _check_joined(tensors: Sequence[Tensor], but: int | None = None) -> None:
    first, *others = tensors
    for other in others:
        fit(first.rank, other.rank, "axes of tensors to join")
        for i, (a, b) in enumerate(zip(first.sizes, other.sizes, strict=True)):
            if i != but:
                fit(a, b, "tensors to join")


@rule("torch.cat", "torch.concat", "torch.concatenate")
def cat(tensors: Sequence[Tensor], dim: int = 0) -> Tensor:
    full = [each for each in tensors if each.sizes != (0,)] or [tensors[0]]  # torch leaves out ones of no elements
    first = full[0]
    axis = first.axis(dim)
    _check_joined(full, but=axis)
    shape = (*first.sizes[:axis], sum(tensor.sizes[axis] for tensor in full), *first.sizes[axis + 1 :])
    out = first.new(shape, promoted(tensors))
    if all(layout.is_channels_last(tensor.hints, tensor.strides) for tensor in full):
        out._strides = layout.channels_last(out.hints)
    out.tape.kernel("cat", "pointwise", [*(each.resolved() for each in tensors), out], flops=0)
    parts = [(each.is_followed, each.sizes, each.dtype.is_complex) for each in tensors]

    def backward(_: object, g: Tensor) -> list[Tensor | None]:
        return [_cut(g, axis, *part) for part in parts]

    attach([out], tensors, [], backward)
    return out


def _cut(g: Tensor, axis: int, needs: bool, sizes: Shape, is_complex: bool) -> Tensor | None:
    """The gradient of one of the tensors that were joined; to one of no elements zeros, wanted or not."""
    if sizes == (0,):
        return filled("zeros", g.tape, sizes, g.dtype)
    return None if not needs else narrowed(_as_real(g, is_complex), axis, sizes[axis])


def _as_real(g: Tensor, is_complex: bool) -> Tensor:
    """A gradient's real part, for a tensor that is not complex."""
    return real(g) if g.dtype.is_complex and not is_complex else g


@rule("torch.hstack")
def hstack(tensors: Sequence[Tensor]) -> Tensor:
    columns = atleast_1d(tensors)
    return cat(columns, int(columns[0].rank > 1))


@rule("torch.vstack", "torch.row_stack")
def vstack(tensors: Sequence[Tensor]) -> Tensor:
    return cat(atleast_2d(tensors), 0)


@rule("torch.dstack")
def dstack(tensors: Sequence[Tensor]) -> Tensor:
    return cat(atleast_3d(tensors), 2)


@rule("torch.column_stack")
def column_stack(tensors: Sequence[Tensor]) -> Tensor:
    return cat([each if each.rank > 1 else reshape(each, (each.elements, 1)) for each in tensors], 1)


@rule("torch.block_diag", "torch.functional.block_diag")
def block_diag(*tensors: Any) -> Tensor:
    blocks = [each.sizes if each.rank > 1 else (1, each.elements) for each in tensors]
    parts = [(each.sizes, each.dtype.is_complex) for each in tensors]
    sizes = tuple(sum(sides) for sides in zip(*blocks, strict=True))
    out = moved("block_diag", [each.resolved() for each in tensors], sizes, promoted(tensors))

    def backward(_: object, g: Tensor) -> list[Tensor]:
        found = []
        for (rows, columns), (shape, is_complex) in zip(blocks, parts, strict=True):
            block = narrowed(narrowed(_as_real(g, is_complex), 0, rows), 1, columns)
            for _ in range(len(shape), 2):
                block = squeeze(block, -1)
            found.append(block)
        return found

    attach([out], tensors, [], backward)
    return out


@rule("torch.broadcast_tensors", "torch.functional.broadcast_tensors")
def broadcast_tensors(*tensors: Any) -> tuple[Tensor, ...]:
    several = _several(tensors)
    common = broadcast(*(each.sizes for each in several))
    return tuple(each if each.sizes == common else expand(each, common) for each in several)


def _several(tensors: tuple[Any, ...]) -> list[Tensor]:
    """Tensors that are given one by one, or as a sequence."""
    return list(tensors[0] if len(tensors) == 1 and isinstance(tensors[0], (tuple, list)) else tensors)


@rule("torch.meshgrid", "torch.functional.meshgrid")
def meshgrid(*tensors: Any, indexing: str = "ij") -> tuple[Tensor, ...]:
    several = _several(tensors)
    swapped = indexing == "xy" and len(several) > 1
    if swapped:
        several[:2] = several[1::-1]
    rank, sizes = len(several), tuple(each.elements for each in several)
    grids = [expand(view(each, (*(1,) * i, sizes[i], *(1,) * (rank - i - 1))), sizes) for i, each in enumerate(several)]
    if swapped:
        grids[:2] = grids[1::-1]
    return tuple(grids)


@rule("torch.cartesian_prod", "torch.functional.cartesian_prod")
def cartesian_prod(*tensors: Any) -> Tensor:
    if len(tensors) == 1:
        return tensors[0]  # type: ignore[no-any-return]
    return stack([flatten(each) for each in meshgrid(*tensors)], 1)
