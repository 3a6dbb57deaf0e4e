"""The configurations that a validation measures: edge cases of every method, random draws, a worked example."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from itertools import islice
from typing import Any

import torch
from torch import Tensor

from lipcost.costmodel import METHODS, PUBLISHED, Prediction, predict
from lipcost.layers import LAYERS, LipschitzConv2d

from ._live import Mode

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
        options: iteration counts by name, where they are not the published ones.
        seed: of the weights and the input; no cost depends on it.

    Example:
        >>> from lipcost.validate.cases import Case
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
    options: Mapping[str, int] = field(default_factory=dict, hash=False)
    seed: int = 0

    def layer(self) -> LipschitzConv2d:
        """The layer with seeded weights, in training mode, called once: CPL's power vector then has the image's size.

        Raises:
            ValueError: if the layer refuses the configuration.
        """
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            dtype: torch.dtype = getattr(torch, self.dtype)
            options: dict[str, Any] = {"bias": self.bias, "dtype": dtype, **self.options}
            layer = LAYERS[self.method](self.c_in, self.c_out, self.k, **options)
        with torch.no_grad():
            layer(self.input())
        return layer

    def input(self) -> Tensor:
        """A seeded input of shape (b, c_in, s, s), standard normal."""
        generator = torch.Generator().manual_seed(self.seed)
        dtype: torch.dtype = getattr(torch, self.dtype)
        return torch.randn(self.b, self.c_in, self.s, self.s, generator=generator).to(dtype)

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
        words = [self.method, f"b={self.b} s={self.s} {channels} k={self.k}", self.mode, self.dtype]
        words += [] if self.bias else ["no bias"]
        return " ".join(words + [f"{name}={value}" for name, value in self.options.items()])


BASE = {"b": 2, "s": 6, "c_in": 4, "c_out": 4}
QUICK_EDGES: list[dict[str, Any]] = [
    {},
    {"b": 1, "s": 5, "c_in": 1, "c_out": 1},
    {"s": 7, "c_in": 3, "c_out": 5, "k": 5},
    {"k": 1, "bias": False},
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
        (13, True)
    """
    unknown = [method for method in methods if method not in METHODS]
    if unknown:
        raise ValueError(f"unknown method {unknown[0]!r}; methods: {', '.join(METHODS)}")
    return [case for method in dict.fromkeys(methods) for case in _cases(method, seed, quick)]


def _cases(method: str, seed: int, quick: bool) -> list[Case]:
    edges = [BASE | edge for edge in (QUICK_EDGES if quick else EDGES)]
    if not quick:
        edges += [BASE | {"options": dict.fromkeys(METHODS[method].options, t)} for t in (1, 2)]
    draws = islice(filter(partial(_accepts, method), _draws(method, seed)), _number_of_draws(method, quick))
    settings = [*filter(partial(_accepts, method), edges), *draws]
    cases = [Case(method, **sizes, mode=mode, seed=seed) for sizes in settings for mode in MODES]
    return list({str(case): case for case in [replace(example(method, quick), seed=seed), *cases]}.values())


def _number_of_draws(method: str, quick: bool) -> int:
    if quick:
        return QUICK_DRAWS
    return PUBLISHED_DRAWS if method.endswith(PUBLISHED) else DRAWS


def _draws(method: str, seed: int) -> Iterator[dict[str, Any]]:
    """Random settings without end; a method may refuse some of them."""
    rng = random.Random(f"{method} {seed}")
    while True:
        c = rng.randint(1, 16)
        yield {
            "b": rng.randint(1, 8),
            "s": rng.randint(1, 16),
            "c_in": c,
            "c_out": c if METHODS[method].square or rng.random() < 0.5 else rng.randint(1, 16),
            "k": rng.choice((1, 3, 3, 5, 7)),
            "dtype": rng.choice(("float32", "float32", "float64", "bfloat16")),
            "bias": rng.random() < 0.75,
            "options": {name: rng.randint(1, 6) for name in METHODS[method].options if rng.random() < 0.5},
        }


def _accepts(method: str, sizes: Mapping[str, Any]) -> bool:
    """Whether the method has the configuration; a test holds it to what the layer refuses."""
    # By its rules and not by calling predict, in which a defect that raises would then go unseen.
    cls = METHODS[method]
    fits = cls.accepts(sizes["s"], sizes.get("k", 3)) and (sizes["c_in"] == sizes["c_out"] or not cls.square)
    return fits and sizes.get("dtype", "float32") in cls.dtypes
