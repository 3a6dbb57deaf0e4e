"""Layers under test: whose, with what weights, in which state of use."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import product
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from lipcost.layers import LAYERS

from .cases import takes
from .claims import TOLERANCES, Claim, claim
from .weights import DEGENERATE, INITIAL, SGD, WEIGHTS, change, copy_weights, train

STATES = ("train", "eval after train", "eval first", "eval after load_state_dict")
# What the report measures: a layer as it is initialised and as training leaves it, in both modes.
REPORTED: dict[str, Any] = {"dtypes": (torch.float64,), "kinds": (INITIAL, SGD), "states": STATES[:2]}
QUICK = 2  # shapes


class Shape(NamedTuple):
    """A layer's arguments and the image's sides."""

    c_in: int
    c_out: int
    k: int
    h: int
    w: int

    @property
    def image(self) -> tuple[int, int, int]:
        """The input's."""
        return self.c_in, self.h, self.w

    def __str__(self) -> str:
        return f"{self.c_in}→{self.c_out} k={self.k} on {self.h}×{self.w}"


SHAPES = (
    Shape(3, 3, 3, 6, 6),
    Shape(4, 4, 1, 4, 4),
    Shape(3, 3, 5, 5, 5),
    Shape(2, 2, 3, 3, 6),
    Shape(2, 2, 7, 3, 3),  # circular padding allows no larger kernel
    Shape(2, 5, 3, 4, 4),
    Shape(5, 2, 3, 4, 4),
)


@dataclass(frozen=True)
class Subject:
    """A layer under test.

    Attributes:
        name: what tables call it.
        method: key of LAYERS, whose claims it is held to.
        build: the layer for c_in, c_out, k, in torch's default dtype.
        padding_mode: its own; None for that method's default.
    """

    name: str
    method: str
    build: Callable[[int, int, int], nn.Module]
    padding_mode: str | None = None


@dataclass(frozen=True)
class Case:
    """One layer with one kind of weights, in one state.

    Attributes:
        subject: the layer.
        shape: its arguments and the image's.
        dtype: its type.
        kind: key of WEIGHTS: what every learned tensor but vectors, such as a bias, is set to.
        state: one of STATES. In training mode the next forward is measured; "eval after train" follows a training
            forward, "eval first" none, and "eval after load_state_dict" loads the weights into a layer that was in use.
    """

    subject: Subject
    shape: Shape
    dtype: torch.dtype
    kind: str
    state: str

    @property
    def residual(self) -> bool:
        """Whether the layer is linear on pieces of its domain only."""
        return LAYERS[self.subject.method].residual

    @property
    def mode(self) -> str:
        """Of the state: "train" or "eval"."""
        return self.state.partition(" ")[0]

    @property
    def claim(self) -> Claim:
        """What the layer promises."""
        method, padding, degenerate = self.subject.method, self.subject.padding_mode, self.kind in DEGENERATE
        how: dict[str, Any] = {"padding_mode": padding, "degenerate": degenerate, "training": self.mode == "train"}
        return claim(method, self.shape.k, self.dtype, **how)

    def __str__(self) -> str:
        return f"{self.shape}, {type_name(self.dtype)}, {self.kind}, {self.state}"


def own(key: str, padding_mode: str | None = None) -> Subject:
    """A layer of this library, held to its own claims.

    Args:
        key: of LAYERS.
        padding_mode: one of the class's; its default where not given.

    Example:
        >>> from lipcost.validate.compare.subjects import own
        >>> own("lot").name, own("lot", "circular").name
        ('lot', 'lot, circular')
    """
    layer: Any = LAYERS[key]
    if padding_mode in (None, layer.padding_modes[0]):
        return Subject(key, key, layer)
    return Subject(f"{key}, {padding_mode}", key, partial(layer, padding_mode=padding_mode), padding_mode)


def rival(name: str, method: str, build: Callable[[int, int, int], nn.Module]) -> Subject:
    """Another's layer, held to what this library's own of the method claims where it can be orthogonal."""
    return Subject(name, method, build, next(iter(LAYERS[method].orthogonal_paddings), None))


def cases(
    subject: Subject,
    shapes: Sequence[Shape] = SHAPES,
    dtypes: Sequence[torch.dtype] = tuple(TOLERANCES),
    kinds: Sequence[str] = tuple(WEIGHTS),
    states: Sequence[str] = STATES,
) -> list[Case]:
    """Every kind of weights in every state, for each shape and type."""
    return [Case(subject, *each) for each in product(shapes, dtypes, kinds, states)]


def reported(method: str, quick: bool = False) -> list[Case]:
    r"""What the report says of a method: its layers of the shapes that it takes, or of a few.

    Example:
        >>> from lipcost.validate.compare.subjects import reported
        >>> print(*reported("cpl", quick=True)[::2], sep="\n")
        3→3 k=3 on 6×6, float64, initial, train
        3→3 k=3 on 6×6, float64, 5 SGD steps, train
        4→4 k=1 on 4×4, float64, initial, train
        4→4 k=1 on 4×4, float64, 5 SGD steps, train
    """
    taken = [shape for shape in SHAPES[: QUICK if quick else None] if _takes(method, shape)]
    return cases(own(method), taken, **REPORTED)


def _takes(method: str, shape: Shape) -> bool:
    c_in, c_out, k, h, w = shape
    return takes(method, {"b": 1, "s": h, "w": w, "c_in": c_in, "c_out": c_out, "k": k})


def in_state(case: Case, source: nn.Module, points: Tensor) -> nn.Module:
    """A layer with the weights of ``source``, which it may be, in the case's state."""
    if case.state == "train":
        return source.train()
    if case.state == "eval after train":
        source.train()(points)
        return source.eval()
    layer = case.subject.build(*case.shape[:3]).eval()
    if case.state == "eval first":
        copy_weights(source, layer)
        return layer
    change(layer, lambda w: w + torch.randn_like(w))
    with torch.no_grad():
        layer(points)
    layer.load_state_dict(source.state_dict())
    return layer


def weighted(case: Case) -> nn.Module:
    """A layer with the case's kind of weights."""
    layer = case.subject.build(*case.shape[:3])
    change(layer, WEIGHTS[case.kind])
    if case.kind == SGD:
        train(layer, case.shape.image)
    return layer


def type_name(dtype: torch.dtype) -> str:
    """Of a torch type, "float32"."""
    return str(dtype).removeprefix("torch.")
