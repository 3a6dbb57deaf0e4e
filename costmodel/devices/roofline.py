"""Time: a roofline over the tape's operations.

An operation takes the longest of its arithmetic, its bytes and its launch; a training step takes the sum, or what the
loading of its images takes, if that is longer. Nothing here knows the methods: they differ by what is on the tape.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from ..tape import Operation
from .device import FIGURES, Device


@dataclass(frozen=True)
class Seconds:
    """The time of a step, in seconds, by what bounds each of its operations.

    Attributes:
        compute, bandwidth, launches: of the operations that arithmetic, bytes or the host bound; they add up.
        loading: of the images, which runs beside them; 0 in inference.
    """

    compute: float
    bandwidth: float
    launches: float
    loading: float = 0.0

    @property
    def total(self) -> float:
        """The whole step."""
        return max(self.busy, self.loading)

    @property
    def busy(self) -> float:
        """The step but for loading."""
        return self.compute + self.bandwidth + self.launches

    @property
    def bound(self) -> str:
        """What takes most of it: "loading", or the largest of the three."""
        if self.loading > self.busy:
            return "loading"
        return max(("compute", "bandwidth", "launches"), key=lambda name: float(getattr(self, name)))


def rate(operation: Operation) -> str | None:
    """The figure of a device that is the rate of this operation's arithmetic; pointwise ones have none."""
    if operation.cls == "conv":
        return "weight_conv" if operation.variant == "1x1" else "conv"
    if operation.cls == "matmul":
        return "complex_matmul" if operation.variant == "complex" else "matmul"
    return operation.cls if operation.cls in ("fft", "inverse") else None


class Work(NamedTuple):
    """All that the time of an operation depends on: its rate's name, FLOPs, bytes, and steps that await each other."""

    rate: str | None
    flops: float
    traffic: float
    steps: int


def tally(operations: Iterable[Operation]) -> Counter[Work]:
    """How often each work occurs."""
    return Counter(Work(rate(op), op.flops, op.traffic, op.steps) for op in operations)


def bounds(work: Work, figures: Mapping[str, float]) -> dict[str, float]:
    """What an operation would take if only its arithmetic, only its bytes or only its launch counted.

    A batched inverse takes time as batch·n² where its FLOPs go as batch·n³, so that its rate is one of bytes; and its
    n elimination steps wait for each other.
    """
    compute = work.flops / figures[work.rate] if work.rate else 0.0
    if work.rate == "inverse":
        compute = work.traffic / figures["inverse"] + work.steps * figures["inverse_step"]
    return {"compute": compute, "bandwidth": work.traffic / figures["bandwidth"], "launches": figures["launch"]}


def seconds(works: Mapping[Work, int], device: Device, images: int = 0) -> Seconds:
    """The time of a step on a device.

    Args:
        works: of the step, with how often each occurs.
        device: whose figures hold.
        images: that are loaded meanwhile; 0 for none.
    """
    parts = {"compute": 0.0, "bandwidth": 0.0, "launches": 0.0}
    figures = {name: device[name] for name in FIGURES}
    for work, times in works.items():
        times_of = bounds(work, figures)
        bound = max(times_of, key=times_of.__getitem__)
        parts[bound] += times * times_of[bound]
    return Seconds(**parts, loading=images * device["loading"])
