"""A device profile from published epoch counts: the few figures that are fitted, and how well they hold.

The times of all networks share six figures; everything else is the anchor's, a device of the same kind.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path

import numpy as np
from scipy.optimize import least_squares

from lipcost.layers.methods.registry import LAYERS, PUBLISHED
from lipcost.layers.networks.table import BATCH, CIFAR_IMAGES

from ..checks import positive
from ..networks.workload import workload
from .device import FIGURES, Device
from .roofline import Work, bounds, tally

COLUMNS = ("size", "method", "epochs")
# Each free parameter with the figures that it sets: real and complex products share a rate, and an elimination step of
# an inverse, which waits for the one before, costs what a launch does.
PARAMETERS = {
    "conv": ("conv",),
    "weight_conv": ("weight_conv",),
    "matmul": ("matmul", "complex_matmul"),
    "inverse": ("inverse",),
    "launch": ("launch", "inverse_step"),
    "loading": ("loading",),
}
# Standard deviations of the logarithms: of a measured time, and of a figure around the anchor's. The second keeps the
# figures that no row depends on where they were.
TIME_SPREAD = 0.1
FIGURE_SPREAD = math.log(10)


@dataclass(frozen=True)
class Count:
    """A published count: how many epochs of training fitted into the budget.

    Attributes:
        size: of the network, a key of CONV_NETS or its short form.
        method: whose published algorithm was timed, "lot" or "lot/published".
        epochs: how many.
    """

    size: str
    method: str
    epochs: float

    def __post_init__(self) -> None:
        if not 0 < self.epochs < math.inf:
            raise ValueError(f"epochs must be positive and finite, got {self.epochs!r}")
        workload(self.size, self.algorithm)

    @property
    def algorithm(self) -> str:
        """The key of METHODS: that of the published algorithm."""
        published = self.method + PUBLISHED
        return published if published in LAYERS else self.method


@dataclass(frozen=True)
class Fitted:
    """A count beside the fit's.

    Attributes:
        count: as published.
        epochs: by the fitted device.
        held_out: by a device that was fitted without this row.
        shift: the largest relative change of the other rows' epochs when this row is left out.
        loading: whether the fit has it at the loading floor, so that it says nothing about the model.
    """

    count: Count
    epochs: float
    held_out: float
    shift: float
    loading: bool

    @property
    def error(self) -> float:
        """Relative."""
        return self.epochs / self.count.epochs - 1

    @property
    def held_out_error(self) -> float:
        """Relative, of the prediction without this row."""
        return self.held_out / self.count.epochs - 1


@dataclass(frozen=True)
class EpochFit:
    """The fitted device and each row beside it."""

    device: Device
    rows: list[Fitted]

    @property
    def parameters(self) -> dict[str, float]:
        """The free parameters, in their figures' units."""
        return {name: self.device[name] for name in PARAMETERS}

    @property
    def median_error(self) -> float:
        """Of the rows' relative errors."""
        return float(np.median([abs(row.error) for row in self.rows]))

    @property
    def largest_error(self) -> float:
        """Of the rows' relative errors."""
        return max(abs(row.error) for row in self.rows)


def read_counts(path: str | PathLike[str]) -> list[Count]:
    """The rows of a CSV file with the columns size, method and epochs; lines that begin with # are comments.

    Raises:
        ValueError: for a row that is none of this, by its line; or where the file has no row.
    """
    lines = Path(path).read_text(encoding="utf-8-sig").splitlines()  # Excel writes a mark
    kept = [(i, line) for i, line in enumerate(lines, 1) if line.strip() and not line.startswith("#")]
    rows = list(csv.reader(line for _, line in kept))
    if not rows or tuple(cell.strip() for cell in rows[0]) != COLUMNS:
        raise ValueError(
            f"{path}: the first line must be {','.join(COLUMNS)}, got {','.join(rows[0]) if rows else ''!r}"
        )
    counts = [_count(f"{path}, line {i}", row) for (i, _), row in zip(kept[1:], rows[1:], strict=True)]
    if not counts:
        raise ValueError(f"{path}: no row below the header")
    return counts


def _count(where: str, row: Sequence[str]) -> Count:
    if len(row) != len(COLUMNS):
        raise ValueError(f"{where}: a row has {', '.join(COLUMNS)}, got {','.join(row)!r}")
    size, method, epochs = (cell.strip() for cell in row)
    try:
        number = float(epochs)
    except ValueError:
        raise ValueError(f"{where}: epochs must be a number, got {epochs!r}") from None
    try:
        return Count(size, method, number)
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from None


