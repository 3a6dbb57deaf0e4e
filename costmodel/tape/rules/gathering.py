"""Rules of gathering elements by indices along an axis, and of scattering them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch

from ..errors import refused
from ..graph import attach
from ..table import rule
from ..tape import DType, Shape
from ..tensor import Tensor
from ..versions import since
from .copies import to
from .extrema import aminmax
from .extrema import max as max_of
from .extrema import min as min_of
from .factories import filled
from .indexing import added, needs_gradient, new_zeros
from .kernels import broadcast, in_place, moved, pointwise, strides_for
from .pointwise import div, eq, mul, scaled
from .reductions import no_gradient
from .strided import changed_in_graph
from .views import expand, reshape, view


def _zeros_with(g: Tensor, sizes: Shape, name: str, index: Tensor) -> Tensor:
    """Zeros with a gradient added at an index."""
    return added(new_zeros(g, sizes), name, [index, g])


@rule("torch.gather", "Tensor.gather")
def gather(x: Tensor, dim: int, index: Tensor, *, sparse_grad: bool = False) -> Tensor:
    if sparse_grad:
        raise refused("gather with a sparse gradient")
    before = x.sizes
    out = moved("gather", [x.resolved(), index], index.sizes)
    attach([out], [x], [x, index], lambda saved, g: [_zeros_with(g, before, "scatter_add", saved[1])])
    return out


@rule("torch.index_select", "Tensor.index_select")
def index_select(x: Tensor, dim: int, index: Tensor) -> Tensor:
    axis, before = x.axis(dim), x.sizes
    count = index.sizes if index.rank else (1,)
    sizes = (*before[:axis], *count, *before[axis + 1 :]) if before else ()
    out = moved("index_select", [x.resolved(), index], sizes)
    attach([out], [x], [index], lambda saved, g: [_zeros_with(g, before, "index_add", saved[0])])
    return out


@rule("torch.take", "Tensor.take")
def take(x: Tensor, index: Tensor) -> Tensor:
    out = moved("take", [x.resolved(), index], index.sizes)

    def backward(saved: Sequence[Tensor], g: Tensor) -> list[Tensor]:
        x, index = saved
        zeros = x.new(x.sizes, strides=strides_for(x))
        x.tape.kernel("zeros_like", "pointwise", [zeros], flops=0)
        return [added(zeros, "put", [index, g])]

    attach([out], [x], [x, index], backward)
    return out


@rule("torch.take_along_dim", "Tensor.take_along_dim")
def take_along_dim(x: Tensor, indices: Tensor, dim: int | None = None) -> Tensor:
    if dim is None:
        return gather(view(x, -1), 0, view(indices, -1))
    axis = x.axis(dim)

    def over(own: Tensor, other: Tensor) -> Tensor:
        sizes = broadcast(own.sizes, (*other.sizes[:axis], 1, *other.sizes[axis + 1 :]))
        return expand(own, (*sizes[:axis], own.sizes[axis], *sizes[axis + 1 :]))

    indices, x = over(indices, x), over(x, indices)
    return gather(x, axis, pointwise("remainder", indices))


# Functions that write into a copy of a tensor, and into the tensor itself where their name ends in "_".

Made = Callable[..., Tensor]


class Writing:
    """What a function writes into x, and what it is differentiated by.

    Args:
        read: what its kernel reads beside x, in order.
        source: which of these is differentiated too, None if none is.
        saved: what its backward reads.
        backward: the gradients of x and of the source from what is saved and that of the output; it is given whether
            each is wanted.
        adds: whether it adds, which is an operation for each element, and not merely moves.
    """

    def __init__(
        self, read: Sequence[Tensor], source: Tensor | None, saved: Sequence[Tensor | None], backward: Any, adds: bool
    ) -> None:
        self.read, self.source, self.saved, self.adds = read, source, saved, adds
        self._backward = backward

    def backward(self, x: Tensor) -> Callable[..., list[Tensor | None]]:
        """As :func:`~..graph.attach` takes it."""
        wanted = x.is_followed, self.source is not None and self.source.is_followed
        both, given = self.source is not None, self._backward

        def backward(saved: Sequence[Tensor], g: Tensor) -> list[Tensor | None]:
            found: list[Tensor | None] = given(saved, g, *wanted)
            return found if both else found[:1]

        return backward


def _writing(name: str, kept: bool = False) -> Callable[[Callable[..., Writing]], Made]:
    """The decorator of a function that describes what is written; registers it and its in-place form.

    Args:
        name: of the function.
        kept: whether the copy lies as x does, and not without gaps.
    """

    def register(describe: Callable[..., Writing]) -> Made:
        @rule(f"torch.{name}", f"Tensor.{name}")
        def apart(x: Tensor, *args: Any, **how: Any) -> Tensor:
            what = describe(x, *args, **how)
            out = x.new(x.sizes, strides=strides_for(x) if kept else None)
            x.tape.kernel(name, "pointwise", [x, *what.read, out], flops=out.elements if what.adds else 0)
            inputs = [x] if what.source is None else [x, what.source]
            saved = [out if each is RESULT else each for each in what.saved]
            attach([out], inputs, saved, what.backward(x))
            return out

        @rule(f"Tensor.{name}_")
        def within(x: Tensor, *args: Any, **how: Any) -> Tensor:
            what = describe(x, *args, **how)
            others = [] if what.source is None else [what.source]
            needs, backward = needs_gradient(x, *others), what.backward(x)
            if needs and any(each is RESULT or each is x for each in what.saved):
                raise refused(f"{name}_ of this kind in a graph")
            x.tape.kernel(f"{name}_", "pointwise", [x, *what.read, x], flops=x.elements if what.adds else 0)
            x.memory.version += 1
            return changed_in_graph(x, others, what.saved, backward) if needs else x

        return apart

    return register


RESULT: Any = object()  # stands for the output among what is saved


def _written_at(name: str, g: Tensor, index: Tensor, kept: bool = False) -> Tensor:
    """A gradient with zeros at an index."""
    out = g.new(g.sizes, strides=strides_for(g) if kept else None)
    g.tape.kernel(name, "pointwise", [g, index, out], flops=0)
    return out


@_writing("scatter")
def scatter(
    x: Tensor, dim: int, index: Tensor, src: Any = None, *, value: Any = None, reduce: str | None = None
) -> Writing:
    if reduce is not None and torch.is_grad_enabled() and x.requires_grad:
        raise refused("scatter with reduce, which has no gradient")
    source = src if type(src) is Tensor else None

    def backward(saved: Sequence[Tensor], g: Tensor, of_x: bool, of_source: bool) -> list[Tensor | None]:
        rest = _written_at("scatter", g, saved[0]) if of_x else None
        return [rest, gather(g, dim, saved[0]) if of_source else None]

    return Writing([index] if source is None else [index, source], source, [index], backward, adds=False)


@_writing("scatter_add")
def scatter_add(x: Tensor, dim: int, index: Tensor, src: Tensor) -> Writing:
    def backward(saved: Sequence[Tensor], g: Tensor, of_x: bool, of_source: bool) -> list[Tensor | None]:
        return [g, gather(g, dim, saved[0]) if of_source else None]

    return Writing([index, src], src, [index], backward, adds=True)


@_writing("index_add")
def index_add(x: Tensor, dim: int, index: Tensor, source: Tensor, *, alpha: float = 1) -> Writing:
    def backward(saved: Sequence[Tensor], g: Tensor, of_x: bool, of_source: bool) -> list[Tensor | None]:
        return [g, scaled(index_select(g, dim, saved[0]), alpha) if of_source else None]

    return Writing([index, source], source, _index_and(source, index), backward, adds=True)


def _index_and(source: Tensor, index: Tensor) -> list[Tensor | None]:
    """What is saved: the source too, whose shape its gradient is given."""
    return [index, source if source.is_followed else None]


@_writing("index_copy")
def index_copy(x: Tensor, dim: int, index: Tensor, source: Tensor) -> Writing:
    def backward(saved: Sequence[Tensor], g: Tensor, of_x: bool, of_source: bool) -> list[Tensor | None]:
        rest = _written_at("index_fill", g, saved[0], kept=True) if of_x else None
        return [rest, index_select(g, dim, saved[0]) if of_source else None]

    return Writing([index, source], source, _index_and(source, index), backward, adds=False)


@_writing("index_fill", kept=True)
def index_fill(x: Tensor, dim: int, index: Tensor, value: Any) -> Writing:
    read = [index, value] if type(value) is Tensor else [index]
    no_gradient("the gradient of what index_fill writes: values decide how often", *read[1:])

    def backward(saved: Sequence[Tensor], g: Tensor, of_x: bool, of_source: bool) -> list[Tensor | None]:
        return [_written_at("index_fill", g, saved[0], kept=True)]

    return Writing(read, None, [index], backward, adds=False)


@_writing("put", kept=True)
def put(x: Tensor, index: Tensor, source: Tensor, accumulate: bool = False) -> Writing:
    shape, dtype = source.sizes, source.dtype

    def backward(saved: Sequence[Tensor], g: Tensor, of_x: bool, of_source: bool) -> list[Tensor | None]:
        index, _ = saved
        rest = g
        if of_x and not accumulate:
            zeros = filled("zeros", g.tape, shape, dtype)
            rest = g.new(g.sizes, strides=strides_for(g))
            g.tape.kernel("put", "pointwise", [g, index, zeros, rest], flops=rest.elements)
            del zeros
        return [rest, reshape(take(g, index), shape) if of_source else None]

    return Writing([index, source], source, [index, source], backward, adds=True)  # source for its shape


@_writing("scatter_reduce")
def scatter_reduce(
    x: Tensor, dim: int, index: Tensor, src: Tensor, reduce: str, *, include_self: bool = True
) -> Writing:
    if reduce == "prod" and torch.is_grad_enabled() and (x.requires_grad or src.requires_grad):
        raise refused("the gradient of scatter_reduce by products: whether a value is zero decides what runs")

    def backward(saved: Sequence[Tensor], g: Tensor, of_x: bool, of_source: bool) -> list[Tensor | None]:
        index, *kept = saved
        if reduce == "sum":
            found = [g, gather(g, dim, index)]
        elif reduce == "mean":
            found = _of_mean(g, dim, index, kept[1], include_self)
        else:
            found = _of_extremum(g, dim, index, *kept)
        if not include_self:
            found[0] = _written_at("scatter", found[0], index)
        return [found[0] if of_x else None, found[1] if of_source else None]

    return Writing([index, src], src, [index, x, src, RESULT], backward, adds=True)


def _of_mean(g: Tensor, dim: int, index: Tensor, src: Tensor, include_self: bool) -> list[Tensor]:
    count = filled("ones_like" if include_self else "zeros_like", g.tape, g.sizes, g.dtype)
    count = scatter_add(count, dim, index, filled("ones_like", g.tape, src.sizes, src.dtype))
    in_place("masked_fill_", count, eq(count, 0))
    of_x = div(g, count)
    of_each = gather(count, dim, index)
    part = gather(g, dim, index)
    return [of_x, div(part, of_each)]


def _of_extremum(g: Tensor, dim: int, index: Tensor, x: Tensor, src: Tensor, result: Tensor) -> list[Tensor]:
    """Shared evenly by all that are the extremum."""
    value = gather(result, dim, index)
    own = to(eq(x, result), x.dtype)
    given = to(eq(src, value), x.dtype)
    count = scatter_add(own, dim, index, given)
    share = div(g, count)
    of_x = mul(eq(x, result), share)
    part = gather(share, dim, index)
    same = eq(src, value)
    return [of_x, mul(same, part)]


# Of a table's rows.


@rule("torch.nn.functional.embedding")
def embedding(
    indices: Tensor, weight: Tensor, padding_idx: int | None = None, max_norm: float | None = None,
    norm_type: float = 2.0, scale_grad_by_freq: bool = False, sparse: bool = False,
) -> Tensor:  # fmt: skip
    """Rows of ``weight``; their gradients are summed."""
    if max_norm is not None or sparse:
        raise refused("embedding with max_norm, which changes its weight, or with a sparse gradient")
    sizes = weight.sizes
    out = moved("embedding", [weight, indices], (*indices.sizes, *sizes[1:]))

    def backward(saved: Sequence[Tensor], g: Tensor) -> list[Tensor]:
        total = g.new(sizes)
        g.tape.kernel("embedding_dense_backward", "pointwise", [g, saved[0], total], flops=g.elements)
        return [total]

    attach([out], [weight], [indices], backward)
    return out


@rule("torch.embedding")
def torch_embedding(
    weight: Tensor, indices: Tensor, padding_idx: int = -1, scale_grad_by_freq: bool = False, sparse: bool = False
) -> Tensor:
    return embedding(indices, weight, sparse=sparse)


@rule("torch.nn.functional.one_hot")
def one_hot(x: Tensor, num_classes: Any = -1) -> Tensor:
    """Ones at the classes, after a look at the least and the largest."""
    if isinstance(num_classes, int) and num_classes < 0:
        raise refused("one_hot without the number of classes: values decide it")
    extrema = aminmax(x) if since(2, 13) else (min_of(x), max_of(x))
    out = filled("zeros", x.tape, (*x.sizes, num_classes), x.dtype)
    x.tape.kernel("scatter_", "pointwise", [out, x, out], flops=0)
    del extrema
    return out


# Where numbers lie between others.


@rule("torch.bucketize")
def bucketize(x: Any, boundaries: Tensor, *, out_int32: bool = False, right: bool = False) -> Tensor:
    return _places("bucketize", boundaries, x, out_int32)


@rule("torch.searchsorted")
def searchsorted(
    sorted_sequence: Tensor, x: Any, *, out_int32: bool = False, right: bool = False, side: str | None = None,
    sorter: Tensor | None = None,
) -> Tensor:  # fmt: skip
    if sorter is not None:
        raise refused("searchsorted with a sorter")
    return _places("searchsorted", sorted_sequence, x, out_int32)


def _places(name: str, among: Tensor, x: Any, narrow: bool) -> Tensor:
    tensors = [x] if type(x) is Tensor else []
    dtype: DType = torch.int32 if narrow else torch.int64
    out = among.new(x.sizes if tensors else (), dtype)
    read = [*tensors, among] if name == "bucketize" else [among, *tensors]
    among.tape.kernel(name, "pointwise", [*read, out], flops=out.elements)
    return out


def _undecided(name: str, what: str) -> None:
    @rule(f"torch.{name}", f"Tensor.{name}")
    def refuse(*_: Any, **__: Any) -> Any:
        raise refused(f"{name}: {what}")


for _name in ("nonzero", "argwhere", "masked_select", "unique", "unique_consecutive", "bincount", "combinations"):
    _undecided(_name, "values decide the size of its result")
for _name in ("masked_scatter", "masked_scatter_"):
    _undecided(_name, "values decide what is read")
