"""Tensors without values: a shape, a type, strides and a storage. They pass for torch.Tensor in any torch program."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from math import prod
from typing import Any, NoReturn

from . import layout
from .graph import Node, leaf
from .sizes import as_torch, same
from .table import PLAIN, RULES, apply, call, refused
from .tape import DType, Shape, Size, Storage, Tape


class Tensor:
    """A tensor on a tape.

    Torch's own functions hand a call that has such a tensor to :data:`RULES`; so do its operators and methods, whose
    names are torch's. What is defined here is what the rules themselves are written in.

    Args:
        tape: where it is recorded.
        sizes: of its axes: ints or SymPy expressions. (``shape`` is the same in types that torch code can use.)
        dtype: of its elements, a torch.dtype.
        storage: that it shows, a new one by default.
        strides: of its axes in elements, by the tape's hints; by default without gaps, the last axis innermost.

    Attributes:
        edge: the node that made it and which of the node's outputs it is; None outside a graph.
        conjugated: whether it is a lazy conjugate view.
        is_view: whether it was made as a view of another.
    """

    __slots__ = (
        "__dict__", "__weakref__", "_strides", "conjugated", "dtype", "edge", "is_view", "sizes", "storage", "tape"
    )  # fmt: skip

    def __init__(
        self,
        tape: Tape,
        sizes: Shape,
        dtype: DType,
        storage: Storage | None = None,
        strides: layout.Strides | None = None,
    ) -> None:
        self.tape, self.sizes, self.dtype, self._strides = tape, sizes, dtype, strides
        self.conjugated = self.is_view = False
        self.edge: tuple[Node, int] | None = None
        self.storage = tape.allocate(tape.nbytes(sizes, dtype.itemsize)) if storage is None else storage
        self.storage.users += 1

    def __del__(self) -> None:
        storage: Storage | None = getattr(self, "storage", None)
        if storage is not None:
            storage.users -= 1
            if storage.users == 0:
                self.tape.release(storage)

    # What rules are written in.

    @property
    def rank(self) -> int:
        """The number of axes."""
        return len(self.sizes)

    @property
    def elements(self) -> Size:
        """The number of elements."""
        return prod(self.sizes)

    @property
    def nbytes(self) -> Size:
        """Bytes of its elements (not of its storage)."""
        return self.tape.nbytes(self.sizes, self.dtype.itemsize)

    @property
    def hints(self) -> tuple[int, ...]:
        """Its sizes as numbers."""
        if not self.tape.symbolic:
            return self.sizes
        return tuple(self.tape.hint(size) for size in self.sizes)

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

    def new(self, sizes: Shape, dtype: DType = None, strides: layout.Strides | None = None) -> Tensor:
        """Another tensor on its tape, of its type unless told."""
        return Tensor(self.tape, sizes, self.dtype if dtype is None else dtype, None, strides)

    def view_of(self, sizes: Shape, strides: layout.Strides | None, dtype: DType = None) -> Tensor:
        """A view of its storage, outside the graph."""
        out = Tensor(self.tape, sizes, self.dtype if dtype is None else dtype, self.storage, strides)
        out.conjugated, out.is_view = self.conjugated, True
        return out

    def alias(self) -> Tensor:
        """The same elements outside the graph: what a graph keeps."""
        return self.view_of(self.sizes, self._strides)

    def require_grad(self) -> Tensor:
        """Make it a leaf whose gradient is asked for."""
        self.edge = (leaf(), 0)
        return self

    def resolved(self) -> Tensor:
        """Itself, or a conjugated copy where it is a lazy conjugate: most kernels know no lazy ones."""
        if not self.conjugated:
            return self
        out = self.new(self.sizes, strides=layout.like(self.hints, self.strides))
        self.tape.kernel("clone", "pointwise", [self, out], flops=0)
        return out

    def fitted(self, sizes: Shape, dtype: DType) -> Tensor:
        """As a gradient of an input of these sizes and type: its real part, converted, summed over what was repeated."""
        out = self
        if out.dtype is not dtype:
            if out.dtype.is_complex and not dtype.is_complex:
                out = out.real
            if out.dtype is not dtype:
                out = out.to(dtype)
        return out.sum_to(sizes)

    def sum_to(self, sizes: Shape) -> Tensor:
        """The sum over the axes that broadcasting from ``sizes`` added."""
        if self.sizes == sizes:
            return self
        leading = len(self.sizes) - len(sizes)
        padded = (1,) * leading + sizes
        axes = [i for i, size in enumerate(padded) if i < leading or not same(size, self.sizes[i])]
        if any(padded[i] != 1 for i in axes):
            raise RuntimeError(f"a gradient of shape {self.sizes} reached an input of shape {sizes}")
        if leading == 0 and not self.tape.holds(prod(self.sizes[i] for i in axes) > 1):
            return self
        total: Tensor = self.sum(axes, keepdim=True)
        return total.reshape(sizes)

    def in_layout_of_leaf(self) -> Tensor:
        """Itself, or a copy where it lies in memory unlike its parameter: what autograd puts into ``.grad``."""
        if self.is_plain:
            return self
        out = self.new(self.sizes)
        out.copy_(self)
        return out

    # What torch code asks of a tensor.

    @property
    def __class__(self) -> Any:
        import torch  # noqa: PLC0415

        return torch.Tensor

    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return call(func, args, kwargs or {})

    def __getattr__(self, name: str) -> Any:
        if name == "_is_param" or (name.startswith("__") and name.endswith("__")):
            raise AttributeError(name)
        rule = RULES.method(name)
        if RULES.is_attribute(name):
            return rule(self)
        return partial(_call_method, rule, self)

    @property
    def shape(self) -> Any:
        """Its sizes, as torch.Size."""
        import torch  # noqa: PLC0415

        if not self.tape.symbolic:
            return torch.Size(self.sizes)
        return torch.Size([as_torch(size, self.tape) for size in self.sizes])

    @property
    def requires_grad(self) -> bool:
        """Whether it is part of a graph."""
        return self.edge is not None

    @requires_grad.setter
    def requires_grad(self, value: bool) -> None:
        self.edge = (self.edge or (leaf(), 0)) if value else None

    @property
    def is_leaf(self) -> bool:
        """Whether no operation made it."""
        return self.edge is None or self.edge[0].backward is None

    @property
    def grad_fn(self) -> Node | None:
        """The node that made it."""
        return None if self.edge is None or self.is_leaf else self.edge[0]

    is_meta = True  # it has no values
    is_cuda = is_sparse = is_quantized = is_mkldnn = is_nested = False
    grad = None
    names: Any = None
    output_nr = 0

    @property
    def device(self) -> Any:
        """Where real ones would be."""
        import torch  # noqa: PLC0415

        return torch.device("cpu")

    @property
    def layout(self) -> Any:
        """torch.strided."""
        import torch  # noqa: PLC0415

        return torch.strided

    @property
    def _version(self) -> int:
        return self.storage.version

    def data_ptr(self) -> int:
        """A number that tells storages apart."""
        return id(self.storage)

    def untyped_storage(self) -> Storage:
        """The piece of memory that it shows."""
        return self.storage

    def __hash__(self) -> int:
        return id(self)

    def __len__(self) -> int:
        return int(self.sizes[0])

    def __iter__(self) -> Iterator[Tensor]:
        return iter(self.unbind(0))

    def __repr__(self) -> str:
        return f"Tensor({self.sizes}, {self.dtype})"

    def __bool__(self) -> NoReturn:
        raise refused("the truth of a tensor: a value decides here what runs")

    def _no_value(self, *_: Any) -> NoReturn:
        raise refused("the value of a tensor (item, tolist, float, int …), of which a recording has none")

    __float__ = __int__ = __index__ = __complex__ = item = tolist = numpy = _no_value


def _call_method(rule: Any, tensor: Tensor, *args: Any, **kwargs: Any) -> Any:
    return apply(rule, (tensor, *args), kwargs)


def _operator(name: str) -> Any:
    def operate(self: Tensor, *args: Any) -> Any:
        return apply(RULES.method(name), (self, *args), {})

    return operate


OPERATORS = {
    "__add__": "add", "__radd__": "add", "__iadd__": "add_", "__sub__": "sub", "__rsub__": "__rsub__",
    "__isub__": "sub_", "__mul__": "mul", "__rmul__": "mul", "__imul__": "mul_", "__truediv__": "div",
    "__rtruediv__": "__rdiv__", "__itruediv__": "div_", "__pow__": "pow", "__rpow__": "__rpow__", "__neg__": "neg",
    "__abs__": "abs", "__matmul__": "matmul", "__rmatmul__": "__rmatmul__", "__getitem__": "__getitem__",
    "__setitem__": "__setitem__", "__lt__": "lt", "__le__": "le", "__gt__": "gt", "__ge__": "ge", "__eq__": "eq",
    "__ne__": "ne", "__and__": "bitwise_and", "__or__": "bitwise_or", "__xor__": "bitwise_xor",
    "__invert__": "bitwise_not", "__rshift__": "__rshift__", "__lshift__": "__lshift__",
}  # fmt: skip
for _dunder, _name in OPERATORS.items():
    setattr(Tensor, _dunder, _operator(_name))
PLAIN.add(Tensor)

