"""Rules of views, which cost nothing, and of the copies that are made where no view can show the elements."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

from .. import layout
from ..errors import Mismatch
from ..graph import attach
from ..sizes import divides, equal, fit, inside, quotient
from ..table import rule
from ..tape import DType, Shape, Size
from ..tensor import Tensor
from .copies import clone, contiguous
from .kernels import fits, moved, real_of

Sizes = Any  # *sizes, or one tuple of them


def _sizes(given: tuple[Any, ...]) -> Shape:
    return tuple(given[0]) if len(given) == 1 and isinstance(given[0], (tuple, list)) else given


@rule("Tensor.detach", "torch.detach")
def detach(x: Tensor) -> Tensor:
    """The same elements without a history."""
    out = x.alias()
    out.follows = False
    return out


@rule("Tensor.data", attribute=True)
def data(x: Tensor) -> Tensor:
    """The same elements without a history."""
    return detach(x)


# Axes.


@rule("torch.permute", "Tensor.permute")
def permute(x: Tensor, *order: Any, dims: Any = None) -> Tensor:
    axes = tuple(x.axis(a) for a in (_sizes(order) if dims is None else dims))
    fit(len(axes), x.rank, "axes of a permutation and of its tensor")
    inverse = [axes.index(i) for i in range(len(axes))]
    plain = axes == tuple(range(len(axes)))
    strides = x._strides if plain else tuple(x.strides[a] for a in axes)
    out = x.view_of(tuple(x.sizes[a] for a in axes), strides)
    attach([out], [x], [], lambda _, g: [permute(g, inverse)])
    return out


@rule("torch.transpose", "Tensor.transpose", "torch.swapdims", "Tensor.swapdims")
def transpose(x: Tensor, dim0: int, dim1: int) -> Tensor:
    axes = list(range(x.rank))
    if not axes:
        return permute(x, ())
    first, second = x.axis(dim0), x.axis(dim1)
    axes[first], axes[second] = axes[second], axes[first]
    return permute(x, axes)


@rule("torch.t", "Tensor.t")
def t(x: Tensor) -> Tensor:
    if x.rank > 2:
        raise Mismatch(f"t() takes a tensor of two axes at most, got shape {x.sizes}")
    return transpose(x, 0, 1) if x.rank > 1 else x


@rule("torch.swapaxes", "Tensor.swapaxes")
def swapaxes(x: Tensor, axis0: int, axis1: int) -> Tensor:
    return transpose(x, axis0, axis1)


@rule("Tensor.mT", attribute=True)
def m_t(x: Tensor) -> Tensor:
    return transpose(x, -2, -1)


@rule("Tensor.T", attribute=True)
def reversed_axes(x: Tensor) -> Tensor:
    """The axes in reverse order."""
    return permute(x, tuple(reversed(range(x.rank))))


@rule("torch.adjoint", "Tensor.adjoint")
def adjoint(x: Tensor) -> Tensor:
    """The conjugate transpose of the last two axes."""
    return conj(transpose(x, -2, -1))


@rule("Tensor.mH", attribute=True)
def m_h(x: Tensor) -> Tensor:
    return adjoint(x)


@rule("Tensor.H", attribute=True)
def h(x: Tensor) -> Tensor:
    return adjoint(x) if x.rank else x


@rule("torch.movedim", "Tensor.movedim", "torch.moveaxis", "Tensor.moveaxis")
def movedim(x: Tensor, source: Any, destination: Any) -> Tensor:
    sources = [x.axis(a) for a in ((source,) if isinstance(source, int) else source)]
    targets = [x.axis(a) for a in ((destination,) if isinstance(destination, int) else destination)]
    order = [a for a in range(x.rank) if a not in sources]
    for target, moving in sorted(zip(targets, sources, strict=True)):
        order.insert(target, moving)
    return permute(x, order)


@rule("torch.unsqueeze", "Tensor.unsqueeze")
def unsqueeze(x: Tensor, dim: int) -> Tensor:
    axis = dim + x.rank + 1 if dim < 0 else dim
    step = x.strides[axis] * x.hints[axis] if axis < x.rank else 1
    strides = (*x.strides[:axis], step, *x.strides[axis:])
    out = x.view_of((*x.sizes[:axis], 1, *x.sizes[axis:]), strides)
    attach([out], [x], [], lambda _, g: [squeeze(g, axis)])
    return out


@rule("torch.squeeze", "Tensor.squeeze")
def squeeze(x: Tensor, dim: Any = None) -> Tensor:
    gone = [a for a in x.axes(dim) if not x.tape.holds(_is_more(x.sizes[a]))]
    kept = [a for a in range(x.rank) if a not in gone]
    before = x.sizes
    out = x.view_of(tuple(x.sizes[a] for a in kept), tuple(x.strides[a] for a in kept))
    attach([out], [x], [], lambda _, g: [view(g, before) if gone else g])
    return out


def _is_more(size: Size) -> Any:
    return size > 1


# Shapes.


def _resolved_shape(x: Tensor, given: Shape) -> Shape:
    """A shape with its -1 put in."""
    if -1 not in given:
        if not equal(prod(x.sizes), prod(given)):
            raise Mismatch(f"a tensor of shape {x.sizes} has no shape {given}")
        return given
    known = [size for size in given if not (isinstance(size, int) and size == -1)]
    if not divides(prod(known), prod(x.sizes)):
        raise Mismatch(f"a tensor of shape {x.sizes} has no shape {given}")
    missing = quotient(prod(x.sizes), prod(known))
    return tuple(missing if isinstance(size, int) and size == -1 else size for size in given)


def _viewed(x: Tensor, shape: Shape) -> layout.Strides | None:
    """The strides of x in another shape; in a symbolic recording axes count as longer than 1 only where they are."""
    hints = tuple(map(x.tape.hint, shape))
    if x._strides is None:
        return layout.contiguous(hints)
    strides = layout.viewed(x.hints, x.strides, hints)
    if strides is not None or not x.tape.symbolic:
        return strides
    holds = x.tape.holds
    short = [not isinstance(size, int) and not holds(size > 1) for size in x.sizes]
    if not any(short):
        return None
    sizes = [1 if one else hint for one, hint in zip(short, x.hints, strict=True)]
    target = [1 if not isinstance(size, int) and not holds(size > 1) else x.tape.hint(size) for size in shape]
    return layout.viewed(sizes, x.strides, target)


@rule("torch.reshape", "Tensor.reshape")
def reshape(x: Tensor, *given: Sizes, shape: Sizes = None) -> Tensor:
    sizes = _resolved_shape(x, _sizes(given) if shape is None else tuple(shape))
    if fits(sizes, x.sizes):
        return view(x, sizes)
    strides = _viewed(x, sizes)
    if strides is None:
        copy = clone(x, memory_format="contiguous")
        return _shown(copy, sizes, layout.contiguous(tuple(map(x.tape.hint, sizes)))).unsafe()
    return _shown(x, sizes, strides)


@rule("Tensor.reshape_as")
def reshape_as(x: Tensor, other: Tensor) -> Tensor:
    return reshape(x, other.sizes)


def _shown(x: Tensor, sizes: Shape, strides: layout.Strides) -> Tensor:
    before = x.sizes
    out = x.view_of(sizes, strides)
    attach([out], [x], [], lambda _, g: [reshape(g, before)])
    return out


@rule("Tensor.view")
def view(x: Tensor, *shape: Any, size: Any = None, dtype: DType = None) -> Tensor:
    if not shape and (size is not None or dtype is not None):
        shape = (dtype if size is None else tuple(size),)
    if shape and not isinstance(shape[0], (int, tuple, list)) and hasattr(shape[0], "itemsize"):
        return _view_as_type(x, shape[0])
    sizes = _resolved_shape(x, _sizes(shape))
    strides = x._strides if fits(sizes, x.sizes) else _viewed(x, sizes)
    if strides is None and not fits(sizes, x.sizes):
        raise Mismatch(f"no view of shape {sizes} shows a tensor of shape {x.sizes} that lies by {x.strides}")
    return _shown(x, sizes, strides)  # type: ignore[arg-type]


def renamed(x: Tensor, sizes: Shape) -> Tensor:
    """x with its sizes written as ``sizes``, which are equal to its own on this way through the branches."""
    if fits(sizes, x.sizes):
        return x
    strides = x._strides
    if strides is not None and x.is_dense:
        strides = layout.contiguous(tuple(map(x.tape.hint, sizes)), layout.order_of(strides))
    before = x.sizes
    out = x.view_of(sizes, strides)
    attach([out], [x], [], lambda _, g: [renamed(g, before)])
    return out


@rule("torch.ravel", "Tensor.ravel")
def ravel(x: Tensor) -> Tensor:
    return view(contiguous(x), -1)


@rule("torch.atleast_1d", "torch.functional.atleast_1d")
def atleast_1d(*tensors: Any) -> Any:
    return _each(lambda x: x if x.rank else reshape(x, 1), tensors)


@rule("torch.atleast_2d", "torch.functional.atleast_2d")
def atleast_2d(*tensors: Any) -> Any:
    return _each(_of_two_axes, tensors)


def _of_two_axes(x: Tensor) -> Tensor:
    if x.rank == 0:
        return reshape(x, 1, 1)
    return unsqueeze(x, 0) if x.rank == 1 else x


@rule("torch.atleast_3d", "torch.functional.atleast_3d")
def atleast_3d(*tensors: Any) -> Any:
    return _each(_of_three_axes, tensors)


def _of_three_axes(x: Tensor) -> Tensor:
    if x.rank == 0:
        return reshape(x, 1, 1, 1)
    if x.rank == 1:
        return unsqueeze(unsqueeze(x, 0), -1)
    return unsqueeze(x, -1) if x.rank == 2 else x


def _each(function: Any, tensors: tuple[Any, ...]) -> Any:
    """Of one tensor, or of several, also as one sequence."""
    if len(tensors) == 1 and type(tensors[0]) is Tensor:
        return function(tensors[0])
    several = tensors[0] if len(tensors) == 1 else tensors
    return tuple(map(function, several))


@rule("Tensor.view_as")
def view_as(x: Tensor, other: Tensor) -> Tensor:
    return view(x, other.sizes)


def _view_as_type(x: Tensor, dtype: DType) -> Tensor:
    """The same bytes as elements of another type."""
    old, new = x.dtype.itemsize, dtype.itemsize
    if old == new:
        return x.view_of(x.sizes, x._strides, dtype)
    last = quotient(x.sizes[-1] * old, new)
    sizes = (*x.sizes[:-1], last)
    strides = None if x.is_plain else (*(stride * old // new for stride in x.strides[:-1]), 1)
    return x.view_of(sizes, strides, dtype)


@rule("torch.flatten", "Tensor.flatten")
def flatten(x: Tensor, start_dim: int = 0, end_dim: int = -1) -> Tensor:
    if x.rank == 0:
        return reshape(x, 1)
    start, end = x.axis(start_dim), x.axis(end_dim)
    if start == end:
        return x
    return reshape(x, (*x.sizes[:start], prod(x.sizes[start : end + 1]), *x.sizes[end + 1 :]))


@rule("torch.unflatten", "Tensor.unflatten")
def unflatten(x: Tensor, dim: int, sizes: Sequence[Size]) -> Tensor:
    axis = x.axis(dim)
    known = [size for size in sizes if size != -1]
    inner = tuple(quotient(x.sizes[axis], prod(known)) if size == -1 else size for size in sizes)
    return view(x, (*x.sizes[:axis], *inner, *x.sizes[axis + 1 :]))


@rule("Tensor.expand", "torch.broadcast_to", "Tensor.broadcast_to")
def expand(x: Tensor, *sizes: Sizes, size: Any = None, implicit: bool = False) -> Tensor:
    given = _sizes(sizes) if size is None else tuple(size)
    leading = len(given) - x.rank
    own = (1,) * leading + x.sizes
    full = tuple(have if isinstance(new, int) and new == -1 else new for new, have in zip(given, own, strict=True))
    for have, target in zip(own, full, strict=True):
        if have != 1:
            fit(have, target, "a tensor to expand")
    strides = tuple(step if a == b else 0 for step, a, b in zip(x.strides, x.sizes, full[leading:], strict=True))
    for i in reversed(range(leading)):  # a new axis of one entry lies as if more could follow
        strides = (x.tape.hint(full[i + 1]) * strides[0] if full[i] == 1 and strides else 0, *strides)
    out = x.view_of(full, strides)
    attach([out], [x], [], lambda _, g: [g])
    return out


@rule("Tensor.expand_as")
def expand_as(x: Tensor, other: Tensor) -> Tensor:
    return expand(x, other.sizes)


# Parts.


def narrowed(x: Tensor, axis: int, size: Size, step: int = 1) -> Tensor:
    """``size`` entries of an axis, each ``step``-th."""
    strides = (
        x.strides if step == 1 else (*x.strides[:axis], x.strides[axis] * x.tape.hint(step), *x.strides[axis + 1 :])
    )
    out = x.view_of((*x.sizes[:axis], size, *x.sizes[axis + 1 :]), strides)
    before = x.sizes
    attach([out], [x], [], lambda _, g: [scattered(g, before, "slice_backward")])
    return out


@rule("torch.narrow", "Tensor.narrow")
def narrow(x: Tensor, dim: int, start: Size, length: Size) -> Tensor:
    axis = x.axis(dim)
    if isinstance(start, int) and isinstance(length, int):
        inside((start + x.sizes[axis] if start < 0 else start) + length - 1, x.sizes[axis])
    return narrowed(x, axis, length)


@rule("torch.select", "Tensor.select")
def select(x: Tensor, dim: int, index: int = 0) -> Tensor:
    axis = x.axis(dim)
    inside(index, x.sizes[axis])
    out = x.view_of((*x.sizes[:axis], *x.sizes[axis + 1 :]), (*x.strides[:axis], *x.strides[axis + 1 :]))
    before = x.sizes
    attach([out], [x], [], lambda _, g: [scattered(g, before, "select_backward")])
    return out


def scattered(g: Tensor, sizes: Shape, name: str, dtype: DType = None) -> Tensor:
    """Zeros with a gradient written into a part of them."""
    return moved(name, [g.resolved()], sizes, dtype)


# Complex numbers.


@rule("torch.conj", "Tensor.conj")
def conj(x: Tensor) -> Tensor:
    """The complex conjugate, lazily; a real tensor is its own."""
    if not x.dtype.is_complex:
        return x
    out = x.alias()
    out.conjugated = not x.conjugated
    attach([out], [x], [], lambda _, g: [conj(g)])
    return out


@rule("torch.real")
def real(x: Tensor) -> Tensor:
    """The real part, a view; a real tensor is its own."""
    if not x.dtype.is_complex:
        return x
    out = x.view_of(x.sizes, tuple(2 * stride for stride in x.strides), real_of(x.dtype))
    out.conjugated = False
    sizes, dtype, conjugated = x.sizes, x.dtype, x.conjugated

    def backward(_: object, g: Tensor) -> list[Tensor]:
        whole = scattered(g, sizes, "select_backward", dtype)
        return [conj(whole) if conjugated else whole]

    attach([out], [x], [], backward)
    return out


rule("Tensor.real", attribute=True)(real)


@rule("torch.view_as_real")
def view_as_real(x: Tensor) -> Tensor:
    strides = None if x._strides is None else (*(2 * stride for stride in x.strides), 1)
    out = x.view_of((*x.sizes, 2), strides, real_of(x.dtype))
    dtype = x.dtype
    attach([out], [x], [], lambda _, g: [contiguous(g).view_of(g.sizes[:-1], None, dtype)])
    return out
