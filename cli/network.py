"""``lipcost network``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from lipcost.costmodel.text import column, readable, unit
from lipcost.layers.networks.table import find_network

from .formatting import print_table
from .options import Dtype, Json, Mode, check_early, integer_option, print_json

if TYPE_CHECKING:
    from lipcost.costmodel import NetworkPrediction

COMPARED = {
    "train": {"flops_forward": "fwd", "flops_backward": "bwd", "saved_bytes": "saved", "peak_bytes": "peak"},
    "inference": {"flops_forward": "fwd", "cache_bytes": "cache", "peak_bytes": "peak"},
}
SHOWN = (
    "parameter_bytes",
    "buffer_bytes",
    "gradient_bytes",
    "optimizer_bytes",
    "cache_bytes",
    "saved_bytes",
    "peak_bytes",
)


def network(
    net: Annotated[str, typer.Argument(metavar="NET", help="ConvNetXS, S, M, L or, for Tiny ImageNet, TConvNetXS ….")],
    methods: Annotated[
        list[str] | None, typer.Argument(metavar="[METHOD]...", help="Default: all, by the library's own algorithms.")
    ] = None,
    *,
    b: Annotated[int, integer_option("-b", "--batch", help="Batch size.")] = 256,
    s: Annotated[int | None, integer_option("-s", "--size", help="Image side; default: the data set's.")] = None,
    width: Annotated[int | None, integer_option("--width", help="Another width.")] = None,
    classes: Annotated[int | None, integer_option("--classes", help="Default: the data set's.")] = None,
    mode: Mode = "train",
    optimizer: Annotated[str, typer.Option(help="sgd, sgd-momentum, adam or adamw.")] = "sgd-momentum",
    weight_decay: Annotated[bool, typer.Option(help="Whether the optimizer has one.")] = False,
    dtype: Dtype = "float32",
    device: Annotated[str | None, typer.Option(help="A shipped device or a profile, for the time.")] = None,
    json: Json = False,
) -> None:
    """What a network's training step costs, with loss and optimizer: FLOPs, and memory by category.

    One METHOD is shown in full, several are shown side by side.
    """
    from lipcost.costmodel import DEFAULTS, find_device, predict_network
    from lipcost.costmodel.networks.optimizers import find_optimizer

    names = list(dict.fromkeys(methods or DEFAULTS))
    find_network(net)
    find_optimizer(optimizer)
    check_early(names, mode=mode, dtype=dtype, b=b, s=s, width=width, classes=classes)
    how: dict[str, Any] = {"b": b, "s": s, "width": width, "classes": classes, "mode": mode, "dtype": dtype}
    how |= {"optimizer": optimizer, "weight_decay": weight_decay, "device": find_device(device) if device else None}
    found = {name: predict_network(net, name, **how) for name in names}
    if json:
        data = {name: p.to_dict() for name, p in found.items()}
        print_json(data if len(names) > 1 else data[names[0]])
    elif len(names) == 1:
        _print_one(found[names[0]])
    else:
        _print_many(found, mode)


def _print_one(p: NetworkPrediction) -> None:
    with_optimizer = f", {p.optimizer}" if p.optimizer else ""
    print(f"{p.network} of {p.method}: {p.mode}, b={p.b}, {p.c_in}×{p.h}×{p.w}, {p.dtype}{with_optimizer}\n")
    phases = ("forward", "backward", "optimizer") if p.mode == "train" else ("forward",)
    quantities = [f"{name}_{phase}" for name in ("macs", "flops", "traffic", "launches") for phase in phases]
    values = {name: getattr(p, name) for name in (*quantities, *SHOWN)}
    print_table(
        ["quantity", "readable", "exact"],
        [[name, readable(value, unit(name)), f"{value:,}"] for name, value in values.items() if value],
    )
    print("\nLive at the peak:\n")
    live = {name: size for name, size in p.by_category.items() if size}
    print_table(["category", "readable", "exact"], [[n, readable(v, "B"), f"{v:,}"] for n, v in live.items()])
    if p.time is not None:
        parts = ", ".join(f"{name} {1000 * getattr(p.time, name):.2f}" for name in ("compute", "bandwidth", "launches"))
        print(f"\n{1000 * p.time.total:.2f} ms per step: {parts}; loading {1000 * p.time.loading:.2f} beside them")


def _print_many(found: dict[str, NetworkPrediction], mode: str) -> None:
    header, columns = ["method"], [list(found)]
    for quantity, title in COMPARED[mode].items():
        name, cells = column([getattr(p, quantity) for p in found.values()], unit(quantity))
        header.append(f"{title} {name}")
        columns.append(cells)
    if all(p.seconds is not None for p in found.values()):
        header.append("ms")
        columns.append([f"{1000 * (p.seconds or 0):,.1f}" for p in found.values()])
    print_table(header, list(zip(*columns, strict=True)))
