"""The tape: what a program allocates, releases and computes, in order.

* ``events``: every allocation (+1, storage) and release (-1, storage). A storage is released when the last tensor that
  refers to it goes, as in PyTorch: the program's own local variables decide, through CPython's reference counts.
* ``operations``: every kernel, with its class, MACs, FLOPs, bytes moved, phase, and the part of a layer that it is of.

Sizes are Python ints (a prediction) or SymPy expressions (a formula); the program is the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from math import prod
from typing import Any, NamedTuple
from weakref import WeakSet

Size = Any  # an int, or a SymPy expression with integer values
Shape = tuple[Size, ...]
DType = Any  # a torch.dtype, which this module need not import


class Operation(NamedTuple):
    """One kernel: its ATen name, where it ran and what it cost."""

    name: str
    cls: str  # conv, matmul, fft, inverse or pointwise
    phase: str  # forward, backward or optimizer
    part: str  # input or parameter
    macs: Size
    flops: Size
    moved: tuple[Size, ...]  # bytes of each tensor that it reads or writes
    variant: str  # complex; 1x1 for a convolution whose output is one pixel; or nothing
    steps: Size  # that wait for each other: the order of the matrices that are inverted, else 1

    @property
    def traffic(self) -> Size:
        """Bytes read and written."""
        return sum(self.moved)


class Storage:
    """A piece of memory.

    Attributes:
        nbytes: its size.
        users: how many tensors refer to it.
        category: what it turned out to be, for a network's peak.
        version: how often it was written to in place.
        part: of a layer that made it.
        constant: whether it is of numbers in the program's code, which no figure of what autograd keeps has.
    """

    __slots__ = ("category", "constant", "nbytes", "part", "users", "version")

    def __init__(self, nbytes: Size, part: str = "input") -> None:
        self.nbytes, self.part = nbytes, part
        self.users = 0
        self.constant = False
        self.category = "temporaries"
        self.version = 0


def pinned(storage: Storage) -> Storage:
    """A storage that is in no figure: as long as somebody uses it, it is never released."""
    storage.users += 1
    storage.constant = True
    return storage


class Tape:
    """A recording of one program.

    Args:
        in_place: whether gradients that meet are summed in place, as plain eager mode does where nothing else refers
            to the first of them; False follows what autograd does under any active TorchDispatchMode.
        decide: answers a branch condition between symbols; None where all sizes are numbers.
        hint: a number for a symbolic size, by which strides are compared.

    Attributes:
        events, operations: see the module.
        base: storages that were there before the events.
        constants: what stands for the real tensors of a program, by their identity.
        lifted: of these, the ones that no module holds.
        lift: makes one of a real tensor.
        phase, part: of the operations that come.
        nodes: how many steps of a backward graph were recorded, which orders them.
        graph: those that are alive.
        kept: weak references to tensors that torch's own code keeps as a graph does.
        hooks: on what graphs keep, as pairs of pack and unpack, the innermost last.
        copies: of parameters, which autocast made.
        written: the storages that were made for the last kernel.
        host: whether tensors without axes are numbers of the program's, with values, and in no figure.
        passes: the backward passes that run, the innermost last: a number, and whether gradients end in ``grad``.
    """

    def __init__(
        self,
        in_place: bool = True,
        decide: Callable[[Any], bool] | None = None,
        hint: Callable[[Any], int] | None = None,
    ) -> None:
        self.in_place, self.decide, self._hint = in_place, decide, hint
        self.events: list[tuple[int, Storage]] = []
        self.operations: list[Operation] = []
        self.base: list[Storage] = []
        self.constants: dict[Any, Any] = {}
        self.lifted: list[Any] = []
        self.lift: Callable[[Any], Any] = lambda tensor: tensor
        self.phase, self.part, self.nodes = "forward", "input", 0
        self.graph: WeakSet[Any] = WeakSet()
        self.kept: list[Callable[[], Any]] = []
        self.hooks: list[tuple[Callable[[Any], Any], Callable[[Any], Any]]] = []
        self.passes: list[tuple[int, bool]] = []
        self.copies: dict[Any, Any] = {}
        self.written: list[Storage] = []
        self._made: list[Storage] = []
        self.host = False
        self._nbytes: dict[tuple[Shape, int], Size] = {}

    @property
    def symbolic(self) -> bool:
        """Whether sizes may be symbols."""
        return self.decide is not None

    def holds(self, condition: Any) -> bool:
        """Whether ``condition`` is true: every branch between sizes asks through here."""
        return condition if condition is True or condition is False else self.decide(condition)  # type: ignore[misc]

    def hint(self, size: Size) -> int:
        """A number for a size: itself, or for a symbolic one a number that unequal sizes do not share."""
        return size if self._hint is None or isinstance(size, int) else self._hint(size)

    def nbytes(self, shape: Shape, itemsize: int) -> Size:
        """Bytes of a tensor; remembered, as products of symbols take time."""
        key = shape, itemsize
        if key not in self._nbytes:
            self._nbytes[key] = prod(shape) * itemsize
        return self._nbytes[key]

    def existing(self, nbytes: Size) -> Storage:
        """A storage that is there before the recording."""
        storage = Storage(nbytes)
        self.base.append(storage)
        return storage

    def allocate(self, nbytes: Size) -> Storage:
        """A new storage."""
        storage = Storage(nbytes, self.part)
        self.events.append((1, storage))
        self._made.append(storage)
        return storage

    def release(self, storage: Storage) -> None:
        """Called when the last tensor of ``storage`` is gone."""
        self.events.append((-1, storage))

    def undo(self) -> None:
        """Forget the last kernel and what was made for it."""
        self.operations.pop()
        for storage in self.written:
            self.events.remove((1, storage))
            pinned(storage)

    @contextmanager
    def beforehand(self) -> Iterator[None]:
        """What runs inside was there before: no figure has it, but what it leaves is in the base."""
        start, kernels = len(self.events), len(self.operations)
        yield
        left: dict[Storage, None] = {}
        for sign, storage in self.events[start:]:
            if sign > 0:
                left[storage] = None
            else:
                left.pop(storage, None)
        self.base += left
        del self.events[start:], self.operations[kernels:]

    def restart(self) -> None:
        """Forget all but what is alive and the module's own or transformed parameters, which becomes the base."""
        alive = dict.fromkeys(self.base)
        for sign, storage in self.events:
            if sign > 0:
                alive[storage] = None
            else:
                del alive[storage]
        before = set(self.base)
        self.base = [storage for storage in alive if storage in before or storage.part == "parameter"]
        for storage in alive:
            if storage not in before and storage.part != "parameter":
                pinned(storage)
        self.events, self.operations = [], []

    def kernel(
        self,
        name: str,
        cls: str,
        tensors: Sequence[Any],
        *,
        macs: Size = 0,
        flops: Size | None = None,
        variant: str = "",
        steps: Size = 1,
    ) -> None:
        """Record a kernel that reads and writes ``tensors`` (one that it updates in place is named twice)."""
        if tensors[0].dtype.is_complex:
            variant = "complex"
        flops = 2 * macs if flops is None else flops
        moved = tuple([tensor.nbytes for tensor in tensors])  # summed when it is asked for: symbols add slowly
        self.written, self._made = self._made, []
        self.operations.append(Operation(name, cls, self.phase, self.part, macs, flops, moved, variant, steps))
