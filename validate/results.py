"""What one validation found: every row, and the totals added up from the rows."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from lipcost.costmodel import METHODS

from .cases import Case, example
from .clock import Clock
from .compare import Row, to_dict
from .guarantee import Guarantee
from .networks import NetworkRow
from .published import Published

Key = tuple[str, str]  # a quantity, and what measured it


@dataclass(frozen=True)
class Count:
    """How many of the comparisons are equal.

    Example:
        >>> Count(3, 4).text
        '3/4'
    """

    equal: int
    compared: int

    @property
    def text(self) -> str:
        """As a fraction."""
        return f"{self.equal:,}/{self.compared:,}"


@dataclass(frozen=True)
class Results:
    """All rows of one run, and what it ran on.

    Attributes:
        environment: versions and device, in the order to print.
        date: when, UTC.
        seed: of weights, inputs and draws.
        quick: whether few configurations were measured.
        methods: what was measured, in the order to print.
        rows: the comparisons, case by case: layers, then networks.
        guarantees: the guarantees, method by method.
        clock: times on this machine.
        published: the published epoch counts.
    """

    environment: dict[str, str]
    date: str
    seed: int
    quick: bool
    methods: list[str]
    rows: list[Row]
    guarantees: list[Guarantee]
    clock: Clock
    published: Published

    @property
    def layers(self) -> list[Row]:
        """The comparisons of single layers."""
        return [row for row in self.rows if not isinstance(row, NetworkRow)]

    @property
    def networks(self) -> list[NetworkRow]:
        """Those of whole networks."""
        return [row for row in self.rows if isinstance(row, NetworkRow)]

    @property
    def mismatches(self) -> list[Row]:
        """Comparisons that are not equal, cases that could not be measured included."""
        return [row for row in self.rows if not row.matches]

    @property
    def broken(self) -> list[Guarantee]:
        """Guarantees that a method claims and its layer does not keep."""
        return [guarantee for guarantee in self.guarantees if guarantee.holds is False]

    @property
    def passed(self) -> bool:
        """Whether every comparison is equal and every claimed guarantee kept."""
        return not self.mismatches and not self.broken

    @property
    def verdict(self) -> str:
        """All of it in one line."""
        claimed = [g for g in self.guarantees if g.holds is not None]
        rows = count(self.rows)
        return (
            f"{rows.equal:,} of {rows.compared:,} comparisons equal; mismatches: {len(self.mismatches):,}. "
            f"{len(claimed) - len(self.broken):,} of {len(claimed):,} claimed guarantees hold."
        )

    def example(self, method: str) -> Case:
        """The worked example as it was measured."""
        return replace(example(method, self.quick), seed=self.seed)

    def of(self, method: str) -> list[Row]:
        """The rows of one method."""
        return [row for row in self.rows if row.case.method == method]

    def totals(self, method: str) -> dict[Key, Count]:
        """Equal and compared, per quantity and means of measurement."""
        rows = self.of(method)
        return {key: count(row for row in rows if (row.quantity, row.by) == key) for key in keys(self.rows)}

    def summary(self) -> list[dict[str, Any]]:
        """One line per method and one of totals: what the command prints."""
        lines = [
            self._line(METHODS[m].title, self.of(m), [g for g in self.guarantees if g.method == m])
            for m in self.methods
        ]
        return [*lines, self._line("Total", self.rows, self.guarantees)]

    def _line(self, name: str, rows: list[Row], guarantees: list[Guarantee]) -> dict[str, Any]:
        claimed = [g for g in guarantees if g.holds is not None]
        return {
            "Method": name,
            "Configurations": len({id(row.case) for row in rows}),
            "Equal": count(rows).text,
            "Guarantees": Count(sum(g.holds is True for g in claimed), len(claimed)).text
            if claimed
            else "none claimed",
        }

    def to_dict(self) -> dict[str, Any]:
        """All of it, ready for JSON."""
        cases = list({id(row.case): row.case for row in self.rows}.values())
        index = {id(case): i for i, case in enumerate(cases)}
        return {
            "passed": self.passed,
            "verdict": self.verdict,
            "date": self.date,
            "seed": self.seed,
            "quick": self.quick,
            "environment": self.environment,
            "summary": self.summary(),
            "totals": {m: [_total(*item) for item in self.totals(m).items()] for m in self.methods},
            "cases": [case.to_dict() for case in cases],
            "rows": [{"case": index[id(row.case)], **to_dict(row), **_more(row)} for row in self.rows],
            "guarantees": [guarantee.to_dict() for guarantee in self.guarantees],
            "clock": self.clock.to_dict(),
            "published": self.published.to_dict(),
        }


def count(rows: Iterable[Row]) -> Count:
    """Equal and compared among ``rows``."""
    matches = [row.matches for row in rows]
    return Count(sum(matches), len(matches))


def keys(rows: Iterable[Row]) -> list[Key]:
    """Every quantity with what measured it, in the order of their first rows."""
    return list(dict.fromkeys((row.quantity, row.by) for row in rows))


def _more(row: Row) -> dict[str, Any]:
    """What the row of a network's peak has beside."""
    return {"by_category": dict(row.by_category)} if isinstance(row, NetworkRow) and row.by_category else {}


def _total(key: Key, total: Count) -> dict[str, Any]:
    return {"quantity": key[0], "by": key[1], "equal": total.equal, "compared": total.compared}
