"""What fits: every answer is checked by recordings of its own, one on each side of the limit."""

from __future__ import annotations

import json
import math
import re
from functools import partial
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from lipcost.costmodel import (
    DEFAULTS,
    METHODS,
    Device,
    Plan,
    epochs_within,
    find_device,
    largest_width,
    max_batch,
    plan,
    predict_network,
)
from lipcost.costmodel.networks.workload import workload
from lipcost.costmodel.planning.batches import Batches

CHEAP: dict[str, dict[str, Any]] = {  # fewer iterations: the same program in less time
    "bcop": {"iterations": 1},
    "bcop/published": {"iterations": 1, "power_iterations": 1},
    "cpl": {"iterations": 1, "eval_iterations": 2},
    "cpl/published": {"iterations": 1, "eval_iterations": 2},
    "lot": {"iterations": 2},
    "lot/published": {"iterations": 2},
    "soc": {"terms": 2, "eval_terms": 2},
    "soc/published": {"terms": 2, "eval_terms": 2},
}
GPU = find_device("a100-40")
GIB = 2**30

methods = st.sampled_from(sorted(METHODS))
modes = st.sampled_from(["train", "inference"])
roundings = st.sampled_from([1, 512])


def with_memory(memory: int, rounding: int = 512) -> Device:
    """A GPU with so much memory for tensors."""
    return GPU.with_figures("estimated", "made up", memory=memory, reserved=0, rounding=rounding)


on_gpu = partial(workload, foreach=True)  # all parameters at once, as torch does there


def peak(b: int, method: str, *, rounding: int = 1, **how: Any) -> int:
    """Of a recording with this very batch size."""
    return on_gpu("XS", method, **CHEAP.get(method, {}), **how).record(b).peak(rounding)


# The largest batch


@settings(deadline=None, max_examples=20)
@given(
    method=methods,
    mode=modes,
    width=st.sampled_from([4, 6]),
    rounding=roundings,
    near=st.integers(1, 3000),
    room=st.integers(-1, 300_000),
)
@example(method="aol", mode="train", width=4, rounding=1, near=1, room=-1)  # not even one image
def test_max_batch_fits_and_one_more_does_not(
    *, method: str, mode: str, width: int, rounding: int, near: int, room: int
) -> None:
    bytes_of = partial(peak, method=method, mode=mode, width=width, rounding=rounding)
    memory = bytes_of(near) + room
    b = max_batch("XS", method, device=with_memory(memory, rounding), mode=mode, width=width, **CHEAP.get(method, {}))
    assert b == 0 or bytes_of(b) <= memory
    assert memory < bytes_of(b + 1)


@pytest.mark.parametrize(("mode", "rounding"), [("train", 512), ("inference", 1)])
@pytest.mark.parametrize("method", sorted(METHODS))
def test_one_image_or_none(method: str, mode: str, rounding: int) -> None:
    task = on_gpu("XS", method, mode=mode, width=4, **CHEAP.get(method, {}))
    one, two = (task.record(b).peak(rounding) for b in (1, 2))
    assert one < two
    batches = Batches(task)
    assert [batches.largest(memory, rounding) for memory in (one - 1, one, two - 1, two)] == [0, 1, 1, 2]


def test_one_byte_is_too_little() -> None:
    assert max_batch("XS", "aol", 1, width=4) == 0


def test_memory_that_is_given_counts_before_the_device_s() -> None:
    """Eight images fit by requested bytes; a device's rounding needs more, its own memory does not matter."""
    how: dict[str, Any] = {"width": 4, "foreach": True}
    memory = peak(8, "aol", width=4)
    assert max_batch("XS", "aol", memory, **how) == 8
    assert max_batch("XS", "aol", memory, device=with_memory(GIB, rounding=1), **how) == 8
    assert max_batch("XS", "aol", memory, device=with_memory(GIB, rounding=512), **how) == 7


def test_what_a_device_reserves_is_not_there() -> None:
    free, reserved = GIB, GIB // 2
    device = with_memory(free + reserved).with_figures("estimated", "made up", reserved=reserved)
    assert max_batch("XS", "aol", device=device, width=4) == max_batch("XS", "aol", device=with_memory(free), width=4)
    none = with_memory(GIB).with_figures("estimated", "made up", reserved=2 * GIB)
    assert max_batch("XS", "aol", device=none, width=4) == 0


