"""The walls: who may import whom, what of it, and what an import alone loads."""

from __future__ import annotations

import ast
import importlib.util
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[1]
ARROWS = {  # package: the packages that it may import, or the modules of theirs
    "layers": (),
    "costmodel": ("layers.methods.registry", "layers.networks.table"),
    "validate": ("layers", "costmodel"),
    "cli": ("layers", "costmodel", "validate"),
}
LATE = {"costmodel": ("layers",)}  # what it may import when it runs, or for its types


class Import(NamedTuple):
    """An absolute import of this house: ``from lipcost.costmodel import predict`` is costmodel.predict."""

    file: Path
    line: int
    module: str
    name: str
    late: bool

    def __str__(self) -> str:
        return f"{self.file.relative_to(ROOT)}:{self.line} imports {self.name} of {self.module}"


def imports(package: str) -> Iterator[Import]:
    """Those of a package."""
    for file in sorted((ROOT / package).rglob("*.py")):
        tree = ast.parse(file.read_text(encoding="utf-8"))
        at_once = {id(node) for node in tree.body}
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and not node.level and (node.module or "").startswith("lipcost"):
                module = (node.module or "").removeprefix("lipcost").removeprefix(".")
                for alias in node.names:
                    if module:
                        yield Import(file, node.lineno, module, alias.name, id(node) not in at_once)
                    else:
                        yield Import(file, node.lineno, alias.name, "", id(node) not in at_once)
            elif isinstance(node, ast.Import):
                for alias in node.names:
                    if alias.name.startswith("lipcost."):
                        yield Import(
                            file, node.lineno, alias.name.removeprefix("lipcost."), "", id(node) not in at_once
                        )


def below(module: str, allowed: tuple[str, ...]) -> bool:
    return any(module == each or module.startswith(f"{each}.") for each in allowed)


@pytest.mark.parametrize("package", ARROWS)
def test_arrows(package: str) -> None:
    found = list(imports(package))
    assert found or not ARROWS[package]
    for each in found:
        allowed = ARROWS[package] + (LATE.get(package, ()) if each.late else ())
        assert below(each.module, allowed), each


@pytest.mark.parametrize("package", ARROWS)
def test_nothing_private_is_imported_across_packages(package: str) -> None:
    for each in imports(package):
        names = [*each.module.split("."), each.name]
        assert not any(name.startswith("_") for name in names), each


def test_the_engine_knows_nothing_of_the_house() -> None:
    """Nor of the rooms around it."""
    for file in (ROOT / "costmodel" / "tape").rglob("*.py"):
        inside = ["lipcost", "costmodel", *file.relative_to(ROOT / "costmodel").parent.parts]
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.level:
                target = importlib.util.resolve_name("." * node.level + (node.module or ""), ".".join(inside))
                assert below(target, ("lipcost.costmodel.tape",)), f"{file.name}:{node.lineno} imports {target}"
    assert not [each for each in imports("costmodel") if "tape" in each.file.parts]


@pytest.mark.parametrize(
    ("code", "absent"),
    [
        ("import lipcost.costmodel", ["torch", "sympy", "numpy", "scipy"]),
        ("import lipcost.costmodel.tape, lipcost.costmodel.tape.recording", ["torch", "sympy", "numpy"]),
        ("from lipcost.costmodel import predict; predict('lot', b=1, s=4, c=2)", ["sympy", "scipy"]),
        ("from lipcost.costmodel import plan; plan('XS', ['aol'], device='t4', hours=1)", ["sympy", "scipy"]),
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


ROOMS = {  # package: its rooms, each of which imports only those before it
    "layers": ("base", "methods/parts", "methods/families", "methods/published", "methods", "networks"),
    "validate": ("measure", "compare", "cuda", "report"),
}


def rooms_imported(package: str, room: str) -> Iterator[tuple[str, str]]:
    """Each relative import of a room, as the file and the room that it is from."""
    inside = f"lipcost.{package}.{room.replace('/', '.')}"
    for file in (ROOT / package / room).glob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.level:
                target = importlib.util.resolve_name("." * node.level + (node.module or ""), inside)
                of_room = target.rpartition(".")[0] if node.module else target
                yield file.name, of_room.removeprefix(f"lipcost.{package}").removeprefix(".").replace(".", "/")


@pytest.mark.parametrize(("package", "room"), [(package, room) for package, rooms in ROOMS.items() for room in rooms])
def test_rooms_import_only_those_before_them(package: str, room: str) -> None:
    found = list(rooms_imported(package, room))
    later = ROOMS[package][ROOMS[package].index(room) + 1 :]
    assert [each for each in found if each[1] in later or not each[1]] == []


def test_every_folder_of_the_validator_is_a_room() -> None:
    folders = {file.parent.name for file in (ROOT / "validate").rglob("*.py")} - {"validate"}
    assert folders == set(ROOMS["validate"])
    assert [file.name for file in (ROOT / "validate").glob("*.py")] == ["__init__.py"]


@pytest.mark.parametrize("package", ARROWS)
def test_every_folder_is_installed(package: str) -> None:
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    for folder in sorted({file.parent.relative_to(ROOT) for file in (ROOT / package).rglob("*.py")}):
        name = ".".join(("lipcost", *folder.parts))
        assert f'    "{name}",\n' in text and f'"{name}" = "{folder.as_posix()}"\n' in text, name
