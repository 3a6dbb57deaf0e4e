"""The configurations that a validation measures: edge cases of every method, random draws, a worked example."""

from __future__ import annotations

import inspect
import random
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from itertools import islice
from typing import Any

import torch
from torch import Tensor

from lipcost.costmodel import METHODS, PUBLISHED, Prediction, lookup, predict
from lipcost.layers import LAYERS, LipschitzConv2d

from ..measure.protocol import Mode

MODES: tuple[Mode, ...] = ("train", "inference")
DRAWS = 30  # random configurations per method and mode
PUBLISHED_DRAWS = 10  # of an algorithm as published, whose cost no longer changes
QUICK_DRAWS = 2


@dataclass(frozen=True)
class Case:
    """One configuration: the only place where a symbol of the cost model meets a layer's keyword argument.

    Attributes:
        method: key of METHODS and LAYERS.
        b, s, c_in, c_out, k: batch, image side, channels, kernel size.
        mode: "train" or "inference".
        dtype: name of a torch type.
        bias: whether the layer has one.
        h, w: sides of the image where they are not s.
        stride: of the layer.
        padding_mode: of the layer, where it is not the method's default.
        options: iteration counts and the method's own sizes by name, where they are not the method's default.
        seed: of the weights and the input; no cost depends on it.

    Example:
        >>> from lipcost.validate.compare.cases import Case
        >>> case = Case("soc", b=2, s=8, c_in=3, c_out=4, options={"terms": 6})
        >>> case.layer()(case.input()).shape
        torch.Size([2, 4, 8, 8])
        >>> str(case)
        'soc b=2 s=8 c_in=3 c_out=4 k=3 train float32 terms=6'
    """

    method: str
    b: int
    s: int
    c_in: int
    c_out: int
    k: int = 3
    mode: Mode = "train"
    dtype: str = "float32"
    bias: bool = True
    h: int | None = None
    w: int | None = None
    stride: int = 1
    padding_mode: str | None = None
    options: Mapping[str, int] = field(default_factory=dict, hash=False)
    seed: int = 0

    @property
    def image(self) -> tuple[int, int]:
        """Height and width."""
        return self.s if self.h is None else self.h, self.s if self.w is None else self.w

    def layer(self, device: str = "cpu") -> LipschitzConv2d:
        """The layer with seeded weights, in training mode, called once: CPL's power vector then has the image's size.

        Raises:
            ValueError: if the layer refuses the configuration.
        """
        with seeded(self.seed, device):
            layer = self._build(device)
        with torch.no_grad():
            layer(self.input(device))
        return layer

    def _build(self, device: str) -> LipschitzConv2d:
        cls = LAYERS[self.method]
        more: dict[str, Any] = {} if self.stride == 1 else {"stride": self.stride}
        if self.padding_mode not in (None, cls.padding_modes[0]):
            more["padding_mode"] = self.padding_mode
        more |= {"bias": self.bias, "device": device, "dtype": getattr(torch, self.dtype), **self.options}
        return cls(self.c_in, self.c_out, self.k, **more)

    def input(self, device: str = "cpu") -> Tensor:
        """A seeded input of shape (b, c_in, h, w), standard normal."""
        generator = torch.Generator().manual_seed(self.seed)
        dtype: torch.dtype = getattr(torch, self.dtype)
        return torch.randn(self.b, self.c_in, *self.image, generator=generator).to(device, dtype)

    def refusal(self) -> str | None:
        """What the layer itself has against the configuration; None if it takes it. Nothing is computed.

        Example:
            >>> Case("lot", b=2, s=8, c_in=3, c_out=4, dtype="bfloat16").refusal()
            'lot does not work in torch.bfloat16; supported: torch.float32, torch.float64'
        """
        cls = lookup(self.method)
        if self.padding_mode not in (None, *cls.padding_modes):
            return f"{self.method} has no padding_mode {self.padding_mode!r}"
        if self.stride != 1 and not strided(cls):
            return f"{self.method} has no stride"
        try:
            layer = self._build("meta")
            with torch.no_grad():
                layer(torch.empty(self.b, self.c_in, *self.image, dtype=layer.weight.dtype, device="meta"))
        except ValueError as error:
            return str(error)
        return None

    def predict(self, in_place: bool = True) -> Prediction:
        """The cost model's figures.

        Args:
            in_place: whether gradients are summed in place: True in plain eager, False under a dispatch mode.

        Raises:
            ValueError: if the cost model refuses the configuration.
        """
        settings = self.to_dict()
        del settings["seed"], settings["options"]
        return predict(in_place=in_place, **settings | dict(self.options))

    def to_dict(self) -> dict[str, Any]:
        """All of it, ready for JSON."""
        return asdict(self) | {"options": dict(self.options)}

    def __str__(self) -> str:
        channels = f"c={self.c_in}" if self.c_in == self.c_out else f"c_in={self.c_in} c_out={self.c_out}"
        h, w = self.image
        sides = f"s={h}" if h == w else f"h={h} w={w}"
        words = [self.method, f"b={self.b} {sides} {channels} k={self.k}"]
        words += [f"stride={self.stride}"] if self.stride != 1 else []
        words += [self.padding_mode] if self.padding_mode is not None else []
        words += [self.mode, self.dtype] + ([] if self.bias else ["no bias"])
        return " ".join(words + [f"{name}={value}" for name, value in self.options.items()])


