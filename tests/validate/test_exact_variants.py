"""Every layer in every form that it takes: what is predicted equals what is measured, to the integer and the byte.

:mod:`test_exact` draws square images and a layer's defaults. Here are strides, both padding modes, even kernels, images
of any sides, channels that differ, no bias, other types. What a layer refuses, the prediction refuses too.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from lipcost.costmodel import predict
from lipcost.layers import LAYERS
from lipcost.validate import measure_flops, measure_memory

MODES = ("train", "inference")
PUBLISHED = "/published"
OTHER_PADDING = {"circular": "zeros", "zeros": "circular"}
COUNTS: dict[str, dict[str, int]] = {  # fewer iterations than the defaults: the same programs in less time
    "bcop/published": {"iterations": 3, "power_iterations": 2},
    "cpl/published": {"eval_iterations": 5},
    "lot/published": {"iterations": 3},
}


@dataclass(frozen=True)
class Form:
    """A layer and its input; ``other_padding`` is the mode that is not the layer's default."""

    method: str
    b: int = 2
    h: int = 6
    w: int = 6
    c_in: int = 4
    c_out: int = 4
    k: int = 3
    stride: int = 1
    other_padding: bool = False
    bias: bool = True
    dtype: str = "float32"

    @property
    def arguments(self) -> dict[str, Any]:
        """What both the layer and the prediction take."""
        settings: dict[str, Any] = {"bias": self.bias, **COUNTS.get(self.method, {})}
        if not self.method.endswith(PUBLISHED):
            default = LAYERS[self.method].padding_modes[0]
            settings |= {"stride": self.stride, "padding_mode": OTHER_PADDING[default] if self.other_padding else None}
        return settings

    def layer(self) -> tuple[nn.Module, Tensor]:
        """The layer with seeded weights, called once, and its input.

        Raises:
            ValueError: if the layer refuses one or the other.
        """
        dtype: torch.dtype = getattr(torch, self.dtype)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            layer = LAYERS[self.method](self.c_in, self.c_out, self.k, dtype=dtype, **self.arguments)
            x = torch.randn(self.b, self.c_in, self.h, self.w, dtype=dtype)
        with torch.no_grad():
            layer(x)
        return layer, x

    def predict(self, mode: Any, in_place: bool = True) -> Any:
        """The cost model's figures."""
        sizes = {"b": self.b, "h": self.h, "w": self.w, "c_in": self.c_in, "c_out": self.c_out, "k": self.k}
        return predict(self.method, mode=mode, dtype=self.dtype, in_place=in_place, **sizes, **self.arguments)

    def __str__(self) -> str:
        words = [f"{self.h}x{self.w}", f"{self.c_in}to{self.c_out}", f"k{self.k}"]
        words += [f"stride{self.stride}"] * (self.stride > 1) + ["padded otherwise"] * self.other_padding
        words += ["no bias"] * (not self.bias) + [self.dtype] * (self.dtype != "float32") + [f"b{self.b}"]
        return " ".join(words)


def figures(form: Form, mode: Any) -> dict[str, tuple[Any, Any]]:
    """By name, what is predicted and what is measured."""
    layer, x = form.layer()
    counts, memory = measure_flops(layer, x, mode), measure_memory(layer, x, mode)
    p, out_of_place = form.predict(mode), form.predict(mode, in_place=False)
    found: dict[str, tuple[Any, Any]] = {"macs by fvcore": (p.macs_forward, counts.fvcore_macs)}
    for phase in ("forward", "backward"):
        flops = getattr(counts, f"flops_{phase}")
        found[f"macs_{phase}"] = getattr(p, f"macs_{phase}"), getattr(counts, f"macs_{phase}")
        found[f"flops_{phase}"] = getattr(p, f"flops_{phase}"), round(sum(flops.values()))
        found[f"launches_{phase}"] = getattr(p, f"launches_{phase}"), getattr(counts, f"launches_{phase}")
        found[f"traffic_{phase}"] = getattr(p, f"traffic_{phase}"), getattr(counts, f"bytes_moved_{phase}")
    for name, value in p.by_class.items():
        found[f"flops of {name}"] = value, round(counts.flops_forward[name] + counts.flops_backward[name])
    for name in ("parameter", "buffer", "cache", "saved"):
        found[f"{name}_bytes"] = getattr(p, f"{name}_bytes"), getattr(memory, f"{name}_bytes")
    found["peak_bytes"] = p.peak_bytes, memory.profiler_peak_bytes
    # Any active dispatch mode makes autograd sum gradients out of place: a branch of the formula, not a tolerance.
    found["peak_bytes, out of place"] = out_of_place.peak_bytes, memory.tracker_peak_bytes
    return found


