"""Predictions: their parts, their errors, their consistency."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
import torch

from lipcost.costmodel import METHODS, evaluate, formula, predict

ALL = ", ".join(METHODS)
OWN = [method for method in METHODS if not method.endswith("/published")]


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


# Configurations


@pytest.mark.parametrize("mode", ["train", "inference"])
@pytest.mark.parametrize("method", METHODS)
def test_a_layer_object_is_predicted_as_its_name(method: str, mode: Any) -> None:
    cls = METHODS[method]
    counts: dict[str, Any] = {name: 2 + i for i, name in enumerate(cls.counts)}
    layer = cls(4, 4, 3, dtype=torch.float64, bias=False, **counts)
    with torch.no_grad():
        layer(torch.zeros(2, 4, 6, 8, dtype=torch.float64))  # a buffer of the image's size has it
    before = {name: tensor.clone() for name, tensor in layer.state_dict().items()}
    by_name = predict(method, b=3, h=6, w=8, c=4, k=3, dtype="float64", bias=False, mode=mode, **counts)
    assert predict(layer, b=3, h=6, w=8, mode=mode) == by_name
    assert all(torch.equal(before[name], tensor) for name, tensor in layer.state_dict().items())
    assert layer.training


@pytest.mark.parametrize("method", OWN)
def test_a_layer_object_brings_its_own_stride_and_padding(method: str) -> None:
    cls = METHODS[method]
    placed: dict[str, Any] = {"stride": 2, "padding_mode": cls.padding_modes[-1]}
    p = predict(cls(3, 8, 3, **placed), b=2, s=8)
    assert p == predict(method, b=2, s=8, c_in=3, c_out=8, **placed)
    assert (p.stride, p.padding_mode, p.c_in, p.c_out, p.k) == (2, cls.padding_modes[-1], 3, 8, 3)


@pytest.mark.parametrize("method", OWN)
def test_a_stride_is_a_layer_on_smaller_images_of_more_channels(method: str) -> None:
    strided = predict(method, b=2, h=8, w=12, c_in=2, c_out=8, stride=2)
    plain = predict(method, b=2, h=4, w=6, c=8)
    assert strided.macs_forward == plain.macs_forward
    assert strided.launches_forward == plain.launches_forward + 1
    assert (strided.s, strided.h, strided.w, strided.stride) == (None, 8, 12, 2)


def test_an_even_kernel_by_hand() -> None:
    p = predict("standard", b=2, h=5, w=7, c_in=3, c_out=4, k=4)
    assert p.macs_forward == 2 * 5 * 7 * 3 * 4 * 4**2
    assert p.macs_backward == 2 * p.macs_forward


def test_integers_of_numpy_are_integers() -> None:
    one: Any = np.int64(1)
    p = predict("soc", b=2 * one, h=4 * one, w=6 * one, c=3 * one, k=3 * one, stride=2 * one, terms=2 * one)
    assert p == predict("soc", b=2, h=4, w=6, c=3, k=3, stride=2, terms=2)
    assert json.loads(json.dumps(p.to_dict()))["options"] == {"terms": 2, "eval_terms": 7}
    assert formula("soc", "macs_forward", k=3 * one, terms=2 * one) == formula("soc", "macs_forward", k=3, terms=2)


def test_sides_that_are_one_are_the_side() -> None:
    assert predict("aol", b=1, h=6, w=6, c=3) == predict("aol", b=1, s=6, c=3)
    assert predict("aol", b=1, s=6, w=4, c=3) == predict("aol", b=1, h=6, w=4, c=3)


@pytest.mark.parametrize(
    ("code", "loaded"),
    [
        ("import lipcost.costmodel", set()),
        ("from lipcost.costmodel import METHODS, RULES, Device; list(METHODS); Device.named('t4')", set()),
        ("from lipcost.costmodel import predict; predict('lot', b=1, s=4, c=2)", {"torch"}),
        ("from lipcost.costmodel import predict_network; predict_network('XS', 'aol', b=1, width=4)", {"torch"}),
        ("from lipcost.costmodel import formula; formula('aol', 'macs_forward')", {"torch", "sympy"}),
    ],
)
def test_what_an_answer_loads(code: str, loaded: set[str]) -> None:
    heavy = {"torch", "sympy", "scipy", "fvcore", "matplotlib", "hypothesis"}
    check = f"{code}\nimport sys\nprint(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True)
    assert heavy & set(done.stdout.split()) == loaded


# Errors


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
        ({"method": "soc", "k": 4}, r"kernel_size must be odd .*, got 4"),
        ({"s": None}, "the sides of the image are missing: give s, or h and w"),
        ({"s": None, "h": 3}, "the sides of the image are missing: give s, or h and w"),
        ({"h": 0}, "h must be a positive integer, got 0"),
        ({"w": 2.0}, r"w must be a positive integer, got 2\.0"),
        ({"stride": 0}, "stride must be a positive integer, got 0"),
        ({"stride": 3}, "stride must divide the sides of the image, got stride=3 on 8x8"),
        ({"method": "aol/published", "stride": 2}, "aol/published has no stride, got 2; aol takes any"),
        ({"padding_mode": "same"}, "standard has no padding_mode 'same'; its padding modes: circular, zeros"),
        (
            {"method": "aol/published", "padding_mode": "zeros"},
            "aol/published has no padding_mode 'zeros'; its padding modes: circular",
        ),
        ({"c": None}, "the channels are missing: give c, or c_in and c_out"),
        ({"method": "cayley/published", "s": 3, "k": 5}, "needs kernel_size <= image side, got kernel_size=5 on 3x3"),
        ({"method": "aol", "s": 1, "k": 5}, "kernel_size // 2 <= image side, got kernel_size=5 on 1x1"),
        (
            {"method": "cpl/published", "c_out": 3},
            "cpl/published .* needs in_channels == out_channels, got 4 and 3; cpl t",
        ),
        ({"method": "sll/published", "c_in": 3}, "sll/published .* needs in_channels == out_channels, got 3 and 4"),
        ({"dtype": "float16"}, r"unknown dtype 'float16' \(did you mean 'bfloat16'\?\); dtypes: float32, f"),
        (
            {"method": "lot", "dtype": "bfloat16"},
            r"lot does not work in torch\.bfloat16; supported: torch\.float32, torch\.float64",
        ),
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
        ({"quantity": "bytes"}, "unknown quantity 'bytes' .*; quantities: macs_forward"),
        ({"part": "weights"}, "no part 'weights'"),
        ({"quantity": "peak_bytes", "part": "input"}, "of counts only, not of bytes"),
        ({"mode": "eval"}, "unknown mode 'eval'"),
        ({"dtype": "int8"}, "dtype 'int8'"),
        ({"method": "soc", "k": 2}, "kernel_size must be odd"),
        ({"k": 0}, "k must be a positive integer, got 0"),
        ({"h": 4}, "give s, or h and w"),
        ({"h": 4, "w": 4, "s": 4}, "give s, or h and w"),
        ({"stride": 0}, "stride must be a positive integer, got 0"),
        ({"method": "aol/published", "stride": 2}, "aol/published has no stride"),
        ({"padding_mode": "same"}, "aol has no padding_mode 'same'; its padding modes: circular, zeros"),
        ({"terms": 2}, "aol has no iteration count 'terms'"),
        ({"c": 4, "c_out": 3}, "give c, or c_in and c_out, not both"),
        ({"method": "cpl/published", "c_in": 4}, "cpl/published has c_in == c_out: give c"),
        ({"method": "cayley/published", "s": 3, "k": 5}, "needs kernel_size <= image side"),
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
        ({"method": "soc", "k": [3, 4]}, "kernel_size must be odd .*, got 4"),
        ({"c": None}, "the channels are missing"),
        (
            {"method": "cayley/published", "s": [8, 3], "k": 5},
            "needs kernel_size <= image side, got kernel_size=5 on 3x3",
        ),
        ({"method": "cpl/published", "c_out": [4, 3]}, "needs in_channels == out_channels, got 4 and 3"),
        ({"terms": 1}, "aol has no iteration count 'terms'"),
    ],
)
def test_evaluate_errors(arguments: dict[str, Any], message: str) -> None:
    arguments = {"method": "aol", "b": 2, "s": 8, "c": 4, **arguments}
    with pytest.raises(ValueError, match=message):
        evaluate(arguments.pop("method"), "peak_bytes", **arguments)
