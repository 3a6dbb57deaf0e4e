"""``lipcost plan``: its table is the planner's, its errors are one line, and it starts fast."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lipcost.cli.main import run
from lipcost.cli.plan import duration
from lipcost.costmodel import METHODS, Device, find_device, max_batch, plan

Lines = Callable[..., list[str]]
A100 = ["plan", "--net", "ConvNetM", "--gpu", "a100-40", "--hours", "24"]
PNG, PDF = b"\x89PNG", b"%PDF"


@pytest.fixture
def lines(capsys: pytest.CaptureFixture[str]) -> Lines:
    """Runs a command line that must succeed; its output, by line."""

    def call(*args: str) -> list[str]:
        assert run(args) == 0
        out, err = capsys.readouterr()
        assert err == ""
        return out.splitlines()

    return call


def cells(lines: list[str]) -> list[list[str]]:
    rows = [line for line in lines if line.startswith("|") and not line.startswith("|-")]
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in rows]


def test_table_is_the_planners(lines: Lines) -> None:
    names = ["aol", "cpl", "soc", "lot/published"]
    out = lines(*A100, "--methods", ",".join(names))
    plans = plan("ConvNetM", names, device=find_device("a100-40"), hours=24)
    header, *rows = cells(out)
    assert header == ["method", "fits", "peak GiB", "max b", "s/step", "epoch", "epochs", "bound"]
    assert [row[:4] for row in rows] == [
        [p.method, "yes" if p.fits else "no", f"{p.allocated_bytes / 2**30:.2f}", f"{p.max_batch:,}"] for p in plans
    ]
    assert [row[4:] for row in rows if row[1] == "no"] == [["–"] * 4]
    for row, p in zip(rows, plans, strict=True):
        if p.fits:
            assert float(row[4]) == pytest.approx(p.seconds_per_step, abs=6e-5)
            assert row[5:] == [duration(p.seconds_per_epoch), f"{int(p.epochs):,}", p.bound]
    assert out[0] == "ConvNetM on a100-40: 39.0 GiB for tensors, rates estimated"
    assert out[1] == "batch 256, 50,000 images, 24 h, sgd-momentum, float32"
    assert out[-1] == f"lot/published: {plans[-1].reason}"


@pytest.mark.parametrize("net", ["ConvNetXS", "TConvNetL"])
def test_fits_a_terminal(net: str, lines: Lines) -> None:
    assert max(map(len, lines("plan", "--net", net, "--gpu", "t4", "--hours", "500"))) <= 80


def test_json(lines: Lines) -> None:
    result = json.loads("\n".join(lines(*A100, "--methods", "lot,aol", "--json")))
    device = find_device("a100-40")
    assert {name: value for name, value in result.items() if name != "plans"} == {
        "format": "lipcost-plan/1",
        "network": "ConvNetM",
        "device": "a100-40",
        "hours": 24,
        "batch": 256,
        "images": 50_000,
        "optimizer": "sgd-momentum",
        "memory_bytes": device.available,
    }
    assert result["plans"] == [p.to_dict() for p in plan("ConvNetM", ["lot", "aol"], device=device, hours=24)]


def test_options_reach_the_planner(lines: Lines) -> None:
    options = "--net M --gpu t4 --hours 3 --methods soc,aol --methods cpl -b 32 --images 1000 -s 64 --classes 7"
    args = ["plan", *options.split(), "--optimizer", "adam", "--weight-decay", "--dtype", "float64"]
    how: dict[str, Any] = {"b": 32, "images": 1000, "s": 64, "classes": 7, "optimizer": "adam", "weight_decay": True}
    plans = plan("M", ["soc", "aol", "cpl"], device=find_device("t4"), hours=3, dtype="float64", **how)
    assert json.loads("\n".join(lines(*args, "--json")))["plans"] == [p.to_dict() for p in plans]
    assert lines(*args)[1] == "batch 32, 1,000 images, 3 h, adam with weight decay, float64"


@pytest.mark.parametrize(("method", "b"), [("cayley", None), ("soc", 1)])
def test_the_largest_batch_fits_and_one_more_does_not(method: str, b: int | None, lines: Lines) -> None:
    most = max_batch("ConvNetM", method, device=find_device("t4"))
    for batch, word in ((b or most, "yes"), (most + 1, "no")):
        out = lines("plan", "--net", "M", "--gpu", "t4", "--hours", "1", "--methods", method, "-b", str(batch))
        assert cells(out)[1][:4:3] == [method, f"{most:,}"]
        assert cells(out)[1][1] == word


def test_a_profile_of_ones_own(lines, tmp_path: Path) -> None:
    path = tmp_path / "ours.json"
    slow = Device.named("a100-40").with_figures("measured", "a slow disk", loading=1.0)
    slow.save(path)
    out = lines("plan", "--net", "M", "--device", str(path), "--hours", "2", "--methods", "aol")
    assert "rates measured and estimated" in out[0]
    assert cells(out)[1][4:] == ["256", duration(196 * 256), "0.1", "loading"]
    args = [*A100[:3], *A100[5:], "--methods", "aol"]
    assert lines(*args, "--device", "a100-40") == lines(*args, "--gpu", "a100-40")


@pytest.mark.parametrize(
    ("args", "last"),
    [
        (
            ["--methods", "lot/published"],
            "No method fits even one image: lot/published needs least, 43.8 GiB for a batch of 256.",
        ),
        (
            ["--methods", "cayley/published,soc/published", "-b", "2000"],
            r"No method fits this batch: \w+/published needs least, .* of 2,000\.",
        ),
        (
            ["--methods", "cpl,soc", "--hours", "1e-3"],
            r"No method finishes one epoch in 3\.6 s: cpl, the fastest, .*s\.",
        ),
    ],
    ids=["no image", "no batch", "no epoch"],
)
def test_says_what_is_missing_if_no_method_serves(args: list[str], last: str, lines: Lines) -> None:
    assert re.fullmatch(last, lines("plan", "--net", "M", "--gpu", "t4", "--hours", "2", *args)[-1])


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (A100[:3] + ["--hours", "2"], ["--gpu", "--device", "a100-40", "t4"]),
        ([*A100, "--device", "t4"], ["--gpu", "--device", "a100-40", "t4"]),
        (A100[:3] + ["--gpu", "abacus", "--hours", "2"], ["'abacus'", "a100-40"]),
        (A100[:3] + ["--device", "abacus.json", "--hours", "2"], ["abacus.json"]),
        (["plan", "--net", "Q", *A100[3:]], ["'Q'", "ConvNetM", "TConvNetXS"]),
        ([*A100, "--methods", "aol,socks"], ["'socks'", *METHODS]),
        (A100[:5] + ["--hours", "0"], ["hours", "0.0"]),
        (A100[:5] + ["--hours", "-1"], ["hours", "-1.0"]),
        (A100[:5] + ["--hours", "nan"], ["hours", "nan"]),
        ([*A100, "-b", "0"], ["b", "0"]),
        ([*A100, "--images", "1.5"], ["--images", "'1.5'"]),
        ([*A100, "--optimizer", "lion"], ["'lion'", "adamw"]),
        ([*A100, "--dtype", "bfloat16"], ["bfloat16", "float32", "float64"]),
        ([*A100, "--plot", "plan.txt"], ["--plot", "plan.txt", ".png"]),
    ],
    ids=" ".join,
)
def test_bad_input_is_one_line_and_exit_code_2(
    args: list[str], words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(args) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("error: ") and err.count("\n") == 1
    assert all(word in err for word in words), err


def test_a_malformed_profile_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "half.json"
    profile = Device.named("t4").to_dict()
    del profile["figures"]["conv"]
    path.write_text(json.dumps(profile), encoding="utf-8")
    assert run([*A100[:3], "--device", str(path), "--hours", "2"]) == 2
    assert re.fullmatch(r"error: .*half\.json: figures lacks 'conv'; .*\n", capsys.readouterr().err)


@pytest.mark.parametrize(("name", "start"), [("plan.png", PNG), ("plan.svg", b"<?xml"), ("plan.pdf", PDF)])
def test_plot(name: str, start: bytes, tmp_path: Path, lines: Lines) -> None:
    path = tmp_path / name
    out = lines("plan", "--net", "XS", "--gpu", "t4", "--hours", "2", "--methods", "lot", "--plot", str(path))
    assert out[-1] == f"Plot: {path}"
    assert path.read_bytes().startswith(start)


def test_plot_leaves_out_sizes_too_small_for_the_classes(tmp_path: Path, lines: Lines) -> None:
    path = tmp_path / "plan.svg"
    args = ["--net", "M", "--gpu", "t4", "--hours", "2", "--methods", "aol", "--classes", "600", "--plot", str(path)]
    assert len(json.loads("\n".join(lines("plan", *args, "--json")))["plans"]) == 1
    drawn = re.findall("<!-- (ConvNet[A-Z]+) -->", path.read_text(encoding="utf-8"))
    assert drawn == ["ConvNetS", "ConvNetM", "ConvNetL"]


def test_durations() -> None:
    assert [duration(t) for t in (0.0123, 59.94, 60, 3599.4, 3600, 86399, 90000)] == [
        "0.0123 s",
        "59.9 s",
        "1m 0s",
        "59m 59s",
        "1h 0m",
        "24h 0m",
        "1d 1h",
    ]


def test_start_up_imports() -> None:
    code = f"import sys; from lipcost.cli.main import run; run({A100!r}); print(*sys.modules, file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert {"scipy", "sympy", "matplotlib", "rich"}.isdisjoint(done.stderr.split())
