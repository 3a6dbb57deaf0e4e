"""The cost model's numbers are those of the golden files: a change of the engine changes none of them unnoticed.

golden/make.py writes the files. A change that is meant goes into KNOWN, with its reason, or the files are written anew.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import sympy
from values import at

from lipcost.costmodel import evaluate, formula, predict, predict_network

GOLDEN = Path(__file__).parent / "golden"
RELATIVE = 1e-12  # of FLOPs with logarithms, which are floats; all else is exact
FILES = ("numbers.json", "networks.json", "formulas.json")
SHOWN = 20  # differences in a message

# Deliberate changes: (configuration as in the file, field) -> (old, new, reason). Fields are those of the predictions,
# "refused" (True or False) and, of a formula, a point: "b=2 s=3 c=4 k=3".
CONVERTED = "in eval CPL converts a bfloat16 kernel to float32 for its Gram iteration; the mirror left that out"
KNOWN: dict[tuple[str, str], tuple[Any, Any, str]] = {
    (f"cpl {sizes}", f"parts.parameter.{field}_forward"): (old, new, CONVERTED)
    for sizes, field, old, new in (
        ("b=2 s=6 c_in=4 c_out=4 k=3 mode=inference dtype=bfloat16", "traffic", 184442, 369158),
        ("b=2 s=6 c_in=4 c_out=4 k=3 mode=inference dtype=bfloat16", "launches", 92, 94),
        ("b=2 s=5 c_in=4 c_out=4 k=3 mode=inference dtype=bfloat16 bias=False", "traffic", 129632, 259556),
        ("b=2 s=5 c_in=4 c_out=4 k=3 mode=inference dtype=bfloat16 bias=False", "launches", 91, 93),
        (
            "b=6 s=2 c_in=8 c_out=8 k=3 mode=inference dtype=bfloat16 bias=True eval_iterations=5",
            "traffic",
            120026,
            241174,
        ),
        ("b=6 s=2 c_in=8 c_out=8 k=3 mode=inference dtype=bfloat16 bias=True eval_iterations=5", "launches", 57, 59),
    )
}


@cache
def golden(file: str) -> dict[str, Any]:
    data: dict[str, Any] = json.loads((GOLDEN / file).read_text(encoding="utf-8"))
    return data


METHODS = list(dict.fromkeys(row.split()[0] for row in golden("numbers.json")["rows"]))


def rows(file: str, method: str) -> dict[str, Any]:
    """The rows of a method by configuration: the fields of a prediction, or a formula as it stands in the file."""
    data = golden(file)
    mine = {row: values for row, values in data["rows"].items() if row.split()[0] == method}
    assert mine
    if "fields" not in data:
        return mine
    return {
        row: {"refused": values is None} | dict(zip(data["fields"], values or [], strict=values is not None))
        for row, values in mine.items()
    }


def settings(row: str) -> dict[str, Any]:
    """The keyword arguments that a configuration stands for."""
    words = dict(word.split("=") for word in row.split() if "=" in word)
    return {name: _value(text) for name, text in words.items()}


def _value(text: str) -> int | bool | str:
    return int(text) if text.isdecimal() else {"True": True, "False": False}.get(text, text)


def flat(nested: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """A prediction's fields, those of its dicts with a dot in the name."""
    out: dict[str, Any] = {}
    for name, value in nested.items():
        out[prefix + name] = value
        if isinstance(value, Mapping):
            out |= flat(value, f"{prefix}{name}.")
    return out


def equal(got: Any, expected: Any, rounding: float = 0) -> bool:
    if isinstance(expected, float):
        return bool(abs(got - expected) <= rounding + RELATIVE * abs(expected))
    return bool(got == expected)


def differences(row: str, got: Mapping[str, Any], expected: Mapping[str, Any], rounding: float = 0) -> list[str]:
    """What of a configuration is not as expected, a line each; ``rounding`` is how far floats may be rounded."""
    lines = []
    for field in ["refused"] if got.get("refused") else expected:
        old = new = expected[field]
        if (row, field) in KNOWN:
            recorded, new, _ = KNOWN[row, field]
            if not equal(recorded, old):
                lines.append(f"{row}: KNOWN says that {field} was {recorded}, golden says {old}")
        if field not in got:
            lines.append(f"{row}: {field} is missing")
        elif not equal(got[field], new, rounding):
            lines.append(f"{row}: {field} is {got[field]}, expected {new}")
    return lines


def check(lines: list[str]) -> None:
    more = [f"… and {len(lines) - SHOWN} more"] if len(lines) > SHOWN else []
    assert not lines, "\n".join([f"{len(lines)} differences", *lines[:SHOWN], *more])


# One layer


def layer(method: str, row: str) -> dict[str, Any]:
    try:
        fields = flat(predict(method, **settings(row)).to_dict())
        out_of_place = predict(method, **settings(row), in_place=False).peak_bytes
    except ValueError:
        return {"refused": True}
    return {"refused": False, "peak_bytes(in_place=False)": out_of_place} | fields


