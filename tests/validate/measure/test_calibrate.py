"""Calibration: a full and valid profile. What it measures is the machine's affair, so no number is expected."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from lipcost.costmodel.devices.device import FIGURES, Device
from lipcost.validate.measure.calibrate import LAYERS, PEAKS, RATES, STAGES, Inputs, _additions, calibrate

KINDS = ["cpu", "cuda"] if torch.cuda.is_available() else ["cpu"]


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """Tests run on busy machines, where threads wait for each other."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module", params=KINDS)
def device(request: pytest.FixtureRequest) -> Device:
    return calibrate(request.param, quick=True)


def test_figures(device: Device) -> None:
    measured = {name for name in FIGURES if device.figures[name].basis == "measured"}
    assert measured >= {*RATES, *PEAKS, "launch", "memory"}
    assert measured | {"reserved", "rounding", "loading"} == set(FIGURES)
    assert device["loading"] == 0
    assert all(device[name] <= device[peak] for peak, names in PEAKS.items() for name in names)
    assert device["rounding"] == {"cpu": 1, "cuda": 512}[device.kind]
    assert device["reserved"] < device["memory"]


def test_says_how_it_was_measured(device: Device) -> None:
    assert str(STAGES[device.kind][0]) in device.figures["conv"].source
    assert device.environment["torch"] == torch.__version__
    assert device.environment["threads"] == "1"


def test_save_and_load(device: Device, tmp_path: Path) -> None:
    device.save(tmp_path / "here.json")
    assert Device.load(tmp_path / "here.json") == device


def test_progress_and_what_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lipcost.validate.measure.calibrate.SECONDS", 0.01)
    state, steps = torch.random.get_rng_state(), []
    with torch.no_grad():
        calibrate(quick=True, progress=lambda what, done, total: steps.append((what, done, total)))
        assert not torch.is_grad_enabled()
    assert torch.equal(torch.random.get_rng_state(), state)
    assert torch.get_num_threads() == 1
    total = len(RATES) + 1
    assert [(done, of) for _, done, of in steps] == [(i, total) for i in range(total + 1)]
    assert [what for what, _, _ in steps[:2]] == ["measuring bandwidth", "measuring conv"]


@pytest.mark.parametrize("name", RATES)
def test_work_runs_and_its_amount_is_that_of_its_shape(name: str) -> None:
    """Twice the channels: four times the work of a layer, eight times that of its kernels, twice the images."""
    inputs = Inputs("cpu")
    small, large = (RATES[name](inputs, 2, c, 4) for c in (4, 8))
    small.call()
    growth = {"bandwidth": 2, "fft": 2, "conv": 4, "complex_matmul": 4, "inverse": 4, "matmul": 8, "weight_conv": 8}
    assert large.amount == growth[name] * small.amount


@pytest.mark.parametrize("name", ["conv", "weight_conv", "matmul", "complex_matmul"])
def test_amounts_are_what_torch_counts(name: str) -> None:
    work = RATES[name](Inputs("cpu"), 2, 3, 4)
    with FlopCounterMode(display=False) as counter:
        work.call()
    # torch counts a complex product as if it were real
    assert work.amount == counter.get_total_flops() * (4 if name == "complex_matmul" else 1)


def test_as_many_additions_as_it_says() -> None:
    work = _additions(Inputs("cpu"))
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profiler:
        work.call()
    counts = {event.key: event.count for event in profiler.key_averages()}
    assert counts["aten::add"] + counts.get("aten::add_", 0) == work.amount == 2 * LAYERS


@pytest.mark.parametrize("device", ["gpu", "", "cuda:7"])
def test_unknown_device(device: str) -> None:
    with pytest.raises(
        ValueError, match=f"^no device '{device}' that torch can use here; devices: {', '.join(KINDS)}$"
    ):
        calibrate(device)
