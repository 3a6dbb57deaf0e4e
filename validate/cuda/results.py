"""What a run on a GPU found, as data: cuda.json, its status words, and what contradicts the cost model."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from lipcost.costmodel import METHODS

from ..compare.files import read

FORMAT = "lipcost-cuda/1"
KEYS = ("format", "environment", "profile", "memory_bytes", "layers", "networks", "oom")

MEASURED = "measured"
MISFIT = "should not fit"  # by the formula, so it was not tried
SKIPPED = "skipped"
OUT_OF_MEMORY = "out of memory"  # where the formula says that it fits
FAILED = "failed"

TOLERANCE = 0.01  # of the peak: a larger difference is explained by its owners
SUMMARY = ("method", "measured", "not measured", "counts equal", "tensors' peak equal", "peak at most", "time ÷ model")

Row = dict[str, Any]


def load_cuda(path: Path) -> dict[str, Any]:
    """Read a cuda.json.

    Raises:
        ValueError: if it cannot be read or is something else; it names the file.
    """
    return read(path, FORMAT, KEYS)


def problems(data: dict[str, Any]) -> list[str]:
    """What contradicts the cost model, one line each; none if the run agrees with it.

    Times are not judged, nor are bytes that are no tensor's.
    """
    found = [f"{row['name']}: {row['status']}: {row['reason']}" for row in all_rows(data) if broke(row)]
    for row in measured_rows(data):
        predicted, measured = row["predicted"], row["measured"]
        if measured["tensor_bytes"] != predicted["peak_bytes"]:
            difference = measured["tensor_bytes"] - predicted["peak_bytes"]
            found.append(f"{row['name']}: the tensors' peak is {difference:+,} B off the formula's")
        found += [f"{row['name']}: {name} is {got:,}, not {want:,}" for name, want, got in unequal(row)]
    oom = data["oom"]
    if oom is not None and not oom["seen"]:
        found.append(f"{oom['name']}: should not fit, but did not run out of memory: {oom['reason']}")
    return found


def summary(data: dict[str, Any]) -> list[dict[str, str]]:
    """A line for each method and one for all: what is in SUMMARY, as text."""
    methods = [name for name in METHODS if any(row["method"] == name for row in all_rows(data))]
    lines = [_line(name, [row for row in all_rows(data) if row["method"] == name]) for name in methods]
    return [*lines, _line("total", all_rows(data))]


def _line(name: str, rows: Sequence[Row]) -> dict[str, str]:
    measured = [row for row in rows if row["status"] == MEASURED]
    counted = [row for row in measured if row["measured"]["counts"] is not None]
    equal = sum(len(row["measured"]["counts"]) - len(unequal(row)) for row in counted)
    exact = sum(row["measured"]["tensor_bytes"] == row["predicted"]["peak_bytes"] for row in measured)
    ratios = [row["measured"]["seconds"]["median"] / row["predicted"]["seconds"] for row in measured]
    figures = (
        name,
        str(len(measured)),
        str(len(rows) - len(measured)),
        f"{equal}/{sum(len(row['measured']['counts']) for row in counted)}",
        f"{exact}/{len(measured)}",
        f"{1 + max(map(excess, measured)):.3f}" if measured else "–",
        f"{statistics.median(ratios):.2f} ({min(ratios):.2f}–{max(ratios):.2f})" if ratios else "–",
    )
    return dict(zip(SUMMARY, figures, strict=True))


def all_rows(data: dict[str, Any]) -> list[Row]:
    """The rows of layers, then of networks."""
    return [*data["layers"], *data["networks"]]


def measured_rows(data: dict[str, Any]) -> Iterator[Row]:
    """Those that were measured."""
    return (row for row in all_rows(data) if row["status"] == MEASURED)


def broke(row: Row) -> bool:
    """Whether it was to be measured and raised."""
    return row["status"] in (OUT_OF_MEMORY, FAILED)


def excess(row: Row) -> float:
    """By what part the requested peak exceeds the formula's."""
    return float(row["measured"]["peak_bytes"] / row["predicted"]["peak_bytes"] - 1)


def unequal(row: Row) -> list[tuple[str, int, int]]:
    """The counts that differ: name, predicted, measured."""
    measured, predicted = row["measured"]["counts"] or {}, row["predicted"]["counts"]
    return [(name, predicted[name], got) for name, got in measured.items() if predicted[name] != got]
