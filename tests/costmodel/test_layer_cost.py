"""Predictions: their parts, their errors, their consistency."""

from __future__ import annotations

import json
from typing import Any

import pytest

from lipcost.costmodel import METHODS, evaluate, formula, predict

ALL = "standard, aol, bcop, cayley, cpl, lot, sll, soc"


@pytest.mark.parametrize("mode", ["train", "inference"])
@pytest.mark.parametrize("method", METHODS)
def test_totals_are_the_sums_of_their_parts(method: str, mode: Any) -> None:
    p = predict(method, b=4, s=16, c=8, mode=mode)
    assert sum(p.by_class.values()) == pytest.approx(p.flops_forward + p.flops_backward, abs=3)
    paid = ("input", "parameter") if mode == "train" else ("input",)
    for quantity in ("macs_forward", "macs_backward", "launches_forward", "traffic_forward"):
        assert sum(p.parts[part][quantity] for part in paid) == getattr(p, quantity)
    assert json.loads(json.dumps(p.to_dict()))["peak_bytes"] == p.peak_bytes


@pytest.mark.parametrize("method", METHODS)
def test_inference_pays_the_parameter_transformation_once(method: str) -> None:
    small, large = (predict(method, b=b, s=8, c=4, mode="inference") for b in (1, 100))
    assert small.parts["parameter"] == large.parts["parameter"]
    assert small.cache_bytes == large.cache_bytes
    assert small.saved_bytes == small.macs_backward == small.launches_backward == 0


@pytest.mark.parametrize("method", METHODS)
def test_the_peak_holds_what_the_caller_holds(method: str) -> None:
    p = predict(method, b=4, s=16, c=8)
    x_and_g, gradients = 2 * 4 * 4 * 8 * 16**2, 4 * 4 * 8 * 16**2 + p.parameter_bytes
    assert p.peak_bytes >= x_and_g + p.parameter_bytes + p.buffer_bytes + gradients


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"method": "foo"}, rf"unknown method 'foo'; methods: {ALL}"),
        ({"b": 0}, "b must be a positive integer, got 0"),
        ({"s": -1}, "s must be a positive integer, got -1"),
        ({"c": 0}, "c must be a positive integer, got 0"),
        ({"k": 0}, "k must be a positive integer, got 0"),
        ({"b": 2.5}, "b must be a positive integer, got 2.5"),
        ({"s": True}, "s must be a positive integer, got True"),
        ({"c": "8"}, "c must be a positive integer, got '8'"),
        ({"k": 4}, r"k must be odd .*, got 4"),
        ({"c": None}, "the channels are missing: give c, or c_in and c_out"),
        ({"method": "cayley/published", "s": 3, "k": 5}, "needs k <= s, got k=5 and s=3"),
        ({"method": "aol", "s": 1, "k": 5}, "needs k // 2 <= s, got k=5 and s=1"),
        ({"method": "cpl/published", "c_out": 3}, "cpl/published .* needs c_in == c_out, got 4 and 3; cpl takes any"),
        ({"method": "sll/published", "c_in": 3}, "sll/published .* needs c_in == c_out, got 3 and 4"),
        ({"dtype": "float16"}, "standard does not work in dtype 'float16'; supported: float32, float64, bfloat16"),
        ({"method": "lot", "dtype": "bfloat16"}, "lot does not work in dtype 'bfloat16'; supported: float32, float64"),
        ({"mode": "eval"}, "unknown mode 'eval'; modes: train, inference"),
        ({"method": "soc", "steps": 3}, "soc has no iteration count 'steps'; its iteration counts: terms, eval_terms"),
        ({"method": "aol", "terms": 3}, "aol has no iteration count 'terms'; its iteration counts: none"),
        ({"method": "soc", "terms": 0}, "terms must be a positive integer, got 0"),
    ],
)
def test_errors_name_the_rule_the_value_and_the_options(arguments: dict[str, Any], message: str) -> None:
    arguments = {"method": "standard", "b": 2, "s": 8, "c": 4, **arguments}
    with pytest.raises(ValueError, match=message):
        predict(arguments.pop("method"), **arguments)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"method": "foo"}, "unknown method 'foo'"),
        ({"quantity": "bytes"}, "unknown quantity 'bytes'; quantities: macs_forward"),
        ({"part": "weights"}, "no part 'weights'"),
        ({"quantity": "peak_bytes", "part": "input"}, "of counts only, not of bytes"),
        ({"mode": "eval"}, "unknown mode 'eval'"),
        ({"dtype": "int8"}, "dtype 'int8'"),
        ({"k": 2}, "k must be odd"),
        ({"terms": 2}, "aol has no iteration count 'terms'"),
        ({"c": 4, "c_out": 3}, "give c, or c_in and c_out, not both"),
        ({"method": "cpl/published", "c_in": 4}, "cpl/published has c_in == c_out: give c"),
        ({"method": "cayley/published", "s": 3, "k": 5}, "needs k <= s"),
    ],
)
def test_formula_errors(arguments: dict[str, Any], message: str) -> None:
    arguments = {"method": "aol", "quantity": "macs_forward", **arguments}
    with pytest.raises(ValueError, match=message):
        formula(arguments.pop("method"), arguments.pop("quantity"), **arguments)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"b": [1, 0]}, "b must be positive integers"),
        ({"s": 2.0}, "s must be positive integers"),
        ({"k": [3, 4]}, "k must be odd .*, got 4"),
        ({"c": None}, "the channels are missing"),
        ({"method": "cayley/published", "s": [8, 3], "k": 5}, "needs k <= s, got k=5 and s=3"),
        ({"method": "cpl/published", "c_out": [4, 3]}, "needs c_in == c_out, got 4 and 3"),
        ({"terms": 1}, "aol has no iteration count 'terms'"),
    ],
)
def test_evaluate_errors(arguments: dict[str, Any], message: str) -> None:
    arguments = {"method": "aol", "b": 2, "s": 8, "c": 4, **arguments}
    with pytest.raises(ValueError, match=message):
        evaluate(arguments.pop("method"), "peak_bytes", **arguments)
