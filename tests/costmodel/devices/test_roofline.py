"""The roofline, by hand on a made-up device whose figures are powers of two, so that every quotient is exact."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lipcost.costmodel import METHODS, Device, predict_network
from lipcost.costmodel.devices.device import FIGURES, FORMAT
from lipcost.costmodel.devices.roofline import Seconds, Work, bounds, rate, seconds, tally
from lipcost.costmodel.tape import Operation

VALUES = {
    "bandwidth": 2.0**30,
    "launch": 2.0**-16,
    "loading": 0,
    "conv": 2.0**40,
    "weight_conv": 2.0**36,
    "matmul": 2.0**38,
    "complex_matmul": 2.0**37,
    "fft": 2.0**35,
    "inverse": 2.0**29,
    "inverse_step": 0,
}
RATES = ["conv", "weight_conv", "matmul", "complex_matmul", "fft"]
ALL = [*RATES, "inverse", None]


def made_up(**values: float) -> Device:
    """A device of VALUES but for ``values``; all other figures are 1."""
    given = dict.fromkeys(FIGURES, 1) | VALUES | values
    figures = {
        name: {"value": given[name], "unit": unit, "basis": "estimated", "source": "made up"}
        for name, unit in FIGURES.items()
    }
    profile = {"format": FORMAT, "name": "made up", "kind": "cpu", "environment": {}, "figures": figures}
    return Device.from_dict(profile)


def operation(cls: str, variant: str = "", **sizes: Any) -> Operation:
    numbers: dict[str, Any] = {"macs": 0, "flops": 1, "steps": 1} | sizes
    moved = (numbers.pop("traffic", 1),)
    return Operation("any", cls, "forward", "input", variant=variant, moved=moved, **numbers)


# One operation


@pytest.mark.parametrize(
    ("cls", "variant", "figure"),
    [
        ("conv", "", "conv"),
        ("conv", "1x1", "weight_conv"),
        ("conv", "complex", "conv"),
        ("matmul", "", "matmul"),
        ("matmul", "complex", "complex_matmul"),
        ("fft", "", "fft"),
        ("fft", "complex", "fft"),
        ("inverse", "", "inverse"),
        ("inverse", "complex", "inverse"),
        ("pointwise", "", None),
        ("pointwise", "complex", None),
    ],
)
def test_the_figure_of_every_class(cls: str, variant: str, figure: str | None) -> None:
    assert rate(operation(cls, variant)) == figure


@pytest.mark.parametrize("figure", RATES)
def test_bound_by_arithmetic(figure: str) -> None:
    work = Work(figure, flops=2**40, traffic=2**10, steps=1)
    assert seconds({work: 1}, made_up()) == Seconds(compute=2**40 / VALUES[figure], bandwidth=0, launches=0)


@pytest.mark.parametrize("figure", [*RATES, None])
def test_bound_by_bytes(figure: str | None) -> None:
    work = Work(figure, flops=2**10, traffic=2**28, steps=1)
    assert seconds({work: 1}, made_up()) == Seconds(compute=0, bandwidth=0.25, launches=0)


@pytest.mark.parametrize("figure", ALL)
def test_bound_by_the_launch(figure: str | None) -> None:
    work = Work(figure, flops=2, traffic=2**4, steps=1)
    assert seconds({work: 1}, made_up()) == Seconds(compute=0, bandwidth=0, launches=2.0**-16)


def test_a_pointwise_operation_has_no_arithmetic() -> None:
    work = Work(None, flops=2**60, traffic=2**30, steps=1)
    assert bounds(work, VALUES) == {"compute": 0, "bandwidth": 1, "launches": 2.0**-16}


def test_an_inverse_takes_its_bytes_and_its_steps() -> None:
    """2^29 bytes at 2^29 B/s, and 64 steps of 1/128 s, one after the other; its FLOPs do not count."""
    device = made_up(inverse_step=2.0**-7)
    for flops in (0, 2**60):
        work = Work("inverse", flops=flops, traffic=2**29, steps=64)
        assert seconds({work: 1}, device) == Seconds(compute=1.5, bandwidth=0, launches=0)


def test_an_inverse_without_steps_is_its_bytes() -> None:
    work = Work("inverse", flops=2**60, traffic=2**29, steps=64)
    assert seconds({work: 3}, made_up()).compute == 3


def test_only_an_inverse_waits_for_its_steps() -> None:
    work = Work("matmul", flops=2**38, traffic=1, steps=64)
    assert seconds({work: 1}, made_up(inverse_step=1)).compute == 1


# A step


def test_a_step_is_the_sum_of_its_operations() -> None:
    works = {
        Work("conv", 2**40, 2**10, 1): 2,  # 1 s of arithmetic each
        Work("fft", 2**10, 2**29, 1): 3,  # 1/2 s of bytes each
        Work(None, 1, 1, 1): 2**15,  # a launch each: 1/2 s together
    }
    time = seconds(works, made_up())
    assert time == Seconds(compute=2, bandwidth=1.5, launches=0.5)
    assert time.busy == time.total == 4
    assert time.bound == "compute"


@pytest.mark.parametrize(("images", "total", "bound"), [(1, 1, "compute"), (4, 1, "compute"), (5, 1.25, "loading")])
def test_no_step_is_faster_than_its_images_load(images: int, total: float, bound: str) -> None:
    time = seconds({Work("conv", 2**40, 1, 1): 1}, made_up(loading=0.25), images)
    assert (time.busy, time.loading) == (1, images / 4)
    assert (time.total, time.bound) == (total, bound)


def test_what_bounds_a_step() -> None:
    assert Seconds(1, 2, 3).bound == "launches"
    assert Seconds(1, 3, 2).bound == "bandwidth"
    assert Seconds(3, 1, 2, loading=5.9).bound == "compute"
    assert Seconds(3, 1, 2, loading=6.1).bound == "loading"


def test_equal_work_is_tallied() -> None:
    ops = [operation("matmul", "complex"), operation("conv"), operation("matmul", "complex"), operation("matmul")]
    expected = {Work("complex_matmul", 1, 1, 1): 2, Work("conv", 1, 1, 1): 1, Work("matmul", 1, 1, 1): 1}
    assert tally(ops) == Counter(expected)


works = st.dictionaries(
    st.builds(
        Work,
        rate=st.sampled_from(ALL),
        flops=st.integers(0, 2**50),
        traffic=st.integers(0, 2**40),
        steps=st.integers(1, 4096),
    ),
    st.integers(1, 1000),
    min_size=1,
    max_size=6,
)
SLOWER = ("launch", "loading", "inverse_step")  # the larger, the slower; the others are rates
NO_MATTER = ("memory", "reserved", "rounding", "peak_bandwidth", "peak_conv", "peak_matmul")


@settings(deadline=None)
@given(works, st.data())
def test_monotone_in_every_figure(works: dict[Work, int], data: st.DataObject) -> None:
    names = [name for name in FIGURES if name not in NO_MATTER]
    values = {name: VALUES[name] * 2.0 ** data.draw(st.integers(-10, 10)) for name in names}
    values |= {name: 2.0 ** data.draw(st.integers(-20, 0)) for name in SLOWER}
    device, figure = made_up(**values), data.draw(st.sampled_from(names))
    larger = made_up(**(values | {figure: values[figure] * data.draw(st.floats(1, 1e6))}))
    before, after = (seconds(works, each, images=7).total for each in (device, larger))
    assert (before <= after * (1 + 1e-12)) if figure in SLOWER else (after <= before * (1 + 1e-12))


@settings(deadline=None)
@given(works, st.sampled_from(NO_MATTER), st.integers(1, 10**6))
def test_memory_and_peaks_take_no_time(works: dict[Work, int], figure: str, value: int) -> None:
    assert seconds(works, made_up(), 7) == seconds(works, made_up(**{figure: value}), 7)


@settings(deadline=None)
@given(works, st.integers(0, 100))
def test_the_breakdown_adds_up(works: dict[Work, int], images: int) -> None:
    """Each operation takes its largest bound, so that the parts add up to the sum of the largest."""
    device = made_up(loading=2.0**-4, inverse_step=2.0**-20)
    time = seconds(works, device, images)
    figures = {name: device[name] for name in FIGURES}
    largest = sum(times * max(bounds(work, figures).values()) for work, times in works.items())
    assert time.compute + time.bandwidth + time.launches == pytest.approx(largest, rel=1e-12)
    assert time.total == max(time.busy, images * 2.0**-4)
    assert min(time.compute, time.bandwidth, time.launches) >= 0


# Networks


@pytest.mark.parametrize("method", sorted(METHODS))
def test_a_network_on_a_device_that_only_launches(method: str) -> None:
    """All else is too fast to matter: as many launches as the step has kernels."""
    fast = made_up(**dict.fromkeys([*RATES, "bandwidth", "inverse"], 2.0**80))
    options: dict[str, Any] = {"iterations": 2} if method.split("/", maxsplit=1)[0] in ("bcop", "lot") else {}
    p = predict_network("XS", method, b=2, width=4, device=fast, **options)
    launches = p.launches_forward + p.launches_backward + p.launches_optimizer
    assert p.time == Seconds(compute=0, bandwidth=0, launches=launches * 2.0**-16, loading=0)


def test_a_network_that_only_moves_bytes() -> None:
    slow = made_up(**dict.fromkeys([*RATES, "inverse"], 2.0**80), bandwidth=1, launch=2.0**-80)
    p = predict_network("XS", "lot", b=2, width=4, device=slow, iterations=2)
    assert p.seconds == p.traffic_forward + p.traffic_backward + p.traffic_optimizer


def test_a_network_that_only_convolves() -> None:
    slow = made_up(conv=2.0**-10, weight_conv=2.0**-10)
    p = predict_network("XS", "aol", b=2, width=4, device=slow)
    assert p.time is not None
    assert p.time.compute == p.by_class["conv"] * 2**10


def test_inference_loads_nothing() -> None:
    device = made_up(loading=1)
    train, inference = (
        predict_network("XS", "aol", b=3, width=4, device=device, mode=mode) for mode in ("train", "inference")
    )
    assert train.time is not None
    assert inference.time is not None
    assert (train.time.loading, train.seconds, train.time.bound) == (3, 3, "loading")
    assert inference.time.loading == 0
    assert inference.seconds == inference.time.busy < 1
    assert inference.to_dict()["seconds"] == inference.seconds


def test_inference_does_not_pay_for_what_is_cached() -> None:
    """With cached kernels AOL's network is the plain one; in training it is not."""
    modes: tuple[tuple[Any, bool], ...] = (("inference", True), ("train", False))
    for mode, same in modes:
        plain, aol = (
            predict_network("XS", method, b=3, width=4, device=made_up(), mode=mode) for method in ("standard", "aol")
        )
        assert (plain.time == aol.time) is same
