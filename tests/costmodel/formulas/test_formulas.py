"""Formulas agree with predictions, which the exactness suite compares with measurements."""

from __future__ import annotations

from functools import cache
from itertools import product
from typing import Any

import numpy as np
import pytest
import sympy
import torch
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from values import at

from lipcost.costmodel import METHODS, QUANTITIES, evaluate, formula, predict
from lipcost.costmodel.formulas.symbols import C_IN, C_OUT, B, C, K, S, option_symbol
from lipcost.validate.compare.cases import takes

BYTES = tuple(q for q in QUANTITIES if q.endswith("_bytes"))


def sizes(s: int, k: int) -> dict[str, int]:
    return {"b": 1, "s": s, "c_in": 1, "c_out": 1, "k": k}


@st.composite
def configurations(draw: st.DrawFn, method: str) -> dict[str, int]:
    s = draw(st.integers(1, 40))
    k = draw(st.sampled_from([1, 3, 5, 7, 9, 13]))
    assume(takes(method, sizes(s, k)))
    c_in = draw(st.integers(1, 70))
    c_out = c_in if METHODS[method].square or draw(st.booleans()) else draw(st.integers(1, 70))
    own = {name: draw(st.integers(1, 9)) for name in METHODS[method].counts}
    own |= {name: draw(st.integers(1, min(c_in, c_out))) for name in METHODS[method].sizes}
    return {"b": draw(st.integers(1, 300)), "s": s, "c_in": c_in, "c_out": c_out, "k": k, **own}


def own_symbols(method: str) -> list[sympy.Symbol]:
    return [option_symbol(name) for name in (*METHODS[method].counts, *METHODS[method].sizes)]


def defaults(method: str, c_in: int, c_out: int) -> dict[str, int]:
    """Of the iteration counts and of the method's own sizes."""
    cls = METHODS[method]
    return {**cls.counts, **{name: size(c_in, c_out) for name, size in cls.sizes.items()}}


@cache
def function(method: str, quantity: str, mode: str, rectangular: bool, **kwargs: Any) -> Any:
    """The formula as a function of plain Python numbers."""
    names = [B, S, C, C_IN, C_OUT, K, *own_symbols(method)]
    expression = formula(method, quantity, mode=mode, rectangular=rectangular, **kwargs)
    return sympy.lambdify(names, expression, [{"Max": max}, "math"])


def value(method: str, quantity: str, mode: str, config: dict[str, int], **kwargs: Any) -> int:
    b, s, c_in, c_out, k, *own = config.values()
    of = function(method, quantity, mode, c_in != c_out, **kwargs)
    return round(of(b, s, c_in, c_in, c_out, k, *own))


