"""A method is one file and one line: a made-up one, added to a copy of the packages, is everywhere the others are."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("cli", "costmodel", "layers", "validate")
REGISTRY = "layers/methods/registry.py"
MODULE = "layers/methods/tenth.py"

# A kernel of low rank, as a matrix (c_out, c_in·k²) brought near an orthogonal one and divided by k. It has what
# methods have: a second parameter, an iteration count, a size of its own, a promise, a look.
METHOD = '''
"""Tenth: a kernel of low rank whose matrix is made orthogonal by Björck's iteration."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from ..base.layer import LIPSCHITZ
from .families.kernel import KernelConv2d


class TenthConv2d(KernelConv2d):
    """Convolution with the kernel B(U V) / k, 1-Lipschitz for all factors U and V."""

    name = "tenth"
    title = "Tenth"
    counts = {"iterations": 2}
    sizes = {"rank": min}
    promise = LIPSCHITZ
    colour, marker = "#123456", "*"

    def _register(self, factory: dict[str, Any], bias: bool) -> None:
        super()._register(factory, bias)
        c_out, c_in, k, _ = self.weight.shape
        self.weight = nn.Parameter(torch.empty(c_out, self.rank, **factory))
        self.right = nn.Parameter(torch.empty(self.rank, c_in * k * k, **factory))

    def reset_parameters(self) -> None:
        super().reset_parameters()
        nn.init.normal_(self.right)

    def parameter_transform(self, size: tuple[int, ...]) -> tuple[Tensor]:
        matrix = self.weight @ self.right
        matrix = matrix / (matrix.norm() + 1e-6)  # so that all singular values are at most 1
        for _ in range(self.iterations):
            matrix = 1.5 * matrix - 0.5 * (matrix @ matrix.mT) @ matrix
        k = self.kernel_size
        return ((matrix / k).reshape(matrix.shape[0], -1, k, k),)
