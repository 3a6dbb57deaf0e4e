"""Autograd on the tape: the backward graph and PyTorch's order of execution.

Source: torch/csrc/autograd/engine.cpp and input_buffer.cpp. Nodes run by descending sequence number; gradients that
meet are summed; saved tensors go as soon as their node has run. That order decides the peak.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from typing import Any

import torch

from .node import Backward, Node
from .tape import Storage, Tape
from .tensor import Tensor


def attach(
    outputs: Sequence[Tensor], inputs: Sequence[Tensor], saved: Sequence[Tensor | None], backward: Backward
) -> None:
    """Make ``outputs`` differentiable: their node, if gradients are recorded and any input needs one.

    Args:
        outputs: of the operation.
        inputs: what it is differentiated by.
        saved: what it keeps for its backward, None for what is left out.
        backward: ``backward(saved, *gradients)`` returns one gradient, or None, per input.
    """
    for tensor in inputs:
        if tensor.is_followed:
            break
    else:
        return
    if not torch.is_grad_enabled():
        return
    tape = inputs[0].tape
    node = Node(
        order=tape.nodes,
        backward=backward,
        inputs=[tensor.edge for tensor in inputs],
        shapes=[tensor.sizes for tensor in inputs],
        dtypes=[tensor.dtype for tensor in inputs],
        saved=tuple(None if tensor is None else tensor.alias() for tensor in saved),
        part=tape.part,
        outputs=len(outputs),
    )
    tape.nodes += 1
    for index, tensor in enumerate(outputs):
        tensor.edge = (node, index)


def saved_storages(root: Tensor) -> set[Storage]:
    """The storages that the graph behind ``root`` keeps for the backward pass."""
    kept = {t.memory for node in _reachable(root) for t in node.saved if t is not None}
    return {storage for storage in kept if not storage.constant}


def run_backward(root: Tensor, gradient: Tensor, accumulate: bool = False) -> dict[Node, Tensor]:
    """Run the backward pass from ``root``; the gradient of each leaf's node, kept as a caller keeps them.

    Args:
        root: what is differentiated.
        gradient: the gradient of ``root``.
        accumulate: whether they end in ``.grad``, as from ``root.backward()``, and not at torch.autograd.grad.
    """
    assert root.edge is not None
    tape = root.tape
    tape.phase = "backward"
    start, index = root.edge
    waiting = _dependencies(root)
    arrived: dict[Node, list[Tensor | None]] = {start: [None] * start.outputs}
    arrived[start][index] = _another(gradient)
    ready = [(-start.order, id(start), start)]
    results: dict[Node, Tensor] = {}
    with torch.no_grad():
        while ready:
            node = heapq.heappop(ready)[2]
            gradients = arrived.pop(node)
            if node.backward is None:
                of_leaf = gradients.pop()
                if of_leaf is not None:
                    results[node] = of_leaf.in_layout(node.strides) if accumulate else of_leaf
                del of_leaf
                continue
            tape.part = node.part
            for target in _route(tape, node, _run(node, gradients), arrived, waiting):
                heapq.heappush(ready, (-target.order, id(target), target))
    return results


def _run(node: Node, gradients: list[Tensor | None]) -> list[Tensor | None]:
    """Apply one node; each result summed to its input's shape, each with a reference of its own."""
    assert node.backward is not None
    if not any(gradient is not None for gradient in gradients):  # nothing depends on it
        gradients.clear()
        node.saved = ()
        return [None] * len(node.inputs)
    outputs = list(node.backward(node.saved, *gradients))
    for i in range(len(outputs)):  # enumerate would hold on to what is replaced
        output, outputs[i] = outputs[i], None
        if output is None or node.inputs[i] is None:
            continue
        if output.sizes != node.shapes[i] or output.dtype is not node.dtypes[i]:
            output = output.real_for(node.dtypes[i])  # what each step replaces goes
            output = output.sum_to(node.shapes[i])
            output = output.to(node.dtypes[i])
        outputs[i] = output if output.memory.users == 1 else _another(output)
        del output
    gradients.clear()
    node.saved = ()
    return outputs


def _route(
    tape: Tape,
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
            slots[index] = _accumulate(tape, old, new)
        del old, new
        waiting[target] -= 1
        if waiting[target] == 0:
            ready.append(target)
    return ready


def _another(gradient: Tensor) -> Tensor:
    """Another reference to a gradient, not a view: those keep what they show, so nothing is added to them in place."""
    out = gradient.alias()
    out.is_view = gradient.is_view
    return out


def _accumulate(tape: Tape, old: Tensor, new: Tensor) -> Tensor:
    alone = old.memory.users == 1 and not old.is_view
    total: Any = old.add_(new) if tape.in_place and alone and old.is_dense else old + new
    return total  # type: ignore[no-any-return]


def _reachable(root: Tensor) -> list[Node]:
    assert root.edge is not None
    seen, stack = {root.edge[0]: None}, [root.edge[0]]
    while stack:
        for edge in stack.pop().inputs:
            if edge is not None and edge[0] not in seen:
                seen[edge[0]] = None
                stack.append(edge[0])
    return list(seen)


def _dependencies(root: Tensor) -> dict[Node, int]:
    counts: dict[Node, int] = {}
    for node in _reachable(root):
        for edge in node.inputs:
            if edge is not None:
                counts[edge[0]] = counts.get(edge[0], 0) + 1
    return counts
