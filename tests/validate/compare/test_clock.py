"""Times on this machine: what is done with them, not how long anything takes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
import torch

from lipcost.costmodel import Device, predict_network
from lipcost.costmodel.devices.roofline import Seconds
from lipcost.validate.compare.clock import Clock, StepTime, clock, time_step
from lipcost.validate.compare.networks import NetworkCase

DEVICE = Device.named("t4")
CASE = NetworkCase("aol", b=16, width=4)


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """On a busy machine threads wait for each other."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(autouse=True)
def no_calibration(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lipcost.validate.compare.clock.calibrate", lambda quick: DEVICE)


def timed(predicted: float, *measured: float) -> StepTime:
    return StepTime(CASE, Seconds(predicted, 0.0, 0.0), measured)


def test_a_step() -> None:
    step = time_step(CASE, DEVICE, quick=True)
    assert step.predicted == predict_network("ConvNetXS", "aol", b=16, width=4, device=DEVICE).time
    assert sum(step.measured) >= 0.3 and min(step.measured) > 0
    assert min(step.measured) <= step.median <= max(step.measured)


def test_figures_by_hand() -> None:
    steps = [timed(1.0, 4.0, 2.0, 1.0), timed(3.0, 2.0, 4.0), timed(4.0, 2.5)]
    assert [step.median for step in steps] == [2.0, 3.0, 2.5]
    assert [step.ratio for step in steps] == [0.5, 1.0, 1.6]
    found = Clock(DEVICE, (0.0, 0.0), steps, {})
    assert found.correlation == pytest.approx(0.5)  # ranks 1, 2, 3 and 1, 3, 2
    assert found.error == 0.5
    nothing = replace(found, steps=[])
    assert nothing.correlation is None and nothing.error is None


def test_what_cannot_be_timed_is_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail_for_cpl(case: NetworkCase, *_: Any) -> StepTime:
        if case.method == "cpl":
            raise MemoryError("out of luck")
        return timed(1.0, 1.0)

    monkeypatch.setattr("lipcost.validate.compare.clock.time_step", fail_for_cpl)
    told: list[tuple[str, int, int]] = []
    found = clock(["aol", "cpl"], quick=True, progress=lambda *step: told.append(step))
    assert [step.case for step in found.steps] == [CASE]
    assert found.failed == {"cpl": "MemoryError: out of luck"}
    assert told == [("calibrating", 0, 3), ("timing aol", 1, 3), ("timing cpl", 2, 3)]


def test_json() -> None:
    found = Clock(DEVICE, (0.5, 1.5), [timed(2.0, 1.0), timed(1.0, 2.0), timed(3.0, 3.0)], {})
    data = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert data["correlation"] == pytest.approx(0.5) and data["median_error"] == 0.5 and data["load"] == [0.5, 1.5]
    assert data["steps"][0]["predicted"]["total"] == 2.0 and data["steps"][0]["measured"] == [1.0]
    assert Device.from_dict(data["device"]) == DEVICE
