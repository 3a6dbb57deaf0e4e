"""``lipcost validate --device cuda``: the cost model against a GPU, and what it found as JSON."""

from __future__ import annotations

import importlib.metadata
import json
import statistics
import time
from collections.abc import Callable, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import torch

from lipcost.costmodel import METHODS, Device
from lipcost.costmodel.devices.roofline import seconds, tally
from lipcost.costmodel.network_cost import PHASES
from lipcost.costmodel.tape.recording import COUNTED, Recording

from ..measure.calibrate import Progress
from ..measure.flops import count_phases
from ..measure.live import storage_bytes
from ..measure.protocol import Call
from .allocator import by_owner
from .meter import CudaMeter, Meter
from .results import FAILED, FORMAT, MEASURED, MISFIT, OUT_OF_MEMORY, SKIPPED
from .subjects import Layer, Subject, subjects

WARM_UPS = 2  # runs before memory is measured, that libraries may allocate what they keep
RUNS = 20  # of a step, in all that is measured of a subject: some are slower, some fewer
BUDGET = 30.0  # seconds that a subject may take, by the time model
DEADLINE = 400.0  # seconds after which no subject is begun


def run_cuda(
    output: Path, methods: Sequence[str] = tuple(METHODS), quick: bool = False, progress: Progress | None = None
) -> dict[str, Any]:
    """Measure on torch's current CUDA device, and write ``output``/cuda.json; in under 8 minutes on a large GPU.

    Args:
        output: the folder; it is created, and a file of this name in it is replaced.
        methods: keys of METHODS.
        quick: whether to measure the worked example and the smallest network only.
        progress: called with what is being done, steps done, steps in all.

    Returns:
        What :func:`collect` found.

    Raises:
        ValueError: for an unknown method, or where torch has no CUDA device.
        OSError: if the folder cannot be written.
    """
    if not torch.cuda.is_available():
        raise ValueError("no CUDA device that torch can use here; valid: cpu")
    chosen = subjects(methods, quick)
    output.mkdir(parents=True, exist_ok=True)  # before minutes of measuring
    data = collect(CudaMeter(), chosen, quick, progress)
    text = json.dumps(data, indent=1, ensure_ascii=False, allow_nan=False)
    (output / "cuda.json").write_text(text + "\n", encoding="utf-8")
    return data


