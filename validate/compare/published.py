"""The epoch counts of the published comparison, beside what the cost model and simpler predictors make of them."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import sympy
from numpy.typing import NDArray
from scipy.stats import spearmanr

from lipcost.costmodel import CONV_NETS, Device, leading_order, predict_network
from lipcost.costmodel.devices.device import ANCHOR
from lipcost.costmodel.devices.fit import PARAMETERS, Count, EpochFit, Fitted, fit_epochs, read_counts
from lipcost.layers.networks.conv_nets import CONVOLUTIONS_PER_BLOCK
from lipcost.layers.networks.table import BATCH, CIFAR_IMAGES, find_network

COUNTS = Path(__file__).parent / "data" / "epochs-2h.csv"
SOURCE = "Prach, Brau, Buttazzo & Lampert, CVPR 2024"
HOURS = 2.0

Times = NDArray[np.float64]


@dataclass(frozen=True)
class Predictor:
    """What one predictor of time per step makes of the counts.

    Attributes:
        name: in words.
        free: how many parameters were fitted to the same counts.
        seconds, measured: per step, row by row.
    """

    name: str
    free: int
    seconds: tuple[float, ...]
    measured: tuple[float, ...]

    @property
    def errors(self) -> Times:
        """Relative, of the times."""
        errors: Times = np.array(self.seconds) / np.array(self.measured) - 1
        return errors

    @property
    def median_error(self) -> float:
        """Of the errors without their signs."""
        return float(np.median(np.abs(self.errors)))

    @property
    def largest_error(self) -> float:
        """Likewise."""
        return float(np.max(np.abs(self.errors)))

    @property
    def correlation(self) -> float:
        """Spearman's, of the ranks."""
        return float(spearmanr(self.seconds, self.measured).statistic)

    def to_dict(self) -> dict[str, Any]:
        """All of it, ready for JSON."""
        return {
            "name": self.name,
            "free": self.free,
            "median_error": self.median_error,
            "largest_error": self.largest_error,
            "correlation": self.correlation,
            "seconds": self.seconds,
            "measured": self.measured,
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Predictor:
        """Of :meth:`to_dict`."""
        return cls(data["name"], data["free"], tuple(data["seconds"]), tuple(data["measured"]))


@dataclass(frozen=True)
class Published:
    """The fit to the counts, and predictors on the same rows.

    Attributes:
        anchor: the device that the fit starts from.
        fit: the model's.
        predictors: the model first.
    """

    anchor: Device
    fit: EpochFit
    predictors: list[Predictor]

    def to_dict(self) -> dict[str, Any]:
        """All of it, ready for JSON."""
        return {
            "source": SOURCE,
            "hours": HOURS,
            "anchor": self.anchor.to_dict(),
            "device": self.fit.device.to_dict(),
            "rows": [_to_dict(row) for row in self.fit.rows],
            "parameters": {
                name: {"fitted": value, "anchor": self.anchor[name]} for name, value in self.fit.parameters.items()
            },
            "predictors": [predictor.to_dict() for predictor in self.predictors],
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Published:
        """Of :meth:`to_dict`."""
        fit = EpochFit(Device.from_dict(data["device"]), [_fitted(row) for row in data["rows"]])
        return cls(Device.from_dict(data["anchor"]), fit, [Predictor.from_dict(each) for each in data["predictors"]])


def _to_dict(row: Fitted) -> dict[str, Any]:
    return {
        "size": row.count.size,
        "method": row.count.method,
        "published": row.count.epochs,
        "model": row.epochs,
        "held_out": row.held_out,
        "error": row.error,
        "held_out_error": row.held_out_error,
        "shift": row.shift,
        "loading": row.loading,
    }


def _fitted(row: Mapping[str, Any]) -> Fitted:
    count = Count(row["size"], row["method"], row["published"])
    return Fitted(count, row["model"], row["held_out"], row["shift"], row["loading"])


def published() -> Published:
    """Fit the model to the published counts, and compare three predictors of time per step on them.

    The model: fitted once to all rows, and once for each row without it. FLOPs alone: those of the whole step, by
    one rate. The O(·) table: the leading orders of a forward pass with unit constants, layer by layer, by one rate.

    Example:
        >>> from lipcost.validate.compare.published import published
        >>> model, *_, table = published().predictors
        >>> model.median_error < 0.1 < 0.5 < table.median_error
        True
    """
    counts, anchor = read_counts(COUNTS), Device.named(ANCHOR)
    fit = fit_epochs(counts, anchor=anchor, hours=HOURS, source=SOURCE)
    measured = step_times([count.epochs for count in counts])

    def predictor(name: str, free: int, seconds: Times) -> Predictor:
        return Predictor(name, free, tuple(seconds.tolist()), tuple(measured.tolist()))

    def by_one_rate(name: str, work: Callable[[Count], float]) -> Predictor:
        amounts = np.array([work(count) for count in counts], float)
        return predictor(name, 1, amounts * math.exp(np.median(np.log(measured / amounts))))

    return Published(
        anchor,
        fit,
        [
            predictor("the model", len(PARAMETERS), step_times([row.epochs for row in fit.rows])),
            predictor("the model, without the row", len(PARAMETERS), step_times([row.held_out for row in fit.rows])),
            by_one_rate("FLOPs alone", _flops),
            by_one_rate("the O(·) table", _orders),
        ],
    )


def step_times(epochs: list[float]) -> Times:
    """Seconds per step, from how many epochs fit."""
    return HOURS * 3600 / (math.ceil(CIFAR_IMAGES / BATCH) * np.array(epochs))


def _flops(count: Count) -> float:
    p = predict_network(count.size, count.algorithm, b=BATCH)
    return p.flops_forward + p.flops_backward + p.flops_optimizer


def _orders(count: Count) -> float:
    order = _order(count.algorithm)
    net = CONV_NETS[find_network(count.size)]
    sizes = [(net.width, net.image)]  # channels and side of every layer, the head last
    for block in range(net.blocks):
        sizes += CONVOLUTIONS_PER_BLOCK * [(net.width * 2**block, net.image // 2**block)]
    sizes.append((net.width * 2**net.blocks, 1))
    return float(sum(order(BATCH, s, c) for c, s in sizes))


@cache
def _order(method: str) -> Callable[[int, int, int], float]:
    symbols = sympy.symbols("b s c", integer=True, positive=True)
    function: Callable[[int, int, int], float] = sympy.lambdify(symbols, leading_order(method, "flops_forward"))
    return function
