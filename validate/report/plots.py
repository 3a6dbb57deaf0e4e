"""The plots of the report, as SVG text without outside references."""

from __future__ import annotations

import io
from collections.abc import Iterable
from typing import Any, NamedTuple

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lipcost.costmodel import DEFAULTS, METHODS, PUBLISHED
from lipcost.costmodel.text import PLOT_STYLE, readable
from lipcost.layers import LAYERS

from ..compare.networks import NETWORK
from ..compare.predicted import GROWTH, RATIOS, SIZES
from ..compare.results import Results
from ..compare.rows import PROFILER, TRACKER

STYLE: dict[Any, Any] = dict(PLOT_STYLE)
HOLLOW = "XS"
GROWING = {"b": "batch b", "s": "image side s"}


class Look(NamedTuple):
    """How a method is drawn: the published algorithm as the library's own, but hollow and dashed."""

    colour: str
    marker: str
    face: str
    line: str


def look(method: str) -> Look:
    """Of one of METHODS."""
    own = method.removesuffix(PUBLISHED)
    layer = LAYERS[own]
    face, line = (layer.colour, "-") if method == own else ("none", "--")
    return Look(layer.colour, layer.marker, face, line)


def diagonal(results: Results) -> tuple[Figure, str]:
    """Predicted against measured peak of every configuration, in plain eager and under a dispatch mode."""
    figure = Figure(figsize=(12.6, 5.6), layout="constrained")
    peaks = [row for row in results.rows if row.quantity == "peak_bytes"]
    sizes = [value for row in peaks for value in (row.predicted, row.measured) if value]
    for axes, by in zip(figure.subplots(1, 2), (PROFILER, TRACKER), strict=True):
        if sizes:
            ends = [min(sizes) / 2, max(sizes) * 2]
            axes.plot(ends, ends, color="#999999", linewidth=1, zorder=1)
        for method in results.methods:
            points = [(r.predicted, r.measured) for r in peaks if r.case.method == method and r.by == by]
            colour, marker, face, _ = look(method)
            style: dict[str, Any] = {"facecolors": face, "edgecolors": colour, "marker": marker}
            x, y = np.array(points).reshape(-1, 2).T
            axes.scatter(x, y, s=30, alpha=0.7, **style)
            axes.scatter([], [], s=40, label=METHODS[method].title, **style)
        axes.set(xscale="log", yscale="log", xlabel="predicted peak", ylabel=f"measured: {by}", aspect="equal")
        _byte_ticks(axes, "x", sizes)
        _byte_ticks(axes, "y", sizes)
    figure.legend(*figure.axes[0].get_legend_handles_labels(), loc="outside right center")
    off = sum(not row.matches for row in peaks)
    return figure, f"Peak bytes, {len(peaks):,} measurements; off the diagonal: {off:,}."


def times(results: Results) -> tuple[Figure, str]:
    """Predicted against measured time per step: on this machine, and as published."""
    figure = Figure(figsize=(12.6, 5.6), layout="constrained")
    left, right = figure.subplots(1, 2)
    model = results.published.predictors[0]
    counts = [row.count for row in results.published.fit.rows]
    here = [Point(step.case.method, step.predicted.total, step.median) for step in results.clock.steps]
    there = [
        Point(count.method, predicted, measured, hollow=count.size == HOLLOW)
        for count, predicted, measured in zip(counts, model.seconds, model.measured, strict=True)
    ]
    _points(left, here, f"{NETWORK} on this machine")
    _points(right, there, f"published, on a GPU (hollow: size {HOLLOW})")
    for method in DEFAULTS:
        colour, marker, *_ = look(method)
        left.scatter([], [], s=40, color=colour, marker=marker, label=METHODS[method].title)
    figure.legend(*left.get_legend_handles_labels(), loc="outside right center")
    return figure, "Time of a training step: by the profile measured here, and as fitted to the published epoch counts."


class Point(NamedTuple):
    """A time predicted and measured, in seconds."""

    method: str
    predicted: float
    measured: float
    hollow: bool = False


