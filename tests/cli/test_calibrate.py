"""``lipcost calibrate``: a profile measured or fitted, and that the fit reproduces the published epochs."""

from __future__ import annotations

import json
from pathlib import Path
from statistics import median

import pytest

from lipcost.cli.calibrate import amount
from lipcost.cli.main import run
from lipcost.costmodel import Device, find_device
from lipcost.costmodel.devices.device import FIGURES
from lipcost.costmodel.devices.fit import PARAMETERS, fit_epochs, read_counts

COUNTS = Path(__file__).parents[2] / "validate" / "compare" / "data" / "epochs-2h.csv"


@pytest.fixture(scope="module")
def fitted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("profile") / "fitted.json"
    assert run(["calibrate", "--epochs", str(COUNTS), "-o", str(path)]) == 0
    return path


def cells(text: str) -> list[list[str]]:
    rows = [line for line in text.splitlines() if line.startswith("|") and not line.startswith("|-")]
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in rows]


def test_plan_reproduces_the_published_epochs(fitted: Path, capsys: pytest.CaptureFixture[str]) -> None:
    epochs: dict[tuple[str, str], float] = {}
    for size in ("XS", "M"):
        names = ",".join(count.algorithm for count in read_counts(COUNTS))
        options = ["--methods", names, "--device", str(fitted), "--hours", "2", "--json"]
        assert run(["plan", "--net", f"ConvNet{size}", *options]) == 0
        epochs |= {(size, each["method"]): each["epochs"] for each in json.loads(capsys.readouterr().out)["plans"]}
    errors = [abs(epochs[count.size, count.algorithm] / count.epochs - 1) for count in read_counts(COUNTS)]
    assert len(errors) == 14
    assert median(errors) < 0.06
    assert max(errors) < 0.30


def test_at_most_six_parameters_are_fitted(fitted: Path) -> None:
    device, anchor = Device.load(fitted), find_device("a100-80")
    assert len(PARAMETERS) <= 6
    own = {name for name in FIGURES if device.figures[name].basis == "fitted"}
    assert own == {name for group in PARAMETERS.values() for name in group}
    assert all(len({device[name] for name in group}) == 1 for group in PARAMETERS.values())
    assert all(device.figures[name] == anchor.figures[name] for name in set(FIGURES) - own)


def test_the_profile_names_its_source_and_no_machine(fitted: Path) -> None:
    device = Device.load(fitted)
    assert device.name == "a100-80 fitted"
    assert device.figures["conv"].source == "epochs-2h.csv, epochs in 2 hours; anchored at a100-80"
    assert str(COUNTS.parent) not in fitted.read_text(encoding="utf-8")


def test_fit_tables(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fit = fit_epochs(read_counts(COUNTS), anchor=find_device("a100-80"), hours=2)
    assert run(["calibrate", "--epochs", str(COUNTS), "-o", str(tmp_path / "a.json")]) == 0
    out = capsys.readouterr().out
    assert out.startswith("6 free parameters; ")
    table = cells(out)
    assert table[0] == ["parameter", "fitted", "anchor"]
    assert table[1] == ["conv", amount(fit.device["conv"], "FLOP/s"), "88.92 TFLOP/s"]
    assert [row[0] for row in table[1:7]] == list(PARAMETERS)
    assert table[7] == ["size", "method", "published", "fit", "error %", "left out %", "shift %", "floor"]
    for row, cell in zip(fit.rows, table[8:], strict=True):
        assert cell[:3] == [row.count.size, row.count.method, f"{row.count.epochs:g}"]
        percents = [100 * row.error, 100 * row.held_out_error, 100 * row.shift]
        assert [float(text) for text in cell[3:7]] == pytest.approx([row.epochs, *percents], abs=0.06)
        assert cell[7] == ("loading" if row.loading else "")
    assert {row[7] for row in table[8:]} == {"loading", ""}
    errors = f"Error: median {100 * fit.median_error:.1f} %, largest {100 * fit.largest_error:.1f} %"
    assert out.splitlines()[-3:] == [errors, "", f"Profile: {tmp_path / 'a.json'}"]
    assert max(map(len, out.splitlines()[:-1])) <= 80


def test_fit_json_and_options(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "b.json"
    options = ["--anchor", "v100-32", "--hours", "4", "-b", "128", "--images", "10000", "--json"]
    assert run(["calibrate", "--epochs", str(COUNTS), "-o", str(path), *options]) == 0
    result = json.loads(capsys.readouterr().out)
    anchor = find_device("v100-32")
    fit = fit_epochs(read_counts(COUNTS), anchor=anchor, hours=4, b=128, images=10_000)
    assert (result["format"], result["device"], result["anchor"]) == ("lipcost-fit/1", "v100-32 fitted", "v100-32")
    assert result["parameters"] == {
        name: {"value": fit.device[name], "anchor": anchor[name], "unit": FIGURES[name]} for name in PARAMETERS
    }
    assert [row["held_out_error"] for row in result["rows"]] == [row.held_out_error for row in fit.rows]
    assert [row["fit"] for row in result["rows"]] == [row.epochs for row in fit.rows]
    assert (result["median_error"], result["largest_error"]) == (fit.median_error, fit.largest_error)
    assert Device.load(path)["conv"] == fit.device["conv"]


@pytest.mark.parametrize("as_json", [False, True])
def test_measured_profile(
    as_json: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    here = Device("here", "cpu", find_device("t4").figures, {"torch": "2.13"})
    calls = []

    def measure(device: str, *, progress: object) -> Device:
        calls.append(device)
        return here

    monkeypatch.setattr("lipcost.validate.measure.calibrate.calibrate", measure)
    path = tmp_path / "here.json"
    assert run(["calibrate", "-o", str(path), *(["--json"] if as_json else ["--device", "cuda"])]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert calls == (["cpu"] if as_json else ["cuda"])
    assert Device.load(path) == here
    if as_json:
        assert json.loads(out) == here.to_dict()
    else:
        header, *rows = cells(out)
        assert header == ["figure", "here", "basis"]
        assert rows == [[name, amount(here[name], unit), here.figures[name].basis] for name, unit in FIGURES.items()]
        assert out.splitlines()[-3:] == ["torch: 2.13", "", f"Profile: {path}"]


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["-o", "fitted.txt"], ["--output", ".json", "'fitted.txt'"]),
        (["-o", "no/such/fitted.json"], ["--output", "no/such"]),
        (["-o", "x.json", "--device", "abacus"], ["'abacus'", "cpu"]),
        (["-o", "x.json", "--anchor", "t4"], ["--anchor", "t4", "--epochs"]),
        (["-o", "x.json", "--hours", "0"], ["--hours", "--epochs"]),
        (["-o", "x.json", "--epochs", str(COUNTS), "--device", "cpu"], ["--device", "cpu", "--anchor"]),
        (["-o", "x.json", "--epochs", str(COUNTS), "--anchor", "abacus"], ["'abacus'", "a100-40"]),
        (["-o", "x.json", "--epochs", str(COUNTS), "--hours", "0"], ["hours", "0.0"]),
        (["-o", "x.json", "--epochs", "no-such.csv"], ["no-such.csv"]),
        (["--epochs", str(COUNTS)], ["-o"]),
    ],
    ids=lambda value: " ".join(value).replace(str(COUNTS), "COUNTS"),
)
def test_bad_input_is_one_line_and_exit_code_2(
    args: list[str],
    words: list[str],
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(["calibrate", *args]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("error: ") and err.count("\n") == 1
    assert all(word in err for word in words), err
    assert not list(tmp_path.iterdir())
