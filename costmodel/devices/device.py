"""Devices: the figures by which counts become seconds and bytes become a fit, each with where it comes from.

A profile is a JSON file; docs/devices.md describes it. Needs the standard library alone.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Collection
from dataclasses import dataclass, field, replace
from os import PathLike
from pathlib import Path
from reprlib import repr as short  # a wrong value may be of any length; an error is one line
from typing import Any, Literal, get_args

Basis = Literal["datasheet", "measured", "fitted", "estimated"]
Kind = Literal["cuda", "cpu"]

FORMAT = "lipcost-device/1"
FIGURES = {
    "memory": "B",
    "reserved": "B",  # of the memory, not available to tensors: driver, context
    "rounding": "B",  # the allocator rounds each allocation up to a multiple
    "bandwidth": "B/s",  # of pointwise operations and copies
    "launch": "s",  # host time per operation
    "loading": "s/image",  # no training step is faster than its images load; 0 for no such floor
    "conv": "FLOP/s",
    "weight_conv": "FLOP/s",  # with an output of one pixel, as of 1×1 kernels with themselves
    "matmul": "FLOP/s",
    "complex_matmul": "FLOP/s",  # real FLOPs, 8 per complex MAC
    "fft": "FLOP/s",  # 5 N log2 N for N points
    "inverse": "B/s",  # of the matrices read and written: time goes as batch·n², although FLOPs go as n³
    "inverse_step": "s",  # and each of an inverse's n elimination steps waits for the one before
    "peak_bandwidth": "B/s",
    "peak_conv": "FLOP/s",
    "peak_matmul": "FLOP/s",
}

ANCHOR = "a100-80"  # of a fit to the published epoch counts: among them is LOT's ConvNetM, which needs 44 GiB

PROFILES = Path(__file__).parent / "profiles"
DEVICES = tuple(sorted(path.stem for path in PROFILES.glob("*.json")))

_MAY_BE_ZERO = ("reserved", "loading", "inverse_step")
_KEYS = ("format", "name", "kind", "environment", "figures")
_FIGURE_KEYS = ("value", "unit", "basis", "source")


@dataclass(frozen=True)
class Figure:
    """One number of a device.

    Attributes:
        value: in the unit that FIGURES gives.
        basis: "datasheet", "measured", "fitted" or "estimated".
        source: the document, the benchmark, or the reasoning.
    """

    value: float
    basis: Basis
    source: str


@dataclass(frozen=True)
class Device:
    """The figures of one device; every one of FIGURES, and no other.

    Attributes:
        name: for tables.
        kind: "cuda" or "cpu".
        figures: by the names of FIGURES.
        environment: of measured figures: versions, driver, threads.

    Raises:
        ValueError: for a missing, unknown, negative, zero or infinite figure, an unknown kind or basis, or what is no
            text where text is needed. Only ``reserved``, ``loading`` and ``inverse_step`` may
            be zero.

    Example:
        >>> from lipcost.costmodel import find_device
        >>> a100 = find_device("a100-40")
        >>> a100["peak_matmul"]
        19500000000000.0
        >>> a100.figures["conv"].basis
        'estimated'
        >>> loaded = a100.with_figures("measured", "one epoch of the data loader alone", loading=1.7e-4)
        >>> loaded["loading"], loaded.figures["loading"].basis
        (0.00017, 'measured')
    """

    name: str
    kind: Kind
    figures: dict[str, Figure]
    environment: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _text("name", self.name)
        _one_of("kind", self.kind, get_args(Kind))
        _object("environment", self.environment)
        for key, value in self.environment.items():
            _text(f"environment {key!r}", value)
        _keyed("figures", self.figures, FIGURES)
        for name, figure in self.figures.items():
            _number(name, figure.value)
            _one_of(f"the basis of {name!r}", figure.basis, get_args(Basis))
            _text(f"the source of {name!r}", figure.source)

    def __getitem__(self, name: str) -> float:
        """The value of a figure, in its unit."""
        if name not in FIGURES:
            raise ValueError(f"unknown figure {short(name)}; figures: {', '.join(FIGURES)}")
        return float(self.figures[name].value)

    @property
    def available(self) -> int:
        """The bytes that tensors may take: the memory but for what is reserved."""
        return int(self["memory"] - self["reserved"])

    def with_figures(self, basis: Basis, source: str, **values: float) -> Device:
        """The same device but for ``values``, by the names of FIGURES, which share ``basis`` and ``source``."""
        new = {name: Figure(value, basis, source) for name, value in values.items()}
        return replace(self, figures={**self.figures, **new})

    def to_dict(self) -> dict[str, Any]:
        """All of it, ready for JSON."""
        figures = {}
        for name, unit in FIGURES.items():
            figure = self.figures[name]
            figures[name] = {"value": figure.value, "unit": unit, "basis": figure.basis, "source": figure.source}
        values = (FORMAT, self.name, self.kind, dict(self.environment), figures)
        return dict(zip(_KEYS, values, strict=True))

    @classmethod
    def from_dict(cls, data: object) -> Device:
        """The device of :meth:`to_dict`; ValueError, which names what is wrong, for anything else."""
        if isinstance(data, dict) and "format" in data:
            _one_of("format", data["format"], (FORMAT,))  # first: another format may have other keys
        fields = _keyed("the profile", data, _KEYS)
        figures = {}
        for name, entry in _keyed("figures", fields["figures"], FIGURES).items():
            figure = _keyed(f"figure {name!r}", entry, _FIGURE_KEYS)
            _one_of(f"the unit of {name!r}", figure["unit"], (FIGURES[name],))
            figures[name] = Figure(figure["value"], figure["basis"], figure["source"])
        return cls(fields["name"], fields["kind"], figures, fields["environment"])

    def save(self, path: str | PathLike[str]) -> None:
        """Write the profile."""
        text = json.dumps(self.to_dict(), indent=2, ensure_ascii=False)
        Path(path).write_text(text + "\n", encoding="utf-8")

    @classmethod
    def load(cls, path: str | PathLike[str]) -> Device:
        """Read and check a profile; ValueError, which names the file, where it breaks a rule or cannot be read."""
        try:
            return cls.from_dict(json.loads(Path(path).read_text(encoding="utf-8")))
        except OSError as error:
            raise ValueError(f"{path}: not readable: {error.strerror}") from None
        except (json.JSONDecodeError, UnicodeDecodeError) as error:
            raise ValueError(f"{path}: not JSON in UTF-8: {error}") from None
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from None

    @classmethod
    def named(cls, name: str) -> Device:
        """The shipped device of that name, one of DEVICES."""
        if name not in DEVICES:
            raise ValueError(f"unknown device {name!r}; devices: {', '.join(DEVICES)}")
        return cls.load(PROFILES / f"{name}.json")


def find_device(text: str) -> Device:
    """The device of a name in DEVICES, or of the profile at a path that ends in .json.

    >>> find_device("t4").name
    't4'
    >>> find_device("abacus")
    Traceback (most recent call last):
        ...
    ValueError: unknown device 'abacus'; devices: a100-40, a100-80, h100, h200, rtx3090, rtx4090, t4, v100-16, ...
    """
    return Device.load(text) if text.endswith(".json") else Device.named(text)


def as_device(device: Device | str | None) -> Any:
    """A device, or None, for itself; the device of a name, as of :func:`find_device`."""
    return find_device(device) if isinstance(device, str) else device


def _object(what: str, data: object) -> dict[str, Any]:
    if not isinstance(data, dict):
        raise ValueError(f"{what} must be an object, got {short(data)}")
    return data


def _keyed(what: str, data: object, keys: Collection[str]) -> dict[str, Any]:
    """``data`` if it is an object of exactly these keys."""
    found = _object(what, data)
    for key in keys:
        if key not in found:
            raise ValueError(f"{what} lacks {key!r}; needed: {', '.join(keys)}")
    for key in found:
        if key not in keys:
            raise ValueError(f"{what} has the unknown {short(key)}; known: {', '.join(keys)}")
    return found


def _one_of(what: str, value: object, options: tuple[str, ...]) -> None:
    if value not in options:
        raise ValueError(f"{what} must be {' or '.join(map(repr, options))}, got {short(value)}")


def _text(what: str, value: object) -> None:
    if not isinstance(value, str) or not value:
        raise ValueError(f"{what} must be a text, not empty, got {short(value)}")


def _number(name: str, value: object) -> None:
    """Raise ValueError unless ``value`` may be that of the figure ``name``."""
    fits = (
        isinstance(value, (int, float))
        and not isinstance(value, bool)
        and 0 <= value <= sys.float_info.max
        and (value > 0 or name in _MAY_BE_ZERO)
    )
    if not fits:
        least = "zero or positive" if name in _MAY_BE_ZERO else "positive"
        raise ValueError(f"{name!r} must be a number, {least} and finite (unit {FIGURES[name]}), got {short(value)}")
    if FIGURES[name] == "B" and value != int(value):  # type: ignore[call-overload]
        raise ValueError(f"{name!r} must be a whole number of bytes, got {short(value)}")