def check(form: Form, mode: Any) -> None:
    """All figures are equal, or layer and prediction both refuse."""
    try:
        form.layer()
    except ValueError:
        with pytest.raises(ValueError):
            form.predict(mode)
        return
    differing = {name: pair for name, pair in figures(form, mode).items() if pair[0] != pair[1]}
    assert not differing, f"predicted, measured: {differing}"


ANY: list[dict[str, Any]] = [  # of every algorithm
    {"h": 5, "w": 7},
    {"h": 7, "w": 4, "c_out": 6},
    {"h": 1, "w": 9, "b": 1},
    {"h": 8, "w": 3, "c_in": 5, "c_out": 3, "bias": False},
    {"h": 4, "w": 9, "k": 5, "dtype": "float64"},
    {"h": 9, "w": 1, "k": 1},
    {"h": 6, "w": 8, "dtype": "bfloat16"},
]
OWN: list[dict[str, Any]] = [  # of the library's own
    {"stride": 2},
    {"stride": 2, "h": 4, "w": 10, "k": 5, "other_padding": True},
    {"stride": 2, "h": 8, "w": 6, "c_in": 2, "c_out": 9, "bias": False},
    {"stride": 2, "h": 6, "w": 4, "c_in": 3, "c_out": 2, "k": 2, "dtype": "float64"},
    {"stride": 2, "h": 2, "w": 8, "k": 4, "other_padding": True},
    {"stride": 3, "h": 3, "w": 9, "c_in": 1, "k": 1},
    {"other_padding": True},
    {"other_padding": True, "h": 7, "w": 5, "k": 5, "c_in": 6},
    {"k": 2, "h": 5, "w": 6},
    {"k": 4, "h": 7, "w": 8, "c_out": 5},
    {"k": 2, "h": 6, "w": 3, "other_padding": True, "c_in": 5, "bias": False},
    {"k": 4, "h": 1, "w": 6, "b": 1, "other_padding": True},
]


def forms(method: str) -> list[Form]:
    """The forms of every run."""
    return [Form(method, **sizes) for sizes in ANY + ([] if method.endswith(PUBLISHED) else OWN)]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("form", [form for name in LAYERS for form in forms(name)], ids=lambda f: f"{f.method}: {f}")
def test_forms(form: Form, mode: str) -> None:
    check(form, mode)


SIDES = ((6, 6), (5, 8), (12, 4), (1, 10), (7, 3), (8, 1), (10, 10), (4, 6))
KERNELS = (1, 2, 3, 4, 5)
CHANNELS = ((4, 4), (3, 5), (6, 2))
DTYPES = ("float32", "float64", "float32", "bfloat16", "float32")


def exhaustive(method: str) -> Iterator[Form]:
    """All strides, paddings, kernels and channels together; sides, biases, types and batches in turn beside them."""
    own = not method.endswith(PUBLISHED)
    strides, paddings, kernels = ((1, 2), (False, True), KERNELS) if own else ((1,), (False,), (1, 3, 5))
    turns = product(strides, paddings, kernels, CHANNELS, range(2 if own else 4))
    for i, (stride, other_padding, k, (c_in, c_out), _) in enumerate(turns):
        h, w = SIDES[i % len(SIDES)]
        if own and stride > 1:
            h, w = 2 * -(-h // 2), 2 * -(-w // 2)
        yield Form(
            method,
            b=1 + i % 3,
            h=h,
            w=w,
            c_in=c_in,
            c_out=c_in if LAYERS[method].square else c_out,
            k=k,
            stride=stride,
            other_padding=other_padding,
            bias=i % 4 != 1,
            dtype=DTYPES[i % len(DTYPES)],
        )


@pytest.mark.slow
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("method", LAYERS)
def test_the_grid(method: str, mode: str) -> None:
    """One test per method and mode; each form that differs is named."""
    failed = []
    for form in exhaustive(method):
        try:
            check(form, mode)
        except Exception as error:  # shown with the others
            failed.append(f"{form}: {type(error).__name__}: {error}")
    assert not failed, "\n".join(failed)


def test_the_forms_are_of_all_kinds() -> None:
    """What the layers take, and refuse, is in the grid: most forms are accepted, and each value of each setting is."""
    accepted = []
    for method in LAYERS:
        every = list(exhaustive(method))
        taken = [form for form in every if _accepted(form)]
        assert len(taken) >= len(every) / 2, method
        accepted += taken
    assert {form.k for form in accepted} == set(KERNELS)
    assert {form.dtype for form in accepted} == set(DTYPES)
    for name in ("stride", "other_padding", "bias"):
        assert len({getattr(form, name) for form in accepted}) == 2, name
    assert {(form.h, form.w) for form in accepted} >= set(SIDES)


def _accepted(form: Form) -> bool:
    try:
        form.layer()
    except ValueError:
        return False
    return True
