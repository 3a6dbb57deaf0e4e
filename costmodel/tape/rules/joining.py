"""Rules of taking tensors apart along an axis, and of joining them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .. import layout
from ..errors import NeedsNumber
from ..graph import attach
from ..sizes import fit
from ..table import rule
from ..tape import Shape
from ..tensor import Tensor
from .factories import filled
from .kernels import moved
from .views import expand, narrowed


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


@rule("torch.split", "Tensor.split", "torch.functional.split")
def split(x: Tensor, split_size_or_sections: Any, dim: int = 0) -> tuple[Tensor, ...]:
    axis, asked = x.axis(dim), split_size_or_sections
    if isinstance(asked, int):
        whole, rest = divmod(x.sizes[axis], asked)
        asked = [asked] * whole + ([rest] if rest else [])
    sections = list(asked)
    fit(sum(sections), x.sizes[axis], "sections of an axis")
    outs = [x.view_of((*x.sizes[:axis], size, *x.sizes[axis + 1 :]), x.strides) for size in sections]
    shapes = [out.sizes for out in outs]

    def backward(_: object, *gradients: Tensor | None) -> list[Tensor]:
        return [cat([_or_zeros(g, shape, gradients) for g, shape in zip(gradients, shapes, strict=True)], axis)]

    attach(outs, [x], [], backward)
    return tuple(outs)


@rule("torch.chunk", "Tensor.chunk")
def chunk(x: Tensor, chunks: int, dim: int = 0) -> tuple[Tensor, ...]:
    size = -(-x.sizes[x.axis(dim)] // chunks)
    return split(x, size, dim)


@rule("torch.stack")
def stack(tensors: Sequence[Tensor], dim: int = 0) -> Tensor:
    first = tensors[0]
    axis = dim + first.rank + 1 if dim < 0 else dim
    _check_joined(tensors)
    out = moved("stack", tensors, (*first.sizes[:axis], len(tensors), *first.sizes[axis:]))
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
    first = tensors[0]
    axis = first.axis(dim)
    sizes = [tensor.sizes[axis] for tensor in tensors]
    _check_joined(tensors, but=axis)
    shape = (*first.sizes[:axis], sum(sizes), *first.sizes[axis + 1 :])
    out = first.new(shape)
    if all(layout.is_channels_last(tensor.hints, tensor.strides) for tensor in tensors):
        out._strides = layout.channels_last(out.hints)
    out.tape.kernel("cat", "pointwise", [*tensors, out], flops=0)
    needs = [tensor.requires_grad for tensor in tensors]

    def backward(_: object, g: Tensor) -> list[Tensor | None]:
        return [narrowed(g, axis, size) if need else None for size, need in zip(sizes, needs, strict=True)]

    attach([out], tensors, [], backward)
    return out
