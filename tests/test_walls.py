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
        ("import lipcost.layers", ["lipcost.costmodel"]),
    ],
)
def test_walls(code: str, absent: list[str]) -> None:
    check = f"{code}\nimport sys\nprint([m for m in {absent!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_layers_import_no_sympy_of_their_own() -> None:
    """torch itself imports sympy when it finds it; so a finder that hides it stands in the way."""
    code = """
import sys
class Hide:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "sympy" and "lipcost" in sys._getframe(5).f_globals.get("__name__", ""):
            raise ImportError(name)
import torch
sys.meta_path.insert(0, Hide())
import lipcost.layers
names = [m for m, module in sys.modules.items() if m.startswith("lipcost.layers") for v in vars(module).values()
         if getattr(v, "__name__", "") == "sympy"]
print(names)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
