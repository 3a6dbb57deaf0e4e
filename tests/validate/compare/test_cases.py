"""The grid: what it holds, and that cases are built as they say."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from lipcost.costmodel import METHODS, predict
from lipcost.validate.compare.cases import BASE, EDGES, MODES, PADDED, Case, example, grid, strided, takes


def _of_type(dtype: str, case: Case) -> bool:
    return f"torch.{case.dtype}" == dtype


def _padded(padding: str, strided: bool, case: Case) -> bool:
    return case.padding_mode == padding and (case.stride > 1) is strided


@pytest.mark.parametrize("method", METHODS)
def test_edges_are_there(method: str) -> None:
    cls, cases = METHODS[method], grid([method])
    wanted: dict[str, Callable[[Any], bool]] = {
        "b = 1": lambda c: c.b == 1,
        "c = 1": lambda c: c.c_in == c.c_out == 1,
        "odd s": lambda c: c.s % 2 == 1 < c.s,
        "s = k": lambda c: c.s == c.k > 1,
        "k = 1": lambda c: c.k == 1,
        "k = 5": lambda c: c.k == 5,
        "no bias": lambda c: not c.bias,
        "default counts": lambda c: not c.options,
        "h < w": lambda c: c.image[0] < c.image[1],
        "h > w": lambda c: c.image[0] > c.image[1],
        **{str(dtype): partial(_of_type, str(dtype)) for dtype in cls.dtypes},
    }
    if cls.counts:
        wanted["other counts"] = lambda c: set(c.options) == set(cls.counts)
    if cls.even_kernels:
        wanted["even k"] = lambda c: c.k % 2 == 0
    for padding in cls.padding_modes[1:]:
        wanted |= {
            padding: partial(_padded, padding, False),
            f"{padding}, stride": partial(_padded, padding, True),
        }
    if strided(cls):
        wanted["stride"] = lambda c: c.stride > 1 and c.padding_mode is None
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
    for edge in [*EDGES, *({"padding_mode": mode} | edge for edge in PADDED for mode in ("zeros", "circular"))]:
        case = Case(method, **BASE | edge)
        h, w = case.image
        if takes(method, BASE | edge):
            shape = (case.b, case.c_out, h // case.stride, w // case.stride)
            assert case.layer()(case.input()).shape == shape
        else:
            with pytest.raises((TypeError, ValueError), match=r"needs|does not work|wraps|odd|divide|unexpected"):
                case.layer()
            with pytest.raises(ValueError):
                case.predict()


def test_a_refusal_says_why() -> None:
    assert Case("soc", **BASE).refusal() is None
    assert Case("soc/published", **BASE, stride=2).refusal() == "soc/published has no stride"
    assert Case("soc/published", **BASE, padding_mode="zeros").refusal() is None  # its own
    assert Case("soc/published", **BASE, padding_mode="circular").refusal() == (
        "soc/published has no padding_mode 'circular'"
    )
    assert "must be odd" in str(Case("soc", **BASE | {"k": 2}).refusal())


def test_a_defect_is_no_refusal(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("out of luck")

    monkeypatch.setattr(METHODS["aol"], "input_transform", fail)
    with pytest.raises(RuntimeError, match="out of luck"):
        takes("aol", BASE)


def test_a_case_is_predicted_as_it_is_written() -> None:
    case = Case("aol", b=2, s=6, w=9, c_in=3, c_out=4, k=2, stride=3, padding_mode="zeros", bias=False)
    assert str(case) == "aol b=2 h=6 w=9 c_in=3 c_out=4 k=2 stride=3 zeros train float32 no bias"
    how: dict[str, Any] = {
        "b": 2,
        "h": 6,
        "w": 9,
        "c_in": 3,
        "c_out": 4,
        "k": 2,
        "stride": 3,
        "bias": False,
    }
    assert case.predict() == predict("aol", **how, padding_mode="zeros")
    assert case.input().shape == (2, 3, 6, 9)


def test_cpl_has_a_power_vector_of_the_image() -> None:
    assert Case("cpl/published", b=2, s=5, c_in=3, c_out=3, mode="inference").layer().u.shape == (1, 3, 5, 5)


def test_unknown_method() -> None:
    with pytest.raises(ValueError, match="'socks'; methods: standard, aol"):
        grid(["socks"])
