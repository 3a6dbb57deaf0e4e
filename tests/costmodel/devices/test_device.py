"""Device profiles: what is shipped, round trips, and one clear line for whatever is wrong with a file."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lipcost.costmodel.devices.device import DEVICES, FIGURES, Basis, Device, Figure, find_device

SHIPPED = "a100-40, a100-80, h100, h200, rtx3090, rtx4090, t4, v100-16, v100-32"
PEAKS = {
    "bandwidth": "peak_bandwidth",
    "inverse": "peak_bandwidth",
    "conv": "peak_conv",
    "weight_conv": "peak_conv",
    "matmul": "peak_matmul",
    "complex_matmul": "peak_matmul",
    "fft": "peak_matmul",
}

texts = st.text(min_size=1)
positive = st.floats(min_value=0, exclude_min=True, allow_infinity=False)


def values(name: str) -> st.SearchStrategy[float]:
    """Whole numbers of bytes, else any; zero where it may be."""
    allowed = st.integers(1, 2**60) if FIGURES[name] == "B" else positive
    return allowed | st.just(0) if name in ("reserved", "loading") else allowed


figures = st.fixed_dictionaries(
    {
        name: st.builds(
            Figure,
            value=values(name),
            basis=st.sampled_from(get_args(Basis)),
            source=texts,
        )
        for name in FIGURES
    }
)
devices = st.builds(
    Device,
    name=texts,
    kind=st.sampled_from(["cuda", "cpu"]),
    figures=figures,
    environment=st.dictionaries(st.text(), texts, max_size=3),
)


def test_what_is_shipped() -> None:
    assert ", ".join(DEVICES) == SHIPPED


@pytest.mark.parametrize("name", DEVICES)
def test_shipped(name: str) -> None:
    device = find_device(name)
    assert (device.name, device.kind) == (name, "cuda")
    assert all(device[effective] < device[peak] for effective, peak in PEAKS.items())
    assert device["weight_conv"] < device["conv"]
    assert device["peak_matmul"] <= device["peak_conv"]
    assert device["reserved"] < device["memory"] / 4
    for figure, basis in {"memory": "datasheet", "peak_conv": "datasheet", "launch": "estimated"}.items():
        assert device.figures[figure].basis == basis
    assert "datasheet" in device.figures["memory"].source or "whitepaper" in device.figures["memory"].source


@pytest.mark.parametrize(
    ("smaller", "larger", "differ"),
    [
        ("a100-40", "a100-80", {"memory", "bandwidth", "peak_bandwidth", "inverse"}),
        ("h100", "h200", {"memory", "bandwidth", "peak_bandwidth", "inverse"}),
        ("v100-16", "v100-32", {"memory"}),
    ],
)
def test_two_versions_of_one_chip(smaller: str, larger: str, differ: set[str]) -> None:
    a, b = find_device(smaller), find_device(larger)
    assert {name for name in FIGURES if a[name] != b[name]} == differ
    assert all(a[name] < b[name] for name in differ)


@given(devices)
def test_round_trip(device: Device) -> None:
    assert Device.from_dict(device.to_dict()) == device
    with TemporaryDirectory() as folder:
        path = Path(folder) / "device.json"
        device.save(path)
        assert Device.load(path) == device
        assert find_device(str(path)) == device
        assert list(json.loads(path.read_text("utf-8"))["figures"]) == list(FIGURES)


@given(devices, st.sampled_from(list(FIGURES)), st.data())
def test_with_figures(device: Device, name: str, data: st.DataObject) -> None:
    value = data.draw(values(name))
    other = device.with_figures("fitted", "by hand", **{name: value})
    assert other[name] == float(value)
    assert other.figures == {**device.figures, name: Figure(value, "fitted", "by hand")}
    assert (other.name, other.kind, other.environment) == (device.name, device.kind, device.environment)


MISSING = object()
WRONG = [  # where in the profile, what stands there, the complaint
    (["format"], "lipcost-device/2", r"format must be 'lipcost-device/1', got 'lipcost-device/2'"),
    (["format"], MISSING, r"the profile lacks 'format'; needed: format, name, kind, environment, figures"),
    (["price"], 1, r"the profile has the unknown 'price'; known: format, name, kind, environment, figures"),
    (["name"], "", r"name must be a text, not empty, got ''"),
    (["name"], 4090, r"name must be a text, not empty, got 4090"),
    (["kind"], "tpu", r"kind must be 'cuda' or 'cpu', got 'tpu'"),
    (["kind"], ["cuda"], r"kind must be 'cuda' or 'cpu', got \['cuda'\]"),
    (["environment"], None, r"environment must be an object, got None"),
    (["environment"], {"threads": 2}, r"environment 'threads' must be a text, not empty, got 2"),
    (["figures"], [], r"figures must be an object, got \[\]"),
    (["figures", "fft"], MISSING, r"figures lacks 'fft'; needed: memory, reserved, .*, peak_matmul"),
    (["figures", "fttf"], {}, r"figures has the unknown 'fttf'; known: memory, reserved, .*, peak_matmul"),
    (["figures", "fft"], 1e12, r"figure 'fft' must be an object, got 1000000000000.0"),
    (["figures", "fft", "unit"], "GFLOP/s", r"the unit of 'fft' must be 'FLOP/s', got 'GFLOP/s'"),
    (["figures", "fft", "unit"], MISSING, r"figure 'fft' lacks 'unit'; needed: value, unit, basis, source"),
    (["figures", "fft", "error"], 0.1, r"figure 'fft' has the unknown 'error'; known: value, unit, basis, source"),
    (["figures", "fft", "value"], 0, r"'fft' must be a number, positive and finite \(unit FLOP/s\), got 0"),
    (["figures", "fft", "value"], -1.5, r"'fft' must be a number, positive and finite .*, got -1.5"),
    (["figures", "fft", "value"], float("nan"), r"'fft' must be .* finite .*, got nan"),
    (["figures", "fft", "value"], float("inf"), r"'fft' must be .* finite .*, got inf"),
    (["figures", "fft", "value"], 10**400, r"'fft' must be .* finite .*, got 1000.*"),
    (["figures", "fft", "value"], "1e12", r"'fft' must be a number, .*, got '1e12'"),
    (["figures", "fft", "value"], True, r"'fft' must be a number, .*, got True"),
    (["figures", "loading", "value"], -1, r"'loading' must be a number, zero or positive and finite .*, got -1"),
    (
        ["figures", "fft", "basis"],
        "guessed",
        r"the basis of 'fft' must be 'datasheet' or 'measured' or 'fitted' or 'estimated', got 'guessed'",
    ),
    (["figures", "fft", "source"], "", r"the source of 'fft' must be a text, not empty, got ''"),
]


@pytest.mark.parametrize(
    ("place", "value", "message"), WRONG, ids=[f"{'.'.join(w[0])}-{i}" for i, w in enumerate(WRONG)]
)
def test_a_wrong_profile(place: list[str], value: Any, message: str, tmp_path: Path) -> None:
    data = find_device("t4").to_dict()
    inner = data
    for key in place[:-1]:
        inner = inner[key]
    if value is MISSING:
        del inner[place[-1]]
    else:
        inner[place[-1]] = value
    path = tmp_path / "wrong.json"
    path.write_text(json.dumps(data), "utf-8")
    fails(path, message)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "not JSON in UTF-8: Expecting value: line 1 column 1 .*"),
        (b'{"format": "lipcost-device/1",}', "not JSON in UTF-8: .*line 1 .*"),
        (b"\xff\xfe", "not JSON in UTF-8: .*"),
        (b"[1, 2]", r"the profile must be an object, got \[1, 2\]"),
        (b'"' + 10_000 * b"\xc3\xa9" + b'"', "the profile must be an object, got 'é.*"),
        (b"{}", "the profile lacks 'format'; needed: .*"),
    ],
)
def test_no_profile_at_all(content: bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / "wrong.json"
    path.write_bytes(content)
    fails(path, message)


def test_no_file(tmp_path: Path) -> None:
    fails(tmp_path / "absent.json", "not readable: .*")
    (tmp_path / "folder.json").mkdir()
    fails(tmp_path / "folder.json", "not readable: .*")


def fails(path: Path, message: str) -> None:
    """Loading names the file and says ``message``, in one line of decent length."""
    with pytest.raises(ValueError, match=rf"^{path}: {message}$") as caught:
        find_device(str(path))
    line = str(caught.value)
    assert "\n" not in line
    assert len(line) < len(str(path)) + 300


@pytest.mark.parametrize("name", ["a100", "", "T4", "../t4", "profiles/t4"])
def test_unknown_device(name: str) -> None:
    for find in (find_device, Device.named):
        with pytest.raises(ValueError, match=rf"^unknown device '{name}'; devices: {SHIPPED}") as caught:
            find(name)
        assert "\n" not in str(caught.value)


def test_a_device_in_memory_is_checked_too() -> None:
    t4 = find_device("t4")
    with pytest.raises(ValueError, match=r"^unknown figure 'bandwith'; figures: memory, .*, peak_matmul$"):
        t4["bandwith"]
    with pytest.raises(ValueError, match=r"^figures has the unknown 'bandwith'; known: memory, .*, peak_matmul$"):
        t4.with_figures("measured", "by hand", bandwith=1e9)
    with pytest.raises(ValueError, match=r"^'bandwidth' must be a number, positive and finite .*, got 0$"):
        t4.with_figures("measured", "by hand", bandwidth=0)
    with pytest.raises(ValueError, match=r"^the basis of 'fft' must be 'datasheet' or .*, got 'sure'$"):
        t4.with_figures("sure", "by hand", fft=1e9)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"^kind must be 'cuda' or 'cpu', got 'tpu'$"):
        replace(t4, kind="tpu")  # type: ignore[arg-type]


def test_needs_the_standard_library_alone() -> None:
    code = (
        "import sys; from lipcost.costmodel.devices.device import find_device; find_device('h100'); "
        "print([m for m in ('torch', 'numpy', 'sympy') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_bytes_are_whole() -> None:
    with pytest.raises(ValueError, match=r"'rounding' must be a whole number of bytes, got 0\.5"):
        Device.named("t4").with_figures("estimated", "a slip", rounding=0.5)
