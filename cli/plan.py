"""``lipcost plan``."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any

import typer

from lipcost import costmodel
from lipcost.costmodel import Device, Plan
from lipcost.costmodel.devices.device import FIGURES
from lipcost.costmodel.networks.optimizers import find_optimizer
from lipcost.layers.networks.table import BATCH, CIFAR_IMAGES, find_network

from .formatting import print_table
from .options import Dtype, Json, check_early, integer_option, print_json

FORMAT = "lipcost-plan/1"
PLOTS = (".png", ".svg", ".pdf")
GIB = 2**30
DURATIONS = (("d", 86400, "h", 3600), ("h", 3600, "m", 60), ("m", 60, "s", 1))


def plan(
    *,
    net: Annotated[str, typer.Option(help="ConvNetXS, S, M or L, or TConvNetXS … for Tiny ImageNet; M for short.")],
    hours: Annotated[float, typer.Option(help="The budget of training time, by the clock.")],
    gpu: Annotated[str | None, typer.Option(metavar="NAME", help="A shipped device.")] = None,
    device: Annotated[
        str | None, typer.Option(metavar="FILE", help="A profile, as `lipcost calibrate` writes; or a shipped device.")
    ] = None,
    methods: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME[,NAME]...", help="Methods; default: the library's own. May be repeated."),
    ] = None,
    batch: Annotated[int, integer_option("-b", "--batch", help="Batch size.")] = BATCH,
    images: Annotated[int, integer_option("--images", help="Images in the training set.")] = CIFAR_IMAGES,
    size: Annotated[
        int | None, integer_option("-s", "--size", help="Image side; default: that of the network's data set.")
    ] = None,
    classes: Annotated[
        int | None, integer_option("--classes", help="Classes; default: those of the network's data set.")
    ] = None,
    optimizer: Annotated[str, typer.Option(help="sgd, sgd-momentum, adam or adamw.")] = "sgd-momentum",
    weight_decay: Annotated[bool, typer.Option(help="Whether the optimizer has weight decay.")] = False,
    dtype: Dtype = "float32",
    plot: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Draw memory and time into a .png, .svg or .pdf.")
    ] = None,
    json: Json = False,
) -> None:
    """Which methods fit a device's memory, and how many epochs of training a budget of time allows.

    Those that fit come first, by their epochs. docs/planning.md explains the columns.
    """
    if (gpu is None) == (device is None):
        raise ValueError(f"give --gpu or --device, one of them; shipped devices: {', '.join(costmodel.DEVICES)}")
    if plot is not None and plot.suffix not in PLOTS:
        raise ValueError(f"--plot takes a file that ends in {', '.join(PLOTS)}, got {str(plot)!r}")
    profile = costmodel.find_device(gpu or device or "")
    network = find_network(net)
    names = list(dict.fromkeys(name for each in methods or costmodel.DEFAULTS for name in each.split(",")))
    find_optimizer(optimizer)
    check_early(names, dtype=dtype, b=batch, images=images, s=size, classes=classes)
    asked: dict[str, Any] = {"device": profile, "hours": hours, "images": images, "b": batch}
    how: dict[str, Any] = {
        "s": size,
        "classes": classes,
        "optimizer": optimizer,
        "weight_decay": weight_decay,
        "dtype": dtype,
    }
    plans = costmodel.plan(network, names, **asked, **how)
    memory = profile.available
    if plot is not None:
        from .plan_plot import draw  # matplotlib takes longer than the rest

        family = {}
        for name in costmodel.CONV_NETS:
            if name.startswith(network.rstrip("XSML")):
                with suppress(ValueError):  # a small one may have too few channels for the classes
                    family[name] = plans if name == network else costmodel.plan(name, names, **asked, **how)
        draw(plot, family, network, device=profile, memory=memory, how=how)
    if json:
        print_json(
            {
                "format": FORMAT,
                "network": network,
                "device": profile.name,
                "hours": hours,
                "batch": batch,
                "images": images,
                "optimizer": optimizer,
                "memory_bytes": memory,
                "plans": [each.to_dict() for each in plans],
            }
        )
    else:
        decay = " with weight decay" if weight_decay else ""
        print(f"{network} on {profile.name}: {memory / GIB:,.1f} GiB for tensors, rates {_bases(profile)}")
        print(f"batch {batch:,}, {images:,} images, {hours:g} h, {optimizer}{decay}, {dtype}\n")
        _print(plans, hours)
        if plot is not None:
            print(f"\nPlot: {plot}")


def _print(plans: list[Plan], hours: float) -> None:
    """The table, why a method does not fit, and what is missing if none serves."""
    print_table(
        ["method", "fits", "peak GiB", "max b", "s/step", "epoch", "epochs", "bound"],
        [
            [p.method, "yes" if p.fits else "no", f"{p.allocated_bytes / GIB:,.2f}", f"{p.max_batch:,}", *_times(p)]
            for p in plans
        ],
    )
    left_out = [f"{p.method}: {p.reason}" for p in plans if not p.fits]
    if left_out:
        print("", *left_out, sep="\n")
    best, least = plans[0], min(plans, key=lambda p: p.allocated_bytes)
    if not best.fits:
        which = "this batch" if any(p.max_batch for p in plans) else "even one image"
        needed = f"{least.method} needs least, {least.allocated_bytes / GIB:,.1f} GiB for a batch of {least.b:,}"
        print(f"\nNo method fits {which}: {needed}.")
    elif best.epochs < 1:
        needed = f"{best.method}, the fastest, needs {duration(best.seconds_per_epoch)}"
        print(f"\nNo method finishes one epoch in {duration(hours * 3600)}: {needed}.")


def _times(p: Plan) -> list[str]:
    """The cells that mean something only where the batch fits."""
    if not p.fits:
        return ["–"] * 4
    # Cut, not rounded: never more than the budget allows.
    epochs = f"{int(p.epochs):,}" if p.epochs >= 100 else f"{int(10 * p.epochs) / 10:.1f}"
    digits = max(0, 3 - len(str(int(p.seconds_per_step)))) if p.seconds_per_step >= 1 else 4
    return [f"{p.seconds_per_step:,.{digits}f}", duration(p.seconds_per_epoch), epochs, p.bound]


def duration(seconds: float) -> str:
    """Time as people read it, in two units.

    >>> duration(4.2637), duration(637.1), duration(2 * 86400 + 3600)
    ('4.26 s', '10m 37s', '2d 1h')
    """
    for name, size, rest_name, rest_size in DURATIONS:
        if seconds >= size:
            whole, rest = divmod(round(seconds / rest_size), size // rest_size)
            return f"{whole:,}{name} {rest}{rest_name}"
    return f"{seconds:.3g} s"


def _bases(device: Device) -> str:
    """What the times rest on: measured, fitted or estimated figures."""
    rates = [name for name, unit in FIGURES.items() if unit != "B" and not name.startswith("peak")]
    return " and ".join(sorted({device.figures[name].basis for name in rates}, reverse=True))