def fit_epochs(
    counts: Sequence[Count],
    *,
    anchor: Device,
    hours: float,
    b: int = BATCH,
    images: int = CIFAR_IMAGES,
    source: str = "epoch counts",
) -> EpochFit:
    """Fit PARAMETERS to epoch counts: least squares of the logarithms of the times, held weakly at the anchor.

    Args:
        counts: what was measured on one device; published algorithms, SGD with momentum.
        anchor: a device of the same kind; what is not fitted is its.
        hours: the budget that the counts are for.
        b: batch size.
        images: in the training set.
        source: of the counts, for the profile.

    Raises:
        ValueError: if there are no counts, or the budget is not positive.
    """
    if not counts:
        raise ValueError("a fit needs at least one epoch count")
    if not 0 < hours < math.inf:
        raise ValueError(f"hours must be positive and finite, got {hours!r}")
    positive("b", b)
    positive("images", images)
    budget = hours * 3600 / math.ceil(images / b)  # seconds per step of a method that gets one epoch
    problem = _Problem(counts, anchor, b, budget)
    everyone = np.arange(len(counts))
    best = problem.solve(everyone)
    times, epochs = problem.busy(best), problem.epochs(best)
    rows = []
    for i, count in enumerate(counts):
        without = problem.epochs(problem.solve(np.delete(everyone, i)))
        others = np.delete(np.abs(without / epochs - 1), i)
        at_floor = bool(times[i] < problem.figures(best)["loading"] * b)
        rows.append(Fitted(count, float(epochs[i]), float(without[i]), float(others.max(initial=0)), at_floor))
    values = {name: float(value) for name, value in problem.figures(best).items()}
    fitted = {figure: values[figure] for group in PARAMETERS.values() for figure in group}
    return EpochFit(anchor.with_figures("fitted", f"{source}; anchored at {anchor.name}", **fitted), rows)


class _Problem:
    """Times of all rows as a function of the logarithms of the parameters."""

    def __init__(self, counts: Sequence[Count], anchor: Device, b: int, budget: float) -> None:
        self.anchor = {name: anchor[name] for name in FIGURES}
        self.b, self.budget = b, budget
        self.measured = budget / np.array([count.epochs for count in counts])
        self.works = [
            _by_rate(tally(workload(c.size, c.algorithm, foreach=anchor.kind == "cuda").record(b).operations))
            for c in counts
        ]

    def figures(self, point: np.ndarray) -> dict[str, float]:
        fitted = {figure: math.exp(x) for x, group in zip(point, PARAMETERS.values(), strict=True) for figure in group}
        return self.anchor | fitted

    def busy(self, point: np.ndarray) -> np.ndarray:
        """The steps' times but for loading."""
        figures = self.figures(point)
        return np.array([sum(float(_longest(work, figures) @ n) for work, n in each) for each in self.works])

    def epochs(self, point: np.ndarray) -> np.ndarray:
        times: np.ndarray = np.maximum(self.busy(point), self.figures(point)["loading"] * self.b)
        return self.budget / times

    def start(self, rows: np.ndarray) -> np.ndarray:
        """The anchor's parameters. Where it has no loading floor, the fastest row is the guess, or next to nothing."""
        fastest = float(self.measured[rows].min()) if rows.size else self.anchor["launch"]
        figures = self.anchor | {"loading": self.anchor["loading"] or fastest / self.b}
        start: np.ndarray = np.log([figures[name] for name in PARAMETERS])
        return start

    def solve(self, rows: np.ndarray) -> np.ndarray:
        start = self.start(rows)

        def residuals(point: np.ndarray) -> np.ndarray:
            errors = np.log(self.budget / self.epochs(point)[rows] / self.measured[rows])
            return np.concatenate([errors / TIME_SPREAD, (point - start) / FIGURE_SPREAD])

        solution: np.ndarray = least_squares(residuals, start, diff_step=1e-3).x
        return solution


def _by_rate(works: Mapping[Work, int]) -> list[tuple[Work, np.ndarray]]:
    """The works of each rate as one, of arrays, and how often each occurs."""
    groups = []
    for rate in {work.rate for work in works}:
        columns = np.array([(*work[1:], times) for work, times in works.items() if work.rate == rate], float).T
        flops, traffic, steps, times = columns
        groups.append((Work(rate, flops, traffic, steps), times))
    return groups


def _longest(work: Work, figures: Mapping[str, float]) -> np.ndarray:
    longest: np.ndarray = np.maximum.reduce(np.broadcast_arrays(*bounds(work, figures).values()))
    return longest
