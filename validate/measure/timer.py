"""Seconds of a call on the CPU, by the clock."""

from __future__ import annotations

from time import perf_counter

from .protocol import Call


def run_times(call: Call, least: float) -> tuple[float, ...]:
    """The seconds of each run, after one to warm up.

    Args:
        call: what runs.
        least: seconds that the runs take together, at least.

    Example:
        >>> import torch
        >>> from lipcost.validate.measure.protocol import LayerCall
        >>> from lipcost.validate.measure.timer import run_times
        >>> sum(run_times(LayerCall(torch.nn.ReLU(), torch.ones(8)), least=0.01)) >= 0.01
        True
    """
    _seconds(call)
    times: list[float] = []
    while sum(times) < least:
        times.append(_seconds(call))
    return tuple(times)


def _seconds(call: Call) -> float:
    call.reset()
    start = perf_counter()
    kept = call.run()
    end = perf_counter()
    del kept
    return end - start
