"""The decision: which method, at which size and batch, fits the memory and the time."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from lipcost.layers.methods.registry import DEFAULTS
from lipcost.layers.networks.table import BATCH, CIFAR_IMAGES, CONV_NETS, find_network

from ..checks import positive
from ..devices.device import Device, as_device
from ..devices.roofline import Seconds
from ..network_cost import on_gpu, step_time
from ..networks.workload import Workload, workload
from .batches import Batches


def max_batch(
    network: Any,
    method: str | None = None,
    memory_bytes: int | None = None,
    *,
    device: Device | str | None = None,
    **how: Any,
) -> int:
    """The largest batch size whose peak fits: this one does, one more does not. 0 if not even one image does.

    Args:
        network: as of ``predict_network``.
        method: likewise.
        memory_bytes: what tensors may take; default: the device's memory but for what it reserves.
        device: its allocator's rounding counts, and its memory if none is given.
        **how: all else that ``predict_network`` takes, but b.

    Raises:
        ValueError: as ``predict_network``, or where neither memory nor device is given.

    Example:
        >>> from lipcost.costmodel import max_batch, predict_network
        >>> b = max_batch("ConvNetXS", "cayley", 2**30)
        >>> [predict_network("ConvNetXS", "cayley", b=n).peak_bytes <= 2**30 for n in (b, b + 1)]
        [True, False]
    """
    on = as_device(device)
    memory, rounding = _memory(memory_bytes, on)
    return Batches(_task(network, method, on, **how)).largest(memory, rounding)


def _task(network: Any, method: str | None, device: Device | None, **how: Any) -> Workload:
    return workload(network, method, **{"foreach": on_gpu(device)} | how)


def largest_width(
    network: str,
    method: str,
    memory_bytes: int | None = None,
    *,
    b: int = BATCH,
    device: Device | str | None = None,
    **how: Any,
) -> int:
    """The largest even width w with which a named network still fits a batch of ``b``. 0 if not even the least does.

    The least has as many channels as the images, and in the end as many as there are classes.

    Args, errors: those of :func:`max_batch`.

    Example:
        >>> from lipcost.costmodel import largest_width
        >>> largest_width("ConvNetXS", "aol", 4 * 2**30, b=256)
        162
    """
    on = as_device(device)
    memory, rounding = _memory(memory_bytes, on)

    def fits(half: int) -> bool:
        task = _task(network, method, on, width=2 * half, **how)
        return task.record(b).peak(rounding) <= memory

    net = CONV_NETS[find_network(network)]
    classes = how.get("classes") or net.classes
    least = math.ceil(max(how.get("c_in", 3), classes / 2**net.blocks) / 2)
    low, high = least - 1, least
    while fits(high):
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return 2 * low if low >= least else 0


def epochs_within(
    network: Any,
    method: str | None = None,
    *,
    hours: float,
    device: Device | str,
    images: int = CIFAR_IMAGES,
    b: int = BATCH,
    **how: Any,
) -> float:
    """How many epochs of training fit into a budget of time; whole ones are its integer part.

    Args:
        network: as of ``predict_network``.
        method: likewise.
        hours: the budget, of wall-clock time.
        device: whose figures hold.
        images: in the training set; the last, smaller batch counts as a whole one.
        b: batch size.
        **how: all else that ``predict_network`` takes.

    Raises:
        ValueError: as ``predict_network``, or for a budget that is not positive.

    Example:
        >>> from lipcost.costmodel import Device, epochs_within
        >>> round(epochs_within("ConvNetM", "soc", hours=2, device=Device.named("a100-40")))
        305
    """
    _check_budget(hours, images, how)
    on = as_device(device)
    step = step_time(_task(network, method, on, **how).record(b), on, b).total
    return hours * 3600 / (math.ceil(images / b) * step)


@dataclass(frozen=True)
class Plan:
    """What one method would take; everything but the batch size that fits is of the batch that was asked for.

    Attributes:
        method: of METHODS.
        b: batch size.
        fits: whether the peak fits.
        reason: why it does not, "" if it does.
        peak_bytes: of a training step, by requested bytes.
        allocated_bytes: the same with the allocator's rounding: what must fit.
        max_batch: the largest that fits; 0 for none.
        seconds_per_step, seconds_per_epoch: of training.
        epochs: that the budget allows.
        bound: what takes most of a step: compute, bandwidth, launches or loading.
        seconds: of compute, bandwidth, launches and loading, of which a step's time is made up.
    """

    method: str
    b: int
    fits: bool
    reason: str
    peak_bytes: int
    allocated_bytes: int
    max_batch: int
    seconds_per_step: float
    seconds_per_epoch: float
    epochs: float
    bound: str
    seconds: dict[str, float]

    def to_dict(self) -> dict[str, Any]:
        """All of it, ready for JSON."""
        return asdict(self)


def plan(
    network: str,
    methods: Sequence[str] = DEFAULTS,
    *,
    device: Device | str,
    hours: float,
    images: int = CIFAR_IMAGES,
    b: int = BATCH,
    **how: Any,
) -> list[Plan]:
    """What each method would take on a device, those that fit first, by the epochs that the budget allows.

    Args:
        network: a name, as of ``predict_network``.
        methods: of METHODS; default: the library's own algorithms.
        device: whose figures hold.
        hours: the budget, of wall-clock time.
        images: in the training set.
        b: batch size.
        **how: all else that ``predict_network`` takes but the mode; iteration counts are the methods' own.

    Raises:
        ValueError: as ``predict_network``, or for a budget that is not positive.

    Example:
        >>> from lipcost.costmodel import Device, plan
        >>> best, *_, worst = plan("ConvNetM", ["lot/published", "cpl", "aol"], device=Device.named("t4"), hours=24)
        >>> best.fits, worst.method, worst.fits
        (True, 'lot/published', False)
    """
    _check_budget(hours, images, how)
    positive("b", b)
    on, steps = as_device(device), math.ceil(images / b)
    of_all = {"device": on, "hours": hours, "steps": steps, "b": b}
    plans = [_plan(_task(network, method, on, **how), method, **of_all) for method in methods]
    return sorted(plans, key=lambda each: (not each.fits, -each.epochs))


def _plan(task: Workload, method: str, *, device: Device, hours: float, steps: int, b: int) -> Plan:
    memory, rounding = _memory(None, device)
    batches = Batches(task)
    time, allocated, most = batches.time(b, device), batches.peak(b, rounding), batches.largest(memory, rounding)
    epoch = steps * time.total
    return Plan(
        method=method,
        b=b,
        fits=b <= most,
        reason="" if b <= most else _reason(allocated, memory, most),
        peak_bytes=batches.peak(b),
        allocated_bytes=allocated,
        max_batch=most,
        seconds_per_step=time.total,
        seconds_per_epoch=epoch,
        epochs=hours * 3600 / epoch,
        bound=time.bound,
        seconds=_parts(time),
    )


def _reason(allocated: int, memory: int, most: int) -> str:
    gib = 2**30
    rest = f"a batch of {most:,} fits" if most else "not even one image fits"
    return f"needs {allocated / gib:,.2f} of {memory / gib:,.2f} GiB; {rest}"


def _parts(time: Seconds) -> dict[str, float]:
    return {name: getattr(time, name) for name in ("compute", "bandwidth", "launches", "loading")}


def _memory(memory_bytes: int | None, device: Device | None) -> tuple[int, int]:
    """(bytes that tensors may take, what an allocation is rounded to)."""
    if memory_bytes is not None:
        positive("memory_bytes", memory_bytes)
    elif device is None:
        raise ValueError("the memory is missing: give memory_bytes or device")
    else:
        memory_bytes = device.available
    return memory_bytes, 1 if device is None else int(device["rounding"])


def _check_budget(hours: float, images: int, how: Mapping[str, Any]) -> None:
    if not 0 < hours < math.inf:
        raise ValueError(f"hours must be positive and finite, got {hours!r}")
    positive("images", images)
    if how.get("mode", "train") != "train":
        raise ValueError(f"epochs are of training: mode must be 'train', got {how['mode']!r}")
