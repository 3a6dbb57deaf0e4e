"""What a report is made of: sections of tables of cells."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from lipcost.costmodel import METHODS
from lipcost.costmodel.text import readable

from ..compare.rows import Count, Row, count, keys


class Cell(NamedTuple):
    """Text, the exact figure behind it, and a mark: "good", "warn", "bad", "head" or none."""

    text: str
    exact: str = ""
    mark: str = ""


@dataclass(frozen=True)
class Table:
    """Cells below a header; columns from ``numbers`` on align right."""

    header: list[str]
    rows: list[list[Cell]]
    numbers: int = 1


@dataclass(frozen=True)
class Section:
    """A title, a note on how to read what follows, and tables or figures."""

    title: str
    note: str
    tables: list[Table] = field(default_factory=list)
    figures: list[str] = field(default_factory=list)  # names in ``plots.FIGURES``


def head(method: str) -> Cell:
    """The method's name, where its rows begin."""
    return Cell(METHODS[method].title, mark="head")


def in_bytes(value: int | None) -> Cell:
    """Bytes, readable; a dash for None."""
    return Cell("–") if value is None else Cell(readable(value, "B"), f"{value:,}")


def counted(total: Count) -> Cell:
    """Equal / compared."""
    if not total.compared:
        return Cell("–")
    return Cell(total.text, mark="" if total.equal == total.compared else "bad")


def comparisons(rows: Sequence[Row[Any]], methods: list[str]) -> Table:
    """Equal / compared, by quantity and means of measurement, a column per method."""

    def across(some: Iterable[Row[Any]]) -> list[Cell]:
        kept = list(some)
        return [*(counted(count(row for row in kept if row.case.method == m)) for m in methods), counted(count(kept))]

    lines = [[*map(Cell, key), *across(row for row in rows if (row.quantity, row.by) == key)] for key in keys(rows)]
    lines.append([Cell("total"), Cell(""), *across(rows)])
    return Table(["quantity", "measured by", *(METHODS[m].title for m in methods), "total"], lines, numbers=2)
