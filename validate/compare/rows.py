"""One comparison: a quantity predicted and measured, what measured it, and how many of them are equal."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, Protocol, TypeVar

# What measures.
STORAGES = "storages"
FVCORE = "fvcore"
DISPATCH = "dispatch counter"
HOOKS = "saved-tensor hooks"
TRACKER = "live storages (dispatch)"
PROFILER = "profiler (plain eager)"

FAILED = "(not measured)"  # the quantity of a case that raised

Key = tuple[str, str]  # a quantity, and what measured it


class Configuration(Protocol):
    """What a row asks of its case."""

    @property
    def method(self) -> str:
        """Key of METHODS."""

    def to_dict(self) -> dict[str, Any]:
        """All of it, ready for JSON."""


C = TypeVar("C", bound=Configuration)


@dataclass(frozen=True)
class Row(Generic[C]):
    """One quantity of one configuration, predicted and measured.

    Attributes:
        case: the configuration: a layer's, or a network's.
        quantity: its name in the cost model, or "flops_" and a class of operation (forward and backward together);
            with ", formula" the prediction is the closed form's value, else that of the numbers' own pass.
        predicted, measured: the figures, in MACs, FLOPs, bytes or kernels; None if the case raised.
        by: what measured it.
        beside: bytes measured with the peak that are in no formula: operator-internal scratch, wrapped Python scalars.
        by_category: of a network's peak: the bytes that are live then, as predicted.
        error: why there are no figures.

    Example:
        >>> from lipcost.validate.compare.cases import Case
        >>> from lipcost.validate.compare.rows import PROFILER, Row
        >>> row = Row(Case("aol", b=1, s=4, c_in=2, c_out=2), "peak_bytes", 100, 104, PROFILER)
        >>> row.matches, row.difference
        (False, 4)
    """

    case: C
    quantity: str
    predicted: int | None
    measured: int | None
    by: str
    beside: Mapping[str, int] = field(default_factory=dict, hash=False)
    by_category: Mapping[str, int] = field(default_factory=dict, hash=False)
    error: str | None = None

    @property
    def matches(self) -> bool:
        """Whether both figures are there and equal."""
        return self.error is None and self.predicted == self.measured

    @property
    def difference(self) -> int | None:
        """Measured minus predicted."""
        if self.predicted is None or self.measured is None:
            return None
        return self.measured - self.predicted

    def to_dict(self) -> dict[str, Any]:
        """All of it but the case, ready for JSON."""
        more = {"beside": dict(self.beside), "by_category": dict(self.by_category)}
        return {
            "quantity": self.quantity,
            "by": self.by,
            "predicted": self.predicted,
            "measured": self.measured,
            "matches": self.matches,
            "error": self.error,
            **{name: values for name, values in more.items() if values},
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Row[C]:
        """Of :meth:`to_dict` and the case."""
        return cls(**{name: value for name, value in data.items() if name != "matches"})


@dataclass(frozen=True)
class Count:
    """How many of the comparisons are equal.

    Example:
        >>> from lipcost.validate.compare.rows import Count
        >>> Count(3, 4).text
        '3/4'
    """

    equal: int
    compared: int

    @property
    def text(self) -> str:
        """As a fraction."""
        return f"{self.equal:,}/{self.compared:,}"


def count(rows: Iterable[Row[Any]]) -> Count:
    """Equal and compared among ``rows``."""
    matches = [row.matches for row in rows]
    return Count(sum(matches), len(matches))


def keys(rows: Iterable[Row[Any]]) -> list[Key]:
    """Every quantity with what measured it, in the order of their first rows."""
    return list(dict.fromkeys((row.quantity, row.by) for row in rows))


def failed(case: C, error: Exception, quantity: str = FAILED, by: str = "") -> Row[C]:
    """The row of what raised: it matches nothing and carries the error."""
    return Row(case, quantity, None, None, by, error=f"{type(error).__name__}: {error}")
