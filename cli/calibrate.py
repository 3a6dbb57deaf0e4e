"""``lipcost calibrate``."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lipcost.costmodel import Device, find_device
from lipcost.costmodel.devices.device import ANCHOR, FIGURES
from lipcost.costmodel.text import readable
from lipcost.layers.networks.table import BATCH, CIFAR_IMAGES

from .formatting import print_table
from .options import Json, integer_option, print_json
from .progress import progress_bar

if TYPE_CHECKING:
    from lipcost.costmodel.devices.fit import EpochFit

FORMAT = "lipcost-fit/1"
HOURS = 2.0


def calibrate(
    *,
    output: Annotated[Path, typer.Option("-o", "--output", metavar="FILE", help="The profile to write, a .json.")],
    device: Annotated[str | None, typer.Option(help="What to measure: cpu or cuda; default: cpu.")] = None,
    epochs: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Fit to epoch counts, a .csv of size,method,epochs, instead of measuring."),
    ] = None,
    anchor: Annotated[
        str | None,
        typer.Option(metavar="NAME|FILE", help=f"With --epochs: whose figures hold else; default: {ANCHOR}."),
    ] = None,
    hours: Annotated[
        float | None, typer.Option(help=f"With --epochs: the budget counted in; default: {HOURS:g}.")
    ] = None,
    batch: Annotated[
        int | None, integer_option("-b", "--batch", help=f"With --epochs: batch size; default: {BATCH}.")
    ] = None,
    images: Annotated[
        int | None, integer_option("--images", help=f"With --epochs: in the training set; default: {CIFAR_IMAGES}.")
    ] = None,
    json: Json = False,
) -> None:
    """A device profile for `lipcost plan`: measured on this machine, or fitted to epoch counts.

    Measuring takes under a minute, on a machine that does nothing else.
    """
    if output.suffix != ".json":
        raise ValueError(f"--output takes a file that ends in .json, got {str(output)!r}")
    if not output.parent.is_dir():  # before a minute of measurements
        raise ValueError(f"--output: there is no folder {str(output.parent)!r}")
    settings = {"--anchor": anchor, "--hours": hours, "--batch": batch, "--images": images}
    if epochs is None:
        _refuse(settings, "goes with --epochs")
        profile = _measure("cpu" if device is None else device)
        profile.save(output)
        if json:
            print_json(profile.to_dict())
        else:
            _print_figures(profile)
    else:
        _refuse({"--device": device}, "is for measuring; with --epochs, --anchor names the device")
        start = find_device(ANCHOR if anchor is None else anchor)
        fit = _fit(
            epochs,
            start,
            hours=HOURS if hours is None else hours,
            b=BATCH if batch is None else batch,
            images=CIFAR_IMAGES if images is None else images,
        )
        fit.device.save(output)
        if json:
            print_json(_to_dict(fit, start))
        else:
            _print_fit(fit, start)
    if not json:
        print(f"\nProfile: {output}")


def _refuse(options: dict[str, Any], why: str) -> None:
    """Raise ValueError if one is given."""
    for name, value in options.items():
        if value is not None:
            raise ValueError(f"{name} {value} {why}")


def _measure(device: str) -> Device:
    from lipcost.validate.measure.calibrate import calibrate as measure

    with progress_bar() as advance:
        return measure(device, progress=advance)


def _print_figures(profile: Device) -> None:
    rows = [[name, amount(profile[name], unit), profile.figures[name].basis] for name, unit in FIGURES.items()]
    print_table(["figure", profile.name, "basis"], rows)
    print("", *(f"{name}: {value}" for name, value in profile.environment.items()), sep="\n")


def _fit(path: Path, anchor: Device, *, hours: float, **sizes: int) -> EpochFit:
    from lipcost.costmodel.devices.fit import fit_epochs, read_counts  # SciPy takes longer than the rest

    source = f"{path.name}, epochs in {hours:g} hours"  # the name alone: a profile travels
    fit = fit_epochs(read_counts(path), anchor=anchor, hours=hours, source=source, **sizes)
    return replace(fit, device=replace(fit.device, name=f"{anchor.name} fitted"))


def _print_fit(fit: EpochFit, start: Device) -> None:
    print(f"{len(fit.parameters)} free parameters; all other figures are the anchor's, {start.name}\n")
    rows = [
        [name, amount(value, FIGURES[name]), amount(start[name], FIGURES[name])]
        for name, value in fit.parameters.items()
    ]
    print_table(["parameter", "fitted", "anchor"], rows)
    print()
    table = [
        [
            row.count.size,
            row.count.method,
            f"{row.count.epochs:,g}",
            f"{row.epochs:,.1f}",
            f"{100 * row.error:+.1f}",
            f"{100 * row.held_out_error:+.1f}",
            f"{100 * row.shift:.1f}",
            "loading" if row.loading else "",
        ]
        for row in fit.rows
    ]
    print_table(["size", "method", "published", "fit", "error %", "left out %", "shift %", "floor"], table)
    print(f"\nError: median {100 * fit.median_error:.1f} %, largest {100 * fit.largest_error:.1f} %")


def _to_dict(fit: EpochFit, start: Device) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "device": fit.device.name,
        "anchor": start.name,
        "parameters": {
            name: {"value": value, "anchor": start[name], "unit": FIGURES[name]}
            for name, value in fit.parameters.items()
        },
        "rows": [
            {
                "size": row.count.size,
                "method": row.count.method,
                "epochs": row.count.epochs,
                "fit": row.epochs,
                "error": row.error,
                "held_out_error": row.held_out_error,
                "shift": row.shift,
                "loading": row.loading,
            }
            for row in fit.rows
        ],
        "median_error": fit.median_error,
        "largest_error": fit.largest_error,
    }


def amount(value: float, unit: str) -> str:
    """A figure to four digits, in the unit that suits it.

    >>> amount(9.73e13, "FLOP/s"), amount(1.79e-4, "s/image"), amount(512, "B")
    ('97.3 TFLOP/s', '179 µs/image', '512 B')
    """
    if unit[0] == "s":
        return f"{value * 1e6:.4g} µ{unit}" if value else f"0 {unit}"
    return readable(round(value), unit)
