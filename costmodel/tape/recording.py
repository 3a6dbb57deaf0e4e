"""What a recording holds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from typing import Any

from .tape import Operation, Size, Storage

CLASSES = ("conv", "matmul", "fft", "inverse", "pointwise")
COUNTED = ("macs", "flops", "traffic", "launches")  # each as *_forward and *_backward
BYTES = ("parameter_bytes", "buffer_bytes", "cache_bytes", "saved_bytes", "peak_bytes")
QUANTITIES = tuple(f"{name}_{phase}" for name in COUNTED for phase in ("forward", "backward")) + BYTES
KEPT = {"parameter_bytes": "parameters", "buffer_bytes": "buffers", "cache_bytes": "cache"}  # the category of each
CATEGORIES = ("parameters", "buffers", "inputs", "optimizer", "cache", "gradients", "activations", "temporaries")


class Group:
    """Operations of one phase, part and class; ``once``: paid by an earlier call. Totals are remembered."""

    def __init__(self, phase: str, part: str, cls: str, once: bool) -> None:
        self.phase, self.part, self.cls, self.once = phase, part, cls, once
        self.operations: list[Operation] = []
        self._totals: dict[str, Size] = {}

    def counts_for(self, part: str | None) -> bool:
        """Whether it is of a part; of all of them it is what the call itself pays."""
        return not self.once if part is None else self.part == part

    def total(self, name: str) -> Size:
        """Of macs, flops, traffic or launches."""
        if name not in self._totals:
            self._totals[name] = self._total(name)
        return self._totals[name]

    def _total(self, name: str) -> Size:
        if name == "launches":
            return len(self.operations)
        if name == "traffic":
            return total(nbytes for op in self.operations for nbytes in op.moved)
        return total(getattr(op, name) for op in self.operations)


@dataclass(frozen=True)
class Recording:
    """What one call left on the tape. Sizes are ints or SymPy expressions, as the call's were.

    Attributes:
        operations: every kernel, in order.
        setup: the kernels that an earlier call paid once: in inference, those of the parameter transformations.
        events: allocations (+1, storage) and releases (-1, storage), from an empty memory on.
        start: how many of the events are the base: what was there before the call.
        once: whether the parameter transformations are paid once (inference).
        saved: kept by autograd for the backward, without the input and the module's own tensors.
    """

    operations: list[Operation]
    setup: list[Operation]
    events: list[tuple[int, Storage]]
    start: int
    once: bool
    saved: Collection[Storage] = ()

    @cached_property
    def sizes(self) -> list[tuple[int, Size]]:
        """The events with the bytes of their storages."""
        return [(sign, storage.nbytes) for sign, storage in self.events]

    @cached_property
    def bytes_of(self) -> dict[str, Size]:
        """Of all that is there or allocated, by category."""
        found: dict[str, list[Size]] = {category: [] for category in CATEGORIES}
        for sign, storage in self.events:
            if sign > 0:
                found[storage.category].append(storage.nbytes)
        return {category: total(sizes) for category, sizes in found.items()}

    @cached_property
    def saved_bytes(self) -> Size:
        """Kept by autograd for the backward."""
        return total(storage.nbytes for storage in self.saved)

    @cached_property
    def _groups(self) -> list[Group]:
        return [*_grouped(self.operations, once=False), *_grouped(self.setup, once=True)]

    def count(self, name: str, phase: str, part: str | None = None, cls: str | None = None) -> Size:
        """Total of ``name`` (macs, flops, traffic, launches) over a phase, of one part and one class or all.

        The total of all parts is what a call pays: without what was paid once.
        """
        groups = [group for group in self._groups if group.counts_for(part) and group.phase == phase]
        return sum(group.total(name) for group in groups if cls in (None, group.cls))

    def counts(self, phases: Sequence[str], part: str | None = None) -> dict[str, int]:
        """The totals of a recording with numbers, as macs_forward and so on, in whole numbers."""
        found: dict[str, Any] = {f"{name}_{phase}": 0 for name in COUNTED for phase in phases}
        for group in self._groups:
            if group.counts_for(part):
                for name in COUNTED:
                    found[f"{name}_{group.phase}"] += group.total(name)
        return {name: round(number) for name, number in found.items()}

    def flops_by_class(self) -> dict[str, int]:
        """Of all phases of a recording with numbers, in whole numbers."""
        found: dict[str, Any] = dict.fromkeys(CLASSES, 0)
        for group in self._groups:
            if group.counts_for(None):
                found[group.cls] += group.total("flops")
        return {cls: round(number) for cls, number in found.items()}

    def quantity(self, name: str, part: str | None = None) -> Size:
        """Any of QUANTITIES but the peak."""
        if name == "saved_bytes":
            return self.saved_bytes
        if name in KEPT:
            return self.bytes_of[KEPT[name]]
        counted, phase = name.split("_")
        return self.count(counted, phase, part)

    def peak(self, rounding: int = 1) -> int:
        """The most bytes live at once, in a recording with numbers; each allocation rounded up to a multiple."""
        live: list[int] = list(accumulate(sign * (-(-size // rounding) * rounding) for sign, size in self.sizes))
        return max(live[max(self.start - 1, 0) :])

    def at_peak(self) -> dict[str, int]:
        """The bytes live at the first moment of the peak, by category."""
        live = dict.fromkeys(CATEGORIES, 0)
        best, most, now = dict(live), 0, 0
        for i, (sign, storage) in enumerate(self.events, 1):
            live[storage.category] += sign * storage.nbytes
            now += sign * storage.nbytes
            if i >= self.start and now > most:
                best, most = dict(live), now
        return best


def _grouped(operations: list[Operation], once: bool) -> Iterable[Group]:
    groups: dict[tuple[str, str, str], Group] = {}
    for op in operations:
        key = op.phase, op.part, op.cls
        if key not in groups:
            groups[key] = Group(*key, once)
        groups[key].operations.append(op)
    return groups.values()


def total(sizes: Iterable[Size]) -> Size:
    """The sum, equal terms first: a sum of thousands of symbolic terms is slow, and most of them are equal."""
    values = list(sizes)
    if all(type(value) in (int, float) for value in values):
        return sum(values)
    return sum(number * size for size, number in Counter(values).items())
