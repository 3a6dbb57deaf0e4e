"""A workload for every batch size at once.

All sizes on the tape are affine in the batch size b: α + β·b with α, β ≥ 0. One recording with a b larger than every α
keeps both apart, as the digits of a number: divmod(size, b) = (β, α).
"""

from __future__ import annotations

from collections import Counter
from itertools import accumulate
from typing import NamedTuple

from ..devices.device import Device
from ..devices.roofline import Seconds, Work, seconds, tally
from ..network_cost import step_time
from ..networks.workload import Workload

HUGE = 2**60
LEAST = 2  # with one image some sums are none, so that the program is another and is recorded apart


class Line(NamedTuple):
    """constant + slope · b."""

    constant: float
    slope: float

    def at(self, b: int) -> float:
        """The value for a batch of ``b``; an integer where both are."""
        return self.constant + self.slope * b


def line(value: float) -> Line:
    """The line of a value recorded at HUGE. A float is a transform's FLOPs, of the weights or of the images alone."""
    if isinstance(value, float):
        return Line(0, value / HUGE) if value >= HUGE else Line(value, 0)
    slope, constant = divmod(value, HUGE)
    return Line(constant, slope)


class Batches:
    """What a workload costs with any batch.

    Args:
        task: the workload.
    """

    def __init__(self, task: Workload) -> None:
        self._task = task
        recording = task.record(HUGE)
        self._events = [(sign, line(size)) for sign, size in recording.sizes]
        self._start = recording.start
        self._loads = not recording.once
        works = tally(recording.operations)
        self._works = [(work, line(work.flops), line(work.traffic), times) for work, times in works.items()]

    def time(self, b: int, device: Device) -> Seconds:
        """The time of a step."""
        if b < LEAST:
            return step_time(self._task.record(b), device, b)
        works: Counter[Work] = Counter()
        for work, flops, traffic, times in self._works:
            works[work._replace(flops=flops.at(b), traffic=traffic.at(b))] += times
        return seconds(works, device, images=b if self._loads else 0)

    def peak(self, b: int, rounding: int = 1) -> int:
        """The most bytes live at once, each allocation rounded up to a multiple."""
        if b < LEAST:
            return self._task.record(b).peak(rounding)
        sizes = (sign * (-(-int(size.at(b)) // rounding) * rounding) for sign, size in self._events)
        return max(list(accumulate(sizes))[self._start - 1 :])

    def largest(self, memory: int, rounding: int = 1) -> int:
        """The largest batch whose peak fits into ``memory``: this one does, one more does not. 0 if none does."""
        low, high = self._between(memory, rounding)
        if low < LEAST:
            low = int(self.peak(1, rounding) <= memory)
        while low < high:  # low fits, high + 1 does not
            middle = -(-(low + high) // 2)
            if self.peak(middle, rounding) <= memory:
                low = middle
            else:
                high = middle - 1
        return low

    def _between(self, memory: int, rounding: int) -> tuple[int, int]:
        """Bounds of the largest batch: rounding adds something from 0 to ``rounding - 1`` to each live allocation."""
        constant = slope = alive = 0
        low = high = HUGE
        for i, (sign, size) in enumerate(self._events, 1):
            constant += sign * int(size.constant)
            slope += sign * int(size.slope)
            alive += sign
            left = memory - constant
            if i >= self._start and slope:
                low = min(low, (left - alive * (rounding - 1)) // slope)
                high = min(high, left // slope)
            elif i >= self._start:
                low = low if left >= alive * (rounding - 1) else 0
                high = high if left >= 0 else 0
        return low, high
