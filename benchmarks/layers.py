"""The layers side by side: lipcost's, the published algorithms, orthogonium's (if installed) and the reference's.

Run by ``make bench``; by ``make bench REFERENCE=path`` also beside a checkout of the reference implementation. All of a
method run in one process, in turns. It asserts nothing; it says what is required of the ratios and whether that holds.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path
from statistics import median
from typing import Any

import torch

from lipcost.cli.formatting import print_table
from lipcost.layers import LAYERS
from lipcost.validate.compare.collect import environment
from lipcost.validate.measure.calibrate import circumstances

from .accuracy import ORTHOGONAL, Accuracy, Shape, measure_accuracy
from .peers import contestants
from .tasks import CLOCKS, Clock, Layers, Networks, Row, measure

METHODS = tuple(method for method in LAYERS if "/" not in method)
ROUNDS, QUICK_ROUNDS = 5, 2
PER_LAYER = 4  # times as many rounds for one layer, which is fast
QUICK_BATCH = 4
TITLES = {"layer": "One layer", "network": "A training step of ConvNetXS"}
FIGURES = {"saved": "saved bytes", "peak": "peak bytes", "train": "train", "cached": "cached eval"}
# Of ConvNetXS, own over the reference's: for all methods but those listed.
REQUIRED: dict[str, tuple[float, dict[str, float]]] = {
    "peak": (0.5, {"lot": 0.15, "cayley": 0.35}),
    "train": (1.0, {"bcop": 0.6, "cayley": 0.6, "soc": 0.6, "lot": 0.35}),
    "cached": (1.0, {}),
}

Result = dict[str, Any]


def run(methods: Sequence[str], clock: Clock, reference: Path | None = None, quick: bool = False) -> Iterator[Result]:
    """Everything measured so far, after each method."""
    load, device, threads = os.getloadavg()[0], clock.device, torch.get_num_threads()
    layers, nets, _ = subjects(device, quick)
    rows: dict[str, list[Row]] = {"layer": [], "network": []}
    accuracy: list[Accuracy] = []
    for method in methods:
        print(f"{method} ...", file=sys.stderr, flush=True)
        # In a process of its own: a heap that other methods have used is slower, and not equally for all.
        with ProcessPoolExecutor(1, get_context("spawn"), torch.set_num_threads, (threads,)) as process:
            found = process.submit(of_method, method, clock, reference, quick).result()
        rows["layer"] += found[0]
        rows["network"] += found[1]
        accuracy += found[2]
        yield {
            "environment": environment() | circumstances("cuda" if device == "cuda" else "cpu", load) | _gpu(device),
            "sizes": {"layer": vars(layers), "network": vars(nets), "clock": vars(clock)},
            **rows,
            "requirements": [] if quick else list(check(rows["network"])),  # they are of the full sizes
            "accuracy": accuracy,
        }


def subjects(device: str, quick: bool) -> tuple[Layers, Networks, Shape]:
    """What is measured: one layer, a network, a layer's orthogonality."""
    if quick:
        return Layers(device, b=QUICK_BATCH, c=16), Networks(device, b=QUICK_BATCH), Shape(c=16)
    return Layers(device), Networks(device), Shape()


def of_method(
    method: str, clock: Clock, reference: Path | None, quick: bool
) -> tuple[list[Row], list[Row], list[Accuracy]]:
    """The rows of one layer, of the network, and those of orthogonality."""
    layers, nets, shape = subjects(clock.device, quick)
    rivals = contestants(method, reference)
    often = replace(clock, rounds=PER_LAYER * clock.rounds)
    of_layer = measure(layers, rivals, often)
    of_network = measure(nets, [peer for peer in rivals if peer.net is not None], clock)
    return of_layer, of_network, measure_accuracy(method, often, shape) if method in ORTHOGONAL else []


def check(rows: Sequence[Row]) -> Iterable[Result]:
    """The required ratios of the networks and those found."""
    for row in rows:
        base = baseline(row, rows)
        if row.by == "lipcost" and base.by != row.by:
            for name, (limit, of_method) in REQUIRED.items():
                ratio, most = ratio_to(row, base, name), of_method.get(row.method, limit)
                yield {
                    "method": row.method,
                    "figure": name,
                    "base": base.by,
                    "ratio": ratio,
                    "required": most,
                    "ok": ratio is not None and ratio <= most,
                }


