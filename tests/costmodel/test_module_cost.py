"""What any module costs: numbers beside measurement, formulas beside measurement at sizes that no recording saw."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import sympy
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lipcost.costmodel import cost, predict
from lipcost.costmodel.tape.recording import QUANTITIES
from lipcost.layers import LAYERS
from lipcost.validate import measure_flops, measure_memory

MODES = ("train", "inference")
OTHER: Any = ("eval",)
FAMILY = [
    "macs_forward",
    "flops_backward",
    "traffic_forward",
    "launches_backward",
    "parameter_bytes",
    "saved_bytes",
    "peak_bytes",
]


class Residual(nn.Module):
    """A block with a skip connection, whose stride halves the image."""

    def __init__(self, c_in: int, c_out: int, stride: int = 1) -> None:
        super().__init__()
        self.a, self.b = nn.Conv2d(c_in, c_out, 3, stride, 1), nn.Conv2d(c_out, c_out, 3, padding=1)
        self.skip = nn.Conv2d(c_in, c_out, 1, stride)

    def forward(self, x: Tensor) -> Tensor:
        """Both ways, added."""
        y: Tensor = F.relu(self.b(F.relu(self.a(x))) + self.skip(x))
        return y


class UNet(nn.Module):
    """An image halved and doubled again, which odd sides do not survive."""

    def __init__(self, c: int) -> None:
        super().__init__()
        self.down, self.inner, self.up = (
            nn.Conv2d(3, c, 3, padding=1),
            nn.Conv2d(c, c, 3, padding=1),
            nn.Conv2d(2 * c, 3, 1),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Down, up, and both together."""
        wide = self.down(x).relu()
        deep = F.interpolate(self.inner(F.max_pool2d(wide, 2)), scale_factor=2)
        y: Tensor = self.up(torch.cat([wide, deep], 1))
        return y


