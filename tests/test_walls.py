"""The two walls: the cost model does without torch, the layers without SymPy and the cost model."""

from __future__ import annotations

import subprocess
import sys

import pytest


@pytest.mark.parametrize(
    ("code", "absent"),
    [
        ("from lipcost.costmodel import predict; predict('lot', b=1, s=4, c=2)", ["torch", "sympy", "numpy"]),
        ("from lipcost.costmodel import formula; formula('lot', 'peak_bytes')", ["torch"]),
        (
            "import lipcost.layers as layers; [getattr(layers, name) for name in dir(layers)]",
            ["sympy", "lipcost.costmodel"],
        ),
        ("from lipcost.layers.methods.registry import LAYERS; list(LAYERS); 'lot' in LAYERS", ["torch"]),
        ("from lipcost.layers import LAYERS, find_layer; repr(LAYERS)", ["torch"]),
    ],
)
def test_walls(code: str, absent: list[str]) -> None:
    check = f"{code}\nimport sys\nprint([m for m in {absent!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