def _points(axes: Axes, points: list[Point], title: str) -> None:
    seconds = [second for point in points for second in (point.predicted, point.measured)]
    if seconds:
        ends = [min(seconds) / 1.5, max(seconds) * 1.5]
        axes.plot(ends, ends, color="#999999", linewidth=1, zorder=1)
    for point in points:
        colour, marker, *_ = look(point.method)
        face = "none" if point.hollow else colour
        axes.scatter(point.predicted, point.measured, s=60, marker=marker, facecolors=face, edgecolors=colour)
    labels = {"xlabel": "predicted seconds per step", "ylabel": "measured", "title": title}
    axes.set(xscale="log", yscale="log", aspect="equal", **labels)


def ratios(results: Results) -> tuple[Figure, str]:
    """What a method costs, relative to the plain convolution."""
    predicted = results.predicted.ratios
    figure = Figure(figsize=(12.6, 1.2 + 0.42 * max(len(predicted), 3)), layout="constrained")
    names = [METHODS[m].title for m in predicted]
    for axes, title in zip(np.atleast_1d(figure.subplots(1, len(RATIOS), sharey=True)), RATIOS, strict=True):
        values = [ratios[title] for ratios in predicted.values()]
        axes.axvline(1, color="#222222", linewidth=1, linestyle="--")
        looks = [look(m) for m in predicted]
        style: dict[str, Any] = {"color": [each.face for each in looks], "edgecolor": [each.colour for each in looks]}
        bars = axes.barh(names, values, height=0.65, **style)
        box = {"facecolor": "white", "edgecolor": "none", "pad": 1}
        axes.bar_label(bars, [f"{value:.2f}×" for value in values], padding=4, bbox=box)
        axes.set(title=title, xlim=(0, 1.3 * max(values, default=1)))
        axes.grid(visible=False, axis="y")
        axes.title.set_size(12)
    figure.axes[0].invert_yaxis()
    return figure, f"Predicted training cost, torch.nn.Conv2d with circular padding = 1 (dashed); {_sizes(SIZES)}."


def growth(results: Results) -> tuple[Figure, str]:
    """How the predicted peak grows with the batch and with the image."""
    figure = Figure(figsize=(12.6, 4.8), layout="constrained")
    for axes, (name, (values, sizes)) in zip(figure.subplots(1, 2), GROWTH.items(), strict=True):
        peaks = []
        for method, line in results.predicted.growth[name].items():
            colour, marker, face, dashes = look(method)
            style: dict[str, Any] = {"color": colour, "marker": marker, "markerfacecolor": face, "linestyle": dashes}
            axes.plot(values, line, markersize=5, label=METHODS[method].title, **style)
            peaks += line
        axes.set(
            xscale="log", yscale="log", xlabel=f"{GROWING[name]}   ({_sizes(sizes, name)})", ylabel="predicted peak"
        )
        axes.set_xticks(values, [str(value) for value in values])
        axes.minorticks_off()
        _byte_ticks(axes, "y", peaks)
    figure.legend(*figure.axes[0].get_legend_handles_labels(), loc="outside right center")
    return figure, "Predicted peak bytes in training: methods that transform every frequency pay for the image's side."


FIGURES = {"diagonal": diagonal, "times": times, "ratios": ratios, "growth": growth}


def draw(name: str, results: Results) -> tuple[str, str]:
    """One of FIGURES as SVG, and its caption.

    Args:
        name: key of FIGURES.
        results: what a validation found.
    """
    with mpl.rc_context(STYLE):
        figure, caption = FIGURES[name](results)
        file = io.StringIO()
        figure.savefig(file, format="svg", metadata={"Date": None})
    return file.getvalue(), caption


def _byte_ticks(axes: Axes, which: str, values: Iterable[int]) -> None:
    """Ticks at powers of two, at most nine of them."""
    exponents = [value.bit_length() for value in values]
    if not exponents:
        return
    low, high = min(exponents) - 1, max(exponents)
    step = next(step for step in (1, 2, 5, 10, 20) if (high - low) / step <= 8)
    ticks = [2**e for e in range(step * (low // step), high + step, step)]
    axes.set(**{f"{which}ticks": ticks, f"{which}ticklabels": [readable(tick, "B") for tick in ticks]})
    axes.minorticks_off()


def _sizes(sizes: dict[str, int], without: str = "") -> str:
    return ", ".join(f"{name}={value}" for name, value in sizes.items() if name != without)
