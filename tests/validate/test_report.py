"""The report: a golden file, totals re-added from the rows, and that no mismatch or error is lost.

``UPDATE_GOLDEN=1 pytest tests/validate/test_report.py`` writes the golden file anew.
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

from lipcost.cli.main import run
from lipcost.costmodel import Prediction, predict
from lipcost.validate.cases import Case
from lipcost.validate.flops import FlopMeasurement, measure_flops
from lipcost.validate.report import collect, environment, html, markdown, run_validation, write
from lipcost.validate.results import Results
from lipcost.validate.sections import sections

GOLDEN = Path(__file__).parent / "golden" / "aol-cpl-quick.md"
METHODS = ["aol", "cpl"]
FEW = [Case("aol", b=2, s=4, c_in=2, c_out=2, mode=mode) for mode in ("train", "inference")]


@pytest.fixture(scope="module")
def results() -> Results:
    """A quick run; what depends on the machine is fixed: environment, date, the convolution backend's scratch."""
    found = collect(METHODS, quick=True)
    rows = [replace(r, beside={**r.beside, "scratch_bytes": 4096}) if r.beside else r for r in found.rows]
    fixed = dict.fromkeys(found.environment, "fixed")
    return replace(found, environment=fixed, date="2000-01-01 00:00 UTC", rows=rows)


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two configurations and no guarantees."""
    monkeypatch.setattr("lipcost.validate.report.grid", lambda *_: FEW)
    monkeypatch.setattr("lipcost.validate.report.shapes", lambda *_: [])


def load(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "report.json").read_text(encoding="utf-8"))


def test_golden(results: Results) -> None:
    text = markdown(results, sections(results))
    if "UPDATE_GOLDEN" in os.environ:
        GOLDEN.write_text(text, encoding="utf-8")
    assert text == GOLDEN.read_text(encoding="utf-8")


def test_totals_are_those_of_the_rows(results: Results, tmp_path: Path) -> None:
    write(results, tmp_path)
    report = load(tmp_path)
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


def test_totals_of_the_printed_table() -> None:
    table = GOLDEN.read_text(encoding="utf-8").split("## Formulas against measurements")[1].split("##")[0]
    lines = [[cell.strip() for cell in line.strip("|").split("|")][2:] for line in table.splitlines() if "/" in line]
    counts = [[tuple(map(int, re.findall(r"\d+", cell.replace(",", "")))) for cell in line] for line in lines[1:]]
    for *parts, total in [*counts, *zip(*counts, strict=True)]:
        assert tuple(map(sum, zip(*parts, strict=True))) == total


def test_html_needs_no_other_file(results: Results) -> None:
    page = html(results, sections(results))
    assert page == html(results, sections(results))
    assert re.findall(r"https?:|<script|<link|@import", page) == []
    assert len(re.findall(r'<img alt="[^"]+" src="data:image/svg\+xml;base64,', page)) == 3
    assert 'title="' in page


def test_environment_names_no_host() -> None:
    assert os.uname().nodename not in environment().values()


def test_a_wrong_formula_is_reported(few: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def off_by_four(*args: Any, **kwargs: Any) -> Prediction:
        right = predict(*args, **kwargs)
        return replace(right, saved_bytes=right.saved_bytes + 4)

    monkeypatch.setattr("lipcost.validate.cases.predict", off_by_four)
    assert run_validation(tmp_path, ["aol"]) is False
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
    monkeypatch.setattr("lipcost.validate.cases.predict", lambda *a, **k: replace(predict(*a, **k), macs_forward=4))
    assert run(args) == 1
    out, err = capfd.readouterr()
    assert "mismatches: 4." in out
    assert err == ""


def test_an_exception_in_one_case_is_listed(few: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail_in_training(layer: Any, x: Any, mode: Any) -> FlopMeasurement:
        if mode == "train":
            raise RuntimeError("out | of\nluck")
        return measure_flops(layer, x, mode)

    monkeypatch.setattr("lipcost.validate.compare.measure_flops", fail_in_training)
    assert run_validation(tmp_path, ["aol"]) is False
    report = load(tmp_path)
    failed, *others = report["rows"]
    assert failed["error"] == "RuntimeError: out | of\nluck"
    assert others and all(row["matches"] for row in others)
    assert report["summary"][0]["Equal"] == f"{len(others)}/{len(others) + 1}"
    assert r"RuntimeError: out \| of luck" in (tmp_path / "report.md").read_text(encoding="utf-8")
    assert "RuntimeError: out | of\nluck" in (tmp_path / "index.html").read_text(encoding="utf-8")


def test_a_broken_guarantee_is_reported(results: Results) -> None:
    broken = replace(results, guarantees=[replace(results.guarantees[0], bound=1.5), *results.guarantees[1:]])
    assert results.passed and not broken.passed
    assert re.search(r"^\| aol c_in=3 .* \| 1\.5 \|", markdown(broken, sections(broken)), re.MULTILINE)
    assert "claimed guarantees hold" in broken.verdict


def test_progress_counts_to_its_end(few: None) -> None:
    steps: list[tuple[str, int, int]] = []
    collect(["aol"], progress=lambda *step: steps.append(step))
    assert steps == [("measuring aol", 0, 2), ("measuring aol", 1, 2), ("writing the report", 2, 2)]
