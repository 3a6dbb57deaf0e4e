"""BRO's cost: its rank is a size of its own, which no other method has."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import sympy
import torch

from lipcost.costmodel import evaluate, formula, leading_order, predict
from lipcost.layers import LAYERS
from lipcost.validate import measure_flops, measure_memory

FORMS: list[dict[str, Any]] = [
    {"c_in": 4, "c_out": 4, "k": 3, "rank": 1},
    {"c_in": 8, "c_out": 8, "k": 1, "rank": 5},
    {"c_in": 4, "c_out": 4, "k": 3, "rank": 4, "h": 4, "w": 9, "dtype": "float64", "bias": False},
    {"c_in": 2, "c_out": 5, "k": 5, "rank": 5, "h": 7, "w": 4},
    {"c_in": 5, "c_out": 2, "k": 3, "rank": 2, "h": 5, "w": 7},
    {"c_in": 1, "c_out": 1, "k": 1, "rank": 1, "dtype": "float64"},
]
OWN: list[dict[str, Any]] = [
    {"c_in": 2, "c_out": 5, "k": 2, "rank": 3, "stride": 2},
    {"c_in": 3, "c_out": 2, "k": 4, "rank": 12, "stride": 2, "padding_mode": "circular", "bias": False},
    {"c_in": 5, "c_out": 3, "k": 3, "rank": 2, "h": 5, "w": 7, "padding_mode": "circular", "dtype": "float64"},
    {"c_in": 4, "c_out": 4, "k": 1, "rank": 2, "padding_mode": "circular"},
]


@pytest.mark.parametrize("mode", ["train", "inference"])
@pytest.mark.parametrize(
    ("method", "form"),
    [(name, form) for name in ("bro", "bro/published") for form in FORMS] + [("bro", f) for f in OWN],
)
def test_cost_of_any_rank_is_what_is_measured(method: str, form: dict[str, Any], mode: Any) -> None:
    config = {"b": 2, "h": 6, "w": 6, "mode": mode, **form}
    names = {"c_in", "c_out", "k", "b", "h", "w", "mode", "dtype"}
    dtype = getattr(torch, config.get("dtype", "float32"))
    options = {name: value for name, value in config.items() if name not in names}
    layer = LAYERS[method](form["c_in"], form["c_out"], form["k"], dtype=dtype, **options)
    x = torch.randn(2, form["c_in"], config["h"], config["w"], dtype=dtype)
    p, memory, counts = predict(method, **config), measure_memory(layer, x, mode), measure_flops(layer, x, mode)
    assert (p.macs_forward, p.macs_backward) == (counts.fvcore_macs, counts.macs_backward)
    for name, flops in p.by_class.items():
        assert flops == round(counts.flops_forward[name] + counts.flops_backward[name])
    assert (p.launches_forward, p.launches_backward) == (counts.launches_forward, counts.launches_backward)
    assert (p.traffic_forward, p.traffic_backward) == (counts.bytes_moved_forward, counts.bytes_moved_backward)
    found = p.parameter_bytes, p.cache_bytes, p.saved_bytes, p.peak_bytes
    assert found == (memory.parameter_bytes, memory.cache_bytes, memory.saved_bytes, memory.profiler_peak_bytes)
    assert predict(method, in_place=False, **config).peak_bytes == memory.tracker_peak_bytes


@pytest.mark.parametrize("method", ["bro", "bro/published"])
def test_rank_is_a_size_and_a_symbol(method: str) -> None:
    """A count enters as a line, a size as it does: of the third power here."""
    symbols = {name: sympy.Symbol(name, integer=True, positive=True) for name in ("b", "s", "c", "k", "rank")}
    for quantity in ("macs_forward", "macs_backward", "saved_bytes"):
        form = formula(method, quantity)
        for rank, k, s in ((1, 3, 6), (2, 3, 7), (5, 3, 4), (8, 1, 5)):
            numbers: dict[str, Any] = {"b": 3, "s": s, "c": 8, "k": k, "rank": rank}
            assert form.subs({symbols[n]: v for n, v in numbers.items()}) == getattr(
                predict(method, **numbers), quantity
            )
            assert formula(method, quantity, rank=rank).subs({symbols[n]: numbers[n] for n in "bsck"}) == form.subs(
                {symbols[n]: v for n, v in numbers.items()}
            )
    assert sympy.degree(formula(method, "macs_backward", k=3), symbols["rank"]) == 3


def test_evaluate_takes_ranks_or_their_default() -> None:
    c, rank = np.array([8, 16, 64]), np.array([3, 16, 1])
    for quantity in ("macs_forward", "peak_bytes"):
        found = evaluate("bro", quantity, b=2, s=6, c=c, rank=rank)
        assert [*found] == [
            getattr(predict("bro", b=2, s=6, c=n, rank=r), quantity) for n, r in zip(c, rank, strict=True)
        ]
        found = evaluate("bro", quantity, b=2, s=6, c=c)
        assert [*found] == [getattr(predict("bro", b=2, s=6, c=n), quantity) for n in c]
    flops = evaluate("bro", "flops_forward", b=2, s=6, c=c, k=1)  # which thirds are rounded of
    assert [round(n) for n in flops] == [predict("bro", b=2, s=6, c=n, k=1).flops_forward for n in c]
    with pytest.raises(ValueError, match="rank must be at most 8, the larger number of channels, got 9"):
        evaluate("bro", "macs_forward", b=1, s=6, c=8, rank=np.array([8, 9]))


def test_orders() -> None:
    for method in ("bro", "bro/published"):
        assert str(leading_order(method, "flops_forward")) == "b*c**2*s**2 + c**3*s**2"
        assert str(leading_order(method, "memory")) == "b*c*s**2 + c**2*s**2"