def test_max_batch_against_the_whole_prediction() -> None:
    b = max_batch("ConvNetXS", "sll", GIB, optimizer="adam")
    fits = [predict_network("ConvNetXS", "sll", b=n, optimizer="adam").peak_bytes <= GIB for n in (b, b + 1)]
    assert fits == [True, False]


def test_max_batch_of_a_module() -> None:
    """In inference, two images of n bytes each live beside three copies: unshuffling keeps the size."""
    from torch import nn  # noqa: PLC0415

    net, image = nn.Sequential(nn.PixelUnshuffle(2), nn.PixelUnshuffle(2)), 3 * 8 * 8 * 4
    for memory, b in ((3 * image * 7, 7), (3 * image * 7 - 1, 6)):
        assert max_batch(net, None, memory, s=8, mode="inference") == b


# All batches from one recording


@settings(deadline=None, max_examples=20)
@given(method=methods, mode=modes, b=st.integers(1, 2**20), rounding=roundings, width=st.sampled_from([4, 6]))
def test_batches_are_what_a_recording_is(*, method: str, mode: str, b: int, rounding: int, width: int) -> None:
    device = GPU.with_figures("estimated", "made up", loading=1e-6)
    how: dict[str, Any] = {"mode": mode, "width": width, **CHEAP.get(method, {})}
    task = on_gpu("XS", method, **how)
    batches = Batches(task)
    assert batches.peak(b, rounding) == task.record(b).peak(rounding)
    direct = predict_network("XS", method, b=b, device=device, **how)
    assert direct.time is not None
    time = batches.time(b, device)
    for part in ("compute", "bandwidth", "launches", "loading"):  # only the order of the sum differs
        assert getattr(time, part) == pytest.approx(getattr(direct.time, part), rel=1e-12)


@pytest.mark.parametrize("method", sorted(METHODS))
def test_batches_that_equal_a_number_of_channels(method: str) -> None:
    task = workload("XS", method, width=4, **CHEAP.get(method, {}))
    batches = Batches(task)
    for b in (4, 10, 32):
        assert batches.peak(b) == task.record(b).peak()


# The largest width


@settings(deadline=None, max_examples=12)
@given(
    method=st.sampled_from(["standard", "aol", "cayley", "sll"]),
    width=st.sampled_from([4, 6, 10, 16, 30]),
    room=st.integers(-1, 2**22),
    b=st.integers(1, 40),
    rounding=roundings,
)
def test_largest_width_fits_and_the_next_does_not(*, method: str, width: int, room: int, b: int, rounding: int) -> None:
    memory = peak(b, method, width=width, rounding=rounding) + room
    w = largest_width("XS", method, device=with_memory(memory, rounding), b=b)
    assert w % 2 == 0
    assert w == 0 or peak(b, method, width=w, rounding=rounding) <= memory
    assert memory < peak(b, method, width=max(w + 2, 4), rounding=rounding)


@pytest.mark.parametrize("method", sorted(METHODS))
def test_width_4_or_none(method: str) -> None:
    least = peak(2, method, width=4)
    sizes = [
        largest_width("XS", method, memory, b=2, foreach=True, **CHEAP.get(method, {})) for memory in (least - 1, least)
    ]
    assert sizes == [0, 4]


@pytest.mark.parametrize(
    ("how", "least"),
    [({"c_in": 1}, 2), ({"c_in": 6}, 6), ({"c_in": 7}, 8), ({"classes": 128}, 4), ({"classes": 200}, 8)],
    ids=str,
)
def test_no_width_is_less_than_images_and_classes_need(how: dict[str, Any], least: int) -> None:
    def bytes_of(width: int) -> int:
        return predict_network("XS", "standard", b=2, width=width, **how).peak_bytes

    if least > 2:
        with pytest.raises(ValueError, match=r"takes \(b, c"):
            bytes_of(least - 2)
    memory, more = bytes_of(least), bytes_of(least + 6)
    widths = [largest_width("XS", "standard", size, b=2, **how) for size in (memory - 1, memory, more - 1, more)]
    assert widths == [0, least, least + 4, least + 6]


# Epochs


def test_epochs_by_hand() -> None:
    """50,000 images in batches of 256 are 196 steps, the last of them smaller."""
    step = predict_network("XS", "aol", b=256, device=GPU).seconds
    assert step is not None
    assert epochs_within("XS", "aol", hours=2, device=GPU) == pytest.approx(7200 / (196 * step), rel=1e-12)
    assert epochs_within("XS", "aol", hours=3, device=GPU, images=512) == pytest.approx(10_800 / (2 * step), rel=1e-12)
    assert epochs_within("XS", "aol", hours=3, device=GPU, images=513) == pytest.approx(10_800 / (3 * step), rel=1e-12)
    small = predict_network("XS", "aol", b=7, device=GPU).seconds
    assert small is not None
    assert epochs_within("XS", "aol", hours=1, device=GPU, images=1, b=7) == pytest.approx(3600 / small, rel=1e-12)