def baseline(row: Row, rows: Sequence[Row]) -> Row:
    """What ``row`` is divided by: the reference's row of the method, else the published one's, else its own."""
    same = {each.by: each for each in rows if each.method == row.method}
    return same.get("reference") or same.get("published") or row


def ratio_to(row: Row, base: Row, name: str) -> float | None:
    """Of one figure; None where there is none."""
    value, other = row.figure(name), base.figure(name)
    return None if value is None or not other else value / other


def show(result: Result) -> None:
    """Print the tables."""
    print(" · ".join(f"{name} {value}" for name, value in result["environment"].items()))
    clock = result["sizes"]["clock"]
    print(f"{clock['rounds']} rounds for a network, {PER_LAYER} times as many for a layer; {clock['kind']} time")
    for name, title in TITLES.items():
        sizes = ", ".join(f"{key}={value}" for key, value in result["sizes"][name].items() if key != "device")
        print(f"\n{title}, {sizes}: × the baseline, times the least (the median)\n")
        rows = result[name]
        figures = [figure for figure in FIGURES if any(row.figure(figure) is not None for row in rows)]
        header = ["method", "by", *(cell for figure in figures for cell in (_title(figure), "×"))]
        print_table(header, [_cells(row, rows, figures) for row in rows])
    if result["requirements"]:
        print("\nRequired of ConvNetXS, lipcost's over the baseline's\n")
        header = ["method", "figure", "baseline", "ratio", "required", ""]
        print_table(header, [_verdict(row) for row in result["requirements"]])
    if result["accuracy"]:
        print("\nOrthogonality in float32, parameter transformation of one layer\n")
        header = ["algorithm", "weights", "max |σ - 1|", "transform ms", "with backward ms"]
        print_table(header, [_accuracy(row) for row in result["accuracy"]])


def main() -> None:
    """Measure, print, and write what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--reference", type=Path, help="a checkout of 1LipschitzLayersCompared")
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=METHODS, metavar="METHOD")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--rounds", type=int, default=None, help=f"of the clock, default {ROUNDS}")
    parser.add_argument("--clock", choices=CLOCKS, default="wall", help="cpu: for a busy machine, with --threads 1")
    parser.add_argument("--threads", type=int, default=None, help="torch's, default as it is")
    parser.add_argument("--quick", action="store_true", help="small sizes, few rounds")
    parser.add_argument("--json", type=Path, help="file to write everything to")
    args = parser.parse_args()
    if args.threads is not None:
        torch.set_num_threads(args.threads)
    clock = Clock(args.device, args.rounds or (QUICK_ROUNDS if args.quick else ROUNDS), args.clock)
    for result in run(args.methods, clock, args.reference, args.quick):
        if args.json is not None:
            args.json.write_text(json.dumps(result, indent=1, default=vars) + "\n", encoding="utf-8")
    show(result)


def _gpu(device: str) -> dict[str, str]:
    return {"gpu": torch.cuda.get_device_name()} if device == "cuda" else {}


def _title(figure: str) -> str:
    return FIGURES[figure] if "bytes" in FIGURES[figure] else f"{FIGURES[figure]} ms"


def _cells(row: Row, rows: Sequence[Row], figures: Sequence[str]) -> list[str]:
    base = baseline(row, rows)
    ratios = [ratio_to(row, base, figure) for figure in figures]
    pairs = zip((_value(row, figure) for figure in figures), (_ratio(ratio) for ratio in ratios), strict=True)
    return [row.method, row.by, *(cell for pair in pairs for cell in pair)]


def _value(row: Row, figure: str) -> str:
    value = getattr(row, figure)
    return _ms(value) if isinstance(value, list) else "-" if value is None else f"{value:,}"


def _ratio(ratio: float | None) -> str:
    return "-" if ratio is None else f"{ratio:.2f}"


def _ms(times: Sequence[float]) -> str:
    return f"{1000 * min(times):,.1f} ({1000 * median(times):,.1f})"


def _verdict(row: Result) -> list[str]:
    figures = [f"{row['ratio']:.3f}", f"{row['required']:.2f}"]
    return [row["method"], FIGURES[row["figure"]], row["base"], *figures, "ok" if row["ok"] else "not ok"]


def _accuracy(row: Accuracy) -> list[str]:
    return [row.method, row.weights, f"{row.defect:.1e}", _ms(row.transform), _ms(row.with_backward)]


if __name__ == "__main__":
    main()
