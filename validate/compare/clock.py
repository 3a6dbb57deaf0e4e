"""Time on the machine at hand: a profile of it, and by that profile the training steps that are then timed."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from statistics import median
from typing import Any

from scipy.stats import spearmanr

from lipcost.costmodel import DEFAULTS, Device
from lipcost.costmodel.devices.roofline import Seconds

from ..measure.calibrate import Progress, calibrate
from ..measure.protocol import TrainingStep
from ..measure.timer import run_times
from .networks import QUICK_WIDTH, NetworkCase

BATCH = 16
SECONDS = 1.5  # of timed steps, at least; one step where it takes longer
QUICK_SECONDS = 0.3


@dataclass(frozen=True)
class StepTime:
    """One training step, predicted and by the clock.

    Attributes:
        case: the network.
        predicted: by the machine's profile.
        measured: every repeat, in seconds.
    """

    case: NetworkCase
    predicted: Seconds
    measured: tuple[float, ...]

    @property
    def median(self) -> float:
        """Of the repeats."""
        return median(self.measured)

    @property
    def ratio(self) -> float:
        """Predicted over measured."""
        return self.predicted.total / self.median

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> StepTime:
        """Of :meth:`to_dict`."""
        case = NetworkCase(**{each.name: data[each.name] for each in fields(NetworkCase)})
        predicted = Seconds(**{each.name: data["predicted"][each.name] for each in fields(Seconds)})
        return cls(case, predicted, tuple(data["measured"]))

    def to_dict(self) -> dict[str, Any]:
        """All of it, ready for JSON."""
        of_all = {"total": self.predicted.total, "bound": self.predicted.bound}
        return {
            **self.case.to_dict(),
            "predicted": asdict(self.predicted) | of_all,
            "measured": self.measured,
            "median": self.median,
        }


@dataclass(frozen=True)
class Clock:
    """The machine's profile, and a step of each method's network.

    Attributes:
        device: the profile.
        load: average over the last minute before the calibration and after the last step, this run included.
        steps: method by method.
        failed: why a method is not among them.
    """

    device: Device
    load: tuple[float, float]
    steps: list[StepTime]
    failed: dict[str, str]

    @property
    def correlation(self) -> float | None:
        """Spearman's rank correlation of predicted and measured time; None for fewer than three steps."""
        times = [(step.predicted.total, step.median) for step in self.steps]
        return float(spearmanr(times).statistic) if len(times) > 2 else None

    @property
    def error(self) -> float | None:
        """The median of the predictions' relative errors, without their signs; None for no step."""
        return median(abs(step.ratio - 1) for step in self.steps) if self.steps else None

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Clock:
        """Of :meth:`to_dict`."""
        before, after = data["load"]
        steps = [StepTime.from_dict(step) for step in data["steps"]]
        return cls(Device.from_dict(data["device"]), (before, after), steps, data["failed"])

    def to_dict(self) -> dict[str, Any]:
        """All of it, ready for JSON."""
        return {
            "correlation": self.correlation,
            "median_error": self.error,
            "load": self.load,
            "device": self.device.to_dict(),
            "steps": [step.to_dict() for step in self.steps],
            "failed": self.failed,
        }


def clock(
    methods: Sequence[str] = DEFAULTS, seed: int = 0, quick: bool = False, progress: Progress | None = None
) -> Clock:
    """Calibrate this machine, then time a training step of ConvNetXS of each method.

    Everything runs on the CPU with torch's current number of threads. What else a busy machine does adds to all
    times, and not equally: no figure here is a pass or a failure.

    Args:
        methods: keys of METHODS.
        seed: of weights, images and labels.
        quick: whether to take narrow networks, and few repeats.
        progress: called with what is being done, steps done, steps in all.

    Example:
        >>> from lipcost.validate.compare.clock import clock
        >>> (step,) = clock(["aol"], quick=True).steps
        >>> step.ratio > 0
        True
    """
    report = progress or (lambda what, done, total: None)
    names = list(dict.fromkeys(methods))
    before = os.getloadavg()[0]
    report("calibrating", 0, len(names) + 1)
    device = calibrate(quick=quick)
    steps, failed = [], {}
    for i, method in enumerate(names, 1):
        report(f"timing {method}", i, len(names) + 1)
        case = NetworkCase(method, BATCH, seed=seed)
        try:
            steps.append(time_step(replace(case, width=QUICK_WIDTH) if quick else case, device, quick))
        except Exception as error:  # whatever it is, it is shown, and the run goes on
            failed[method] = f"{type(error).__name__}: {error}"
    return Clock(device, (before, os.getloadavg()[0]), steps, failed)


def time_step(case: NetworkCase, device: Device, quick: bool = False) -> StepTime:
    """A training step by the profile of a device, and by the clock on this machine.

    Args:
        case: the network.
        device: the machine's profile.
        quick: whether to take few repeats.
    """
    predicted = case.predict(device=device).time
    assert predicted is not None
    step = TrainingStep(case.net(), case.images(), case.labels())
    return StepTime(case, predicted, run_times(step, QUICK_SECONDS if quick else SECONDS))
