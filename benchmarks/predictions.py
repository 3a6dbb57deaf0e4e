"""What an answer costs: a command's start-up, a method's formulas, a million configurations; and one fvcore analysis.

And how good predictions of time are: the model's beside those by FLOPs and by the O(·) table, on published figures.

Run by `make bench`. It asserts nothing: times belong to a machine, not to a test.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from functools import partial
from time import perf_counter
from typing import Any

import numpy as np
import torch
from fvcore.nn import FlopCountAnalysis

from lipcost.cli.formatting import print_table
from lipcost.costmodel import METHODS, QUANTITIES, evaluate, formula, predict
from lipcost.layers import LAYERS
from lipcost.validate.compare.published import SOURCE, Predictor, published

CONFIGURATIONS = 10**6
FVCORE_BATCH = 8  # one analysis runs the layer once: kept small, to fvcore's favour


def seconds(function: Callable[[], object]) -> float:
    """Of one call."""
    start = perf_counter()
    function()
    return perf_counter() - start


def command(*args: str) -> float:
    """Of a process of its own, start to end; the best of three."""
    line = [sys.executable, "-c", "import sys; from lipcost.cli.main import run; sys.exit(run())", *args]
    return min(seconds(lambda: subprocess.run(line, check=True, capture_output=True)) for _ in range(3))


def fvcore(method: str) -> float:
    """Of counting one forward pass of the real layer."""
    layer, x = LAYERS[method](64, 64, 3), torch.randn(FVCORE_BATCH, 64, 32, 32)
    analysis = FlopCountAnalysis(layer, x).unsupported_ops_warnings(False).uncalled_modules_warnings(False)
    return seconds(analysis.total)


def main() -> None:
    """Print the tables."""
    rng = np.random.default_rng(0)
    sizes: dict[str, Any] = {name: rng.integers(8, 257, CONFIGURATIONS) for name in ("b", "s", "c")}
    quantity = "macs_forward"
    predict("standard", b=1, s=1, c=1)  # the rules are read at first use
    rows = []
    for method in METHODS:
        times = [
            seconds(partial(predict, method, b=256, s=32, c=64)),
            sum(seconds(partial(formula, method, each)) for each in QUANTITIES),
            seconds(partial(evaluate, method, quantity, k=3, **sizes)),
            fvcore(method),
        ]
        rows.append([method, *(f"{1000 * time:,.1f}" for time in times)])
    header = ["method", "predict ms", "all formulas ms", f"{CONFIGURATIONS:.0e} configurations ms", "fvcore ms"]
    print_table(header, rows)
    print()
    commands = (["predict", "soc", "-b", "256", "-s", "32", "-c", "64"], ["formula", "soc", "--quantity", quantity])
    print_table(["command", "ms"], [[f"lipcost {line[0]}", f"{1000 * command(*line):,.0f}"] for line in commands])
    print(f"\nTime per training step, against the epoch counts of {SOURCE}\n")
    columns = ["predictor", "fitted parameters", "median error %", "largest error %", "rank correlation"]
    print_table(columns, [_cells(predictor) for predictor in published().predictors])


def _cells(p: Predictor) -> list[str]:
    errors = [f"{100 * error:.1f}" for error in (p.median_error, p.largest_error)]
    return [p.name, str(p.free), *errors, f"{p.correlation:.3f}"]


if __name__ == "__main__":
    main()
