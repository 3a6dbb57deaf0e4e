"""What an answer costs: a command's start-up, a method's formulas, a million configurations; and one fvcore analysis.

The same of a residual network of fifty layers, in numbers and in symbols.

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
from torch import Tensor, nn

from lipcost.cli.formatting import print_table
from lipcost.costmodel import METHODS, QUANTITIES, cost, evaluate, formula, predict
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


class Bottleneck(nn.Module):
    """Three convolutions beside a skip connection."""

    def __init__(self, c_in: int, width: int, stride: int) -> None:
        super().__init__()
        c_out = 4 * width

        def convolution(*sizes: int, **how: Any) -> nn.Sequential:
            c, d, k = sizes
            return nn.Sequential(nn.Conv2d(c, d, k, bias=False, **how), nn.BatchNorm2d(d))

        self.body = nn.Sequential(
            convolution(c_in, width, 1),
            nn.ReLU(inplace=True),
            convolution(width, width, 3, stride=stride, padding=1),
            nn.ReLU(inplace=True),
            convolution(width, c_out, 1),
        )
        self.skip = nn.Identity() if stride == 1 and c_in == c_out else convolution(c_in, c_out, 1, stride=stride)

    def forward(self, x: Tensor) -> Tensor:
        """Both, added."""
        return torch.relu(self.body(x) + self.skip(x))


def resnet50() -> nn.Module:
    """He et al., 2016: (width, blocks, stride) of four stages."""
    blocks, channels = [], 64
    for width, count, first in ((64, 3, 1), (128, 4, 2), (256, 6, 2), (512, 3, 2)):
        for i in range(count):
            blocks.append(Bottleneck(channels, width, first if i == 0 else 1))
            channels = 4 * width
    stem = nn.Sequential(
        nn.Conv2d(3, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64), nn.ReLU(True), nn.MaxPool2d(3, 2, 1)
    )
    return nn.Sequential(stem, *blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, 1000))


def of_a_network() -> list[list[str]]:
    """Seconds for ResNet-50: in numbers, all formulas in b and s, a million pairs of these by the peak's."""
    net, rng = resnet50(), np.random.default_rng(0)
    pairs = {"b": rng.integers(1, 513, CONFIGURATIONS), "s": rng.integers(32, 513, CONFIGURATIONS)}
    in_numbers = seconds(lambda: cost(net, (32, 3, 224, 224)).peak_bytes)
    start = perf_counter()
    formulas = cost(net, ("b", 3, "s", "s"))
    for quantity in QUANTITIES:
        formulas.quantity(quantity)
    in_symbols = perf_counter() - start
    at_once = seconds(lambda: formulas.evaluate("peak_bytes", **pairs))
    return [["ResNet-50", *(f"{time:.2f}" for time in (in_numbers, in_symbols, at_once))]]


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
    print()
    print_table(["training", "numbers s", "all formulas s", f"peaks of {CONFIGURATIONS:.0e} (b, s) s"], of_a_network())
    print(f"\nTime per training step, against the epoch counts of {SOURCE}\n")
    columns = ["predictor", "fitted parameters", "median error %", "largest error %", "rank correlation"]
    print_table(columns, [_cells(predictor) for predictor in published().predictors])


def _cells(p: Predictor) -> list[str]:
    errors = [f"{100 * error:.1f}" for error in (p.median_error, p.largest_error)]
    return [p.name, str(p.free), *errors, f"{p.correlation:.3f}"]


if __name__ == "__main__":
    main()
