"""Units, columns and monomials."""

from __future__ import annotations

import sympy
from hypothesis import given
from hypothesis import strategies as st

from lipcost.costmodel.text import column, polynomial, readable, unit


def test_units_follow_the_quantity() -> None:
    assert unit("macs_backward") == "MAC"
    assert unit("flops_forward") == "FLOP"
    assert unit("peak_bytes") == unit("traffic_forward") == "B"
    assert unit("launches_forward") == ""


def test_readable() -> None:
    assert readable(0, "MAC") == "0 MAC"
    assert readable(999, "B") == "999 B"
    assert readable(1024, "B") == "1 KiB"
    assert readable(1_234_567, "FLOP") == "1.235 MFLOP"
    assert readable(1_234_567, "") == "1,234,567"


@given(st.integers(0, 10**21), st.sampled_from(["MAC", "FLOP", "B"]))
def test_readable_is_within_its_four_digits(value: int, name: str) -> None:
    number, prefixed = readable(value, name).split()
    base = 1024 if name == "B" else 1000
    power = ["", "k", "M", "G", "T", "P", "E"].index(prefixed.removesuffix(name).rstrip("i").replace("K", "k"))
    assert abs(float(number) * base**power - value) <= 5.001e-4 * value


def test_column_has_one_unit() -> None:
    assert column([5 * 10**9, 10**7, 0], "MAC") == ("MMAC", ["5,000.00", "10.00", "0.00"])
    assert column([0], "B") == ("B", ["0.00"])


def test_polynomial_order_and_coefficients() -> None:
    b, s, c, k = sympy.symbols("b s c k")
    assert polynomial(c**3 * s**2 + c**2 * s**2 * b) == "b s² c² + s² c³"
    assert polynomial(c**2 + b * s**2 * c) == "b s² c + c²"
    assert polynomial(2 * k**10 * c + b) == "b + 2 c k¹⁰"
    assert polynomial(sympy.Integer(3)) == "3"
