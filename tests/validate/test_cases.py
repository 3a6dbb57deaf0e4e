"""The grid: what it holds, and that cases are built as they say."""

from __future__ import annotations

import pytest

from lipcost.costmodel import METHODS
from lipcost.validate.cases import BASE, EDGES, MODES, Case, _accepts, example, grid


@pytest.mark.parametrize("method", METHODS)
def test_edges_are_there(method: str) -> None:
    cls, cases = METHODS[method], grid([method])
    wanted = {
        "b = 1": lambda c: c.b == 1,
        "c = 1": lambda c: c.c_in == c.c_out == 1,
        "odd s": lambda c: c.s % 2 == 1 < c.s,
        "s = k": lambda c: c.s == c.k > 1,
        "k = 1": lambda c: c.k == 1,
        "k = 5": lambda c: c.k == 5,
        "no bias": lambda c: not c.bias,
        "published counts": lambda c: not c.options,
        **{dtype: lambda c, dtype=dtype: c.dtype == dtype for dtype in cls.dtypes},
    }
    if cls.options:
        wanted["other counts"] = lambda c: set(c.options) == set(cls.options)
    if not cls.square:
        wanted |= {"c_in < c_out": lambda c: c.c_in < c.c_out, "c_in > c_out": lambda c: c.c_in > c.c_out}
    if method != "cayley/published":
        wanted["k > s"] = lambda c: c.k > c.s
    for mode in MODES:
        assert {name for name, test in wanted.items() if any(test(c) for c in cases if c.mode == mode)} == set(wanted)
    assert example(method) in cases
    assert len({str(case) for case in cases}) == len(cases)


def test_draws_depend_on_method_and_seed_alone() -> None:
    assert grid(["soc", "aol"], seed=3) == grid(["soc"], seed=3) + grid(["aol"], seed=3)
    assert {str(c) for c in grid(["soc"], seed=3)} != {str(c) for c in grid(["soc"], seed=4)}
    assert grid(["soc", "soc"]) == grid(["soc"])


@pytest.mark.parametrize("method", METHODS)
def test_left_out_is_what_the_layer_refuses(method: str) -> None:
    for edge in EDGES:
        case = Case(method, **BASE | edge)
        if _accepts(method, BASE | edge):
            assert case.layer()(case.input()).shape == (case.b, case.c_out, case.s, case.s)
        else:
            with pytest.raises(ValueError, match=r"needs|does not work|wraps"):
                case.layer()


def test_cpl_has_a_power_vector_of_the_image() -> None:
    assert Case("cpl/published", b=2, s=5, c_in=3, c_out=3, mode="inference").layer().u.shape == (1, 3, 5, 5)


def test_unknown_method() -> None:
    with pytest.raises(ValueError, match="'socks'; methods: standard, aol"):
        grid(["socks"])
