"""The report: a golden file, totals re-added from the rows, and that no mismatch or error is lost.

``UPDATE_GOLDEN=1 pytest tests/validate/report/test_report.py`` writes the golden file anew.
"""

from __future__ import annotations

import json
import os
import re
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from made_up import made_up

from lipcost.cli.main import run
from lipcost.costmodel import Device, NetworkPrediction, Prediction, predict, predict_network
from lipcost.costmodel.devices.fit import Count, EpochFit, Fitted
from lipcost.costmodel.devices.roofline import Seconds
from lipcost.validate.compare.cases import Case
from lipcost.validate.compare.clock import Clock, StepTime
from lipcost.validate.compare.collect import collect, environment
from lipcost.validate.compare.networks import NetworkCase
from lipcost.validate.compare.published import Predictor, Published
from lipcost.validate.compare.results import Results
from lipcost.validate.compare.rows import FAILED, Row
from lipcost.validate.compare.soundness import Outcome
from lipcost.validate.measure.calibrate import Progress
from lipcost.validate.measure.flops import FlopMeasurement, measure_flops
from lipcost.validate.report.pages import html, markdown
from lipcost.validate.report.run import run_validation, write
from lipcost.validate.report.sections import sections

GOLDEN = Path(__file__).parent / "golden" / "aol-cpl-quick.md"
METHODS = ["aol", "cpl"]
FEW = [Case("aol", b=2, s=4, c_in=2, c_out=2, mode=mode) for mode in ("train", "inference")]
DEVICE = replace(Device.named("t4"), environment={"threads": "1"})
CLOCK = Clock(
    DEVICE,
    (1.0, 1.5),
    [
        StepTime(NetworkCase("aol", 16, 4), Seconds(0.01, 0.02, 0.003), (0.03, 0.05, 0.04)),
        StepTime(NetworkCase("cpl", 16, 4), Seconds(0.5, 0.2, 0.1), (0.5, 0.75)),
        StepTime(NetworkCase("soc", 16, 4), Seconds(0.1, 0.1, 0.3), (1.23456,)),
    ],
    {"lot": "MemoryError: out | of memory"},
)
PUBLISHED = Published(
    DEVICE,
    EpochFit(
        DEVICE.with_figures("fitted", "made up", conv=1.5e13, loading=1e-4),
        [
            Fitted(Count("XS", "aol", 837), epochs=800.0, held_out=780.0, shift=0.02, loading=True),
            Fitted(Count("M", "soc", 201), epochs=198.0, held_out=196.0, shift=0.01, loading=False),
        ],
    ),
    [
        Predictor("the model", 6, (0.046, 0.186), (0.044, 0.183)),
        Predictor("FLOPs alone", 1, (0.1, 0.05), (0.044, 0.183)),
    ],
)


@pytest.fixture(scope="module")
def results() -> Results:
    """A quick run; what depends on the machine is fixed: environment, date, times, a convolution's scratch."""
    with pytest.MonkeyPatch.context() as patch:
        no_times(patch)
        found = collect(METHODS, quick=True)
    rows = [replace(r, beside={**r.beside, "scratch_bytes": 4096}) if r.beside else r for r in found.rows]
    fixed = dict.fromkeys(found.environment, "fixed") | {"torch": "2.13.0"}
    return replace(found, environment=fixed, date="2000-01-01 00:00 UTC", rows=rows)


