"""The tables of the report, the same for HTML and Markdown."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import groupby
from typing import Any

from lipcost.costmodel import METHODS
from lipcost.costmodel.tape.versions import outside
from lipcost.costmodel.text import readable, unit

from ..compare.predicted import FORMULAS, ORDERS
from ..compare.results import Results
from ..compare.rows import DISPATCH, FVCORE, HOOKS, PROFILER, Row
from ..compare.soundness import Outcome
from .networks import clock, networks, published
from .tables import Cell, Section, Table, comparisons, head, in_bytes

EXAMPLE = {
    "macs_forward": FVCORE,
    "macs_backward": DISPATCH,
    "flops_forward": DISPATCH,
    "flops_backward": DISPATCH,
    "traffic_forward": DISPATCH,
    "launches_forward": DISPATCH,
    "saved_bytes": HOOKS,
    "peak_bytes": PROFILER,
}
BESIDE = ("scratch_bytes", "host_scalar_bytes")
ROUNDING = 1e-9  # below this an excess is the singular values' own rounding


def sections(results: Results) -> list[Section]:
    """Everything the report shows below the verdict, in order.

    Args:
        results: what a validation found.

    Returns:
        The sections, with every table filled in.
    """
    parts: Sequence[Callable[[Results], Section]] = (
        _environment,
        _comparisons,
        _mismatches,
        _worked_example,
        networks,
        clock,
        published,
        _orders,
        _formulas,
        _figures,
        _guarantees,
        _beside,
    )
    return [part(results) for part in parts]


def _environment(results: Results) -> Section:
    run = {"date": results.date, "seed": str(results.seed), "grid": "quick" if results.quick else "full"}
    listed = " · ".join(" ".join(item) for item in {**results.environment, **run}.items())
    return Section("Environment", f"{listed}. {outside(results.environment['torch'])}".removesuffix(". "))


def _comparisons(results: Results) -> Section:
    note = (
        "Equal / compared, integers both. flops_conv to flops_pointwise are forward and backward together. The peak is "
        "predicted twice: as plain eager sums gradients, in place, and as autograd does under a dispatch mode. A row "
        "“…, formula” puts numbers into the closed form below (training, float32, bias, c_in = c_out)."
    )
    return Section("Formulas against measurements", note, [comparisons(results.layers, results.methods)])


def _mismatches(results: Results) -> Section:
    if results.passed:
        return Section("Mismatches", "None.")
    tables = []
    if results.mismatches:
        header = ["configuration", "quantity", "measured by", "predicted", "measured", "difference"]
        tables.append(Table(header, [_mismatch(row) for row in results.mismatches], numbers=3))
    if results.broken:
        header = ["layer", "state", "mode", "claim", "smallest σ", "upper bound", "pairs", "error"]
        tables.append(Table(header, [_broken(outcome) for outcome in results.broken], numbers=4))
    return Section("Mismatches", "Exact figures; the difference is measured minus predicted.", tables)


def _mismatch(row: Row[Any]) -> list[Cell]:
    if row.error is not None:
        return [Cell(str(row.case)), Cell(row.quantity), Cell(row.error, mark="bad"), *[Cell("")] * 3]
    figures = (f"{row.predicted:,}", f"{row.measured:,}", f"{row.difference:+,}")
    return [Cell(str(row.case)), Cell(row.quantity), Cell(row.by), *(Cell(text, mark="bad") for text in figures)]


def _broken(outcome: Outcome) -> list[Cell]:
    case = outcome.case
    texts = (f"{case.subject.name} {case.shape}", case.kind, case.mode, case.claim.promise)
    figures = [repr(value) for value in (outcome.smallest, outcome.sigma, outcome.pairs)]
    return [Cell(text) for text in (*texts, *figures, outcome.error or ("" if outcome.finite else "not finite"))]


def _worked_example(results: Results) -> Section:
    case = results.example(results.methods[0])
    rows = []
    for method in results.methods:
        found = {(row.quantity, row.by): row for row in results.of(method) if row.case == results.example(method)}
        for side in ("predicted", "measured"):
            head = [Cell(METHODS[method].title if side == "predicted" else "", mark="head"), Cell(side)]
            rows.append(head + [_figure(found.get(key), side) for key in EXAMPLE.items()])
    note = f"b={case.b}, s={case.s}, c={case.c_in}, k={case.k}, {case.dtype}, training, default iteration counts."
    return Section("One configuration", note, [Table(["method", "", *EXAMPLE], rows, numbers=2)])


def _figure(row: Row[Any] | None, side: str) -> Cell:
    if row is None or row.predicted is None or row.measured is None:
        return Cell("–", mark="bad")
    value = row.predicted if side == "predicted" else row.measured
    mark = "" if side == "predicted" else "good" if row.matches else "bad"
    return Cell(readable(value, unit(row.quantity)), f"{value:,}", mark)


def _orders(results: Results) -> Section:
    rows = [[head(m), *(Cell(orders[q]) for q in ORDERS)] for m, orders in results.predicted.orders.items()]
    note = "Leading terms of the formulas, kernel size and iteration counts constant, logarithms taken as constants."
    return Section("Orders of growth", note, [Table(["method", "FLOPs, forward", "memory"], rows, numbers=3)])


def _formulas(results: Results) -> Section:
    rows = [
        [
            Cell(METHODS[m].title if q == FORMULAS[0] else "", mark="head"),
            Cell(q),
            Cell(formulas[q], mark="formula"),
        ]
        for m, formulas in results.predicted.formulas.items()
        for q in FORMULAS
    ]
    note = "Training, float32, c_in = c_out = c, with bias; iteration counts by the name of the layer's argument."
    return Section("Formulas", note, [Table(["method", "quantity", "formula"], rows, numbers=3)])


def _figures(results: Results) -> Section:
    return Section("Plots", "", figures=["diagonal", "times", "ratios", "growth"])


def _guarantees(results: Results) -> Section:
    rows = []
    for _, of_method in groupby(results.soundness, key=lambda each: each.case.subject.method):
        states: dict[tuple[str, str, str], list[Outcome]] = {}
        for each in of_method:
            states.setdefault((each.case.claim.promise, each.case.kind, each.case.mode), []).append(each)
        rows += [_state(group, first=i == 0) for i, group in enumerate(states.values())]
    figures = ["smallest σ", "largest σ", "pairs", "upper bound", "excess", "kept"]
    header = ["method", "claim", "state", "mode", "layers", *figures]
    note = (
        "Float64; each figure is the worst over the layers of its row. Singular values σ of the Jacobian at random "
        "points; pairs: the largest ratio of distances seen, a lower bound of the Lipschitz constant; excess: upper "
        "bound minus 1. A claim is kept to 1e-6, but orthogonality to 1e-5 where it is claimed in eval only. CPL and "
        "SOC as published have no bound, as power iterations estimate their norms from below; by what they exceed 1 "
        "is measured, not judged."
    )
    return Section("Guarantees", note, [Table(header, rows, numbers=4)])


def _state(group: list[Outcome], first: bool) -> list[Cell]:
    case = group[0].case
    worst = max(each.excess for each in group)
    figures = (
        min(each.smallest for each in group),
        *(max(getattr(each, name) for each in group) for name in ("largest", "pairs", "sigma")),
    )
    kept = [each.holds for each in group]
    verdict = Cell("no", mark="bad") if False in kept else Cell("–") if None in kept else Cell("yes", mark="good")
    excess = Cell("0") if worst < ROUNDING else Cell(f"{worst:.3g}", repr(worst), "warn")
    return [
        Cell(METHODS[case.subject.method].title if first else "", mark="head"),
        *(Cell(text) for text in (case.claim.promise, case.kind, case.mode, str(len(group)))),
        *(Cell("–" if math.isnan(figure) else f"{figure:.6f}", repr(figure)) for figure in figures),
        excess,
        verdict,
    ]


def _beside(results: Results) -> Section:
    rows = []
    for method in results.methods:
        measured = [row for row in results.of(method) if row.beside]
        at = [row for row in measured if row.case == results.example(method)]
        figures = [at[0].predicted if at else None, *(at[0].beside[name] if at else None for name in BESIDE)]
        figures += [max((row.beside[name] for row in measured), default=None) for name in BESIDE]
        rows.append([head(method), *map(in_bytes, figures)])
    header = ["method", "peak_bytes by formula", "scratch", "host scalars", "scratch, largest", "host scalars, largest"]
    note = (
        "Measured with the peak and in no formula: what operators allocate and free themselves (the convolution "
        "backend's choice, by which the peak would be higher), and Python scalars wrapped as tensors. First for the "
        "configuration above, then the largest of the run."
    )
    return Section("Beside the formulas", note, [Table(header, rows)])
