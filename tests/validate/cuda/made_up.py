"""A run on a GPU that nobody made."""

from __future__ import annotations

from typing import Any

from lipcost.costmodel import Device

H200 = Device.named("h200")


def made_up() -> dict[str, Any]:
    """A run with one of everything."""
    counts = {"macs_forward": 10, "flops_forward": 20}
    predicted: dict[str, Any] = {"base_bytes": 50, "peak_bytes": 1000, "allocated_bytes": 2048, "counts": counts}
    predicted |= {"seconds": 0.002, "bound": "launches"}
    seconds = {"median": 0.003, "first_quartile": 0.0029, "third_quartile": 0.0031, "repeats": 10}
    measured: dict[str, Any] = {
        "base_bytes": 50,
        "peak_bytes": 1300,
        "tensor_bytes": 1000,
        "without_libraries_bytes": 1000,
    }
    measured |= {"allocated_bytes": 4096, "owners": {"tensor": 950, "cudnn": 300}, "counts": counts, "seconds": seconds}
    row: dict[str, Any] = {"name": "first", "method": "aol", "status": "measured", "reason": "", "predicted": predicted}
    row["measured"] = measured
    off = measured | {"tensor_bytes": 1010, "peak_bytes": 1010, "counts": counts | {"macs_forward": 11}}
    misfit: dict[str, Any] = {"status": "should not fit", "measured": None, "predicted": predicted | {"max_batch": 17}}
    others = [
        row | {"name": "second", "measured": off},
        row | {"name": "third", "reason": "needs 9.0 of 8.0 GiB"} | misfit,
        row | {"name": "fourth", "reason": "takes long", "status": "skipped", "measured": None},
        row | {"name": "fifth", "reason": "OSError: x", "status": "failed", "measured": None, "predicted": None},
    ]
    return {
        "format": "lipcost-cuda/1",
        "environment": {"device": "NVIDIA H200", "torch": "2.13", "driver": "575"},
        "profile": H200.to_dict(),
        "memory_bytes": 2**37,
        "layers": [row],
        "networks": [others[0] | {"method": "soc"}, *others[1:]],
        "oom": {"name": "third", "seen": True, "reason": "OutOfMemoryError: CUDA out of memory"},
    }
