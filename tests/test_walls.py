"""The walls: the cost model does without torch, the layers without SymPy and the cost model, names without torch."""

from __future__ import annotations

import ast
import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

LAYERS = Path(__file__).parents[1] / "layers"


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


ROOMS = ("base", "methods/parts", "methods/families", "methods/published", "methods", "networks")


@pytest.mark.parametrize("room", ROOMS)
def test_rooms_of_the_layers_import_only_those_before_them(room: str) -> None:
    modules = [f"lipcost.layers.{other.replace('/', '.')}" for other in ROOMS]
    later = modules[ROOMS.index(room) + 1 :]
    for file in (LAYERS / room).glob("*.py"):
        package = f"lipcost.layers.{room.replace('/', '.')}"
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.level:
                target = importlib.util.resolve_name("." * node.level + (node.module or ""), package)
                assert target.rpartition(".")[0] not in later, f"{file.name} imports {target}"
