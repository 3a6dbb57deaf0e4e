"""The steps of a backward graph."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from .errors import refused
from .layout import Strides
from .tape import DType, Shape

Backward = Callable[..., Sequence[Any]]  # of what is saved and the outputs' gradients: one gradient, or None, per input

LEAF_ORDER = 2**63  # leaves run at once: PyTorch gives AccumulateGrad the highest priority


@dataclass(eq=False)
class Node:
    """One step of the backward graph: the gradients of an operation's inputs from those of its outputs."""

    order: int
    backward: Backward | None  # None: a leaf
    inputs: list[tuple[Node, int] | None]  # per input: the node that made it and which of its outputs it is
    shapes: list[Shape]  # per input: its shape, to which a broadcast gradient is summed
    dtypes: list[DType]  # per input: its type, to which a gradient is cut or converted
    saved: tuple[Any, ...]  # tensors, or None
    part: str
    outputs: int = 1
    context: Any = None  # of an autograd Function
    strides: Strides | None = None  # of a leaf: its gradient is kept in its layout
    grad: Any = None  # of a leaf: what a backward left

    @property
    def leads(self) -> bool:
        """Whether it is a leaf or leads to one: torch makes a node of a view of a leaf without a history, too."""
        return self.backward is None or any(edge is not None for edge in self.inputs)

    def __getattr__(self, name: str) -> Any:
        """Torch's nodes have hooks and names, and an autograd Function's has what its context has."""
        if self.context is not None and hasattr(self.context, name):
            return getattr(self.context, name)
        raise refused(f"grad_fn.{name}, as hooks of the backward use it")

    @property
    def saved_tensors(self) -> tuple[Any, ...]:
        """What it keeps, as a program reads it."""
        return tuple(map(unpacked, self.saved))


@dataclass(frozen=True)
class Packed:
    """What a hook on saved tensors made of one."""

    value: Any
    unpack: Callable[[Any], Any]


def unpacked(saved: Any) -> Any:
    """A saved tensor, as its hook gives it back."""
    return saved.unpack(saved.value) if type(saved) is Packed else saved


def leaf(strides: Strides | None) -> Node:
    """The node of a parameter or of the input, which has these strides."""
    return Node(LEAF_ORDER, None, [], [], [], (), "input", strides=strides)
