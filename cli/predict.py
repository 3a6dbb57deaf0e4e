"""``lipcost predict``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from lipcost.costmodel.text import column, readable, unit

from .formatting import print_table
from .options import Bias, Dtype, Json, Mode, PaddingMode, check_early, integer_option, print_json, settings

if TYPE_CHECKING:
    from lipcost.costmodel import Prediction

# The columns that fit a terminal of 80; one method alone is shown with every quantity.
COMPARED = {
    "train": {
        "macs_forward": "fwd",
        "flops_forward": "fwd",
        "flops_backward": "bwd",
        "saved_bytes": "saved",
        "peak_bytes": "peak",
    },
    "inference": {"macs_forward": "fwd", "flops_forward": "fwd", "cache_bytes": "cache", "peak_bytes": "peak"},
}


def predict(
    methods: Annotated[
        list[str] | None, typer.Argument(metavar="METHOD", help="Methods; `lipcost table` lists them.")
    ] = None,
    *,
    b: Annotated[int, integer_option("-b", "--batch", help="Batch size.")],
    s: Annotated[int | None, integer_option("-s", "--size", help="Image side.")] = None,
    height: Annotated[int | None, integer_option("--height", help="Image height, where it is not the side.")] = None,
    width: Annotated[int | None, integer_option("--width", help="Image width, likewise.")] = None,
    c: Annotated[int, integer_option("-c", "--channels", help="Input channels.")],
    c_out: Annotated[int | None, integer_option(help="Output channels; default: as many as input channels.")] = None,
    k: Annotated[int, integer_option("-k", "--kernel", help="Kernel side.")] = 3,
    stride: Annotated[int, integer_option("--stride", help="Stride, of the library's own algorithms.")] = 1,
    padding_mode: PaddingMode = None,
    mode: Mode = "train",
    dtype: Dtype = "float32",
    bias: Bias = True,
    iterations: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=INTEGER", help="A method's iteration count, e.g. terms=12. Repeatable."),
    ] = None,
    all_methods: Annotated[
        bool,
        typer.Option("--all", help="Every method, by the library's own algorithm; those that cannot, with the reason."),
    ] = False,
    json: Json = False,
) -> None:
    """What one layer costs: exact counts of MACs, FLOPs, bytes and kernel launches.

    One METHOD is shown in full, several are shown side by side.
    """
    from lipcost import costmodel  # keeps `lipcost --help` quick

    if all_methods and methods:
        raise ValueError(f"give METHOD or --all, not both; got {' '.join(methods)} and --all")
    if not (all_methods or methods):
        raise ValueError(f"give METHOD or --all; methods: {', '.join(costmodel.METHODS)}")
    names = list(costmodel.DEFAULTS) if all_methods else list(dict.fromkeys(methods or []))
    if s is None and (height is None or width is None):
        raise ValueError("the sides of the image are missing: give --size, or --height and --width")
    sizes = {"b": b, "s": s, "h": height, "w": width, "c": c, "c_out": c_out, "k": k, "stride": stride}
    check_early(names, mode=mode, dtype=dtype, **sizes)
    values = settings(iterations or [], names)
    how: dict[str, Any] = sizes | {"padding_mode": padding_mode, "mode": mode, "dtype": dtype, "bias": bias}

    predictions: dict[str, Prediction] = {}
    reasons: dict[str, str] = {}
    for name in names:
        cls = costmodel.METHODS[name]
        own: dict[str, Any] = {
            option: value for option, value in values.items() if option in {**cls.counts, **cls.sizes}
        }
        try:
            predictions[name] = costmodel.predict(name, **how, **own)
        except ValueError as error:
            if not all_methods:
                raise
            reasons[name] = str(error)
    if not predictions:  # the fault is not a method's
        raise ValueError(reasons[names[0]])
    if json:
        results: dict[str, Any] = {
            name: predictions[name].to_dict() if name in predictions else {"error": reasons[name]} for name in names
        }
        print_json(results if len(names) > 1 else results[names[0]])
    elif len(names) == 1:
        _print_one(predictions[names[0]])
    else:
        _print_many(predictions, reasons, mode)


def _print_one(p: Prediction) -> None:
    from lipcost.costmodel import QUANTITIES

    def part(name: str, quantity: str) -> str:
        value = p.parts[name].get(quantity)
        return "" if value is None else readable(value, unit(quantity))

    image = {"h": p.h, "w": p.w} if p.s is None else {"s": p.s}
    configuration: dict[str, object] = {"b": p.b, **image, "c_in": p.c_in, "c_out": p.c_out, "k": p.k}
    configuration |= {"stride": p.stride} if p.stride != 1 else {}
    configuration |= {"padding_mode": p.padding_mode, "bias": p.bias, **p.options}
    print(f"{p.method}: {p.mode}, {p.dtype}, {', '.join(f'{name}={value}' for name, value in configuration.items())}\n")
    rows = []
    for quantity in QUANTITIES:
        value = getattr(p, quantity)
        row = [quantity, readable(value, unit(quantity)), f"{value:,}"]
        rows.append([*row, part("input", quantity), part("parameter", quantity)])
    print_table(["quantity", "readable", "exact", "input", "parameter"], rows)
    classes = [f"{name} {readable(value, 'FLOP')}" for name, value in p.by_class.items() if value]
    print("\nFLOPs by class, forward + backward:", ", ".join(classes))


def _print_many(predictions: dict[str, Prediction], reasons: dict[str, str], mode: str) -> None:
    header, columns = ["method"], [list(predictions)]
    for quantity, title in COMPARED[mode].items():
        name, cells = column([getattr(p, quantity) for p in predictions.values()], unit(quantity))
        header.append(f"{title} {name}")
        columns.append(cells)
    print_table(header, list(zip(*columns, strict=True)))
    for name, reason in reasons.items():
        print(reason if reason.startswith(name) else f"{name}: {reason}")
