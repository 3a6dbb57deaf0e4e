"""The report's sections on a GPU, from the JSON that ``lipcost validate --device cuda`` wrote."""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from lipcost.costmodel import METHODS
from lipcost.costmodel.text import readable

from ._tables import Cell, Section, Table, in_bytes

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
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ValueError(f"{path}: not readable: {error.strerror}") from None
    except ValueError as error:
        raise ValueError(f"{path}: not JSON in UTF-8: {error}") from None
    found = data.get("format") if isinstance(data, dict) else None
    if found != FORMAT:
        raise ValueError(f"{path}: format must be {FORMAT!r}, got {found!r}")
    missing = [key for key in KEYS if key not in data]
    if missing:
        raise ValueError(f"{path}: lacks {missing[0]!r}; needed: {', '.join(KEYS)}")
    return dict(data)


def problems(data: dict[str, Any]) -> list[str]:
    """What contradicts the cost model, one line each; none if the run agrees with it.

    Times are not judged, nor are bytes that are no tensor's.
    """
    found = [f"{row['name']}: {row['status']}: {row['reason']}" for row in _rows(data) if _broke(row)]
    for row in _measured(data):
        predicted, measured = row["predicted"], row["measured"]
        if measured["tensor_bytes"] != predicted["peak_bytes"]:
            difference = measured["tensor_bytes"] - predicted["peak_bytes"]
            found.append(f"{row['name']}: the tensors' peak is {difference:+,} B off the formula's")
        found += [f"{row['name']}: {name} is {got:,}, not {want:,}" for name, want, got in _unequal(row)]
    oom = data["oom"]
    if oom is not None and not oom["seen"]:
        found.append(f"{oom['name']}: should not fit, but did not run out of memory: {oom['reason']}")
    return found


def summary(data: dict[str, Any]) -> list[dict[str, str]]:
    """A line for each method and one for all: what is in SUMMARY, as text."""
    methods = [name for name in METHODS if any(row["method"] == name for row in _rows(data))]
    lines = [_line(name, [row for row in _rows(data) if row["method"] == name]) for name in methods]
    return [*lines, _line("total", _rows(data))]


def cuda_sections(data: dict[str, Any]) -> list[Section]:
    """The sections of one GPU, in order.

    Args:
        data: of :func:`load_cuda`, or of :func:`lipcost.validate.cuda.collect`.
    """
    device = data["environment"]["device"]
    parts = (_overview, _memory, _counts, _times, _unmeasured)
    return [part(data, device) for part in parts]


def _overview(data: dict[str, Any], device: str) -> Section:
    wrong = problems(data)
    tables = [Table(list(SUMMARY), [_cells(line) for line in summary(data)])]
    if wrong:
        tables.append(Table(["contradicts the cost model"], [[Cell(text, mark="bad")] for text in wrong]))
    environment = " · ".join(" ".join(item) for item in data["environment"].items())
    note = (
        f"{environment}. Layers, and networks at their batch size: training steps (momentum, all parameters updated "
        "by one kernel) and calls with cached weights. The peak is that of requested bytes, libraries' workspaces "
        "included, measured ÷ formula; time is the measured median ÷ the time model's, with figures measured here."
    )
    return Section(f"GPU: {device}", note, tables)


def _cells(line: dict[str, str]) -> list[Cell]:
    name, *texts = (line[key] for key in SUMMARY)
    title = METHODS[name].title if name in METHODS else name
    return [Cell(title, mark="head"), *map(Cell, texts)]


def _line(name: str, rows: Sequence[Row]) -> dict[str, str]:
    measured = [row for row in rows if row["status"] == MEASURED]
    counted = [row for row in measured if row["measured"]["counts"] is not None]
    equal = sum(len(row["measured"]["counts"]) - len(_unequal(row)) for row in counted)
    exact = sum(row["measured"]["tensor_bytes"] == row["predicted"]["peak_bytes"] for row in measured)
    ratios = [row["measured"]["seconds"]["median"] / row["predicted"]["seconds"] for row in measured]
    figures = (
        name,
        str(len(measured)),
        str(len(rows) - len(measured)),
        f"{equal}/{sum(len(row['measured']['counts']) for row in counted)}",
        f"{exact}/{len(measured)}",
        f"{1 + max(map(_excess, measured)):.3f}" if measured else "–",
        f"{statistics.median(ratios):.2f} ({min(ratios):.2f}–{max(ratios):.2f})" if ratios else "–",
    )
    return dict(zip(SUMMARY, figures, strict=True))


def _memory(data: dict[str, Any], device: str) -> Section:
    header = ["configuration", "formula", "tensors", "requested", "off", "rounded", "allocated", "off", "by owner"]
    note = (
        "Peaks, with what was there before: input, parameters, buffers, optimizer state. Formula: the cost model's. "
        "Tensors: by the allocator's history, without what operators allocate and free themselves. Requested: all that "
        "the program asked the allocator for. Rounded: the formula with each allocation rounded up as the allocator "
        "does. Allocated: max_memory_allocated, in which a rest of up to 1 MiB that is not worth splitting off counts "
        f"too. Owners, each by its own largest, where requested is off by over {TOLERANCE:.0%} or tensors at all."
    )
    return Section(f"Memory on {device}", note, [Table(header, [_bytes(row) for row in _measured(data)])])


