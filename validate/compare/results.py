"""What one validation found, as data: every row, and the totals added up from the rows; and its file."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from lipcost.costmodel import METHODS, lookup

from .cases import Case, example
from .clock import Clock
from .files import read
from .networks import NetworkCase
from .predicted import Predicted
from .published import Published
from .rows import Count, Key, Row, count, keys
from .soundness import Outcome

FORMAT = "lipcost-report/1"
AS_THEY_ARE = ("environment", "date", "seed", "quick", "methods", "gpus")


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
        soundness: whether the layers keep their claims, method by method.
        clock: times on this machine.
        published: the published epoch counts.
        predicted: what the formulas say without a measurement.
        gpus: what ``lipcost validate --device cuda`` found elsewhere; it changes no verdict here.
    """

    environment: dict[str, str]
    date: str
    seed: int
    quick: bool
    methods: list[str]
    rows: list[Row[Any]]
    soundness: list[Outcome]
    clock: Clock
    published: Published
    predicted: Predicted
    gpus: list[dict[str, Any]] = field(default_factory=list)

    @property
    def layers(self) -> list[Row[Case]]:
        """The comparisons of single layers."""
        return [row for row in self.rows if not isinstance(row.case, NetworkCase)]

    @property
    def networks(self) -> list[Row[NetworkCase]]:
        """Those of whole networks."""
        return [row for row in self.rows if isinstance(row.case, NetworkCase)]

    @property
    def mismatches(self) -> list[Row[Any]]:
        """Comparisons that are not equal, cases that could not be measured included."""
        return [row for row in self.rows if not row.matches]

    @property
    def broken(self) -> list[Outcome]:
        """What a layer does not keep of its method's claims."""
        return [each for each in self.soundness if each.holds is False]

    @property
    def passed(self) -> bool:
        """Whether every comparison is equal and every claim kept."""
        return not self.mismatches and not self.broken

    @property
    def verdict(self) -> str:
        """All of it in one line."""
        claimed = [each for each in self.soundness if each.holds is not None]
        rows = count(self.rows)
        return (
            f"{rows.equal:,} of {rows.compared:,} comparisons equal; mismatches: {len(self.mismatches):,}. "
            f"{len(claimed) - len(self.broken):,} of {len(claimed):,} claimed guarantees hold."
        )

    def example(self, method: str) -> Case:
        """The worked example as it was measured."""
        return replace(example(method, self.quick), seed=self.seed)

    def of(self, method: str) -> list[Row[Any]]:
        """The rows of one method."""
        return [row for row in self.rows if row.case.method == method]

    def totals(self, method: str) -> dict[Key, Count]:
        """Equal and compared, per quantity and means of measurement."""
        rows = self.of(method)
        return {key: count(row for row in rows if (row.quantity, row.by) == key) for key in keys(self.rows)}

    def summary(self) -> list[dict[str, Any]]:
        """One line per method and one of totals: what the command prints."""
        lines = [
            self._line(METHODS[m].title, self.of(m), [each for each in self.soundness if each.case.subject.method == m])
            for m in self.methods
        ]
        return [*lines, self._line("Total", self.rows, self.soundness)]

    def _line(self, name: str, rows: list[Row[Any]], outcomes: list[Outcome]) -> dict[str, Any]:
        claimed = [each.holds for each in outcomes if each.holds is not None]
        return {
            "Method": name,
            "Configurations": len({id(row.case) for row in rows}),
            "Equal": count(rows).text,
            "Guarantees": Count(sum(claimed), len(claimed)).text if claimed else "none claimed",
        }

    def to_dict(self) -> dict[str, Any]:
        """All of it, ready for JSON."""
        cases = list({id(row.case): row.case for row in self.rows}.values())
        index = {id(case): i for i, case in enumerate(cases)}
        return {
            "format": FORMAT,
            "passed": self.passed,
            "verdict": self.verdict,
            "date": self.date,
            "seed": self.seed,
            "quick": self.quick,
            "environment": self.environment,
            "methods": self.methods,
            "summary": self.summary(),
            "totals": {m: [_total(*item) for item in self.totals(m).items()] for m in self.methods},
            "cases": [case.to_dict() for case in cases],
            "rows": [{"case": index[id(row.case)], **row.to_dict()} for row in self.rows],
            "soundness": [each.to_dict() for each in self.soundness],
            "clock": self.clock.to_dict(),
            "published": self.published.to_dict(),
            "predicted": self.predicted.to_dict(),
            "gpus": self.gpus,
        }

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Results:
        """Of :meth:`to_dict`; what follows from the rest is not read."""
        for method in data["methods"]:
            lookup(method)
        cases = [NetworkCase(**case) if "network" in case else Case(**case) for case in data["cases"]]
        return cls(
            **{name: data[name] for name in AS_THEY_ARE},
            rows=[Row.from_dict(row | {"case": cases[row["case"]]}) for row in data["rows"]],
            soundness=[Outcome.from_dict(each) for each in data["soundness"]],
            clock=Clock.from_dict(data["clock"]),
            published=Published.from_dict(data["published"]),
            predicted=Predicted.from_dict(data["predicted"]),
        )

    def save(self, path: Path) -> None:
        """Write a report.json."""
        path.write_text(json.dumps(self.to_dict(), indent=1, ensure_ascii=False, allow_nan=False), encoding="utf-8")

    @classmethod
    def load(cls, path: Path) -> Results:
        """Read a report.json.

        Raises:
            ValueError: if it cannot be read or is something else; it names the file.
        """
        data = read(path, FORMAT, [each.name for each in fields(cls)] + ["cases"])
        try:
            return cls.from_dict(data)
        except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
            raise ValueError(f"{path}: not as lipcost validate writes it: {type(error).__name__}: {error}") from None


def _total(key: Key, total: Count) -> dict[str, Any]:
    return {"quantity": key[0], "by": key[1], "equal": total.equal, "compared": total.compared}
