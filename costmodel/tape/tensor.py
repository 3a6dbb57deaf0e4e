"""Tensors without values: a shape, a type, strides and a piece of memory, in the place of torch.Tensor."""

from __future__ import annotations

from collections.abc import Iterator
from math import prod
from typing import Any, NoReturn

import torch

from . import layout
from .errors import refused
from .node import Node, leaf
from .sizes import as_torch, fit
from .table import PLAIN, call
from .tape import DType, Shape, Size, Storage, Tape

_EMPTY = torch.empty(0, device="meta")  # what torch's own code would see of any of them
_make = torch.Tensor._make_subclass


class Tensor(torch.Tensor):
    """A tensor on a tape.

    Torch hands every function, method and operator that meets one to :data:`~.table.RULES`. What is defined here is
    what rules are written in, and what torch code asks a tensor about itself.

    Args:
        tape: where it is recorded.
        sizes: of its axes: ints or SymPy expressions. (``shape`` is the same in types that torch code can use.)
        dtype: of its elements.
        memory: that it shows, a new piece by default.
        strides: of its axes in elements, by the tape's hints; by default without gaps, the last axis innermost.

    Attributes:
        base: what it was made a view of, as autograd follows it; None if it is none, or was made under no_grad.
        conjugated: whether it is a lazy conjugate view.
        is_view: whether it was made as a view of another.
        follows: whether that needs a gradient, so that torch says it of the view too, even under no_grad.
    """

    __slots__ = (
        "_edge", "_seen", "_strides", "base", "conjugated", "dtype", "follows", "is_view", "memory", "sizes", "tape",
    )  # fmt: skip

    tape: Tape
    sizes: Shape
    dtype: DType
    memory: Storage
    conjugated: bool
    is_view: bool
    follows: bool
    base: Tensor | None
    _edge: tuple[Node, int] | None
    _seen: int  # the version of its memory that its edge is of
    _strides: layout.Strides | None

    def __new__(
        cls,
        tape: Tape,
        sizes: Shape,
        dtype: DType,
        memory: Storage | None = None,
        strides: layout.Strides | None = None,
    ) -> Tensor:
        """Make one; a torch.Tensor has no ``__init__`` of its own."""
        self: Tensor = _make(cls, _EMPTY)
        self.tape, self.sizes, self.dtype, self._strides = tape, sizes, dtype, strides
        self.conjugated = self.is_view = self.follows = False
        self._edge = self.base = None
        self.memory = memory = tape.allocate(tape.nbytes(sizes, dtype.itemsize)) if memory is None else memory
        memory.users += 1
        self._seen = memory.version
        return self

    def __init__(self, *_: Any) -> None: ...

    def __del__(self) -> None:
        memory = self.memory
        memory.users -= 1
        if memory.users == 0:
            self.tape.release(memory)

    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return call(func, args, kwargs or {})

    # What rules are written in.

    @property
    def edge(self) -> tuple[Node, int] | None:
        """The node that made it and which of the node's outputs it is; None outside a graph.

        Of a view whose memory was written to since, autograd makes another node, which cuts it out of its base.
        """
        if self.base is not None and self._seen != self.memory.version:
            from .rules.strided import renew  # noqa: PLC0415  (rules are read at first use)

            renew(self)
        return self._edge

    @edge.setter
    def edge(self, edge: tuple[Node, int] | None) -> None:
        self._edge, self._seen = edge, self.memory.version

    @property
    def is_followed(self) -> bool:
        """Whether it leads to a leaf, or its base does."""
        of_base = None if self.base is None else self.base._edge
        return any(edge is not None and edge[0].leads for edge in (self._edge, of_base))

    @property
    def nbytes(self) -> Size:  # type: ignore[override]
        """Of its elements (not of its memory)."""
        return self.tape.nbytes(self.sizes, self.dtype.itemsize)

    @property
    def rank(self) -> int:
        """The number of axes."""
        return len(self.sizes)

    @property
    def elements(self) -> Size:
        """The number of elements."""
        return self.tape.nbytes(self.sizes, 1)

    @property
    def hints(self) -> tuple[int, ...]:
        """Its sizes as numbers."""
        if not self.tape.symbolic:
            return self.sizes
        return tuple(map(self.tape.hint, self.sizes))

    @property
    def strides(self) -> layout.Strides:
        """Of its axes, in elements."""
        if self._strides is None:
            self._strides = layout.contiguous(self.hints)
        return self._strides

    @property
    def is_plain(self) -> bool:
        """Whether it lies without gaps, the last axis innermost."""
        return self._strides is None or layout.is_contiguous(self.hints, self._strides)

    @property
    def is_dense(self) -> bool:
        """Whether it lies without gaps, in any order of the axes."""
        return self._strides is None or layout.is_dense(self.hints, self._strides)

    def axis(self, axis: int) -> int:
        """An axis counted from the front."""
        return axis + len(self.sizes) if axis < 0 else axis

    def axes(self, axes: Any = None) -> tuple[int, ...]:
        """Axes counted from the front, in order; all by default."""
        if axes is None or axes == ():
            return tuple(range(len(self.sizes)))
        return tuple(sorted(self.axis(a) for a in ((axes,) if isinstance(axes, int) else axes)))

    def new(self, sizes: Shape, dtype: DType = None, strides: layout.Strides | None = None) -> Tensor:  # type: ignore[override]
        """Another tensor on its tape, of its type unless told."""
        return Tensor(self.tape, sizes, self.dtype if dtype is None else dtype, None, strides)

    def view_of(self, sizes: Shape, strides: layout.Strides | None, dtype: DType = None) -> Tensor:
        """A view of its memory, outside the graph."""
        out = Tensor(self.tape, sizes, self.dtype if dtype is None else dtype, self.memory, strides)
        out.conjugated, out.is_view, out.follows = self.conjugated, True, self.requires_grad
        if torch.is_grad_enabled():
            out.base = self if self.base is None else self.base
        return out

    def alias(self) -> Tensor:
        """The same elements outside the graph: what a graph keeps."""
        out = self.view_of(self.sizes, self._strides)
        out.base = None
        return out

    def unsafe(self) -> Tensor:
        """Itself, not taken for a view any more: torch's unsafe views are changed in place like any tensor."""
        self.is_view = self.follows = False
        self.base = None
        return self

    def require_grad(self) -> Tensor:
        """Make it a leaf whose gradient is asked for."""
        self.edge = (leaf(self._strides), 0)
        return self

    def resolved(self) -> Tensor:
        """Itself, or a conjugated copy where it is a lazy conjugate: most kernels know no lazy ones."""
        if not self.conjugated:
            return self
        out = self.new(self.sizes, strides=layout.like(self.hints, self.strides))
        self.tape.kernel("clone", "pointwise", [self, out], flops=0)
        return out

    def real_for(self, dtype: DType) -> Tensor:
        """As a gradient of an input of this type: its real part where that is real."""
        real: Any = self.real if self.dtype.is_complex and not dtype.is_complex else self
        return real  # type: ignore[no-any-return]

    def sum_to(self, sizes: Shape) -> Tensor:
        """The sum over the axes that broadcasting from ``sizes`` added."""
        if self.sizes == sizes:
            return self
        leading = len(self.sizes) - len(sizes)
        padded = (1,) * leading + sizes
        axes = [i for i, size in enumerate(padded) if i < leading or (size == 1 and self.sizes[i] != 1)]
        for i, size in enumerate(padded):
            if i not in axes:
                fit(self.sizes[i], size, "a gradient and its input")
        repeated = prod(self.sizes[i] for i in axes)
        if leading == 0 and repeated != 0 and not self.tape.holds(repeated > 1):
            return self
        total: Any = self.sum(axes, keepdim=True)
        if leading == 0:
            return total  # type: ignore[no-any-return]
        return total.reshape([as_torch(size, self.tape) for size in sizes])  # type: ignore[no-any-return]

    def in_layout(self, strides: layout.Strides | None) -> Tensor:
        """Itself, or a copy where it lies unlike a parameter of ``strides``: what autograd puts into ``.grad``."""
        hints = self.hints
        wanted = strides if strides is not None and layout.is_dense(hints, strides) else layout.contiguous(hints)
        if all(size == 1 or a == b for size, a, b in zip(hints, self.strides, wanted, strict=True)):
            return self
        out = self.new(self.sizes, strides=wanted)
        self.tape.kernel("copy_", "pointwise", [out, self, out], flops=0)
        return out

    # What torch code asks of a tensor.

    @property
    def shape(self) -> Any:  # type: ignore[override]
        """Its sizes, as torch.Size."""
        if not self.tape.symbolic:
            return torch.Size(self.sizes)
        return torch.Size([as_torch(size, self.tape) for size in self.sizes])

    @property
    def requires_grad(self) -> bool:
        """Whether it is part of a graph."""
        return self.follows or self._edge is not None or (self.base is not None and self.base._edge is not None)

    @requires_grad.setter
    def requires_grad(self, value: bool) -> None:
        self.edge = (self.edge or (leaf(self._strides), 0)) if value else None
        self.follows = self.follows and value

    @property
    def is_leaf(self) -> bool:  # type: ignore[override]
        """Whether no operation made it."""
        return self.edge is None or self.edge[0].backward is None

    @property
    def grad_fn(self) -> Node | None:  # type: ignore[override]
        """The node that made it."""
        return None if self.edge is None or self.is_leaf else self.edge[0]

    @property
    def grad(self) -> Any:
        """Of a leaf: the gradient that a backward pass left."""
        return None if self.edge is None else self.edge[0].grad

    @grad.setter
    def grad(self, value: Any) -> None:
        if self.edge is not None:
            self.edge[0].grad = value

    is_meta = True  # it has no values
    is_sparse = is_sparse_csr = is_quantized = is_nested = False
    device = torch.device("cpu")  # where a real one would be

    @property
    def _version(self) -> int:  # type: ignore[override]
        return self.memory.version

    def data_ptr(self) -> int:
        """A number that tells pieces of memory apart."""
        return id(self.memory)

    def untyped_storage(self) -> Any:
        """The piece of memory that it shows."""
        return self.memory

    def __hash__(self) -> int:
        return id(self)

    def __len__(self) -> int:
        return int(as_torch(self.sizes[0], self.tape))

    def __iter__(self) -> Iterator[Any]:
        return iter(self.unbind(0))

    def __repr__(self, **_: Any) -> str:  # type: ignore[override]
        return f"Tensor({self.sizes}, {self.dtype})"

    def __bool__(self) -> NoReturn:
        raise refused("the truth of a tensor: a value decides here what runs")

    def _no_value(self, *_: Any) -> NoReturn:
        raise refused("the value of a tensor (item, tolist, float, int …), of which a recording has none")

    __float__ = __int__ = __index__ = __complex__ = item = tolist = numpy = _no_value  # type: ignore[assignment]


PLAIN |= {Tensor, torch.dtype, torch.device, torch.memory_format, torch.layout}