@pytest.mark.parametrize("mode", ["train", "inference"])
@pytest.mark.parametrize("method", METHODS)
@settings(max_examples=10, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_formula_equals_prediction(method: str, mode: Any, data: st.DataObject) -> None:
    config: dict[str, Any] = data.draw(configurations(method))
    p = predict(method, mode=mode, **config)
    for quantity in QUANTITIES:
        assert value(method, quantity, mode, config) == getattr(p, quantity), quantity


@pytest.mark.parametrize("method", METHODS)
def test_axes_of_one_entry(method: str) -> None:
    """They may have any stride, so that a copy falls away: SOC's transposed kernel is not copied for c = 1."""
    channels = [(1, 1), (2, 2), (1, 2), (2, 1)]
    for b, s, (c_in, c_out), k in product((1, 2), (1, 3), channels[: 2 if METHODS[method].square else 4], (1, 3)):
        if not takes(method, sizes(s, k)):
            continue
        own = defaults(method, c_in, c_out)
        p = predict(method, b=b, s=s, c_in=c_in, c_out=c_out, k=k)
        for quantity in QUANTITIES:
            got = value(method, quantity, "train", {"b": b, "s": s, "c_in": c_in, "c_out": c_out, "k": k, **own})
            assert got == getattr(p, quantity), (quantity, b, s, c_in, c_out, k)


@pytest.mark.parametrize("method", METHODS)
@settings(max_examples=5, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_parts_add_up(method: str, data: st.DataObject) -> None:
    config: dict[str, Any] = data.draw(configurations(method))
    p = predict(method, **config)
    for quantity in set(QUANTITIES) - set(BYTES):
        parts = [value(method, quantity, "train", config, part=part) for part in ("input", "parameter")]
        assert parts == [p.parts[part][quantity] for part in ("input", "parameter")]
        if not quantity.startswith("flops"):  # an FFT's FLOPs are rounded once per total
            assert sum(parts) == getattr(p, quantity)


@pytest.mark.parametrize("dtype", ["float64", "bfloat16"])
@pytest.mark.parametrize("method", METHODS)
def test_formula_in_other_widths(method: str, dtype: str) -> None:
    if getattr(torch, dtype) not in METHODS[method].dtypes:
        pytest.skip(f"{method} has no {dtype}")
    config: dict[str, Any] = {"b": 3, "s": 9, "c_in": 5, "c_out": 5, "k": 3, **defaults(method, 5, 5)}
    p = predict(method, dtype=dtype, bias=False, **config)
    for quantity in BYTES:
        assert value(method, quantity, "train", config, dtype=dtype, bias=False) == getattr(p, quantity)


@pytest.mark.parametrize("mode", ["train", "inference"])
@pytest.mark.parametrize("method", METHODS)
def test_evaluate_equals_predictions(method: str, mode: Any) -> None:
    rng = np.random.default_rng(0)
    n = 40
    b, s, c_in = rng.integers(1, 64, n), rng.integers(7, 40, n), rng.integers(1, 64, n)
    c_out = c_in if METHODS[method].square else rng.integers(1, 64, n)
    k = rng.choice([1, 3, 5, 7], n)
    predictions = [
        predict(method, b=int(b), s=int(s), c_in=int(i), c_out=int(o), k=int(k), mode=mode)
        for b, s, i, o, k in zip(b, s, c_in, c_out, k, strict=True)
    ]
    for quantity in QUANTITIES:
        got = evaluate(method, quantity, b=b, s=s, c_in=c_in, c_out=c_out, k=k, mode=mode)
        assert got.shape == (n,)
        assert np.rint(got).astype(int).tolist() == [getattr(p, quantity) for p in predictions], quantity


def test_evaluate_is_exact_beyond_53_bits() -> None:
    big: dict[str, Any] = {"b": 2**8, "s": 2**10, "c": 2**12 - 1, "k": 5}
    for method in ("standard", "bcop"):
        exact = predict(method, **big).macs_forward
        assert exact > 2**53
        assert int(evaluate(method, "macs_forward", **big)) == exact
    with pytest.raises(ValueError, match="more than an int64 holds"):
        evaluate("standard", "macs_forward", **{**big, "b": 2**24})


def test_evaluate_broadcasts() -> None:
    grid = evaluate("sll", "saved_bytes", b=np.arange(1, 4)[:, None], s=8, c=np.array([4, 8]))
    assert grid.shape == (3, 2)
    assert grid[2, 1] == predict("sll", b=3, s=8, c=8).saved_bytes


def test_fixed_numbers_take_the_place_of_symbols() -> None:
    assert formula("soc/published", "macs_forward", terms=5, k=3) == 45 * B * C**2 * S**2
    assert formula("lot", "parameter_bytes", c=4, k=1) == 4 * (16 + 4)
    assert formula("aol", "macs_forward", c_in=2, c_out=3, k=1) == 6 * B * S**2 + 12


def test_pieces_repeat_no_condition_that_another_implies() -> None:
    terms = option_symbol("terms")
    conditions = [condition for _, condition in formula("soc", "saved_bytes", k=3).args]
    assert conditions == [terms > 2, terms > 1, sympy.true]


@pytest.mark.parametrize("method", METHODS)
@settings(max_examples=4, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_any_numbers_can_be_put_in(method: str, data: st.DataObject) -> None:
    """Also large ones, and ones at which the program branches: k = s, c_in = c_out."""
    config: dict[str, Any] = data.draw(configurations(method))
    config["b"] *= data.draw(st.sampled_from([1, 10**9]))
    if data.draw(st.booleans()):
        config["s"] = max(config["k"], 3)
    names = {"k"} if method.startswith("bcop") else set()  # a loop over k, which takes several recordings
    names |= data.draw(st.sets(st.sampled_from([name for name in config if name not in ("c_in", "c_out")])))
    if not METHODS[method].square:
        names |= data.draw(st.sets(st.sampled_from(["c_in", "c_out"])))
    fixed: dict[str, Any] = {name: config[name] for name in names}
    rectangular = config["c_in"] != config["c_out"] or bool({"c_in", "c_out"} & names)
    symbols = {"b": B, "s": S, "c_in": C_IN, "c_out": C_OUT, "k": K}
    point = {symbols.get(name, option_symbol(name)): number for name, number in config.items()} | {C: config["c_in"]}
    p = predict(method, **config)
    for quantity in ("macs_forward", "launches_backward", "saved_bytes", "peak_bytes"):
        number = formula(method, quantity, rectangular=rectangular, **fixed).subs(point)
        assert number == getattr(p, quantity), quantity


def test_a_number_is_compared_with_symbols_beyond_it() -> None:
    """c_out may be larger than a c_in that is put in, k as large as an s."""
    assert formula("soc/published", "macs_forward", c_in=50, terms=5, k=1).subs({B: 1, S: 1, C_OUT: 60}) == 5 * 60**2
    assert (
        formula("cayley/published", "saved_bytes", s=11).subs({B: 2, C: 3, K: 11})
        == predict("cayley/published", b=2, s=11, c=3, k=11).saved_bytes
    )


def test_a_maximum_changes_hands_beyond_small_sizes() -> None:
    """c_out = 5 is told from c_out > 5, whose peak is another from b·s² > 520 on only."""
    peak = formula("sll", "peak_bytes", c_in=5, k=9)
    for b in (1, 7, 10**4):
        assert peak.subs({B: b, S: 9, C_OUT: 5}) == predict("sll", b=b, s=9, c=5, k=9).peak_bytes


@pytest.mark.parametrize("method", METHODS)
def test_only_the_named_symbols_appear(method: str) -> None:
    allowed = {B, S, C, K, *own_symbols(method)}
    for quantity in QUANTITIES:
        assert formula(method, quantity).free_symbols <= allowed


def test_a_branch_is_a_piece() -> None:
    assert isinstance(formula("standard/published", "saved_bytes"), sympy.Piecewise)
    assert isinstance(formula("cayley/published", "saved_bytes"), sympy.Piecewise)


# The published or separately derived closed forms that this model must reproduce.
KNOWN = [
    ("standard", "macs_forward", B * C**2 * K**2 * S**2),
    ("aol", "macs_forward", C**2 * K**2 * (B * S**2 + C * (2 * K - 1) ** 2)),
    ("sll", "macs_forward", C**2 * K**2 * (2 * B * S**2 + C * (2 * K - 1) ** 2)),
    ("cpl/published", "macs_backward", C**2 * K**2 * S**2 * (4 * B + 1)),
    ("soc/published", "macs_backward", 2 * option_symbol("terms") * B * C**2 * K**2 * S**2),
    ("lot/published", "macs_backward", 8 * C**2 * (S + K - 1) ** 2 * (B + 3 * option_symbol("iterations") * C)),
    ("cpl/published", "saved_bytes", 8 * B * C * S**2 + 8 * C * S**2 + 12),
    ("sll/published", "saved_bytes", 8 * C * (B * S**2 + 4 * C * K**2 - 4 * C * K + C + 2)),
]


@pytest.mark.parametrize(("method", "quantity", "expected"), KNOWN)
def test_known_closed_forms(method: str, quantity: str, expected: sympy.Expr) -> None:
    """Derived independently by tracing the layers with symbolic sizes through PyTorch itself."""
    assert sympy.expand(formula(method, quantity) - expected) == 0


def test_images_that_only_a_1x1_kernel_fits() -> None:
    for s in (1, 2):
        number = formula("cayley/published", "peak_bytes", s=s).subs({B: 2, C: 3, K: 1})
        assert number == predict("cayley/published", b=2, s=s, c=3, k=1).peak_bytes


# Strides, paddings, even kernels, any image

OWN = [method for method in METHODS if not method.endswith("/published")]
PLACED = ("macs_forward", "launches_backward", "saved_bytes", "peak_bytes")


@pytest.mark.parametrize("mode", ["train", "inference"])
@pytest.mark.parametrize("padding", [0, 1])
@pytest.mark.parametrize("method", OWN)
def test_a_stride_and_a_padding(method: str, padding: int, mode: Any) -> None:
    cls = METHODS[method]
    how = {"stride": 2, "padding_mode": cls.padding_modes[padding], "mode": mode}
    for quantity in PLACED:
        expression = formula(method, quantity, k=3, **how)
        for b, s, c in ((1, 2, 1), (3, 4, 2), (2, 10, 5), (40, 6, 1), (1, 32, 7)):
            p = predict(method, b=b, s=s, c=c, **how)
            got = at(expression, b=b, s=s, c=c, **defaults(method, 4 * c, c))
            assert got == getattr(p, quantity), (quantity, b, s, c)


@pytest.mark.parametrize("stride", [2, 3])
@pytest.mark.parametrize("method", OWN)
def test_a_stride_and_other_channels(method: str, stride: int) -> None:
    """Where the larger number of channels counts: stride² times as many go in as the image has."""
    inside = stride**2
    other = ((1, 2), (5, 3), (4, 4))
    around = tuple((c, inside * c + more) for c in (1, 2, 7) for more in (-1, 0, 1))
    for quantity in PLACED:
        expression = formula(method, quantity, stride=stride, k=3, rectangular=True)
        for c_in, c_out in other + around:
            p = predict(method, b=3, s=3 * stride, c_in=c_in, c_out=c_out, stride=stride)
            got = at(expression, b=3, s=3 * stride, c_in=c_in, c_out=c_out, **defaults(method, inside * c_in, c_out))
            assert got == getattr(p, quantity), (quantity, c_in, c_out)


@pytest.mark.parametrize("method", OWN)
def test_a_stride_and_a_number_of_channels(method: str) -> None:
    """Nine times 10 channels are as many as come out, nine times 11 more; at each the peak may be another."""
    for quantity in ("launches_backward", "peak_bytes"):
        expression = formula(method, quantity, stride=3, k=3, c_out=90)
        for c_in in (1, 9, 10, 11):
            p = predict(method, b=3, s=9, c_in=c_in, c_out=90, stride=3)
            got = at(expression, b=3, s=9, c_in=c_in, **defaults(method, 9 * c_in, 90))
            assert got == getattr(p, quantity), (quantity, c_in)


@pytest.mark.parametrize("method", [method for method in OWN if METHODS[method].even_kernels])
def test_an_even_kernel(method: str) -> None:
    for k, quantity in product((2, 4), PLACED):
        expression = formula(method, quantity, k=k)
        for b, s, c in ((1, 2, 1), (2, 5, 3), (30, 8, 4), (1, 33, 2)):
            p = predict(method, b=b, s=s, c=c, k=k)
            got = at(expression, b=b, s=s, c=c, **defaults(method, c, c))
            assert got == getattr(p, quantity), (quantity, b, s, c, k)
            assert evaluate(method, quantity, b=b, s=s, c=c, k=k) == getattr(p, quantity)


@pytest.mark.parametrize("method", METHODS)
def test_an_image_that_is_no_square(method: str) -> None:
    for (h, w), quantity in product(((5, 8), (9, 4)), PLACED):
        expression = formula(method, quantity, h=h, w=w, k=3)
        for b, c in ((1, 1), (4, 3), (50, 2)):
            p = predict(method, b=b, h=h, w=w, c=c)
            assert at(expression, b=b, c=c, **defaults(method, c, c)) == getattr(p, quantity), (quantity, b, c)
