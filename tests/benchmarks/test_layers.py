"""The benchmark of layers: its bytes are the cost model's, and its tables hold together. No time is tested."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import torch

from benchmarks.accuracy import ORTHOGONAL, WEIGHTS, Shape, measure_accuracy
from benchmarks.layers import METHODS, REQUIRED, check, run, show
from benchmarks.peers import contestants, peers
from benchmarks.tasks import CLOCKS, Clock, Layers, Networks, Row, measure
from lipcost.costmodel import predict, predict_network

ONCE = Clock("cpu", rounds=1)
ROW = Row("lot", "lipcost", 1, 10, [2.0, 1.0], [1.0])


@pytest.mark.parametrize("method", METHODS)
def test_a_layers_bytes_are_the_predictions(method: str) -> None:
    own = contestants(method)[:1]
    (row,) = measure(Layers("cpu", b=2, c=4, s=6), own, ONCE)
    predicted = predict(method, b=2, c=4, s=6)
    assert (row.saved, row.peak) == (predicted.saved_bytes, predicted.peak_bytes)
    assert len(row.train) == len(row.cached) == 1


@pytest.mark.parametrize("method", ["aol", "standard"])
def test_a_networks_peak_is_the_prediction(method: str) -> None:
    own = contestants(method)[:1]
    _, peak = Networks("cpu", b=2).memory(own[0])
    assert peak == predict_network("ConvNetXS", method, b=2).peak_bytes


@pytest.mark.parametrize("method", sorted(set(ORTHOGONAL) & set(METHODS)))
def test_orthogonalisations_are_measured(method: str) -> None:
    rows = measure_accuracy(method, ONCE, Shape(c=4, s=4))
    names = (method, f"{method}/published")
    assert [(row.method, row.weights) for row in rows] == [(name, kind) for kind in WEIGHTS for name in names]
    assert all(row.defect < 1e-4 for row in rows if row.method == method)


@pytest.mark.parametrize("clock", CLOCKS)
def test_each_clock_times(clock: str) -> None:
    ((seconds,),) = Clock("cpu", 1, clock).in_turns([Layers("cpu", b=2, c=4, s=6).training(contestants("aol")[0])])
    assert seconds > 0


def test_everything_fits_json_and_the_tables(capsys: pytest.CaptureFixture[str]) -> None:
    (result,) = run(["standard"], ONCE, quick=True)
    show(result)
    printed = capsys.readouterr().out
    loaded = json.loads(json.dumps(result, default=vars))
    assert [row["by"] for row in loaded["network"]] == ["lipcost", "published"]
    assert not result["requirements"]
    assert "| standard | published |" in printed and str(torch.__version__) in printed


def test_the_reference_is_the_baseline_where_it_is_there() -> None:
    rows = [ROW, replace(ROW, by="published", peak=20), replace(ROW, by="reference", peak=100)]
    found = {line["figure"]: line for line in check(rows)}
    assert {name: found["peak"][name] for name in ("base", "ratio", "required")} == {
        "base": "reference",
        "ratio": 0.1,
        "required": 0.15,
    }
    assert found["peak"]["ok"]
    assert list(found) == list(REQUIRED)
    assert (found["train"]["required"], found["train"]["ok"]) == (0.35, False)
    assert not list(check([ROW]))


def test_a_path_without_the_reference_is_refused(tmp_path) -> None:
    with pytest.raises(FileNotFoundError, match="is no checkout"):
        peers(tmp_path)