def no_times(patch: pytest.MonkeyPatch) -> None:
    """Made-up times, and a fit to made-up counts."""
    patch.setattr("lipcost.validate.compare.collect.clock", lambda *_: CLOCK)
    patch.setattr("lipcost.validate.compare.collect.published", lambda: PUBLISHED)


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two configurations, no network and no claims; nothing is plotted."""
    no_times(monkeypatch)
    monkeypatch.setattr("lipcost.validate.report.pages.draw", lambda *_: ("<svg/>", "not drawn"))
    monkeypatch.setattr("lipcost.validate.compare.collect.grid", lambda *_: FEW)
    monkeypatch.setattr("lipcost.validate.compare.collect.network_grid", lambda *_: [])
    monkeypatch.setattr("lipcost.validate.compare.collect.reported", lambda *_: [])


def load(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "report.json").read_text(encoding="utf-8"))


def test_golden(results: Results) -> None:
    text = markdown(results, sections(results))
    if "UPDATE_GOLDEN" in os.environ:
        GOLDEN.write_text(text, encoding="utf-8")
    assert text == GOLDEN.read_text(encoding="utf-8")


def test_totals_are_those_of_the_rows(results: Results) -> None:
    report = json.loads(json.dumps(results.to_dict(), allow_nan=False))
    compared: Counter[tuple[str, str, str]] = Counter()
    equal: Counter[tuple[str, str, str]] = Counter()
    for row in report["rows"]:
        key = report["cases"][row["case"]]["method"], row["quantity"], row["by"]
        compared[key] += 1
        equal[key] += row["predicted"] == row["measured"]
    listed = {(m, t["quantity"], t["by"]): t for m, totals in report["totals"].items() for t in totals}
    assert {key: t["compared"] for key, t in listed.items()} == compared
    assert {key: t["equal"] for key, t in listed.items()} == equal
    everything = f"{equal.total():,}/{compared.total():,}"
    assert report["summary"][-1]["Equal"] == everything
    assert report["summary"][-1]["Configurations"] == len(report["cases"])
    assert report["verdict"].startswith(everything.replace("/", " of "))
    assert report["passed"] is True


@pytest.mark.parametrize("section", ["Formulas against measurements", "Whole networks"])
def test_totals_of_the_printed_table(section: str) -> None:
    table = GOLDEN.read_text(encoding="utf-8").split(f"## {section}")[1].split("##")[0].split("| quantity |")[1]
    lines = [[cell.strip() for cell in line.strip("|").split("|")][2:] for line in table.splitlines() if "/" in line]
    counts = [[tuple(map(int, re.findall(r"\d+", cell.replace(",", "")))) for cell in line] for line in lines]
    for *parts, total in [*counts, *zip(*counts, strict=True)]:
        assert tuple(map(sum, zip(*parts, strict=True))) == total


def test_html_needs_no_other_file(results: Results) -> None:
    page = html(results, sections(results))
    assert page == html(results, sections(results))
    assert re.findall(r"https?:|<script|<link|@import", page) == []
    assert len(re.findall(r'<img alt="[^"]+" src="data:image/svg\+xml;base64,', page)) == 4
    assert 'title="' in page


def test_environment_names_no_host() -> None:
    assert os.uname().nodename not in environment().values()


def test_a_wrong_formula_is_reported(few: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def off_by_four(*args: Any, **kwargs: Any) -> Prediction:
        right = predict(*args, **kwargs)
        return replace(right, saved_bytes=right.saved_bytes + 4)

    monkeypatch.setattr("lipcost.validate.compare.cases.predict", off_by_four)
    assert not run_validation(tmp_path, ["aol"]).passed
    wrong = [row for row in load(tmp_path)["rows"] if not row["matches"]]
    assert [(row["quantity"], row["measured"] - row["predicted"]) for row in wrong] == [("saved_bytes", -4)]
    line = (
        f"| {FEW[0]} | saved_bytes | saved-tensor hooks | {wrong[0]['predicted']:,} | {wrong[0]['measured']:,} | -4 |"
    )
    assert line in (tmp_path / "report.md").read_text(encoding="utf-8")
    assert f"<td>{FEW[0]}</td>" in (tmp_path / "index.html").read_text(encoding="utf-8")


def test_the_command_fails_on_a_mismatch(
    few: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    args = ["validate", "--methods", "aol", "--output", str(tmp_path)]
    assert run(args) == 0
    monkeypatch.setattr(
        "lipcost.validate.compare.cases.predict", lambda *a, **k: replace(predict(*a, **k), macs_forward=4)
    )
    assert run(args) == 1
    out, err = capfd.readouterr()
    assert "mismatches: 4." in out
    assert err == ""


def test_an_exception_in_one_case_is_listed(few: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail_in_training(layer: Any, x: Any, mode: Any) -> FlopMeasurement:
        if mode == "train":
            raise RuntimeError("out | of\nluck")
        return measure_flops(layer, x, mode)

    monkeypatch.setattr("lipcost.validate.compare.layers.measure_flops", fail_in_training)
    assert not run_validation(tmp_path, ["aol"]).passed
    report = load(tmp_path)
    failed, *others = report["rows"]
    assert failed["error"] == "RuntimeError: out | of\nluck"
    assert others and all(row["matches"] for row in others)
    assert report["summary"][0]["Equal"] == f"{len(others)}/{len(others) + 1}"
    assert r"RuntimeError: out \| of luck" in (tmp_path / "report.md").read_text(encoding="utf-8")
    assert "RuntimeError: out | of\nluck" in (tmp_path / "index.html").read_text(encoding="utf-8")


def test_a_broken_claim_is_reported(results: Results) -> None:
    first, *others = results.soundness
    broken = replace(results, soundness=[replace(first, largest=1.5), *others])
    assert results.passed and not broken.passed
    assert re.search(r"^\| aol 3→3 k=3 .* \| 1\.5 \|", markdown(broken, sections(broken)), re.MULTILINE)
    assert "11 of 12 claimed guarantees hold" in broken.verdict


def pages(folder: Path) -> list[bytes]:
    return [(folder / name).read_bytes() for name in ("index.html", "report.md")]


def test_the_pages_are_a_function_of_the_file(
    results: Results, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A run with a mismatch, an error, a broken claim, one without figures and a GPU, drawn again from its file."""
    case = results.networks[0].case
    error = Row(case, FAILED, None, None, "", error="RuntimeError: out of\nluck")
    first, second, *others = results.soundness
    outcomes = [replace(first, largest=1.5), Outcome(second.case, error="ValueError: no"), *others]
    rows = [replace(results.rows[0], measured=5), error, *results.rows[1:]]
    found = replace(results, rows=rows, soundness=outcomes, gpus=[made_up()])
    there, elsewhere = tmp_path / "there", tmp_path / "elsewhere"
    there.mkdir()
    write(found, there)
    assert all(b"GPU: " in page and b"out of" in page and b"ValueError: no" in page for page in pages(there))
    file = there / "report.json"
    Results.load(file).save(tmp_path / "again.json")
    assert (tmp_path / "again.json").read_bytes() == file.read_bytes()
    assert run(["report", str(file), "--output", str(elsewhere)]) == 0
    assert pages(elsewhere) == pages(there)
    assert capsys.readouterr().out.splitlines() == [found.verdict, f"Report: {elsewhere / 'index.html'}"]