def collect(
    meter: Meter,
    chosen: Sequence[Subject],
    quick: bool = False,
    progress: Progress | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> dict[str, Any]:
    """Predict, measure and compare, writing nothing.

    The profile of the device is measured first. What should not fit by the formula is not tried, but for one, which
    must then run out of memory; what should take long by the time model is left out.

    Args:
        meter: what measures.
        chosen: what is measured, in this order.
        quick: whether the profile may be a rough one.
        progress: called with what is being done, steps done, steps in all.
        clock: seconds from any moment.

    Returns:
        All of it, ready for JSON; docs/cuda.md says what it holds.
    """
    report = progress or (lambda what, done, total: None)
    total = len(chosen) + 2
    started = clock()
    report("calibrating", 0, total)
    profile = meter.profile(quick)
    rows: list[dict[str, Any]] = []
    for i, subject in enumerate(chosen, 1):
        report(f"measuring {subject}", i, total)
        rows.append(measure(subject, meter, profile, min(BUDGET, started + DEADLINE - clock())))
    report("running out of memory", total - 1, total)
    oom = _attempt(meter, [each for each in zip(rows, chosen, strict=True) if each[0]["status"] == MISFIT])
    report("done", total, total)
    of_layers = [isinstance(subject, Layer) for subject in chosen]
    run = {"lipcost": importlib.metadata.version("lipcost"), "date": f"{datetime.now(timezone.utc):%Y-%m-%d %H:%M UTC}"}
    return {
        "format": FORMAT,
        "environment": {"device": profile.name, **profile.environment, **run},
        "profile": profile.to_dict(),
        "memory_bytes": profile.available,
        "layers": [row for row, of_layer in zip(rows, of_layers, strict=True) if of_layer],
        "networks": [row for row, of_layer in zip(rows, of_layers, strict=True) if not of_layer],
        "oom": oom,
    }


def measure(subject: Subject, meter: Meter, profile: Device, allowed: float = BUDGET) -> dict[str, Any]:
    """One subject, predicted and, if it should fit into the memory and the time, measured; whatever it may raise.

    Args:
        subject: what is measured.
        meter: what measures.
        profile: the device's.
        allowed: seconds that it may take.
    """
    row: dict[str, Any] = {
        "name": str(subject),
        **subject.case.to_dict(),
        "predicted": None,
        "measured": None,
        "reason": "",
    }
    try:
        row["predicted"] = predicted = _predicted(subject.record(), profile)
        needed, memory = RUNS * predicted["seconds"], profile.available
        if predicted["allocated_bytes"] > memory:
            predicted["max_batch"] = subject.max_batch(profile)
            row["reason"] = f"needs {predicted['allocated_bytes'] / 2**30:.1f} of {memory / 2**30:.1f} GiB"
            return row | {"status": MISFIT}
        if needed > allowed:
            row["reason"] = f"takes about {needed:.0f} s to measure, where {max(0.0, allowed):.0f} s are left for it"
            return row | {"status": SKIPPED}
        return row | {"measured": _measured(subject, meter, int(profile["rounding"])), "status": MEASURED}
    except Exception as error:  # whatever it is, it is shown, and the run goes on
        return row | {"status": OUT_OF_MEMORY if _is_oom(error) else FAILED, "reason": _line(error)}
    finally:
        meter.release()


def _predicted(recording: Recording, profile: Device) -> dict[str, Any]:
    base = recording.sizes[: recording.start]
    rounding = int(profile["rounding"])
    time_of = seconds(tally(recording.operations), profile)  # nothing is loaded: the images are there
    return {
        "base_bytes": sum(sign * size for sign, size in base),
        "peak_bytes": recording.peak(),
        "allocated_bytes": recording.peak(rounding),
        "counts": {f"{name}_{phase}": round(recording.count(name, phase)) for name in COUNTED for phase in PHASES},
        "seconds": time_of.total,
        "bound": time_of.bound,
    }


def _measured(subject: Subject, meter: Meter, rounding: int) -> dict[str, Any]:
    call = subject.call(meter.device)
    for _ in range(WARM_UPS):
        call.reset()
        call.run()
    base = storage_bytes(call.base)
    peaks = meter.peaks(call)
    owners = by_owner(meter.trace(call))
    times = meter.seconds(call)
    first, median, third = statistics.quantiles(times, n=4, method="inclusive")
    return {
        "base_bytes": base,
        "peak_bytes": base + peaks.requested,
        "tensor_bytes": base + owners.tensors,
        "without_libraries_bytes": base + owners.without_libraries,
        "allocated_bytes": storage_bytes(call.base, rounding) + peaks.allocated,
        "owners": owners.largest,
        "counts": _counts(call),
        "seconds": {"median": median, "first_quartile": first, "third_quartile": third, "repeats": len(times)},
    }


def _counts(call: Call) -> dict[str, int] | None:
    """MACs, FLOPs, bytes and launches of each phase at the dispatcher, which does not ask where tensors are."""
    try:
        phases = count_phases(call)
    except Exception as error:
        if _is_oom(error):
            return None  # under a dispatch mode gradients are summed out of place, which may need more memory
        raise
    found = {}
    for phase, counter in phases.items():
        found[f"macs_{phase}"] = counter.macs
        found[f"flops_{phase}"] = round(sum(counter.flops.values()))
        found[f"traffic_{phase}"] = counter.bytes_moved
        found[f"launches_{phase}"] = counter.launches
    return found


def _attempt(meter: Meter, misfits: Sequence[tuple[dict[str, Any], Subject]]) -> dict[str, Any] | None:
    """Try the cheapest of what should not fit."""
    if not misfits:
        return None
    row, subject = min(misfits, key=lambda each: each[0]["predicted"]["allocated_bytes"])
    seen, reason = False, "it ran"
    try:
        subject.call(meter.device).run()
    except Exception as error:
        seen, reason = _is_oom(error), _line(error)
    finally:
        meter.release()
    return {"name": row["name"], "seen": seen, "reason": reason}


def _is_oom(error: Exception) -> bool:
    """Whether memory ran out, seen by the allocator or by a library that asks the driver itself."""
    text = str(error)
    return isinstance(error, torch.cuda.OutOfMemoryError) or "out of memory" in text or "ALLOC_FAILED" in text


def _line(error: Exception) -> str:
    """An error in one line that is not too long."""
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text if len(text) < 300 else text[:300] + '…'}"