@pytest.mark.parametrize("method", METHODS)
def test_layers(method: str) -> None:
    expected = rows("numbers.json", method)
    check([line for row in expected for line in differences(row, layer(method, row), expected[row])])


# Networks


def network(method: str, row: str) -> dict[str, Any]:
    try:
        return {"refused": False} | flat(predict_network(method=method, **settings(row)).to_dict())
    except ValueError:
        return {"refused": True}


def check_networks(method: str, fast: bool) -> None:
    expected = {row: values for row, values in rows("networks.json", method).items() if is_fast(row) == fast}
    assert expected
    check([line for row in expected for line in differences(row, network(method, row), expected[row])])


def is_fast(row: str) -> bool:
    """Whether a network is among the few that every run of the tests predicts."""
    given = settings(row)
    usual = given.get("optimizer") in (None, "adam") and not given.get("foreach")
    if given["network"] == "ConvNetM":
        return given["b"] == 256 and usual
    return given["b"] in (2, 3) and usual


@pytest.mark.parametrize("method", METHODS)
def test_networks(method: str) -> None:
    check_networks(method, fast=True)


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
def test_more_networks(method: str) -> None:
    check_networks(method, fast=False)


# Formulas


def columns(method: str, rectangular: bool) -> dict[str, list[int]]:
    """The points at which a method's formulas are known, one list per symbol."""
    points: dict[str, list[int]] = golden("formulas.json")["points"][f"{method} rectangular={rectangular}"]
    return points


def each(points: dict[str, list[int]]) -> dict[str, dict[str, int]]:
    """The same point by point, by name."""
    one = [dict(zip(points, row, strict=True)) for row in zip(*points.values(), strict=True)]
    return {" ".join(f"{name}={number}" for name, number in point.items()): point for point in one}


def check_formulas(method: str, fast: bool) -> None:
    lines: list[str] = []
    for row, (text, values) in rows("formulas.json", method).items():
        if is_fast_formula(row) != fast:
            continue
        quantity, arguments = row.split()[1], settings(row)
        points: dict[str, Any] = columns(method, arguments.get("rectangular", False))
        expected = dict(zip(each(points), values, strict=True))
        array = evaluate(method, quantity, mode=arguments["mode"], **points).tolist()
        lines += [f"evaluate: {line}" for line in differences(row, dict(zip(expected, array, strict=True)), expected)]
        expression = sympy.sympify(formula(method, quantity, **arguments))
        if str(expression) != text:  # written in another way, or wrong
            got = {name: at(expression, **point) for name, point in each(points).items()}
            lines += [f"formula: {line}" for line in differences(row, got, expected)]
    check(lines)


def is_fast_formula(row: str) -> bool:
    """Whether every run of the tests builds the formula."""
    return row.split()[1] in ("macs_forward", "saved_bytes", "peak_bytes") and row.endswith("mode=train")


@pytest.mark.parametrize("method", METHODS)
def test_formulas(method: str) -> None:
    check_formulas(method, fast=True)


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
def test_more_formulas(method: str) -> None:
    check_formulas(method, fast=False)


def check_predictions(method: str, at: slice) -> None:
    """Predictions at some points of the formulas, where sizes and iteration counts are drawn more widely."""
    lines: list[str] = []
    mode: Any
    for rectangular, mode in product((False, True), ("train", "inference")):
        points: dict[str, dict[str, Any]] = each(columns(method, rectangular))
        predictions = {name: predict(method, mode=mode, **points[name]) for name in list(points)[at]}
        for row, (_, values) in rows("formulas.json", method).items():
            arguments = settings(row)
            if (arguments["mode"], arguments.get("rectangular", False)) == (mode, rectangular):
                got = {name: getattr(prediction, row.split()[1]) for name, prediction in predictions.items()}
                expected = {name: old for name, old in zip(points, values, strict=True) if name in got}
                lines += differences(row, got, expected, rounding=0.5)
    check(lines)


@pytest.mark.parametrize("method", METHODS)
def test_predictions_at_points(method: str) -> None:
    check_predictions(method, slice(0, 15))


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
def test_predictions_at_more_points(method: str) -> None:
    check_predictions(method, slice(15, None))


# What is known


def test_known_changes_are_in_the_golden_files() -> None:
    """Then the tests above have used them."""
    for (row, field), (old, new, reason) in KNOWN.items():
        assert reason and old != new, (row, field)
        assert any(field in fields_of(file, row) for file in FILES), f"the golden files have no {field!r} of {row!r}"


def fields_of(file: str, row: str) -> dict[str, Any]:
    """The fields of a row that KNOWN may name; none if the file has no such row."""
    method = row.split(maxsplit=1)[0]
    if row not in golden(file)["rows"]:
        return {}
    if file == "formulas.json":
        return each(columns(method, settings(row).get("rectangular", False)))
    fields: dict[str, Any] = rows(file, method)[row]
    return fields