@contextmanager
def seeded(seed: int, device: str) -> Iterator[None]:
    """Random numbers that are the same at every run, without a touch on the global random state."""
    with torch.random.fork_rng(devices=[torch.cuda.current_device()] if device == "cuda" else []):
        torch.manual_seed(seed)
        yield


BASE: dict[str, Any] = {"b": 2, "s": 6, "c_in": 4, "c_out": 4}
QUICK_EDGES: list[dict[str, Any]] = [
    {},
    {"b": 1, "s": 5, "c_in": 1, "c_out": 1},
    {"s": 7, "c_in": 3, "c_out": 5, "k": 5},
    {"k": 1, "bias": False},
    {"h": 4, "w": 6, "c_out": 6, "stride": 2},
]
EDGES: list[dict[str, Any]] = [
    *QUICK_EDGES,
    {"b": 1},
    {"c_in": 1, "c_out": 1},
    {"c_in": 1, "c_out": 1, "k": 1},
    {"s": 1, "k": 1},
    {"s": 7},
    {"s": 3},  # s = k
    {"s": 5, "k": 5},
    {"s": 2},  # k > s
    {"s": 3, "k": 5},
    {"s": 2, "k": 5},
    {"k": 1},
    {"k": 5},
    {"k": 7, "s": 7},
    {"c_in": 6},
    {"c_out": 6},
    {"c_in": 6, "k": 1},
    {"c_out": 6, "k": 5},
    {"c_in": 1, "c_out": 3},
    {"c_in": 3, "c_out": 1},
    {"bias": False},
    {"dtype": "float64"},
    {"dtype": "float64", "c_in": 5, "bias": False},
    {"dtype": "bfloat16"},
    {"dtype": "bfloat16", "s": 5, "bias": False},
    {"h": 5, "w": 8},
    {"h": 8, "w": 5, "k": 5, "c_in": 3},
    {"k": 2},
    {"k": 4, "s": 5, "c_out": 6},
    {"stride": 2},
    {"stride": 2, "k": 1},
    {"stride": 3, "c_in": 1, "c_out": 4},
    {"stride": 2, "k": 5, "s": 8, "c_in": 3, "c_out": 8},
]
# With every padding but the default.
PADDED: list[dict[str, Any]] = [
    {},
    {"b": 1, "s": 5, "c_in": 1, "c_out": 1},
    {"k": 1},
    {"k": 5, "s": 7},
    {"k": 2},
    {"s": 3, "k": 5},
    {"c_in": 3, "c_out": 5},
    {"h": 5, "w": 8, "bias": False},
    {"stride": 2, "c_out": 6},
]


def example(method: str, quick: bool = False) -> Case:
    """The worked example, the same sizes for every method.

    Args:
        method: one of METHODS.
        quick: whether to take a smaller one, of milliseconds.

    Example:
        >>> str(example("lot"))
        'lot b=16 s=16 c=64 k=3 train float32'
    """
    b, s, c = (4, 8, 16) if quick else (16, 16, 64)
    return Case(method, b=b, s=s, c_in=c, c_out=c)


