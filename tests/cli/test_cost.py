"""``lipcost cost``: a module of a file or a package, in numbers and in formulas, beside its measurement."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from lipcost.cli.main import app, run

BLOCK = '''
from torch import nn
from parts import half

class Block(nn.Module):
    """A residual block."""

    def __init__(self, c=64, k=3):
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(c, c, k, padding=k // 2), nn.GELU())

    def forward(self, x):
        return half(x + self.body(x))
'''
PARTS = "def half(x):\n    return x / 2\n"


@pytest.fixture
def block(tmp_path: Path) -> str:
    """A file with a class that imports what lies beside it."""
    (tmp_path / "parts.py").write_text(PARTS)
    (tmp_path / "block.py").write_text(BLOCK)
    return f"{tmp_path / 'block.py'}:Block"


def output(*args: str, code: int = 0) -> str:
    result = CliRunner().invoke(app, ["cost", *args], catch_exceptions=False, standalone_mode=False)
    assert (result.return_value or 0) == code, result.output
    return result.output


def test_numbers_and_their_measurement(block: str) -> None:
    text = output(block, "--input", "2,8,6,6", "--sizes", "c=8", "--check")
    assert text.startswith("Block: train, float32, input (2, 8, 6, 6), c=8\n")
    assert "| macs_forward      |  41.47 kMAC |  41,472 |" in text
    assert text.count("profiler") == 1
    assert "differs" not in text


def test_formulas(block: str) -> None:
    text = output(block, "--input", "b,c,s,s", "--sizes", "c=8,b=2,s=6", "--formula")
    assert "macs_forward, O(b s² c²) = 41,472\n    9*b*c**2*s**2\n" in text
    assert "saved_bytes, O(b s² c)" in text
    assert "peak_bytes" in text
    assert "Piecewise" not in text


def test_json() -> None:
    found = json.loads(output("torch.nn:Linear", "--input", "b,n", "--sizes", "in_features=n,out_features=5", "--json"))
    assert (found["shape"], found["sizes"]) == (["b", "n"], {"in_features": "n", "out_features": 5})
    assert found["macs_forward"] == "5*b*n"


def test_inference_and_types() -> None:
    text = output("torch.nn:GELU", "--input", "2,3", "--mode", "inference", "--dtype", "float64")
    assert text.startswith("GELU: inference, float64, input (2, 3)\n")
    assert "| peak_bytes        |     96 B |    96 |" in text


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["nothing.py:Net", "--input", "1,2"], "there is no file nothing.py"),
        (["torch.nn", "--input", "1,2"], "give FILE.py:CLASS or PACKAGE:CLASS, got 'torch.nn'"),
        (["torch.nnn:Linear", "--input", "1,2"], "cannot import torch.nnn"),
        (["torch.nn:Linaer", "--input", "1,2"], "torch.nn has no class or function 'Linaer' (did you mean 'Linear'?)"),
        (["torch.nn:GELU", "--input", "1,2", "--sizes", "c"], "--sizes takes NAME=VALUE, got 'c'"),
        (
            ["torch.nn:Linear", "--input", "b,2", "--sizes", "width=3"],
            "--sizes has no name 'width' for Linear; names: in_",
        ),
        (["torch.nn:GELU", "--input", "b,2", "--check"], "to check, give numbers by --sizes for b"),
        (["torch.nn:GELU", "--input", "b,0"], "shape must be a positive integer, got 0"),
        (["torch.nn:GELU", "--input", "b,2", "--mode", "eval"], "unknown mode 'eval'"),
    ],
)
def test_errors(args: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["cost", *args]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"error: {message}")
    assert error.count("\n") == 1
