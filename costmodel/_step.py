"""A network's training step, or a call of it in inference, on the tape."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from ._ops import filled
from ._record import Recording, total
from ._tape import Shape, Storage, Tape
from ._tensor import Tensor
from .losses import margin_cross_entropy
from .modules import Factory, Module
from .optimizers import Optimizer

CATEGORIES = ("parameters", "buffers", "inputs", "optimizer", "cache", "gradients", "activations", "temporaries")


@dataclass(frozen=True)
class StepRecording(Recording):
    """What a step left on the tape.

    Attributes:
        gradient_bytes, optimizer_bytes: of the parameters' gradients and of the optimizer's state.
        owners: the storage of each event.
    """

    gradient_bytes: int
    optimizer_bytes: int
    owners: list[Storage]

    def at_peak(self) -> dict[str, int]:
        """The bytes live at the first moment of the peak, by category."""
        live = dict.fromkeys(CATEGORIES, 0)
        best, most, now = dict(live), 0, 0
        for i, ((sign, size), owner) in enumerate(zip(self.events, self.owners, strict=True), 1):
            live[owner.category] += sign * size
            now += sign * size
            if i >= self.start and now > most:
                best, most = dict(live), now
        return best


def record_step(
    factory: Factory, shape: Shape, tape: Tape, optimizer: Callable[[list[Tensor]], Optimizer]
) -> StepRecording:
    """Run ``loss = criterion(net(x), labels); loss.backward(); optimizer.step()`` by docs/conventions.md.

    The input needs no gradient; no gradient is there before, and all are kept.
    """
    net = factory(tape, shape, True)
    if not net.parameters:
        raise ValueError("a training step needs a network with parameters, got one without")
    fixed = _mark("parameters", net.parameters) | _mark("buffers", net.buffers)
    x, labels = Tensor(tape, shape), Tensor(tape, shape[:1], "int64")
    fixed |= _mark("inputs", [x, labels])
    if len(net.shape) != 2:
        raise ValueError(f"a training step needs a network with outputs of shape (b, classes), got {net.shape}")
    optimize = optimizer(net.parameters)
    state = _mark("optimizer", [tensor for each in optimize.state for tensor in each])
    start = len(tape.events)
    tape.part = "input"
    loss = margin_cross_entropy(net.forward(x), labels)
    saved = tape.saved_storages(loss) - fixed
    for storage in saved:
        storage.category = "activations"
    tape.phase = "backward"
    by_leaf = tape.backward(loss, filled("ones_like", tape, ()), accumulate=True)
    gradients = [by_leaf.pop(parameter.edge[0]) for parameter in net.parameters if parameter.edge]
    kept = _mark("gradients", gradients)
    tape.phase, tape.part = "optimizer", "input"
    optimize.step(gradients)
    return _recording(tape, start, net, False, saved=_sum(saved), gradients=_sum(kept), state=_sum(state))


def record_call(factory: Factory, shape: Shape, tape: Tape) -> StepRecording:
    """Run ``net(x)`` without gradients and with every parameter transformation cached."""
    with tape.no_grad():
        net = factory(tape, shape, False)
        fixed = _mark("parameters", net.parameters) | _mark("buffers", net.buffers)
        cached = [tensor for tensor in net.cache() if tensor.storage not in fixed]
        cache = _mark("cache", cached)
        x = Tensor(tape, shape)
        _mark("inputs", [x])
        tape.part, start = "input", len(tape.events)
        net.forward(x)
    return _recording(tape, start, net, True, cache=_sum(cache))


def _recording(
    tape: Tape,
    start: int,
    net: Module,
    once: bool,
    *,
    saved: int = 0,
    gradients: int = 0,
    state: int = 0,
    cache: int = 0,
) -> StepRecording:
    events = tape.events[:]
    return StepRecording(
        operations=tape.operations,
        events=[(sign, storage.nbytes) for sign, storage in events],
        start=start,
        once=once,
        parameter_bytes=total(tensor.nbytes for tensor in net.parameters),
        buffer_bytes=total(tensor.nbytes for tensor in net.buffers),
        cache_bytes=cache,
        saved_bytes=saved,
        gradient_bytes=gradients,
        optimizer_bytes=state,
        owners=[storage for _, storage in events],
    )


def _mark(category: str, tensors: Iterable[Tensor]) -> set[Storage]:
    storages = {tensor.storage for tensor in tensors}
    for storage in storages:
        storage.category = category
    return storages


def _sum(storages: set[Storage]) -> Any:
    return total(storage.nbytes for storage in storages)
