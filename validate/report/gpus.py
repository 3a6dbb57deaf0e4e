"""The report's sections on a GPU, from the JSON that ``lipcost validate --device cuda`` wrote."""

from __future__ import annotations

from typing import Any

from lipcost.costmodel import METHODS
from lipcost.costmodel.text import readable

from ..cuda.results import (
    MEASURED,
    SUMMARY,
    TOLERANCE,
    Row,
    all_rows,
    broke,
    excess,
    measured_rows,
    problems,
    summary,
    unequal,
)
from .tables import Cell, Section, Table, in_bytes


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


def _memory(data: dict[str, Any], device: str) -> Section:
    header = ["configuration", "formula", "tensors", "requested", "off", "rounded", "allocated", "off", "by owner"]
    note = (
        "Peaks, with what was there before: input, parameters, buffers, optimizer state. Formula: the cost model's. "
        "Tensors: by the allocator's history, without what operators allocate and free themselves. Requested: all that "
        "the program asked the allocator for. Rounded: the formula with each allocation rounded up as the allocator "
        "does. Allocated: max_memory_allocated, in which a rest of up to 1 MiB that is not worth splitting off counts "
        f"too. Owners, each by its own largest, where requested is off by over {TOLERANCE:.0%} or tensors at all."
    )
    return Section(f"Memory on {device}", note, [Table(header, [_bytes(row) for row in measured_rows(data)])])


def _bytes(row: Row) -> list[Cell]:
    predicted, measured = row["predicted"], row["measured"]
    exact, near = measured["tensor_bytes"] == predicted["peak_bytes"], abs(excess(row)) <= TOLERANCE
    return [
        Cell(row["name"], mark="head"),
        in_bytes(predicted["peak_bytes"]),
        in_bytes(measured["tensor_bytes"])._replace(mark="good" if exact else "bad"),
        in_bytes(measured["peak_bytes"]),
        Cell(f"{excess(row):+.2%}", mark="" if near else "warn"),
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
        for row in measured_rows(data)
        for name, want, got in unequal(row)
    ]
    uncounted = [row["name"] for row in measured_rows(data) if row["measured"]["counts"] is None]
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
    return Section(f"Time on {device}", note, [Table(header, [_time(row) for row in measured_rows(data)])])


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
    for row in (row for row in all_rows(data) if row["status"] != MEASURED):
        tried = oom is not None and oom["name"] == row["name"]
        status = ("predicted and seen" if oom["seen"] else "predicted, not seen") if tried else row["status"]
        mark = "bad" if broke(row) or (tried and not oom["seen"]) else "good" if tried else ""
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
