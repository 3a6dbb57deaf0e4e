"""The symbolic tape: storages and their lifetimes, operations and their cost, and autograd's order of execution.

A layer's program runs on tensors that have sizes and no values. Sizes are Python ints (a prediction) or SymPy
expressions (a formula); the program is the same. What the tape records:

* ``events``: every allocation (+1, storage) and release (-1, storage), in order. A storage is released when the last
  tensor that refers to it goes, as in PyTorch: the program's own local variables decide, through CPython's reference
  counts.
* ``operations``: every kernel, with its class, MACs, FLOPs, bytes moved and the part of the layer it belongs to.

``backward`` replays PyTorch's engine (torch/csrc/autograd/engine.cpp): nodes by descending sequence number, gradients
summed where they meet, saved tensors dropped as soon as their node has run.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from math import prod
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

if TYPE_CHECKING:
    from ._tensor import Tensor

Size = Any  # an int, or a SymPy expression with integer values
Shape = tuple[Size, ...]
Kind = Literal["real", "complex", "bool", "uint8", "int32", "int64"]
Backward = Callable[..., "Sequence[Tensor | None]"]


class Operation(NamedTuple):
    """One kernel: its aten name, where it ran and what it cost."""

    name: str
    cls: str  # conv, matmul, fft, inverse or pointwise
    phase: str  # forward, backward or optimizer
    part: str  # input or parameter
    macs: Size
    flops: Size
    traffic: Size  # bytes read and written
    variant: str  # complex; 1x1 for a convolution whose output is one pixel; or nothing
    steps: Size  # that wait for each other: the order of the matrices that are inverted, else 1


class Storage:
    """A piece of memory. ``users`` counts the tensors that refer to it; ``category`` says what it turned out to be."""

    __slots__ = ("category", "nbytes", "users")

    def __init__(self, nbytes: Size) -> None:
        self.nbytes = nbytes
        self.users = 0
        self.category = "temporaries"


@dataclass(eq=False)
class Node:
    """One step of the backward graph: the gradients of an operation's inputs from those of its outputs."""

    order: int
    backward: Backward | None  # None: a leaf, whose gradient the caller asked for
    inputs: list[tuple[Node, int] | None]  # per input: the node that made it and which of its outputs it is
    shapes: list[Shape]  # per input: its shape, to which a broadcast gradient is summed
    reals: list[bool]  # per input: whether it is real, so that a complex gradient is cut to its real part
    saved: tuple[Tensor | None, ...]
    part: str
    outputs: int = 1


