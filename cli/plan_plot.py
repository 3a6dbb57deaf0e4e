"""The plot of ``lipcost plan``: memory against the batch, time against the size. Loads matplotlib."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, Locator, LogLocator, NullLocator

from lipcost.costmodel import METHODS, PUBLISHED, Device, Plan
from lipcost.costmodel.network_cost import on_gpu
from lipcost.costmodel.networks.workload import workload
from lipcost.costmodel.planning.batches import Batches
from lipcost.costmodel.text import PLOT_STYLE, readable

STYLE: dict[Any, Any] = {**PLOT_STYLE, "lines.markersize": 7}
GREY = "#555555"


def look(method: str) -> tuple[str, str, str]:
    """A method's colour, marker and line: the published algorithm has the library's own, dashed."""
    own = METHODS[method.removesuffix(PUBLISHED)]
    return own.colour, own.marker, "--" if method.endswith(PUBLISHED) else "-"


def draw(
    path: Path, family: dict[str, list[Plan]], network: str, *, device: Device, memory: int, how: dict[str, Any]
) -> None:
    """Write the plot.

    Args:
        path: of a .png, .svg or .pdf.
        family: the plans of each of the networks to compare.
        network: the one of them whose memory to draw.
        device: of the plans.
        memory: bytes that tensors may take on it.
        how: the keywords of ``workload`` that the plans were made with.
    """
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(12.6, 5.2), layout="constrained")
        left, right = figure.subplots(1, 2)
        _peaks(left, network, family[network], device=device, memory=memory, how=how)
        _times(right, family, device)
        handles, labels = left.get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside right center")
        figure.savefig(path, dpi=150)


def _peaks(axes: Axes, network: str, plans: list[Plan], *, device: Device, memory: int, how: dict[str, Any]) -> None:
    """Peak memory against the batch, from one image to beyond what fits and what was asked."""
    b = plans[0].b
    octaves = range(max(b, *(p.max_batch for p in plans)).bit_length() + 1)
    batches = sorted({2**i for i in octaves} | {3 * 2**i for i in octaves[:-2]})
    for p in _in_order(plans):
        task, rounding = workload(network, p.method, foreach=on_gpu(device), **how), int(device["rounding"])
        of_any = Batches(task)
        peaks = [of_any.peak(n, rounding) for n in batches]
        colour, marker, dashes = look(p.method)
        style: dict[str, Any] = {"color": colour, "marker": marker, "linestyle": dashes}
        every = [batches.index(2**i) for i in octaves[::2]]
        axes.plot(batches, peaks, markevery=every, label=METHODS[p.method].title, **style)
    axes.axhline(memory, color=GREY, linestyle="--", zorder=1)
    axes.axvline(b, color=GREY, linestyle=":", zorder=1)
    axes.text(1.01, memory, readable(memory, "B"), color=GREY, va="center", transform=axes.get_yaxis_transform())
    axes.set_xscale("log", base=2)
    axes.set_yscale("log", base=2)
    axes.set(xlabel=f"batch size (dotted: {b:,})", ylabel="peak (dashed: what tensors may take)")
    axes.set_title(f"{network} on {device.name}: memory of a training step")
    _ticks(axes.xaxis, LogLocator(4, numticks=12), lambda value: f"{value:.0f}")
    _ticks(axes.yaxis, LogLocator(4, numticks=12), lambda value: readable(round(value), "B"))


def _times(axes: Axes, family: dict[str, list[Plan]], device: Device) -> None:
    """Time of a step against the size of the network, hollow where the memory does not suffice."""
    rows = list(zip(*map(_in_order, family.values()), strict=True))
    for row in rows:
        colour, marker, dashes = look(row[0].method)
        axes.plot(list(family), [p.seconds_per_step for p in row], color=colour, linestyle=dashes)
        for size, p in zip(family, row, strict=True):
            face = colour if p.fits else "white"
            axes.plot(size, p.seconds_per_step, color=colour, marker=marker, markerfacecolor=face)
    b = rows[0][0].b
    axes.set(
        yscale="log",
        xlabel="network (hollow: does not fit)",
        ylabel="time",
        title=f"Time of a training step, batch {b:,}",
    )
    if device["loading"]:
        axes.axhline(b * device["loading"], color=GREY, linestyle="--", zorder=1)
        axes.set_ylabel("time (dashed: loading the images)")
    _ticks(axes.yaxis, LogLocator(10, subs=(1, 2, 5)), lambda value: f"{value:g} s")


def _ticks(axis: Axis, locator: Locator, text: Callable[[float], str]) -> None:
    axis.set_major_locator(locator)
    axis.set_major_formatter(FuncFormatter(lambda value, _: text(value)))
    axis.set_minor_locator(NullLocator())


def _in_order(plans: Sequence[Plan]) -> list[Plan]:
    """In METHODS's order, whatever the plans' ranks."""
    return sorted(plans, key=lambda p: list(METHODS).index(p.method))
