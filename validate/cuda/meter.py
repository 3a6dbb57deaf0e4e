"""What measures a call on a GPU: torch's current CUDA device, or a stand-in."""

from __future__ import annotations

import gc
from collections.abc import Sequence
from typing import Protocol

import torch

from lipcost.costmodel import Device

from ..measure.calibrate import calibrate
from ..measure.live import prompt_frees
from ..measure.protocol import Call
from .allocator import Entry, Peaks, above

TIMING_WARM_UPS = 3
REPEATS = 10
LEAST_REPEATS = 3
SECONDS = 2.0  # of repeats, unless there are fewer than LEAST_REPEATS


class Meter(Protocol):
    """What measures: a GPU, or a stand-in.

    Attributes:
        device: where calls are set up.
    """

    device: str

    def profile(self, quick: bool) -> Device:
        """The figures of the device, measured now."""

    def peaks(self, call: Call) -> Peaks:
        """The most bytes of one run above those before it."""

    def trace(self, call: Call) -> Sequence[Entry]:
        """The allocator's history of one run, as :func:`lipcost.validate.cuda.allocator.by_owner` takes it."""

    def seconds(self, call: Call) -> list[float]:
        """Of several runs after others."""

    def release(self) -> None:
        """Give back the memory of a call that nobody holds any more."""


class CudaMeter:
    """Torch's current CUDA device. All of this package that touches ``torch.cuda`` beside ``calibrate`` is here."""

    device = "cuda"

    def profile(self, quick: bool) -> Device:
        """By ``calibrate``."""
        return calibrate("cuda", quick=quick)

    def peaks(self, call: Call) -> Peaks:
        """By the allocator's statistics."""
        call.reset()
        gc.collect()
        torch.cuda.synchronize()
        before = torch.cuda.memory_stats()
        torch.cuda.reset_peak_memory_stats()
        with prompt_frees():
            kept = call.run()
        torch.cuda.synchronize()
        after = torch.cuda.memory_stats()
        del kept
        return above(before, after)

    def trace(self, call: Call) -> Sequence[Entry]:
        """By its history, with the stack of every allocation and free."""
        call.reset()
        torch.cuda.synchronize()
        torch.cuda.memory._record_memory_history("all", context="all", stacks="all", clear_history=True)
        try:
            with prompt_frees():
                kept = call.run()
            torch.cuda.synchronize()
            snapshot = torch.cuda.memory._snapshot()
        finally:
            torch.cuda.memory._record_memory_history(enabled=None)
        del kept
        traces: list[list[Entry]] = snapshot["device_traces"]
        return traces[torch.cuda.current_device()]

    def seconds(self, call: Call) -> list[float]:
        """By CUDA events, one run at a time."""
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))  # type: ignore[no-untyped-call]
        times: list[float] = []
        with prompt_frees():
            while len(times) < TIMING_WARM_UPS + REPEATS:
                call.reset()
                start.record()
                kept = call.run()
                end.record()
                end.synchronize()
                del kept
                times.append(start.elapsed_time(end) / 1000)  # it gives milliseconds
                timed = times[TIMING_WARM_UPS:]
                if len(timed) >= LEAST_REPEATS and sum(timed) > SECONDS:
                    break
        return times[TIMING_WARM_UPS:]

    def release(self) -> None:
        """From Python, cuFFT's plans and the allocator's cache."""
        gc.collect()
        torch.backends.cuda.cufft_plan_cache.clear()
        torch.cuda.empty_cache()