def test_epochs_of_a_step_that_only_loads() -> None:
    slow = GPU.with_figures("estimated", "made up", loading=1)
    assert epochs_within("XS", "aol", hours=1, device=slow, b=10, images=100) == 3600 / 100


# The plan


def test_a_plan_is_what_the_single_questions_answer() -> None:
    how: dict[str, Any] = {"width": 4}
    device = with_memory(40 * 2**20)
    plans = plan("XS", ["aol", "cpl", "lot"], device=device, hours=2, b=100, images=1000, **how)
    assert sorted(p.method for p in plans) == ["aol", "cpl", "lot"]
    for p in plans:
        direct = predict_network("XS", p.method, b=100, device=device, **how)
        allocated = on_gpu("XS", p.method, **how).record(100).peak(512)
        assert (p.b, p.peak_bytes, p.allocated_bytes) == (100, direct.peak_bytes, allocated)
        assert p.max_batch == max_batch("XS", p.method, device=device, **how)
        assert p.fits is (allocated <= 40 * 2**20) is (p.max_batch >= 100)
        assert direct.time is not None
        assert p.seconds_per_step == pytest.approx(direct.time.total, rel=1e-12)
        assert p.seconds_per_epoch == 10 * p.seconds_per_step
        assert p.epochs == pytest.approx(
            epochs_within("XS", p.method, hours=2, device=device, b=100, images=1000, **how), rel=1e-12
        )
        assert p.bound == direct.time.bound
        assert sum(p.seconds[name] for name in ("compute", "bandwidth", "launches")) == pytest.approx(
            direct.time.busy, rel=1e-12
        )
        assert json.loads(json.dumps(p.to_dict())) == p.to_dict()


def test_what_fits_comes_first_and_then_the_most_epochs() -> None:
    cheap = ["standard", "aol", "cayley", "cpl", "sll", "lot"]
    peaks = {method: peak(64, method, width=4, rounding=512) for method in cheap if method not in CHEAP}
    device = with_memory(sorted(peaks.values())[1])
    plans = plan("XS", cheap, device=device, hours=2, b=64, width=4)
    fits = [p.fits for p in plans]
    assert True in fits
    assert False in fits
    assert fits == sorted(fits, reverse=True)
    for group in (True, False):
        epochs = [p.epochs for p in plans if p.fits is group]
        assert epochs == sorted(epochs, reverse=True)
    assert {p.method for p in plans if p.fits} >= {m for m, size in peaks.items() if size <= device["memory"]}


def assert_reason(p: Plan, memory: int, rest: str) -> None:
    """What is needed and what is there, to a tenth of a GiB at least, and what would fit."""
    match = re.fullmatch(r"needs ([\d,.]+) of ([\d,.]+) GiB; (.*)", p.reason)
    assert match
    needed, there = (float(number.replace(",", "")) for number in match.groups()[:2])
    assert (needed, there) == pytest.approx((p.allocated_bytes / GIB, memory / GIB), abs=0.05)
    assert match[3] == rest


def test_why_a_method_does_not_fit() -> None:
    memory = peak(8, "aol", width=4, rounding=512)
    fits, too_large, not_one = (
        plan("XS", ["aol"], device=with_memory(size), hours=2, b=b, width=4)[0]
        for size, b in ((memory, 8), (memory, 9), (2**10, 8))
    )
    assert (fits.fits, fits.reason, fits.max_batch) == (True, "", 8)
    assert (too_large.fits, too_large.max_batch) == (False, 8)
    assert_reason(too_large, memory, "a batch of 8 fits")
    assert (not_one.fits, not_one.max_batch) == (False, 0)
    assert_reason(not_one, 2**10, "not even one image fits")