'''
LINE = '    "tenth": ("TenthConv2d",),\n'

SCRIPT = """
import io, json, sys
from contextlib import redirect_stdout

import lipcost.costmodel, lipcost.layers
from lipcost.costmodel import DEFAULTS, METHODS, formula, leading_order, predict, predict_network
from lipcost.layers import LAYERS, LINEARS

SIZES = {"b": 2, "s": 6, "c": 4}


def names():
    import torch
    linear = LINEARS["tenth"](5, 3, rank=2)
    promises = [LAYERS["tenth"].promises(3, training) for training in (True, False)]
    return {
        "files": [lipcost.layers.__file__, lipcost.costmodel.__file__],
        "names": ["tenth" in each for each in (LAYERS, METHODS, DEFAULTS, LINEARS)],
        "class": lipcost.layers.TenthConv2d is LAYERS["tenth"],
        "linear": [type(linear).__name__, *linear(torch.zeros(2, 5)).shape],
        "promises": promises,
    }


def predictions():
    import torch
    from lipcost.validate import measure_flops, measure_memory
    settings = [
        {"mode": "train"},
        {"mode": "inference"},
        {"stride": 2},
        {"padding_mode": "zeros"},
        {"padding_mode": "circular", "k": 4, "rank": 2, "iterations": 5},
    ]
    rows = []
    for given in settings:
        own = {name: value for name, value in given.items() if name not in ("mode", "k")}
        mode = given.get("mode", "train")
        layer, x = LAYERS["tenth"](4, 4, given.get("k", 3), **own), torch.randn(2, 4, 6, 6)
        p = predict("tenth", **SIZES, **given)
        m, f = measure_memory(layer, x, mode), measure_flops(layer, x, mode)
        measured = (f.fvcore_macs, f.macs_backward, m.parameter_bytes, m.saved_bytes, m.profiler_peak_bytes)
        predicted = (p.macs_forward, p.macs_backward, p.parameter_bytes, p.saved_bytes, p.peak_bytes)
        rows.append([predicted, measured])
    return rows


def formulas():
    return {
        "macs": str(formula("tenth", "macs_forward")),
        "saved": str(formula("tenth", "saved_bytes", k=3, iterations=2, rank=2)),
        "order": [str(leading_order("tenth", quantity)) for quantity in ("flops_forward", "memory")],
    }


def network():
    p = predict_network("ConvNetXS", "tenth", b=4)
    return [p.method, p.peak_bytes == sum(p.by_category.values()), p.macs_forward > 0]


def lines(command):
    from lipcost.cli.main import run
    output = io.StringIO()
    with redirect_stdout(output):
        code = run(command)
    assert code == 0
    return [line for line in output.getvalue().splitlines() if "enth" in line]


def predict_all():
    return lines(["predict", "--all", "-b", "2", "-s", "6", "-c", "4"])


def table():
    return lines(["table"])


def plots():
    from lipcost.validate.report.plots import look
    return list(look("tenth"))


def guarantee():
    from lipcost.validate.compare.soundness import measure
    from lipcost.validate.compare.subjects import reported
    return [[case.claim.promise, measure(case).holds] for case in reported("tenth", quick=True)]


def exactness():
    import lipcost.validate.report.run  # the whole package, not a part of it
    from lipcost.validate.compare.cases import Case
    from lipcost.validate.compare.layers import compare_layer
    cases = [Case("tenth", b=2, s=6, c_in=4, c_out=4), Case("tenth", b=1, s=5, c_in=3, c_out=5, mode="inference")]
    return [[row.quantity, row.predicted, row.measured, row.error] for case in cases for row in compare_layer(case)]


found = {}
for section in (names, predictions, formulas, network, predict_all, table, plots, guarantee, exactness):
    try:
        found[section.__name__] = section()
    except ImportError as error:
        found[section.__name__] = {"missing": str(error)}
json.dump(found, sys.stdout)
"""


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The packages with the method in them."""
    root = tmp_path_factory.mktemp("copy") / "lipcost"
    for package in PACKAGES:
        shutil.copytree(ROOT / package, root / package, ignore=shutil.ignore_patterns("__pycache__"))
    (root / MODULE).write_text(METHOD.lstrip(), encoding="utf-8")
    registry = root / REGISTRY
    before, end, after = registry.read_text(encoding="utf-8").partition("}\n# The library's own algorithms")
    assert end
    registry.write_text(before + LINE + end + after, encoding="utf-8")
    return root


@pytest.fixture(scope="module")
def found(copy: Path) -> dict[str, Any]:
    """What one process that has the copy finds."""
    environment = {**os.environ, "PYTHONPATH": str(copy.parent), "PYTHONDONTWRITEBYTECODE": "1", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-W", "ignore", "-c", SCRIPT]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    results: dict[str, Any] = json.loads(done.stdout)
    assert all(Path(file).is_relative_to(copy) for file in results["names"]["files"])
    return results


def section(found: dict[str, Any], name: str) -> Any:
    """What the process found of one thing; a part of the packages that cannot be imported is skipped."""
    result = found[name]
    if isinstance(result, dict) and "missing" in result:
        pytest.skip(result["missing"])
    return result


def test_names(found: dict[str, Any]) -> None:
    names = section(found, "names")
    assert names["names"] == [True] * 4
    assert names["class"]
    assert names["linear"] == ["TenthLinear", 2, 3]
    assert names["promises"] == ["1-Lipschitz"] * 2


def test_predictions_are_what_is_measured(found: dict[str, Any]) -> None:
    for predicted, measured in section(found, "predictions"):
        assert predicted == measured
        assert predicted[0] > 0


def test_formulas(found: dict[str, Any]) -> None:
    formulas = section(found, "formulas")
    assert formulas["macs"] == "c**2*k**2*(b*s**2 + 2*c*iterations + rank)"
    # Four matrices (c, 9c) and in each iteration one (c, c); the norm, and what is divided by.
    assert formulas["saved"] == "152*c**2 + 8"
    assert formulas["order"] == ["b*c**2*s**2 + c**3", "b*c*s**2 + c**2"]


def test_a_network(found: dict[str, Any]) -> None:
    assert section(found, "network") == ["tenth", True, True]


def test_commands(found: dict[str, Any]) -> None:
    (row,) = section(found, "predict_all")
    assert row.startswith("| tenth ")
    (row,) = section(found, "table")
    assert [cell.strip() for cell in row.strip("|").split("|")] == ["Tenth", "b s² c² + c³", "b s² c + c²"]


def test_plots(found: dict[str, Any]) -> None:
    assert section(found, "plots") == ["#123456", "*", "#123456", "-"]


def test_the_guarantee_is_checked(found: dict[str, Any]) -> None:
    rows = section(found, "guarantee")
    assert len(rows) == 8
    assert all(row == ["1-Lipschitz", True] for row in rows)


def test_the_report_compares(found: dict[str, Any]) -> None:
    rows = section(found, "exactness")
    assert len(rows) > 20
    assert [row for row in rows if row[1] != row[2] or row[3] is not None] == []


def test_nothing_else_is_touched(copy: Path, found: dict[str, Any]) -> None:
    def texts(root: Path) -> dict[str, bytes]:
        files = [
            file for package in PACKAGES for file in (root / package).rglob("*") if "__pycache__" not in file.parts
        ]
        return {file.relative_to(root).as_posix(): file.read_bytes() for file in files if file.is_file()}

    before, after = texts(ROOT), texts(copy)
    assert {name for name in before | after if before.get(name) != after.get(name)} == {MODULE, REGISTRY}
    assert after[REGISTRY].decode().replace(LINE, "") == before[REGISTRY].decode()
