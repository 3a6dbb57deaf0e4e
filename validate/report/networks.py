"""The report's sections about whole networks: exact costs, time on this machine, the published epoch counts."""

from __future__ import annotations

from itertools import groupby

from lipcost.costmodel.devices.device import ANCHOR, FIGURES
from lipcost.costmodel.devices.fit import Fitted
from lipcost.costmodel.text import readable

from ..compare.clock import BATCH, StepTime
from ..compare.networks import NETWORK, NetworkCase
from ..compare.published import HOURS, SOURCE, Published
from ..compare.results import Results
from ..compare.rows import TRACKER, Row, count
from ..measure.protocol import Mode
from .tables import Cell, Section, Table, comparisons, counted, head, in_bytes

Key = tuple[Mode, str]  # and a quantity

PEAK: Key = ("train", "peak_bytes")
SHOWN = ("parameters", "buffers", "inputs", "optimizer", "gradients", "activations", "temporaries")  # of a step's peak
FURTHER: dict[str, Key] = {
    "saved": ("train", "saved_bytes"),
    "peak, inference": ("inference", "peak_bytes"),
    "cache, inference": ("inference", "cache_bytes"),
}


def networks(results: Results) -> Section:
    """A training step and inference of a whole network: bytes by category, and predictions against measurements."""
    header = ["method", "b", "width", "peak of a step", *SHOWN, *FURTHER, "equal / compared"]
    note = (
        f"{NETWORK} on 32×32 images, float32: a training step (forward, loss, backward, SGD with momentum), and a call "
        "in inference with cached weights. The bytes are predicted; those live at the step's peak by category, where "
        "activations are what autograd keeps when the forward has ended, and temporaries all else. Compared are the "
        "quantities of the second table, integers all, for every batch size and both modes; flops_conv to "
        "flops_pointwise are all phases together."
    )
    by_method = groupby(results.networks, key=lambda row: row.case.method)
    tables = [
        Table(header, [_network(list(rows)) for _, rows in by_method]),
        comparisons(results.networks, results.methods),
    ]
    return Section("Whole networks", note, tables)


def _network(rows: list[Row[NetworkCase]]) -> list[Cell]:
    """What is predicted for the largest batch of one method's rows, and how many of all are equal."""
    case = max((row.case for row in rows), key=lambda case: case.b)
    at = [row for row in rows if row.case.b == case.b and row.by != TRACKER]
    predicted = {(row.case.mode, row.quantity): row.predicted for row in at}
    live = {name: size for row in at if row.case.mode == "train" for name, size in row.by_category.items()}
    return [
        *(head(case.method), Cell(str(case.b)), Cell(str(case.width)), in_bytes(predicted.get(PEAK))),
        *(in_bytes(live.get(name)) for name in SHOWN),
        *(in_bytes(predicted.get(key)) for key in FURTHER.values()),
        counted(count(rows)),
    ]


def clock(results: Results) -> Section:
    """Predicted and measured time of a training step."""
    found = results.clock
    rank = "–" if found.correlation is None else f"{found.correlation:.2f}"
    error = "–" if found.error is None else f"{100 * found.error:.0f} %"
    threads, (before, after) = found.device.environment["threads"], found.load
    note = (
        f"A training step of {NETWORK}, b={BATCH}{_width(found.steps)}, threads: {threads}. Predicted by the profile "
        "of this machine that was measured just before; measured by the clock, the median of the steps after one to "
        f"warm up. Spearman's rank correlation of both: {rank}; median |error|: {error}. Load average {before:.1f} "
        f"before and {after:.1f} after, 1 of it this run: whatever else runs distorts both. Nothing here passes or "
        "fails."
    )
    header = [
        "method",
        "bound by",
        "predicted ms",
        "measured ms",
        "fastest",
        "slowest",
        "steps",
        "predicted / measured",
    ]
    rows = [_step(step) for step in found.steps]
    rows += [[head(method), Cell(error, mark="bad"), *[Cell("–")] * 6] for method, error in found.failed.items()]
    return Section("Time on this machine", note, [Table(header, rows, numbers=2)])


def _width(steps: list[StepTime]) -> str:
    return f", width {steps[0].case.width}" if steps else ""


def _step(step: StepTime) -> list[Cell]:
    predicted = step.predicted
    share = getattr(predicted, predicted.bound) / predicted.total
    times = (predicted.total, step.median, min(step.measured), max(step.measured))
    return [
        *(head(step.case.method), Cell(f"{predicted.bound}, {100 * share:.0f} %")),
        *(Cell(f"{1000 * seconds:,.1f}", repr(seconds)) for seconds in times),
        *(Cell(str(len(step.measured))), Cell(f"{step.ratio:.2f}")),
    ]


def published(results: Results) -> Section:
    """The published epoch counts beside the model's, what was fitted, and other predictors."""
    found = results.published
    fitted = len(found.fit.parameters)
    note = (
        f"Epochs of CIFAR-10 that fit into {HOURS:g} hours, as {SOURCE} measured them on a GPU that they do not name. "
        f"Fitted to the counts are {fitted} figures of a device, all else is that of {ANCHOR}. Left out: the error if "
        "the row takes no part in the fit, and by how much the others then change at most. A row at the loading floor "
        "trains as fast as images load and says nothing about the model. Last, predictors of the time per step on the "
        "same rows: FLOPs are those of a whole step; the O(·) table is that of orders of growth, summed over the "
        "layers; each has one rate, fitted by the median of log ratios. rank: Spearman's correlation."
    )
    rows = Table(
        ["size", "method", "published", "by the model", "error", "error left out", "shift of others", "loading floor"],
        [_epochs(row) for row in found.fit.rows],
        numbers=2,
    )
    return Section("Published epoch counts", note, [rows, _parameters(found), _predictors(found)])


def _epochs(row: Fitted) -> list[Cell]:
    return [
        *(Cell(row.count.size), head(row.count.method), Cell(f"{row.count.epochs:g}"), Cell(f"{row.epochs:.0f}")),
        *(Cell(f"{100 * error:+.1f} %") for error in (row.error, row.held_out_error)),
        *(Cell(f"{100 * row.shift:.1f} %"), Cell("yes" if row.loading else "")),
    ]


def _parameters(found: Published) -> Table:
    values = [(name, value, found.anchor[name]) for name, value in found.fit.parameters.items()]
    rows = [[Cell(name, mark="head"), *(_figure(value, FIGURES[name]) for value in pair)] for name, *pair in values]
    return Table(["figure", "fitted", ANCHOR], rows)


def _figure(value: float, unit: str) -> Cell:
    text = f"{1e6 * value:.3g} µ{unit}" if unit.startswith("s") else readable(round(value), unit)
    return Cell(text, repr(value))


def _predictors(found: Published) -> Table:
    rows = [
        [
            *(Cell(each.name), Cell(str(each.free))),
            *(Cell(f"{100 * error:.1f} %") for error in (each.median_error, each.largest_error)),
            Cell(f"{each.correlation:.3f}"),
        ]
        for each in found.predictors
    ]
    return Table(["predictor", "fitted parameters", "median |error|", "largest |error|", "rank"], rows)
