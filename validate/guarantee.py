"""What the layers guarantee, measured: singular values, Lipschitz bounds and pairs of points, per method and state."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch

from lipcost.layers import LAYERS, LipschitzConv2d
from lipcost.layers.base.layer import LIPSCHITZ, NONE

from .measure.lipschitz import lipschitz_upper_bound, pair_ratio, singular_values

TOLERANCE = 1e-6
STEPS = 10
LEARNING_RATE = 0.1
PAIRS = 32
STATES = ("initial", f"after {STEPS} SGD steps")
SHAPES = ((3, 3, 3, 6), (4, 4, 1, 5), (2, 5, 3, 5), (5, 2, 3, 6), (2, 5, 1, 5), (4, 4, 5, 7))  # c_in, c_out, k, s
QUICK_SHAPES = SHAPES[:2]


@dataclass(frozen=True)
class Guarantee:
    """One layer in one state and mode, in float64.

    Attributes:
        method: key of LAYERS.
        c_in, c_out, k, s: the layer's and the image's sizes.
        state: "initial", or after ten steps of SGD.
        mode: "train" or "eval".
        claim: what the method promises: "orthogonal", "1-Lipschitz" or "none".
        smallest, largest: singular values of the Jacobian at a random point.
        bound: an upper bound of the Lipschitz constant, as :func:`lipcost.validate.lipschitz_upper_bound`.
        pairs: the largest ‖f(x) - f(y)‖ / ‖x - y‖ seen, which is a lower bound.
        error: why there are no figures.
    """

    method: str
    c_in: int
    c_out: int
    k: int
    s: int
    state: str
    mode: str
    claim: str
    smallest: float = math.nan
    largest: float = math.nan
    bound: float = math.nan
    pairs: float = math.nan
    error: str | None = None

    @property
    def excess(self) -> float:
        """By how much the bound exceeds 1; 0 where it does not."""
        return self.bound - 1 if self.bound > 1 else 0.0

    @property
    def holds(self) -> bool | None:
        """Whether the claim holds to 1e-6; None where nothing is claimed.

        Example:
            >>> claimed = Guarantee("aol", 3, 3, 3, 6, "initial", "eval", "1-Lipschitz", 0.5, 1.0, 1.1, 0.9)
            >>> claimed.holds, round(claimed.excess, 12)
            (False, 0.1)
        """
        if self.error is not None:
            return False
        if self.claim == NONE:
            return None
        lipschitz = max(self.largest, self.bound, self.pairs) <= 1 + TOLERANCE
        return lipschitz and (self.claim == LIPSCHITZ or self.smallest >= 1 - TOLERANCE)

    def to_dict(self) -> dict[str, Any]:
        """All of it, ready for JSON, which knows no NaN."""
        figures = {**asdict(self), "excess": self.excess, "holds": self.holds}
        return {name: None if value != value else value for name, value in figures.items()}  # noqa: PLR0124


def shapes(method: str, quick: bool = False) -> list[tuple[int, int, int, int]]:
    """The (c_in, c_out, k, s) that the method is checked on.

    Args:
        method: key of LAYERS.
        quick: whether to take a few only.

    Example:
        >>> shapes("cpl", quick=True)
        [(3, 3, 3, 6), (4, 4, 1, 5)]
    """
    square = LAYERS[method].square
    return [shape for shape in (QUICK_SHAPES if quick else SHAPES) if shape[0] == shape[1] or not square]


def check(method: str, shape: tuple[int, int, int, int], seed: int = 0) -> list[Guarantee]:
    """Measure a layer after initialisation and after ten steps of SGD, in training and in eval mode.

    Args:
        method: key of LAYERS.
        shape: c_in, c_out, k, s.
        seed: of the weights, the points and the steps.

    Returns:
        Four rows; where something raised, a row carries the error.

    Example:
        >>> [row.holds for row in check("cayley", (2, 2, 3, 4))]
        [True, True, True, True]
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return list(_check(method, shape))


def claim(method: str, k: int, mode: str) -> str:
    """What a method promises for a kernel size and a mode, as its class says.

    Example:
        >>> claim("lot", 1, "eval"), claim("lot", 3, "eval"), claim("soc", 3, "eval"), claim("soc/published", 3, "eval")
        ('orthogonal', '1-Lipschitz', '1-Lipschitz', 'none')
    """
    return LAYERS[method].promises(k, training=mode == "train")


def _check(method: str, shape: tuple[int, int, int, int]) -> Iterator[Guarantee]:
    c_in, c_out, k, s = shape
    layer = LAYERS[method](c_in, c_out, k, dtype=torch.float64)
    for state in STATES:
        if state != STATES[0]:
            _train(layer.train(), (c_in, s, s))
        for mode in ("train", "eval"):
            row = Guarantee(method, c_in, c_out, k, s, state, mode, claim(method, k, mode))
            try:
                yield replace(row, **_measure(layer.train(mode == "train"), (c_in, s, s)))
            except Exception as error:  # whatever it is, it is shown, and the run goes on
                yield replace(row, error=f"{type(error).__name__}: {error}")


def _train(layer: LipschitzConv2d, image: tuple[int, int, int]) -> None:
    """Push the outputs of one random batch along one random direction."""
    x = torch.randn(4, *image, dtype=torch.float64)
    direction = torch.randn_like(layer(x))
    optimizer = torch.optim.SGD(layer.parameters(), lr=LEARNING_RATE)
    for _ in range(STEPS):
        optimizer.zero_grad()
        (layer(x) * direction).sum().backward()
        optimizer.step()


def _measure(layer: LipschitzConv2d, image: tuple[int, int, int]) -> dict[str, Any]:
    x, y = torch.randn(2, PAIRS, *image, dtype=torch.float64)
    values = singular_values(layer, image, at=x[0])
    # Neighbours see one linear piece, distant points several.
    ratio = max(pair_ratio(layer, x, y), pair_ratio(layer, x, x + 1e-3 * y))
    bound = lipschitz_upper_bound(layer, image)
    return {"smallest": float(values[-1]), "largest": float(values[0]), "bound": bound, "pairs": ratio}