def test_lot_does_not_fit_on_a_small_device() -> None:
    """LOT as published keeps s²c² numbers per layer: ConvNetM takes more than the 15 GiB of a T4, AOL a fraction."""
    t4 = find_device("t4")
    aol, lot = plan("ConvNetM", ["lot/published", "aol"], device=t4, hours=24)
    assert (aol.method, aol.fits, lot.method, lot.fits) == ("aol", True, "lot/published", False)
    there = int(t4["memory"] - t4["reserved"])
    assert lot.allocated_bytes > there > aol.allocated_bytes
    assert on_gpu("ConvNetM", "lot/published").record(1).peak(512) > there  # its transformed weights alone are too much
    assert_reason(lot, there, "not even one image fits")


def test_a_plan_for_single_images() -> None:
    (p,) = plan("XS", ["aol"], device=with_memory(peak(1, "aol", width=4, rounding=512)), hours=2, b=1, width=4)
    direct = predict_network("XS", "aol", b=1, device=GPU, width=4)
    assert (p.fits, p.max_batch, p.peak_bytes) == (True, 1, direct.peak_bytes)
    assert p.seconds_per_step == direct.seconds
    assert p.seconds_per_epoch == 50_000 * p.seconds_per_step


def test_a_plan_is_of_the_library_s_own_algorithms_unless_told() -> None:
    plans = plan("XS", device=GPU, hours=2, width=4, b=2)
    assert sorted(p.method for p in plans) == sorted(DEFAULTS)
    assert all(p.fits for p in plans)


# Errors


@pytest.mark.parametrize("hours", [0, -1, math.nan, math.inf])
def test_hours_are_positive_and_finite(hours: float) -> None:
    for ask in (partial(plan, "XS", ["aol"]), partial(epochs_within, "XS", "aol")):
        with pytest.raises(ValueError) as error:
            ask(hours=hours, device=GPU, width=4)
        assert str(error.value) == f"hours must be positive and finite, got {hours!r}"


@pytest.mark.parametrize("ask", [max_batch, largest_width])
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "the memory is missing: give memory_bytes or device"),
        ((0,), "memory_bytes must be a positive integer, got 0"),
        ((1e9,), "memory_bytes must be a positive integer, got 1000000000.0"),
        ((-5,), "memory_bytes must be a positive integer, got -5"),
    ],
)
def test_memory_is_needed(ask: Any, arguments: tuple[Any, ...], message: str) -> None:
    with pytest.raises(ValueError) as error:
        ask("XS", "aol", *arguments)
    assert str(error.value) == message


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"method": "foo"}, "unknown method 'foo'; methods: standard, "),
        ({"network": "XXL"}, "unknown network 'XXL'; networks: ConvNetXS"),
        ({"terms": 2}, "aol has no iteration count 'terms'"),
        ({"optimizer": "lion"}, "unknown optimizer 'lion'"),
        ({"dtype": "float16"}, "unknown dtype 'float16'"),
    ],
)
def test_errors_are_those_of_the_prediction(arguments: dict[str, Any], message: str) -> None:
    arguments = {"network": "XS", "method": "aol", **arguments}
    network, method = arguments.pop("network"), arguments.pop("method")
    with pytest.raises(ValueError, match=message):
        plan(network, [method], device=GPU, hours=2, **arguments)
    with pytest.raises(ValueError, match=message):
        epochs_within(network, method, device=GPU, hours=2, **arguments)
    for ask in (max_batch, largest_width):
        with pytest.raises(ValueError, match=message):
            ask(network, method, GIB, **arguments)


@pytest.mark.parametrize("name", ["b", "images"])
@pytest.mark.parametrize("value", [0, -1, 2.5, True])
def test_sizes_are_positive_integers(name: str, value: Any) -> None:
    for ask in (partial(plan, "XS", ["aol"]), partial(epochs_within, "XS", "aol")):
        with pytest.raises(ValueError, match=f"{name} must be a positive integer, got {value}"):
            ask(device=GPU, hours=2, width=4, **{name: value})


@pytest.mark.parametrize("ask", [partial(plan, "XS", ["aol"]), partial(epochs_within, "XS", "aol")])
def test_epochs_are_of_training(ask: Any) -> None:
    with pytest.raises(ValueError, match="epochs are of training: mode must be 'train', got 'inference'"):
        ask(device=GPU, hours=2, width=4, mode="inference")


@pytest.mark.parametrize("memory", [2**30, 2**31 + 12345, 3 * 10**9])
def test_a_coarse_rounding_leaves_much_to_search(memory: int) -> None:
    """The bounds that the search starts from are far apart."""
    batches = Batches(workload("XS", "aol", width=4))
    b = batches.largest(memory, 2**20)
    assert batches.peak(b, 2**20) <= memory < batches.peak(b + 1, 2**20)