def test_the_command_draws_beside_its_file(results: Results, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    results.save(tmp_path / "report.json")
    folders = []
    monkeypatch.setattr("lipcost.validate.report.run.write_pages", lambda _, folder: folders.append(folder))
    assert run(["report", str(tmp_path / "report.json")]) == 0
    assert folders == [tmp_path]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"format": "lipcost-cuda/1"}, "format must be 'lipcost-report/1', got 'lipcost-cuda/1'"),
        ({"rows": None}, "lacks 'rows'; needed: environment, "),
        ({"rows": [{"case": 10**6}]}, "not as lipcost validate writes it: IndexError"),
        ({"clock": {}}, "not as lipcost validate writes it: KeyError: 'load'"),
        ({"methods": ["socks"]}, "not as lipcost validate writes it: ValueError: unknown method 'socks'"),
        ({"gpus": [{}]}, "format must be 'lipcost-cuda/1', got None"),
    ],
)
def test_a_wrong_file_is_named(
    change: dict[str, Any], words: str, results: Results, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "report.json"
    data = {name: value for name, value in (results.to_dict() | change).items() if value is not None}
    file.write_text(json.dumps(data), encoding="utf-8")
    assert run(["report", str(file)]) == 2
    err = capsys.readouterr().err
    assert err.startswith(f"error: {file}: {words}") and err.count("\n") == 1
    assert list(tmp_path.iterdir()) == [file]


def test_progress_counts_to_its_end(few: None, monkeypatch: pytest.MonkeyPatch) -> None:
    def clock(methods: list[str], seed: int, quick: bool, progress: Progress) -> Clock:
        progress("timing aol", 1, 2)
        return CLOCK

    monkeypatch.setattr("lipcost.validate.compare.collect.clock", clock)
    steps: list[tuple[str, int, int]] = []
    collect(["aol"], progress=lambda *step: steps.append(step))
    done = ["measuring aol", "measuring aol", "timing aol", "writing the report"]
    assert steps == [(what, i, 4) for what, i in zip(done, (0, 1, 3, 4), strict=True)]


def test_a_wrong_network_is_reported(few: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def off_by_four(*args: Any, **kwargs: Any) -> NetworkPrediction:
        right = predict_network(*args, **kwargs)
        return replace(right, optimizer_bytes=right.optimizer_bytes + 4)

    case = NetworkCase("standard", b=2, width=4)
    monkeypatch.setattr("lipcost.validate.compare.collect.network_grid", lambda *_: [case])
    monkeypatch.setattr("lipcost.validate.compare.networks.predict_network", off_by_four)
    assert not run_validation(tmp_path, ["standard"]).passed
    text = (tmp_path / "report.md").read_text(encoding="utf-8")
    assert re.search(rf"^\| {case} \| optimizer_bytes \| storages \| .* \| -4 \|$", text, re.MULTILINE)
    assert "mismatches: 1." in text
    assert load(tmp_path)["cases"][-1] == case.to_dict()


def test_times_are_reported(results: Results) -> None:
    report = json.loads(json.dumps(results.to_dict(), allow_nan=False))
    assert report["clock"]["correlation"] == pytest.approx(0.5)
    assert [step["median"] for step in report["clock"]["steps"]] == [0.04, 0.625, 1.23456]
    assert report["clock"]["failed"] == {"lot": "MemoryError: out | of memory"}
    assert report["published"]["predictors"][1]["correlation"] == pytest.approx(-1)
    assert results.passed  # whatever the times