class Branch(nn.Module):
    """Another way for large images, and for none but pairs."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """One convolution or two."""
        y: Tensor = self.conv(x)
        if x.shape[-1] > 40:
            y = F.avg_pool2d(y, 2)
        if x.shape[0] == 2:
            y = y * y.mean()
        return y


NETS: dict[str, tuple[Callable[[], nn.Module], int]] = {
    "unpadded": (lambda: nn.Conv2d(3, 4, 3), 3),
    "residual": (lambda: Residual(3, 4), 3),
    "strides": (lambda: nn.Sequential(Residual(3, 4, 2), Residual(4, 5, 2), nn.AdaptiveAvgPool2d(1), nn.Flatten()), 3),
    "unet": (lambda: UNet(4), 3),
    "branch": (Branch, 3),
    "norms": (
        lambda: nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4), nn.GELU(), nn.GroupNorm(2, 4)),
        3,
    ),
    "transposed": (lambda: nn.Sequential(nn.Flatten(2), nn.Linear(16, 5)), 3),
    "aol": (lambda: LAYERS["aol"](4, 4, 3), 4),
    "soc": (lambda: LAYERS["soc"](4, 4, 3), 4),
}


def measured(net: nn.Module, shape: tuple[int, ...], mode: Any) -> dict[str, int]:
    """By profiler, hooks and dispatcher."""
    x = torch.rand(shape)
    memory, flops = measure_memory(net, x, mode), measure_flops(net, x, mode)
    found = {name: getattr(memory, name) for name in ("parameter_bytes", "buffer_bytes", "saved_bytes", "cache_bytes")}
    found["peak_bytes"] = memory.profiler_peak_bytes
    for phase in ("forward", "backward"):
        found[f"macs_{phase}"], found[f"launches_{phase}"] = (
            getattr(flops, f"{n}_{phase}") for n in ("macs", "launches")
        )
        found[f"flops_{phase}"] = round(sum(getattr(flops, f"flops_{phase}").values()))
        found[f"traffic_{phase}"] = getattr(flops, f"bytes_moved_{phase}")
    return found


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", NETS)
def test_numbers_are_what_is_measured(name: str, mode: Any) -> None:
    make, c = NETS[name]
    net, shape = make(), (3, c, 4, 4)
    found = cost(net, shape, mode)
    assert {quantity: getattr(found, quantity) for quantity in QUANTITIES} == measured(net, shape, mode)
    assert sum(found.by_class.values()) == found.flops_forward + found.flops_backward


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", sorted(set(NETS) - {"transposed"}))
def test_formulas_are_what_is_measured(name: str, mode: Any) -> None:
    """At sizes that the recording never saw, odd ones and 1 among them; sizes that torch refuses are refused."""
    make, c = NETS[name]
    net = make()
    formulas = cost(net, ("b", c, "s", "s"), mode)
    rng = random.Random(name + mode)
    for b, s in [(1, 1), (2, 1), (1, 6), *((rng.randint(1, 9), rng.randint(1, 48)) for _ in range(8))]:
        try:
            expected = measured(net, (b, c, s, s), mode)
        except (RuntimeError, ValueError):
            with pytest.raises(ValueError, match="the module takes sizes with"):
                formulas.evaluate("peak_bytes", b=b, s=s)
            continue
        found = {quantity: int(formulas.evaluate(quantity, b=b, s=s)) for quantity in QUANTITIES}
        assert {"b": b, "s": s, **found} == {"b": b, "s": s, **expected}


def test_a_formula_is_nothing_where_the_module_takes_no_such_sizes() -> None:
    b, s = (cost(nn.ReLU(), ("b", "s")).symbols[name] for name in "bs")
    form = cost(nn.Conv2d(3, 4, 3), ("b", 3, "s", "s")).peak_bytes
    assert form.subs({b: 2, s: 2}) is sympy.nan
    assert form.subs({b: 2, s: 3}).is_Integer


@pytest.mark.parametrize("name", ["residual", "linear", "heads"])
def test_a_modules_own_sizes_as_symbols(name: str) -> None:
    table: dict[str, Any] = {
        "residual": (Residual, ("b", "c", "s", "s"), {"c_in": "c", "c_out": "c"}, [(2, 3, 5), (1, 1, 4), (4, 20, 1)]),
        "linear": (
            nn.Linear,
            ("b", "n"),
            {"in_features": "n", "out_features": "m"},
            [(2, 3, 5), (1, 7, 30), (4, 11, 2)],
        ),
        "heads": (lambda c: nn.Sequential(nn.Linear(c, c), nn.Unflatten(1, (4, c // 4))), ("b", "c"), {"c": "c"}, []),
    }
    factory, shape, sizes, points = table[name]
    formulas = cost(factory, shape, **sizes)
    names = list(formulas.symbols)
    for values in points:
        at = dict(zip(names, values, strict=True))
        net = factory(**{key: at[value] for key, value in sizes.items()})
        expected = measured(net, tuple(at.get(size, size) for size in shape), "train")
        assert {q: int(formulas.evaluate(q, **at)) for q in QUANTITIES} == expected
    if name == "heads":
        with pytest.raises(ValueError, match=r"the module takes sizes with .*Mod\(c, 4\)"):
            formulas.evaluate("peak_bytes", b=2, c=6)
        assert (
            int(formulas.evaluate("saved_bytes", b=2, c=100))
            == measured(factory(100), (2, 100), "train")["saved_bytes"]
        )


def test_a_structure_that_changes_is_refused() -> None:
    def layers(n: int) -> nn.Module:
        return nn.Sequential(*(nn.Linear(4, 4) for _ in range(n)))

    with pytest.raises(ValueError, match="no formula in n: what it runs changes with the number"):
        cost(layers, ("b", 4), n="n")


def test_a_layer_of_the_library_costs_what_predict_says() -> None:
    layer = LAYERS["soc"](4, 6, 3)
    found, expected = cost(layer, (3, 4, 8, 8)), predict(layer, b=3, s=8)
    assert {q: getattr(found, q) for q in QUANTITIES} == {q: getattr(expected, q) for q in QUANTITIES}
    assert (found.by_class, found.parts) == (expected.by_class, expected.parts)


def test_many_sizes_at_once() -> None:
    formulas = cost(Residual(3, 4, 2), ("b", 3, "s", "s"))
    b, s = np.arange(1, 500)[:, None], np.arange(1, 400)
    peaks = formulas.evaluate("peak_bytes", b=b, s=s)
    assert peaks.shape == (499, 399)
    assert peaks.dtype == np.int64
    assert peaks[6, 8] == cost(Residual(3, 4, 2), (7, 3, 9, 9)).peak_bytes


def test_orders() -> None:
    formulas = cost(Residual, ("b", "c", "s", "s"), c_in="c", c_out="c")
    assert str(formulas.leading_order("macs_forward")) == "b*c**2*s**2"
    assert str(formulas.leading_order("peak_bytes")) == "b*c*s**2 + c**2"


def test_json() -> None:
    numbers = json.loads(json.dumps(cost(nn.Linear(3, 4), (2, 3)).to_dict()))
    assert (numbers["module"], numbers["shape"], numbers["macs_forward"]) == ("Linear", [2, 3], 24)
    formulas = json.loads(json.dumps(cost(nn.Linear(3, 4), ("b", 3)).to_dict()))
    assert (formulas["shape"], formulas["macs_forward"], formulas["domain"]) == (["b", 3], "12*b", "True")


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: cost(nn.ReLU(), (2, 0)), "shape must be a positive integer, got 0"),
        (lambda: cost(nn.ReLU(), ("b c", 3)), "a size is a positive integer or a name such as 'b', got 'b c'"),
        (lambda: cost(nn.ReLU(), (2, 3), *OTHER), "unknown mode 'eval'"),
        (lambda: cost(nn.ReLU(), (2, 3), c=3), "'c' is for a class or a function; a module has its own sizes"),
        (lambda: cost(nn.ReLU(), (2, 3), dtype="float3"), "unknown dtype 'float3'"),
        (lambda: cost(nn.ReLU(), ("b", 3)).evaluate("peak_bytes", c=3), "give a number or an array for each symbol: b"),
        (lambda: cost(nn.ReLU(), ("b", 3)).evaluate("peak", b=3), "unknown quantity 'peak'"),
        (lambda: cost(nn.ReLU(), ("b", 3)).evaluate("peak_bytes", b=0), "b must be positive integers, got 0"),
        (lambda: cost(nn.ReLU(), (2, 3)).leading_order("peak_bytes"), "a cost in numbers has no O"),
        (lambda: cost(nn.Linear(4, 4), (2, 3)), "columns and rows of a matrix product"),
        (lambda: cost(nn.Linear(4, 4), ("b", 3)), "columns and rows of a matrix product"),
        (lambda: cost(nn.LSTM(3, 4), (2, 5, 3)), "LSTM"),
    ],
)
def test_errors(call: Callable[[], Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()
