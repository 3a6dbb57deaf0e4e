"""The command line: what it prints, its exit codes, and that it starts fast."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import pytest
import torch
from typer.testing import CliRunner

from lipcost.cli.main import app, run
from lipcost.costmodel import DEFAULTS, METHODS, QUANTITIES, formula, leading_order
from lipcost.costmodel import predict as model

SIZES = ["-b", "8", "-s", "16", "-c", "4"]

# SPEC.md section 1, as published: typed in here and nowhere else.
PUBLISHED = {
    "Standard": ("b s² c²", "b s² c + c²"),
    "AOL": ("b s² c² + c³", "b s² c + c²"),
    "BCOP": ("b s² c² + c³", "b s² c + c²"),
    "Cayley": ("b s² c² + s² c³", "b s² c + s² c²"),
    "CPL": ("b s² c²", "b s² c + c²"),
    "LOT": ("b s² c² + s² c³", "b s² c + s² c²"),
    "SLL": ("b s² c² + c³", "b s² c + c²"),
    "SOC": ("b s² c²", "b s² c + c²"),
}


def output(*args: str) -> str:
    result = CliRunner().invoke(app, list(args), catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def cells(text: str) -> list[list[str]]:
    lines = [line for line in text.splitlines() if line.startswith("|") and not line.startswith("|-")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def process(*args: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", "import sys; from lipcost.cli.main import run; sys.exit(run())", *args],
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=False,
        env={**os.environ, "PYTHONUTF8": "1"},
    )


def test_table_is_the_published_one() -> None:
    header, *rows = cells(output("table"))
    assert header == ["method", "FLOPs O(·)", "memory O(·)"]
    expected = PUBLISHED | {f"{title}, published": orders for title, orders in PUBLISHED.items()}
    assert {title: (flops, memory) for title, flops, memory in rows if title in expected} == expected
    assert [row[0] for row in rows] == [cls.title for cls in METHODS.values()]


def test_table_cells_come_from_the_formulas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lipcost.costmodel.leading_order", lambda method, quantity: leading_order("cayley", quantity))
    assert {tuple(row[1:]) for row in cells(output("table"))[1:]} == {PUBLISHED["Cayley"]}


def test_table_json() -> None:
    table = json.loads(output("table", "--json"))
    assert list(table) == list(METHODS)
    assert table["soc"] == {"flops_forward": "b s² c²", "memory": "b s² c + c²"}


@pytest.mark.parametrize("method", METHODS)
def test_formula_prints_every_quantity(method: str) -> None:
    lines = output("formula", method, "--set", "k=3").splitlines()
    assert [line.split(" = ")[0] for line in lines] == list(QUANTITIES)
    assert lines[0] == f"macs_forward = {formula(method, 'macs_forward', k=3)}"


def test_formula_options() -> None:
    expression = formula("soc", "macs_forward", mode="inference", part="input", k=3)
    args = ["soc", "--quantity", "macs_forward", "--mode", "inference", "--part", "input", "--set", "k=3"]
    assert output("formula", *args) == f"{expression}\n"
    assert json.loads(output("formula", *args, "--json"))["formulas"] == {"macs_forward": str(expression)}
    assert "s^{2}" in output("formula", *args, "--latex")
    assert "c_in" in output("formula", "soc", "--quantity", "macs_forward", "--rectangular")
    placed = formula("aol", "macs_forward", stride=2, padding_mode="zeros", k=4)
    args = ["aol", "--quantity", "macs_forward", "--stride", "2", "--padding-mode", "zeros", "--set", "k=4"]
    assert output("formula", *args) == f"{placed}\n"
    assert json.loads(output("formula", *args, "--json"))["stride"] == 2


def test_formula_of_a_part_has_counts_only() -> None:
    names = [line.split(" = ")[0] for line in output("formula", "soc", "--part", "parameter").splitlines()]
    assert names == [name for name in QUANTITIES if not name.endswith("_bytes")]


@pytest.mark.parametrize("method", METHODS)
def test_predict_shows_every_quantity(method: str) -> None:
    prediction = model(method, b=8, s=16, c=4, k=3)
    exact = {row[0]: row[2] for row in cells(output("predict", method, *SIZES))[1:]}
    assert exact == {quantity: f"{getattr(prediction, quantity):,}" for quantity in QUANTITIES}


def test_predict_passes_options_on() -> None:
    options = "--c-out 6 -k 1 --mode inference --dtype float64 --no-bias --set eval_terms=7 --json"
    expected = model("soc", b=8, s=16, c=4, c_out=6, k=1, mode="inference", dtype="float64", bias=False, eval_terms=7)
    assert json.loads(output("predict", "soc", *SIZES, *options.split())) == expected.to_dict()


def test_predict_of_any_image_stride_and_padding() -> None:
    args = "predict aol -b 2 --height 8 --width 6 -c 3 --c-out 8 -k 4 --stride 2 --padding-mode zeros"
    expected = model("aol", b=2, h=8, w=6, c_in=3, c_out=8, k=4, stride=2, padding_mode="zeros")
    assert json.loads(output(*args.split(), "--json")) == expected.to_dict()
    assert "h=8, w=6, c_in=3, c_out=8, k=4, stride=2, padding_mode=zeros" in output(*args.split())
    one_side = output("predict", "aol", "-b", "2", "-s", "8", "--width", "6", "-c", "3", "--json")
    assert json.loads(one_side) == model("aol", b=2, h=8, w=6, c=3).to_dict()


def test_predict_side_by_side() -> None:
    assert [row[0] for row in cells(output("predict", "soc", "aol", *SIZES))[1:]] == ["soc", "aol"]
    text = output("predict", "--all", "-b", "256", "-s", "32", "-c", "64")
    assert [row[0] for row in cells(text)[1:]] == list(DEFAULTS)
    assert max(map(len, text.splitlines())) <= 80
    assert list(json.loads(output("predict", "--all", *SIZES, "--json"))) == list(DEFAULTS)


def test_readme_shows_the_real_output() -> None:
    readme = Path(__file__).parents[2].joinpath("README.md").read_text(encoding="utf-8")
    shown, _, rest = readme.partition("$ .venv/bin/lipcost ")[2].partition("\n")
    assert rest.startswith(output(*shown.split()) + "```")


def test_predict_all_gives_the_reason_of_those_that_cannot() -> None:
    text = output("predict", "--all", *SIZES, "--dtype", "bfloat16")
    shown = [row[0] for row in cells(text)[1:]]
    fourier = {name for name in DEFAULTS if torch.bfloat16 not in METHODS[name].dtypes}
    assert shown == [name for name in DEFAULTS if name not in fourier]
    reasons = {line.split()[0]: line for line in text.splitlines()[-len(fourier) :]}
    assert set(reasons) == fourier
    assert all("bfloat16" in reason and "float32" in reason for reason in reasons.values())
    assert "error" in json.loads(output("predict", "--all", *SIZES, "--dtype", "bfloat16", "--json"))["lot"]


def test_settings_reach_the_methods_that_know_them() -> None:
    compared = json.loads(output("predict", "soc", "aol", *SIZES, "--set", "terms=9", "--json"))
    assert compared["soc"] == model("soc", b=8, s=16, c=4, terms=9).to_dict()
    assert compared["aol"] == model("aol", b=8, s=16, c=4).to_dict()


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["predict", "socks", *SIZES], list(METHODS)),
        (["formula", "socks"], list(METHODS)),
        (["formula", "soc", "--quantity", "macs"], ["'macs'", "macs_forward"]),
        (["formula", "soc", "--part", "output"], ["'output'", "input", "parameter"]),
        (["predict", "soc", "-b", "0", "-s", "16", "-c", "4"], ["b", "0"]),
        (["predict", "soc", "-b", "8", "-s", "-1", "-c", "4"], ["s", "-1"]),
        (["predict", "soc", "-b", "8", "-s", "16", "-c", "0"], ["c must be", "0"]),
        (["predict", "soc", *SIZES, "-k", "0"], ["k", "0"]),
        (["predict", "soc", *SIZES, "--c-out", "0"], ["c_out", "0"]),
        (["predict", "soc", "-b", "8.5", "-s", "16", "-c", "4"], ["-b", "integer", "'8.5'"]),
        (["predict", "soc", "-b", "8", "-s", "x", "-c", "4"], ["-s", "integer", "'x'"]),
        (["predict", "soc", "-b", "8", "-s", "16", "-c", "1e2"], ["-c", "integer", "'1e2'"]),
        (["predict", "soc", *SIZES, "-k", "3.0"], ["-k", "integer", "'3.0'"]),
        (["predict", "cayley/published", "-b", "8", "-s", "3", "-c", "4", "-k", "5"], ["cayley", "3x3", "5"]),
        (["predict", "cpl/published", *SIZES, "--c-out", "8"], ["cpl", "4", "8"]),
        (["predict", "sll/published", *SIZES, "--c-out", "8"], ["sll", "4", "8"]),
        (["predict", "soc", *SIZES, "--dtype", "int8"], ["'int8'", "float32"]),
        (["predict", "cayley", *SIZES, "--dtype", "bfloat16"], ["bfloat16", "float32", "float64"]),
        (["predict", "soc", *SIZES, "-k", "4"], ["kernel_size", "odd", "4"]),
        (["predict", "soc", *SIZES, "--stride", "3"], ["stride", "3"]),
        (["predict", "soc/published", *SIZES, "--stride", "2"], ["soc/published", "stride", "2"]),
        (["predict", "soc", *SIZES, "--padding-mode", "same"], ["'same'", "circular", "zeros"]),
        (["predict", "soc", "-b", "8", "-c", "4"], ["--size", "--height", "--width"]),
        (["predict", "soc", "-b", "8", "-c", "4", "--height", "3"], ["--size", "--height", "--width"]),
        (["predict", "soc", *SIZES, "--width", "0"], ["w must be", "0"]),
        (["formula", "soc", "--stride", "0"], ["stride", "0"]),
        (["formula", "soc", "--set", "k=0"], ["k must be", "0"]),
        (["network", "XXL", "soc"], ["'XXL'", "ConvNetXS"]),
        (["network", "XS", "socks"], ["'socks'", *METHODS]),
        (["network", "XS", "soc", "--optimizer", "lion"], ["'lion'", "sgd", "adamw"]),
        (["network", "XS", "soc", "--device", "abacus"], ["'abacus'", "t4"]),
        (["validate", "--methods", "socks"], ["'socks'", *METHODS]),
        (["predict", "soc", *SIZES, "--mode", "test"], ["'test'", "train", "inference"]),
        (["predict", "soc", *SIZES, "--set", "steps=3"], ["'steps'", "terms"]),
        (["predict", "soc", "lot", *SIZES, "--set", "steps=3"], ["'steps'", "terms", "iterations"]),
        (["predict", "soc", *SIZES, "--set", "terms=0"], ["terms", "0"]),
        (["predict", "soc", *SIZES, "--set", "terms=two"], ["'terms=two'", "NAME=INTEGER"]),
        (["predict", "soc", *SIZES, "--set", "terms"], ["'terms'", "NAME=INTEGER"]),
        (["predict", "soc", *SIZES, "--set", "b=3"], ["'b'", "terms"]),
        (["predict", "socks", *SIZES, "--set", "terms=3"], ["'socks'"]),
        (["formula", "soc", "--set", "mode=3"], ["'mode'", "terms", "k"]),
        (["predict", *SIZES], ["--all", *METHODS]),
        (["predict", "soc", "--all", *SIZES], ["--all", "soc"]),
        (["predict", "--all", "-b", "0", "-s", "16", "-c", "4"], ["b", "0"]),
        (["predict", "soc", "-s", "16", "-c", "4"], ["-b"]),
        (["predict", "soc", *SIZES, "--colour"], ["--colour"]),
        (["validate", "--device", "tpu"], ["'tpu'", "cpu", "cuda"]),
        (["validate", "--device", "cuda", "--seed", "1"], ["--seed", "--device cpu"]),
        (["validate", "--device", "cuda", "--cuda", "a.json"], ["--cuda", "--device cpu"]),
        (["report", "none.json"], ["none.json"]),
        (["report", __file__], ["test_cli.py", "JSON"]),
        (["report"], ["FILE"]),
        (["forecast"], ["forecast"]),
    ],
    ids=" ".join,
)
def test_bad_input_is_one_line_and_exit_code_2(
    args: list[str], words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(args) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("error: ")
    assert err.count("\n") == 1 and err.endswith("\n")
    for word in words:
        assert re.search(rf"(?<![\w-]){re.escape(word)}(?!\w)", err), word


class Found(NamedTuple):
    """What a validation found, in the place of one."""

    passed: bool
    lines: list[dict[str, Any]]
    verdict: str = "Some."
    environment: Any = MappingProxyType({"torch": torch.__version__})

    def summary(self) -> list[dict[str, Any]]:
        return self.lines


@pytest.mark.parametrize(("matches", "code"), [(True, 0), (False, 1)])
def test_validate_passes_options_on_and_reports(
    matches: bool, code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    calls = []

    def run_validation(output: Path, methods: list[str], seed: int, quick: bool, *_: object, **__: object) -> Any:
        calls.append((output, methods, seed, quick))
        return Found(matches, [{"method": "soc", "mismatches": 3}])

    monkeypatch.setattr("lipcost.validate.report.run.run_validation", run_validation)
    args = ["validate", "--methods", "soc,aol", "--methods", "lot", "--seed", "5", "--quick", "--output", str(tmp_path)]
    assert run(args) == code
    assert calls == [(tmp_path, ["soc", "aol", "lot"], 5, True)]
    out, err = capsys.readouterr()
    assert cells(out) == [["method", "mismatches"], ["soc", "3"]]
    assert err == ""


def test_validate_defaults_to_every_method(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def run_validation(output: Path, methods: list[str], *_: object, **__: object) -> Any:
        return Found(methods == list(METHODS), [{"methods": methods}])

    monkeypatch.setattr("lipcost.validate.report.run.run_validation", run_validation)
    assert run(["validate", "--output", str(tmp_path)]) == 0


def test_validate_adds_the_files_of_gpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []

    def run_validation(output: Path, *_: object, **more: object) -> Any:
        calls.append(more)
        return Found(True, [{"method": "soc"}])

    monkeypatch.setattr("lipcost.validate.report.run.run_validation", run_validation)
    assert run(["validate", "--output", str(tmp_path)]) == 0
    assert run(["validate", "--output", str(tmp_path), "--cuda", "a.json", "--cuda", "b.json"]) == 0
    assert calls == [{"cuda": []}, {"cuda": [Path("a.json"), Path("b.json")]}]


@pytest.mark.parametrize(("wrong", "code"), [([], 0), (["soc: off by one"], 1)])
def test_validate_on_a_gpu(
    wrong: list[str], code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    calls = []
    monkeypatch.setattr("lipcost.validate.cuda.run.run_cuda", lambda *args: calls.append(args[:3]) or {})
    monkeypatch.setattr("lipcost.validate.cuda.results.summary", lambda data: [{"method": "soc", "measured": "3"}])
    monkeypatch.setattr("lipcost.validate.cuda.results.problems", lambda data: wrong)
    args = ["validate", "--device", "cuda", "--methods", "soc,aol", "--quick", "--output", str(tmp_path)]
    assert run(args) == code
    assert calls == [(tmp_path, ["soc", "aol"], True)]
    out, err = capsys.readouterr()
    assert cells(out) == [["method", "measured"], ["soc", "3"]]
    assert out.splitlines()[3:] == [
        *(wrong or ["Nothing contradicts the cost model."]),
        f"Measurements: {tmp_path / 'cuda.json'}",
    ]
    assert err == ""


def test_validate_without_a_gpu(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    assert run(["validate", "--device", "cuda", "--output", str(tmp_path)]) == 2
    assert capsys.readouterr().err == "error: no CUDA device that torch can use here; valid: cpu\n"


@pytest.mark.parametrize("command", [[], ["table"], ["formula"], ["predict"], ["validate"], ["report"]], ids=" ".join)
def test_help(command: list[str]) -> None:
    assert "Usage: " in output(*command, "--help")


def test_no_arguments_print_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert run([]) == 0
    assert "predict" in capsys.readouterr().out


def test_a_process_of_its_own() -> None:
    done = process("predict", "--all", *SIZES)
    assert done.returncode == 0
    assert "\x1b" not in done.stdout
    failed = process("predict", "cpl/published", *SIZES, "--c-out", "8")
    assert failed.returncode == 2
    assert failed.stdout == ""
    assert failed.stderr.startswith("error: cpl") and failed.stderr.count("\n") == 1


HEAVY = {"fvcore", "hypothesis", "jinja2", "matplotlib", "pandas", "scipy", "sympy", "torch"}


@pytest.mark.parametrize(
    ("args", "allowed"),
    [
        (["--help"], []),
        (["predict", "--help"], []),
        (["predict", "socks", *SIZES], []),
        (["predict", "soc", "socks", *SIZES, "--set", "terms=3"], []),
        (["predict", "soc", *SIZES, "--mode", "test"], []),
        (["predict", "soc", *SIZES, "--dtype", "int8"], []),
        (["predict", "soc", *SIZES, "--stride", "0"], []),
        (["predict", "soc", *SIZES, "--set", "terms=two"], []),
        (["predict", *SIZES], []),
        (["formula", "socks"], []),
        (["formula", "soc", "--quantity", "macs"], []),
        (["formula", "soc", "--set", "k=0"], []),
        (["network", "XXL"], []),
        (["network", "XS", "socks"], []),
        (["network", "XS", "soc", "--optimizer", "lion"], []),
        (["plan", "--net", "XXL", "--gpu", "t4", "--hours", "2"], []),
        (["plan", "--net", "XS", "--gpu", "abacus", "--hours", "2"], []),
        (["plan", "--net", "XS", "--gpu", "t4", "--hours", "2", "--methods", "aol,socks"], []),
        (["validate", "--methods", "socks"], []),
        (["predict", "--all", *SIZES], ["torch"]),
        (["network", "XS", "aol", "--width", "4"], ["torch"]),
        (["plan", "--net", "XS", "--gpu", "t4", "--hours", "2", "--methods", "aol"], ["torch"]),
        (["formula", "aol", "--quantity", "macs_forward"], ["sympy", "torch"]),
        (["table"], ["sympy", "torch"]),
    ],
    ids=" ".join,
)
def test_start_up_imports(args: list[str], allowed: list[str]) -> None:
    """What a command waits for: an error for nothing heavy at all, an answer for torch, a formula for SymPy too."""
    code = f"import sys; from lipcost.cli.main import run; run({args!r}); print(*sys.modules, file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert sorted(HEAVY & set(done.stderr.split())) == allowed


def test_an_error_says_itself_in_a_third_of_a_second() -> None:
    """Of the processor's time, as a busy machine lends less of it."""
    code = "from lipcost.cli.main import run; import time; run(%r); print(time.process_time())"
    command = [sys.executable, "-c", code % ["predict", "socks", *SIZES]]
    times = [float(subprocess.run(command, capture_output=True, text=True, check=True).stdout) for _ in range(3)]
    assert min(times) < 0.33
