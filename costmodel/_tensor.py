"""Tensors without values: views and pointwise operations, with the gradients that PyTorch computes for them.

Each operation states what it allocates, computes and saves; its ``backward`` is written in the same operations, in the
order in which PyTorch's derivative formulas run them (tools/autograd/derivatives.yaml,
torch/csrc/autograd/FunctionsManual.cpp, version 2.13), because that order decides the peak.

Counting: a pointwise kernel is 1 FLOP per output element, a reduction 1 per input element, also where complex; a copy
or a fill is none.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from ._kernels import divisor_gradient, masked, pointwise, reduced, reduction, square_gradient, stack
from ._tape import Kind, Node, Shape, Size, Storage, Tape, leaf


class Tensor:
    """A tensor on a tape: shape, kind of element and storage. Operators and methods are those of torch.Tensor.

    ``edge`` is the node that made it and which of the node's outputs it is; ``conjugated`` marks a lazy conjugate view;
    ``dense`` is False for a view with gaps or of expanded elements, into which no gradient can be summed; ``cropped``,
    where the gaps are inside an image; ``order`` names the axes from the outermost in memory to the innermost, None
    where that is their own order.
    """

    __slots__ = ("conjugated", "cropped", "dense", "edge", "kind", "order", "shape", "storage", "tape")

    def __init__(self, tape: Tape, shape: Shape, kind: Kind = "real", storage: Storage | None = None) -> None:
        self.tape, self.shape, self.kind = tape, shape, kind
        self.conjugated, self.cropped, self.dense = False, False, True
        self.order: tuple[int, ...] | None = None
        self.edge: tuple[Node, int] | None = None
        self.storage = tape.allocate(self.nbytes) if storage is None else storage
        self.storage.users += 1

    def __del__(self) -> None:
        self.storage.users -= 1
        if self.storage.users == 0:
            self.tape.release(self.storage)

    @property
    def numel(self) -> Size:
        """The number of elements."""
        return prod(self.shape)

    @property
    def nbytes(self) -> Size:
        """Bytes of its elements (not of its storage)."""
        return self.tape.nbytes(self.shape, self.kind)

    @property
    def requires_grad(self) -> bool:
        """Whether it is part of a graph."""
        return self.edge is not None

    def new(self, shape: Shape, kind: Kind | None = None) -> Tensor:
        """Another tensor on its tape, of its kind unless told."""
        return Tensor(self.tape, shape, kind or self.kind)

    def require_grad(self) -> Tensor:
        """Make it a leaf whose gradient is asked for."""
        self.edge = (leaf(), 0)
        return self

    # Views: they share the storage and cost nothing.

    def _view(self, shape: Shape) -> Tensor:
        out = Tensor(self.tape, shape, self.kind, self.storage)
        out.conjugated, out.cropped, out.dense = self.conjugated, self.cropped, self.dense
        out.order = self.order if len(shape) == len(self.shape) else None
        return out

    def detach(self) -> Tensor:
        """The same elements, outside the graph."""
        return self._view(self.shape)

    def permute(self, *axes: int) -> Tensor:
        """Axes in another order."""
        inverse = [axes.index(i) for i in range(len(axes))]
        out = self._view(tuple(self.shape[a] for a in axes))
        order = tuple(inverse[a] for a in self.order or range(len(axes)))
        out.order = None if order == tuple(range(len(axes))) else order
        self.tape.attach([out], [self], [], lambda _, g: [g.permute(*inverse)])
        return out

    def transpose(self, first: int, second: int) -> Tensor:
        """Two axes swapped."""
        axes = list(range(len(self.shape)))
        axes[first], axes[second] = axes[second], axes[first]
        return self.permute(*axes)

    def t(self) -> Tensor:
        """The transpose of a matrix."""
        return self.transpose(0, 1)

    def reshape(self, *shape: Size) -> Tensor:
        """Another shape over the same elements; only where PyTorch needs no copy."""
        before = self.shape
        out = self._view(shape)
        out.order = None
        self.tape.attach([out], [self], [], lambda _, g: [g.reshape(*before)])
        return out

    def flatten(self) -> Tensor:
        """All axes behind the first in one: a view, or a copy where these do not follow each other in memory."""
        large = [a for a in self.order or range(len(self.shape)) if self.shape[a] != 1]
        inner = [a for a in large if a != 0]
        adjacent = not inner or large.index(inner[-1]) - large.index(inner[0]) == len(inner) - 1
        source = self if adjacent and inner == sorted(inner) and not self.cropped else self.clone()
        return source.reshape(self.shape[0], prod(self.shape[1:]))

    def as_kind(self, kind: Kind, shape: Shape) -> Tensor:
        """The same bytes as elements of another kind; used without gradient only."""
        out = self._view(shape)
        out.kind, out.order = kind, None
        return out

    def expand(self, *shape: Size) -> Tensor:
        """Broadcast to ``shape``."""
        out = self._view(shape)
        out.dense = False
        self.tape.attach([out], [self], [], lambda _, g: [g])
        return out

    def conj(self) -> Tensor:
        """The complex conjugate, lazily; a real tensor is its own."""
        if self.kind != "complex":
            return self
        out = self.detach()
        out.conjugated = not self.conjugated
        self.tape.attach([out], [self], [], lambda _, g: [g.conj()])
        return out

    def real(self) -> Tensor:
        """The real part, a view; a real tensor is its own."""
        if self.kind == "real":
            return self
        out, shape = self._view(self.shape), self.shape
        out.kind, out.dense = "real", False
        self.tape.attach([out], [self], [], lambda _, g: [g._scatter(shape, "select_backward", "complex")])
        return out

    def slice(self, axis: int, size: Size) -> Tensor:
        """``size`` consecutive entries of an axis. Indexing makes no view where that is all of it."""
        if not self.tape.holds(size < self.shape[axis]):
            return self
        out = self.window((*self.shape[:axis], size, *self.shape[axis + 1 :]))
        out.dense = self.dense and axis == 0
        out.cropped = self.cropped or axis > 1
        return out

    def window(self, shape: Shape) -> Tensor:
        """A view of a part with ``shape``."""
        out = self._view(shape)
        out.dense = False
        before = self.shape
        self.tape.attach([out], [self], [], lambda _, g: [g._scatter(before, "slice_backward")])
        return out

    def select(self, axis: int) -> Tensor:
        """One entry of an axis."""
        out = self._view((*self.shape[:axis], *self.shape[axis + 1 :]))
        before = self.shape
        self.tape.attach([out], [self], [], lambda _, g: [g._scatter(before, "select_backward")])
        return out

    def unbind(self) -> list[Tensor]:
        """The entries of the first axis."""
        outs = [self._view(self.shape[1:]) for _ in range(self.shape[0])]
        self.tape.attach(outs, [self], [], lambda _, *gs: [stack(gs)])
        return outs

    def in_layout_of_leaf(self) -> Tensor:
        """Itself, or a copy where it lies in memory unlike a parameter: what autograd puts into ``.grad``."""
        axes = [axis for axis in self.order or range(len(self.shape)) if self.shape[axis] != 1]
        if not axes or (self.dense and axes == sorted(axes)):
            return self
        out = Tensor(self.tape, self.shape, self.kind)
        out.copy_(self)
        return out

    def _scatter(self, shape: Shape, name: str, kind: Kind | None = None) -> Tensor:
        """Zeros of ``shape`` with this gradient written into a part of them."""
        full = Tensor(self.tape, shape, kind or self.kind)
        self.tape.kernel(name, "pointwise", [self, full], flops=0)
        return full

    # Pointwise.

    def resolved(self) -> Tensor:
        """Itself, or a conjugated copy where it is a lazy conjugate: most kernels know no lazy ones."""
        if not self.conjugated:
            return self
        out = Tensor(self.tape, self.shape, self.kind)
        self.tape.kernel("clone", "pointwise", [self, out], flops=0)
        return out

    def __neg__(self) -> Tensor:
        out = pointwise("neg", self)
        self.tape.attach([out], [self], [], lambda _, g: [-g])
        return out

    def __add__(self, other: Tensor | float) -> Tensor:
        if not isinstance(other, Tensor):
            out = pointwise("add", self)
            self.tape.attach([out], [self], [], lambda _, g: [g])
            return out
        out = pointwise("add", self, other)
        self.tape.attach([out], [self, other], [], lambda _, g: [g, g])
        return out

    def add_(self, other: Tensor) -> Tensor:
        """Add in place."""
        other = other.resolved()
        self.tape.kernel("add_", "pointwise", [self, other, self], flops=self.numel)
        out = self.detach()
        self.tape.attach([out], [self, other], [], lambda _, g: [g, g])
        return out

    def __sub__(self, other: Tensor) -> Tensor:
        out = pointwise("sub", self, other)
        needs = other.requires_grad
        self.tape.attach([out], [self, other], [], lambda _, g: [g, -g if needs else None])
        return out

    def __mul__(self, other: Tensor | float) -> Tensor:
        if not isinstance(other, Tensor):
            out = pointwise("mul", self)
            self.tape.attach([out], [self], [], lambda _, g: [g * 0.5])
            return out

        def backward(saved: Sequence[Tensor | None], g: Tensor) -> list[Tensor | None]:
            a, b = saved
            of_b = None if a is None else g * a.conj()
            return [None if b is None else g * b.conj(), of_b]

        out = pointwise("mul", self, other)
        saved = [self if other.requires_grad else None, other if self.requires_grad else None]
        self.tape.attach([out], [self, other], saved, backward)
        return out

    def __rmul__(self, other: float) -> Tensor:
        return self * other

    def __truediv__(self, other: Tensor | float) -> Tensor:
        if not isinstance(other, Tensor):
            out = pointwise("div", self)
            self.tape.attach([out], [self], [], lambda _, g: [g / 0.5])
            return out
        of_self, of_other = self.requires_grad, other.requires_grad

        def backward(saved: Sequence[Tensor | None], g: Tensor) -> list[Tensor | None]:
            a, b = saved
            assert b is not None
            of_b = None if a is None else divisor_gradient(a, b, g)
            return [g / b.conj() if of_self else None, of_b]

        out = pointwise("div", self, other)
        self.tape.attach([out], [self, other], [self if of_other else None, other], backward)
        return out

    def __rtruediv__(self, other: float) -> Tensor:
        return self.reciprocal() * other

    def reciprocal(self) -> Tensor:
        """1 / self."""

        def backward(saved: Sequence[Tensor], g: Tensor) -> list[Tensor]:
            squared = saved[0] * saved[0]
            return [-g * squared]

        out = pointwise("reciprocal", self)
        self.tape.attach([out], [self], [out], backward)
        return out

    def abs(self) -> Tensor:
        """The absolute value."""
        out = pointwise("abs", self)
        self.tape.attach([out], [self], [self], lambda saved, g: [g * pointwise("sgn", saved[0])])
        return out

    def sqrt(self) -> Tensor:
        """The square root."""
        out = pointwise("sqrt", self)
        self.tape.attach([out], [self], [out], lambda saved, g: [g / (saved[0] * 2)])
        return out

    def square(self) -> Tensor:
        """``self**2``, which PyTorch differentiates as grad · (2 · self¹)."""
        out = pointwise("pow", self)
        self.tape.attach([out], [self], [self], lambda saved, g: [square_gradient(saved[0], g)])
        return out

    def relu(self) -> Tensor:
        """max(self, 0)."""
        out = pointwise("relu", self)
        self.tape.attach([out], [self], [out], lambda saved, g: [pointwise("threshold_backward", g, saved[0])])
        return out

    def clamp_min(self) -> Tensor:
        """max(self, a constant); used without gradient only."""
        return pointwise("clamp_min", self)

    def minimum(self, other: Tensor) -> Tensor:
        """The lesser of two tensors of one shape."""

        def backward(saved: Sequence[Tensor], g: Tensor) -> list[Tensor]:
            a, b = saved
            of_other = masked(g, a, b)
            return [masked(g, a, b), of_other]

        out = pointwise("minimum", self, other)
        self.tape.attach([out], [self, other], [self, other], backward)
        return out

    def copy_(self, source: Tensor) -> None:
        """Overwrite with ``source``."""
        self.tape.kernel("copy_", "pointwise", [self, source, self], flops=0)

    def clone(self) -> Tensor:
        """A copy in the order of the axes."""
        out = pointwise("clone", self, flops_per_element=0)
        out.order = None
        self.tape.attach([out], [self], [], lambda _, g: [g])
        return out

    def flip(self) -> Tensor:
        """Some axes reversed, a copy."""
        out = pointwise("flip", self, flops_per_element=0)
        self.tape.attach([out], [self], [], lambda _, g: [g.flip()])
        return out

    # Reductions.

    def sum(self, axes: Sequence[int] | None = None, keepdim: bool = False) -> Tensor:
        """The sum over ``axes`` (all of them by default)."""
        kept, shape = reduced(self.shape, axes, keepdim)
        before = self.shape
        out = reduction("sum", self, shape)
        self.tape.attach([out], [self], [], lambda _, g: [g.reshape(*kept).expand(*before)])
        return out

    def sum_to(self, shape: Shape) -> Tensor:
        """The sum over the axes that broadcasting from ``shape`` added."""
        if self.shape == shape:
            return self
        leading = len(self.shape) - len(shape)
        padded = (1,) * leading + shape
        axes = [i for i, size in enumerate(padded) if i < leading or size != self.shape[i]]
        if any(padded[i] != 1 for i in axes):
            raise ValueError(f"a gradient of shape {self.shape} reached an input of shape {shape}")
        if leading == 0 and not self.tape.holds(prod(self.shape[i] for i in axes) > 1):
            return self
        return self.sum(axes, keepdim=True).reshape(*shape)

    def norm(self, axes: Sequence[int] | None = None) -> Tensor:
        """The Euclidean norm over ``axes``, kept (all of them, dropped, by default)."""
        _, shape = reduced(self.shape, axes, axes is not None)

        def backward(saved: Sequence[Tensor], g: Tensor) -> list[Tensor]:
            x, length = saved
            direction = x / length
            zero = pointwise("eq", length, kind="bool")
            direction.tape.kernel("masked_fill_", "pointwise", [direction, zero, direction], flops=direction.numel)
            return [g * direction]

        out = reduction("linalg_vector_norm", self, shape)
        self.tape.attach([out], [self], [self, out], backward)
        return out
