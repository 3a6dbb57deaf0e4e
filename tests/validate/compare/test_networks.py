"""Whole networks: predictions equal measurements at full size, and nothing wrong passes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
import torch

from lipcost.costmodel import DEFAULTS, METHODS, PUBLISHED, NetworkPrediction, predict_network
from lipcost.validate.compare.cases import MODES
from lipcost.validate.compare.networks import NetworkCase, compare_network, network_grid
from lipcost.validate.compare.rows import DISPATCH, FAILED, FVCORE, HOOKS, PROFILER, STORAGES, TRACKER, Row
from lipcost.validate.measure.step import measure_step

NARROW = {"lot": 4, "bcop": 8, "cayley": 8}  # full width takes minutes, or half of one
CASE = NetworkCase("standard", b=2, width=4)
PHASES = ("forward", "backward", "optimizer")
COUNTED = [f"{name}_{phase}" for phase in PHASES for name in ("macs", "flops", "traffic", "launches")]
CLASSES = [f"flops_{cls}" for cls in ("conv", "matmul", "fft", "inverse", "pointwise")]
KEPT = ["parameter_bytes", "buffer_bytes"]
TRAIN = {
    ("macs_forward", FVCORE),
    *((quantity, DISPATCH) for quantity in (*COUNTED, *CLASSES)),
    *((quantity, STORAGES) for quantity in (*KEPT, "gradient_bytes", "optimizer_bytes")),
    ("saved_bytes", HOOKS),
    ("peak_bytes", PROFILER),
    ("peak_bytes", TRACKER),
}
INFERENCE = {
    ("macs_forward", FVCORE),
    *((quantity, DISPATCH) for quantity in (*COUNTED[:4], *CLASSES)),
    *((quantity, STORAGES) for quantity in (*KEPT, "cache_bytes")),
    ("peak_bytes", PROFILER),
    ("peak_bytes", TRACKER),
}


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """As in a validation: on a busy machine threads wait for each other."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.mark.parametrize("b", [pytest.param(2, marks=pytest.mark.slow), 5])
@pytest.mark.parametrize("method", METHODS)
def test_conv_net_xs_costs_what_is_predicted(method: str, b: int) -> None:
    check(method, b, NARROW.get(method.removesuffix(PUBLISHED), 16))


@pytest.mark.slow
@pytest.mark.parametrize("b", [2, 5])
@pytest.mark.parametrize("method", ["bcop", "cayley", "lot"])
def test_the_dear_ones_do_so_too_where_they_are_wider(method: str, b: int) -> None:
    check(method, b, 8 if method == "lot" else 16)


def check(method: str, b: int, width: int) -> None:
    train, inference = (compare_network(NetworkCase(method, b, width, mode)) for mode in MODES)
    assert [row for row in (*train, *inference) if not row.matches] == []
    assert {(row.quantity, row.by) for row in train} == TRAIN and len(train) == len(TRAIN)
    assert {(row.quantity, row.by) for row in inference} == INFERENCE and len(inference) == len(INFERENCE)
    peak = next(row for row in train if row.by == PROFILER)
    assert sum(peak.by_category.values()) == peak.measured


@pytest.fixture(scope="module")
def measured() -> Any:
    return measure_step(CASE.net(), CASE.images(), CASE.labels())


@pytest.mark.parametrize("quantity", sorted({quantity for quantity, _ in TRAIN}))
def test_a_wrong_prediction_is_caught(quantity: str, measured: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def off_by_four(*args: Any, **kwargs: Any) -> NetworkPrediction:
        right = predict_network(*args, **kwargs)
        cls = quantity.removeprefix("flops_")
        if cls in right.by_class:
            return replace(right, by_class=right.by_class | {cls: right.by_class[cls] + 4})
        return replace(right, **{quantity: getattr(right, quantity) + 4})

    monkeypatch.setattr("lipcost.validate.compare.networks.measure_step", lambda *_: measured)
    monkeypatch.setattr("lipcost.validate.compare.networks.predict_network", off_by_four)
    wrong = [row for row in compare_network(CASE) if not row.matches]
    assert {(row.quantity, row.difference) for row in wrong} == {(quantity, -4)}
    assert len(wrong) == (2 if quantity in ("macs_forward", "peak_bytes") else 1)


def test_an_exception_is_a_row(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("out of luck")

    monkeypatch.setattr("lipcost.validate.compare.networks.measure_step", fail)
    failed = Row(CASE, FAILED, None, None, "", error="RuntimeError: out of luck")
    assert compare_network(CASE) == [failed]
    assert not failed.matches


def test_the_grid() -> None:
    cases = network_grid(list(METHODS))
    assert {case.method for case in cases} == set(METHODS)
    assert {(case.method, case.width) for case in cases if case.width != 16} == {("lot/published", 4)}
    assert [(case.b, case.mode) for case in cases[:4]] == [(b, mode) for b in (2, 5) for mode in MODES]
    assert len(set(cases)) == len(cases) == (4 + 2) * len(DEFAULTS)
    assert len(network_grid(list(METHODS), quick=True)) == 2 * len(METHODS)
    assert network_grid(["soc", "aol"], seed=3)[0] == NetworkCase("soc", 2, seed=3)