def _bytes(row: Row) -> list[Cell]:
    predicted, measured = row["predicted"], row["measured"]
    exact, near = measured["tensor_bytes"] == predicted["peak_bytes"], abs(_excess(row)) <= TOLERANCE
    return [
        Cell(row["name"], mark="head"),
        in_bytes(predicted["peak_bytes"]),
        in_bytes(measured["tensor_bytes"])._replace(mark="good" if exact else "bad"),
        in_bytes(measured["peak_bytes"]),
        Cell(f"{_excess(row):+.2%}", mark="" if near else "warn"),
        in_bytes(predicted["allocated_bytes"]),
        in_bytes(measured["allocated_bytes"]),
        Cell(f"{measured['allocated_bytes'] / predicted['allocated_bytes'] - 1:+.2%}"),
        Cell("" if exact and near else _owners(measured["owners"])),
    ]


def _owners(owners: dict[str, int]) -> str:
    largest_first = sorted(owners.items(), key=lambda item: -item[1])
    return ", ".join(f"{name} {readable(size, 'B')}" for name, size in largest_first)


def _counts(data: dict[str, Any], device: str) -> Section:
    rows = [
        [Cell(row["name"], mark="head"), Cell(name), *(Cell(f"{value:,}", mark="bad") for value in (want, got))]
        for row in _measured(data)
        for name, want, got in _unequal(row)
    ]
    uncounted = [row["name"] for row in _measured(data) if row["measured"]["counts"] is None]
    note = "MACs, FLOPs, bytes and launches of each phase, by the dispatch counter on the GPU. "
    note += "These differ:" if rows else "All are equal to the formulas'."
    if uncounted:
        note += f" Not counted, for want of memory: {', '.join(uncounted)}."
    return Section(
        f"Operation counts on {device}", note, _tables(["configuration", "count", "predicted", "counted"], rows)
    )


def _times(data: dict[str, Any], device: str) -> Section:
    header = ["configuration", "time model", "bound by", "measured", "quartiles", "runs", "measured ÷ model"]
    note = "Milliseconds, by CUDA events: the median of the runs. The time model's figures were measured beforehand."
    return Section(f"Time on {device}", note, [Table(header, [_time(row) for row in _measured(data)])])


def _time(row: Row) -> list[Cell]:
    predicted, measured = row["predicted"], row["measured"]["seconds"]
    first, third = (f"{1000 * measured[f'{name}_quartile']:.3f}" for name in ("first", "third"))
    return [
        Cell(row["name"], mark="head"),
        Cell(f"{1000 * predicted['seconds']:.3f}", repr(predicted["seconds"])),
        Cell(predicted["bound"]),
        Cell(f"{1000 * measured['median']:.3f}", repr(measured["median"])),
        Cell(f"{first}–{third}"),
        Cell(str(measured["repeats"])),
        Cell(f"{measured['median'] / predicted['seconds']:.2f}"),
    ]


def _unmeasured(data: dict[str, Any], device: str) -> Section:
    oom, rows = data["oom"], []
    for row in (row for row in _rows(data) if row["status"] != MEASURED):
        tried = oom is not None and oom["name"] == row["name"]
        status = ("predicted and seen" if oom["seen"] else "predicted, not seen") if tried else row["status"]
        mark = "bad" if _broke(row) or (tried and not oom["seen"]) else "good" if tried else ""
        predicted = row["predicted"] or {}
        size, most = predicted.get("allocated_bytes"), predicted.get("max_batch")
        texts = ("–" if most is None else f"{most:,}", oom["reason"] if tried else row["reason"])
        rows.append([Cell(row["name"], mark="head"), Cell(status, mark=mark), in_bytes(size), *map(Cell, texts)])
    note = (
        f"Tensors may take {readable(data['memory_bytes'], 'B')} here. What should not fit is not run, but for the "
        "cheapest, which must run out of memory."
    )
    header = ["configuration", "", "allocated, by formula", "largest batch", "why"]
    return Section(f"What does not fit on {device}, or was left out", note, _tables(header, rows))


def _tables(header: list[str], rows: list[list[Cell]]) -> list[Table]:
    """One, unless it were empty."""
    return [Table(header, rows, numbers=2)] if rows else []


def _rows(data: dict[str, Any]) -> list[Row]:
    return [*data["layers"], *data["networks"]]


def _measured(data: dict[str, Any]) -> Iterator[Row]:
    return (row for row in _rows(data) if row["status"] == MEASURED)


def _broke(row: Row) -> bool:
    return row["status"] in (OUT_OF_MEMORY, FAILED)


def _excess(row: Row) -> float:
    """By what part the requested peak exceeds the formula's."""
    return float(row["measured"]["peak_bytes"] / row["predicted"]["peak_bytes"] - 1)


def _unequal(row: Row) -> list[tuple[str, int, int]]:
    """The counts that differ: name, predicted, measured."""
    measured, predicted = row["measured"]["counts"] or {}, row["predicted"]["counts"]
    return [(name, predicted[name], got) for name, got in measured.items() if predicted[name] != got]
