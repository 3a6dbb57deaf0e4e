"""The versions of torch that were run are stated once: all that names them agrees."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from lipcost.costmodel.tape.versions import NEWEST, OLDEST, outside

ROOT = Path(__file__).parents[3]


def version(numbers: tuple[int, ...]) -> str:
    return ".".join(map(str, numbers))


def test_pyproject_takes_the_oldest_and_names_the_newest() -> None:
    (found,) = re.findall(r'"torch>=([\d.]+)",  # run with ([\d.]+) to ([\d.]+)', (ROOT / "pyproject.toml").read_text())
    assert found == (version(OLDEST), version(OLDEST), version(NEWEST))


def test_make_runs_the_oldest_and_the_newest() -> None:
    (found,) = re.findall(r"^VERSIONS \?= (.+)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert [each.rpartition(".")[0] for each in found.split()] == [version(OLDEST), version(NEWEST)]


def test_the_pin_is_inside() -> None:
    (pin,) = re.findall(r"^torch==(.+)$", (ROOT / "constraints.txt").read_text(), re.MULTILINE)
    assert not outside(pin)


@pytest.mark.parametrize("numbers", [(OLDEST[0], OLDEST[1] - 1), (NEWEST[0], NEWEST[1] + 1)])
def test_others_are_named(numbers: tuple[int, ...]) -> None:
    given = f"{version(numbers)}.0a0+git"
    assert outside(given).startswith(f"torch {given} is outside")