def grid(methods: Sequence[str] = tuple(METHODS), seed: int = 0, quick: bool = False) -> list[Case]:
    """All configurations to measure: per method the example, the edge cases it accepts, and random draws; both modes.

    Args:
        methods: keys of METHODS.
        seed: of weights, inputs and draws; the draws of a method do not depend on the other methods.
        quick: whether to take a few only.

    Returns:
        The cases without duplicates, method by method.

    Raises:
        ValueError: for an unknown method.

    Example:
        >>> len(grid(["soc"], quick=True)), grid(["soc"], seed=1) == grid(["soc"], seed=1)
        (15, True)
    """
    unknown = [method for method in methods if method not in METHODS]
    if unknown:
        raise ValueError(f"unknown method {unknown[0]!r}; methods: {', '.join(METHODS)}")
    return [case for method in dict.fromkeys(methods) for case in _cases(method, seed, quick)]


def _cases(method: str, seed: int, quick: bool) -> list[Case]:
    edges = QUICK_EDGES if quick else [*EDGES, *_edges_of(method)]
    settings = [*(BASE | edge for edge in edges if takes(method, BASE | edge))]
    settings += islice(
        (drawn for drawn in draws(method, seed) if takes(method, drawn)), _number_of_draws(method, quick)
    )
    cases = [Case(method, **sizes, mode=mode, seed=seed) for sizes in settings for mode in MODES]
    return list({str(case): case for case in [replace(example(method, quick), seed=seed), *cases]}.values())


def _edges_of(method: str) -> Iterator[dict[str, Any]]:
    """What a method has more than others."""
    cls = METHODS[method]
    for count in (1, 2):
        yield {"options": dict.fromkeys(cls.counts, count)}
    for name in cls.sizes:
        yield from ({"options": {name: size}} for size in (1, 3))
    for mode in cls.padding_modes[1:]:
        yield from (edge | {"padding_mode": mode} for edge in PADDED)


def _number_of_draws(method: str, quick: bool) -> int:
    if quick:
        return QUICK_DRAWS
    return PUBLISHED_DRAWS if method.endswith(PUBLISHED) else DRAWS


def draws(method: str, seed: int) -> Iterator[dict[str, Any]]:
    """Random settings without end; a method may refuse some of them.

    Args:
        method: one of METHODS.
        seed: of the draws.
    """
    rng, cls = random.Random(f"{method} {seed}"), METHODS[method]
    modes = [None, *cls.padding_modes[1:]]
    strides = (1, 1, 2, 3) if strided(cls) else (1,)
    while True:
        c, stride = rng.randint(1, 16), rng.choice(strides)
        s, w = (stride * rng.randint(1, 16 // stride) for _ in range(2))
        yield {
            "b": rng.randint(1, 8),
            "s": s,
            "w": w if rng.random() < 0.3 else None,
            "c_in": c,
            "c_out": c if cls.square or rng.random() < 0.5 else rng.randint(1, 16),
            "k": rng.choice((1, 2, 3, 3, 4, 5, 7) if cls.even_kernels else (1, 3, 3, 5, 7)),
            "stride": stride,
            "padding_mode": rng.choice(modes),
            "dtype": rng.choice(("float32", "float32", "float64", "bfloat16")),
            "bias": rng.random() < 0.75,
            "options": {name: rng.randint(1, 6) for name in (*cls.counts, *cls.sizes) if rng.random() < 0.5},
        }


def strided(cls: type[LipschitzConv2d]) -> bool:
    """Whether a method has layers with a stride."""
    return "stride" in inspect.signature(cls).parameters


def takes(method: str, settings: Mapping[str, Any]) -> bool:
    """Whether the layer takes a configuration: asked of itself, as of ``predict`` a defect that raises would go unseen.

    Args:
        method: one of METHODS.
        settings: the other attributes of a :class:`Case`.
    """
    return Case(method, **settings).refusal() is None
