"""Autograd on the tape: the backward graph and PyTorch's order of execution.

Source: torch/csrc/autograd/engine.cpp and input_buffer.cpp. Nodes run by descending sequence number; gradients that
meet are summed; saved tensors go as soon as their node has run. That order decides the peak.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from itertools import count
from typing import Any

import torch

from .node import Backward, Node, Packed, unpacked
from .tape import Storage, Tape
from .tensor import Tensor

_PASSES = count()  # a number for each backward pass


def attach(
    outputs: Sequence[Tensor],
    inputs: Sequence[Tensor],
    saved: Sequence[Tensor | None],
    backward: Backward,
    context: Any = None,
) -> None:
    """Make ``outputs`` differentiable: their node, if gradients are recorded and any input needs one.

    Args:
        outputs: of the operation.
        inputs: what it is differentiated by.
        saved: what it keeps for its backward, None for what is left out.
        backward: ``backward(saved, *gradients)`` returns one gradient, or None, per input.
        context: of an autograd Function.
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
        saved=_kept(tape, saved, outputs, context is not None),
        part=tape.part,
        outputs=len(outputs),
        context=context,
    )
    tape.nodes += 1
    tape.graph.add(node)
    for index, tensor in enumerate(outputs):
        tensor.edge = (node, index)


def _kept(tape: Tape, saved: Sequence[Tensor | None], outputs: Sequence[Tensor], afterwards: bool) -> tuple[Any, ...]:
    """What a node keeps: the tensors, or what the innermost hook on saved tensors makes of them.

    Torch packs inputs before an operation runs, its outputs afterwards, and all that an autograd Function keeps. A
    checkpoint's recomputation ends at the last tensor that it needs, which may be such an input: then the operation
    has not run.
    """
    if not tape.hooks:
        return tuple([None if tensor is None else tensor.alias() for tensor in saved])
    pack, unpack = tape.hooks[-1]
    made = [
        tensor is not None and (afterwards or tensor.memory in tape.written or any(tensor is out for out in outputs))
        for tensor in saved
    ]
    kept: list[Any] = [None] * len(saved)
    for late in (False, True):
        for i, tensor in enumerate(saved):
            if tensor is not None and made[i] == late:
                try:
                    kept[i] = Packed(pack(tensor.alias()), unpack)
                except Exception:
                    if not late:
                        tape.undo()
                    raise
    return tuple(kept)


def saved_storages(tape: Tape) -> set[Storage]:
    """The storages that graphs on the tape keep for a backward pass, what a hook keeps left out."""
    kept = [each for node in tape.graph for each in node.saved] + [each() for each in tape.kept]
    return {each.memory for each in kept if type(each) is Tensor and not each.memory.constant}


def run_backward(
    roots: Sequence[Tensor], gradients: Sequence[Tensor], accumulate: bool = False, keep: bool = False
) -> dict[Node, Tensor]:
    """Run the backward pass; the gradient of each leaf's node, kept as a caller keeps them.

    Args:
        roots: what is differentiated.
        gradients: of these.
        accumulate: whether they end in ``grad``, and not at torch.autograd.grad.
        keep: whether the graph stays.
    """
    tape = roots[0].tape
    tape.phase = "backward"
    waiting, arrived, ready = _start(tape, roots, gradients)
    del gradients
    results: dict[Node, Tensor] = {}
    tape.passes.append((next(_PASSES), accumulate))
    with torch.no_grad():
        while ready:
            node = heapq.heappop(ready)[2]
            own = arrived.pop(node)
            if node.backward is None:
                of_leaf = own.pop()
                if of_leaf is not None and accumulate:
                    _keep(node, of_leaf)
                elif of_leaf is not None:
                    results[node] = of_leaf
                del of_leaf
                continue
            tape.part = node.part
            for target in _route(tape, node, _run(node, own, keep), arrived, waiting):
                heapq.heappush(ready, (-target.order, id(target), target))
    tape.passes.pop()
    return results


Waiting = dict[Node, int]
Arrived = dict[Node, list["Tensor | None"]]
Ready = list[tuple[int, int, Node]]


def _start(tape: Tape, roots: Sequence[Tensor], gradients: Sequence[Tensor]) -> tuple[Waiting, Arrived, Ready]:
    """How many gradients each node waits for, those of the roots, and the nodes that have all they wait for."""
    edges = [root.edge for root in roots if root.edge is not None]
    waiting = _dependencies([node for node, _ in edges])
    arrived: Arrived = {}
    for (node, index), gradient in zip(edges, gradients, strict=True):
        slots = arrived.setdefault(node, [None] * node.outputs)
        old = slots[index]
        slots[index] = _another(gradient) if old is None else _accumulate(tape, old, gradient)
    return waiting, arrived, [(-node.order, id(node), node) for node in arrived if not waiting.get(node)]


def _keep(node: Node, gradient: Tensor) -> None:
    """Add a gradient to its leaf's: the first as it is, in the leaf's layout."""
    if node.grad is None:
        node.grad = gradient.in_layout(node.strides)
    else:
        node.grad.add_(gradient)


def _run(node: Node, gradients: list[Tensor | None], keep: bool) -> list[Tensor | None]:
    """Apply one node; each result summed to its input's shape, each with a reference of its own."""
    assert node.backward is not None
    if not any(gradient is not None for gradient in gradients):  # nothing depends on it
        gradients.clear()
        node.saved = ()
        return [None] * len(node.inputs)
    saved = tuple(map(unpacked, node.saved))
    outputs = list(node.backward(saved, *gradients))
    del saved
    for i in range(len(outputs)):  # enumerate would hold on to what is replaced
        output, outputs[i] = outputs[i], None
        if output is None or node.inputs[i] is None:
            continue
        if output.sizes != node.shapes[i] or output.dtype is not node.dtypes[i]:
            output = output.real_for(node.dtypes[i])  # what each step replaces goes
            output = output.sum_to(node.shapes[i])
            output = output.to(node.dtypes[i])
        alone = output.memory.users == 1 and not any(output is other for other in outputs)
        outputs[i] = output if alone else _another(output)
        del output
    gradients.clear()
    if not keep:
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


def _dependencies(roots: Sequence[Node]) -> dict[Node, int]:
    """How many gradients come to each node behind the roots."""
    counts: dict[Node, int] = {}
    seen, stack = set(roots), list(dict.fromkeys(roots))
    while stack:
        for edge in stack.pop().inputs:
            if edge is not None:
                counts[edge[0]] = counts.get(edge[0], 0) + 1
                if edge[0] not in seen:
                    seen.add(edge[0])
                    stack.append(edge[0])
    return counts
