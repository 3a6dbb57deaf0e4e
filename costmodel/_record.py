"""One method, one configuration, one pass over the tape: the recording from which every quantity is read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

from ._method import Config, Method
from ._tape import Operation, Size, Tape
from ._tensor import Tensor

COUNTED = ("macs", "flops", "traffic", "launches")  # each as *_forward and *_backward
BYTES = ("parameter_bytes", "buffer_bytes", "cache_bytes", "saved_bytes", "peak_bytes")
QUANTITIES = tuple(f"{name}_{phase}" for name in COUNTED for phase in ("forward", "backward")) + BYTES


@dataclass(frozen=True)
class Recording:
    """What one pass left on the tape. Sizes are ints or SymPy expressions, as the configuration was.

    Attributes:
        operations: every kernel, in order.
        events: allocations (+1, bytes) and releases (-1, bytes), from an empty memory on.
        start: how many of the events are the protocol's base: parameters, buffers, input, incoming gradient, cache.
        once: whether the parameter transformation is paid once (inference) and so is no part of the totals.
    """

    operations: list[Operation]
    events: list[tuple[int, Size]]
    start: int
    once: bool
    parameter_bytes: Size
    buffer_bytes: Size
    cache_bytes: Size
    saved_bytes: Size

    def count(self, name: str, phase: str, part: str | None = None, cls: str | None = None) -> Size:
        """Total of ``name`` (macs, flops, traffic, launches) over a phase, of one part and one class or all.

        The total of all parts is what a call pays: without the parameter transformation where it is paid once.
        """
        return total(
            1 if name == "launches" else getattr(op, name)
            for op in self.paid(part)
            if op.phase == phase and cls in (None, op.cls)
        )

    def paid(self, part: str | None = None) -> Iterator[Operation]:
        """The operations of one part, or those that a call pays."""
        parts = (part,) if part else ("input",) if self.once else ("input", "parameter")
        return (op for op in self.operations if op.part in parts)

    def quantity(self, name: str, part: str | None = None) -> Size:
        """Any of QUANTITIES but the peak."""
        if name in BYTES:
            return getattr(self, name)
        counted, phase = name.split("_")
        return self.count(counted, phase, part)

    def peak(self, rounding: int = 1) -> int:
        """The most bytes live at once, in a recording with numbers; each allocation rounded up to a multiple."""
        live: list[int] = list(accumulate(sign * (-(-size // rounding) * rounding) for sign, size in self.events))
        return max(live[self.start - 1 :])


def record(method: type[Method], config: Config, decide: Callable[[Any], bool] | None = None) -> Recording:
    """Run ``method`` by the protocol of docs/conventions.md.

    Training: ``y = layer(x); torch.autograd.grad(y, [x, *parameters], g)``. Inference: ``y = layer(x)`` without
    gradients and with the parameter transformation cached.
    """
    tape = Tape(config.width, config.in_place, decide)
    layer = method(tape, config)
    owned = {t.storage for t in (*layer.parameters, *layer.buffers)}
    start, cache, saved = (_train if config.train else _infer)(tape, layer, owned)
    return Recording(
        operations=tape.operations,
        events=[(sign, storage.nbytes) for sign, storage in tape.events],
        start=start,
        once=not config.train,
        parameter_bytes=_bytes(layer.parameters),
        buffer_bytes=_bytes(layer.buffers),
        cache_bytes=cache,
        saved_bytes=saved,
    )


def _train(tape: Tape, layer: Method, owned: set[Any]) -> tuple[int, Size, Size]:
    x = Tensor(tape, (layer.b, layer.c_in, layer.s, layer.s)).require_grad()
    g = Tensor(tape, (layer.b, layer.c_out, layer.s, layer.s))
    start = len(tape.events)
    y = _call(tape, layer, x)
    saved = tape.saved_storages(y) - owned - {x.storage}
    saved_bytes = total(storage.nbytes for storage in saved)
    gradients = tape.backward(y, g)
    assert len(gradients) == 1 + len(layer.parameters)
    return start, 0, saved_bytes


def _call(tape: Tape, layer: Method, x: Tensor) -> Tensor:
    weights = layer.parameter_transform()
    tape.part = "input"
    return layer.input_transform(x, *weights)


def _infer(tape: Tape, layer: Method, owned: set[Any]) -> tuple[int, Size, Size]:
    with tape.no_grad():
        weights = layer.parameter_transform()
        cache = _bytes([w for w in weights if w.storage not in owned])
        x = Tensor(tape, (layer.b, layer.c_in, layer.s, layer.s))
        tape.part, start = "input", len(tape.events)
        layer.input_transform(x, *weights)
    return start, cache, 0


def _bytes(tensors: list[Tensor]) -> Size:
    return total(tensor.nbytes for tensor in tensors)


def total(sizes: Iterable[Size]) -> Size:
    """The sum, equal terms first: a sum of thousands of symbolic terms is slow, and most of them are equal."""
    return sum(number * size for size, number in Counter(sizes).items())