@dataclass(eq=False)
class Tape:
    """A recording of one forward and backward pass.

    Args:
        width: bytes per real element (a complex one takes twice as many).
        in_place: whether gradients that meet are summed in place, as plain eager mode does where nothing else refers
            to the first of them; False follows what autograd does under any active TorchDispatchMode.
        decide: answers a branch condition that is no bool, that is one between symbols.
    """

    width: int
    in_place: bool = True
    decide: Callable[[Any], bool] | None = None
    events: list[tuple[int, Storage]] = field(default_factory=list)
    operations: list[Operation] = field(default_factory=list)
    phase: str = "forward"
    part: str = "parameter"
    grad_enabled: bool = True
    _nodes: int = 0
    _nbytes: dict[tuple[Shape, Kind], Size] = field(default_factory=dict)

    @property
    def symbolic(self) -> bool:
        """Whether sizes may be symbols."""
        return self.decide is not None

    def holds(self, condition: Any) -> bool:
        """Whether ``condition`` is true: every branch of a layer's program asks through here."""
        return bool(condition) if self.decide is None else self.decide(condition)

    def nbytes(self, shape: Shape, kind: Kind) -> Size:
        """Bytes of a tensor; remembered, as products of symbols take time."""
        if (shape, kind) not in self._nbytes:
            each = {"real": self.width, "complex": 2 * self.width, "bool": 1, "uint8": 1, "int32": 4, "int64": 8}[kind]
            self._nbytes[shape, kind] = prod(shape) * each
        return self._nbytes[shape, kind]

    def allocate(self, nbytes: Size) -> Storage:
        """A new storage."""
        storage = Storage(nbytes)
        self.events.append((1, storage))
        return storage

    def release(self, storage: Storage) -> None:
        """Called when the last tensor of ``storage`` is gone."""
        self.events.append((-1, storage))

    def kernel(
        self,
        name: str,
        cls: str,
        tensors: Sequence[Tensor],
        *,
        macs: Size = 0,
        flops: Size | None = None,
        variant: str = "",
        steps: Size = 1,
    ) -> None:
        """Record a kernel that reads and writes ``tensors`` (one that it updates in place is named twice)."""
        traffic: Size = 0
        for tensor in tensors:
            traffic += tensor.nbytes
        flops = 2 * macs if flops is None else flops
        if tensors[0].kind == "complex":
            variant = "complex"
        self.operations.append(Operation(name, cls, self.phase, self.part, macs, flops, traffic, variant, steps))

    def attach(
        self, outputs: Sequence[Tensor], inputs: Sequence[Tensor], saved: Sequence[Tensor | None], backward: Backward
    ) -> None:
        """Make ``outputs`` differentiable: their node, if any input needs a gradient.

        ``backward(saved, *gradients)`` returns one gradient, or None, per input.
        """
        if not self.grad_enabled or not any(tensor.requires_grad for tensor in inputs):
            return
        node = Node(
            order=self._nodes,
            backward=backward,
            inputs=[tensor.edge if tensor.requires_grad else None for tensor in inputs],
            shapes=[tensor.shape for tensor in inputs],
            reals=[tensor.kind == "real" for tensor in inputs],
            saved=tuple(None if tensor is None else tensor.detach() for tensor in saved),
            part=self.part,
            outputs=len(outputs),
        )
        self._nodes += 1
        for index, tensor in enumerate(outputs):
            tensor.edge = (node, index)

    def function(
        self,
        inputs: Sequence[Tensor | None],
        forward: Callable[[], Tensor],
        save: Callable[[Tensor], Sequence[Tensor | None]],
        backward: Backward,
    ) -> Tensor:
        """An operation with a backward of its own: the mirror of ``lipcost.layers._function``.

        Args:
            inputs: the tensors that it is applied to, None for one that is left out.
            forward: runs it; nothing inside is differentiated.
            save: what it keeps for the backward, given its output.
            backward: ``backward(saved, gradient)`` returns one gradient, or None, per input that is not None.
        """
        given = [tensor for tensor in inputs if tensor is not None]
        wanted = self.grad_enabled and any(tensor.requires_grad for tensor in given)
        with self.no_grad():
            out = forward()
            saved = save(out) if wanted else ()
        self.attach([out], given, saved, backward)
        return out

    @contextmanager
    def no_grad(self) -> Iterator[None]:
        """Record no graph, as torch.no_grad."""
        before, self.grad_enabled = self.grad_enabled, False
        try:
            yield
        finally:
            self.grad_enabled = before

    def saved_storages(self, root: Tensor) -> set[Storage]:
        """The storages that the graph behind ``root`` keeps for the backward pass."""
        return {t.storage for node in self._reachable(root) for t in node.saved if t is not None}

    def backward(self, root: Tensor, gradient: Tensor, accumulate: bool = False) -> dict[Node, Tensor]:
        """Run the backward pass from ``root``; the gradient of each leaf's node, kept as a caller keeps them.

        Args:
            root: what is differentiated.
            gradient: the gradient of ``root``.
            accumulate: whether they end in ``.grad``, as from ``root.backward()``, and not at torch.autograd.grad.
        """
        assert root.edge is not None
        self.phase, self.grad_enabled = "backward", False
        waiting = self._dependencies(root)
        arrived: dict[Node, list[Tensor | None]] = {root.edge[0]: [None] * root.edge[0].outputs}
        arrived[root.edge[0]][root.edge[1]] = gradient.detach()
        ready = [(-root.edge[0].order, id(root.edge[0]), root.edge[0])]
        results: dict[Node, Tensor] = {}
        while ready:
            node = heapq.heappop(ready)[2]
            gradients = arrived.pop(node)
            if node.backward is None:
                gradient_of_leaf = gradients.pop()
                if gradient_of_leaf is not None:
                    results[node] = gradient_of_leaf.in_layout_of_leaf() if accumulate else gradient_of_leaf
                del gradient_of_leaf
                continue
            self.part = node.part
            for target in self._route(node, self._run(node, gradients), arrived, waiting):
                heapq.heappush(ready, (-target.order, id(target), target))
        return results

    def _run(self, node: Node, gradients: list[Tensor | None]) -> list[Tensor | None]:
        """Apply one node; each result summed to its input's shape, each with a reference of its own."""
        assert node.backward is not None
        outputs = list(node.backward(node.saved, *gradients))
        for i, output in enumerate(outputs):
            if output is None or node.inputs[i] is None:
                outputs[i] = None
                continue
            outputs[i] = (output.real() if node.reals[i] else output).sum_to(node.shapes[i]).detach()
            del output
        gradients.clear()
        node.saved = ()
        return outputs

    def _route(
        self,
        node: Node,
        outputs: list[Tensor | None],
        arrived: dict[Node, list[Tensor | None]],
        waiting: dict[Node, int],
    ) -> list[Node]:
        """Hand a node's results on; the nodes that now have all they wait for.

        The first gradient to arrive is moved, so that nothing else refers to it. One that is added to another stays in
        ``outputs``, and so alive, until all are handed on.
        """
        ready = []
        for i, edge in enumerate(node.inputs):
            if edge is None:
                continue
            target, index = edge
            slots = arrived.setdefault(target, [None] * target.outputs)
            old, new = slots[index], outputs[i]
            if old is None:
                slots[index], outputs[i] = new, None
            elif new is not None:
                slots[index] = None
                slots[index] = self._accumulate(old, new)
            del old, new
            waiting[target] -= 1
            if waiting[target] == 0:
                ready.append(target)
        return ready

    def _accumulate(self, old: Tensor, new: Tensor) -> Tensor:
        if self.in_place and old.storage.users == 1 and old.dense:
            return old.add_(new)
        return old + new

    def _reachable(self, root: Tensor) -> list[Node]:
        assert root.edge is not None
        seen, stack = {root.edge[0]: None}, [root.edge[0]]
        while stack:
            for edge in stack.pop().inputs:
                if edge is not None and edge[0] not in seen:
                    seen[edge[0]] = None
                    stack.append(edge[0])
        return list(seen)

    def _dependencies(self, root: Tensor) -> dict[Node, int]:
        counts: dict[Node, int] = {}
        for node in self._reachable(root):
            for edge in node.inputs:
                if edge is not None:
                    counts[edge[0]] = counts.get(edge[0], 0) + 1
        return counts


LEAF_ORDER = 2**63  # leaves run at once: PyTorch gives AccumulateGrad the highest priority


def leaf() -> Node:
    """The node of a parameter or of the input."""
    return Node(LEAF_ORDER, None, [], [], [], (), "input")
