"""What a user may ask for: the rules that predictions, formulas and evaluation share. Each is a ValueError."""

from __future__ import annotations

from typing import Any

from ._method import Method
from ._methods import METHODS
from ._record import QUANTITIES

PARTS = ("input", "parameter")


def lookup(method: str) -> type[Method]:
    """The method of that name."""
    if method not in METHODS:
        raise ValueError(f"unknown method {method!r}; methods: {', '.join(METHODS)}")
    return METHODS[method]


def check_mode(mode: str) -> str:
    """``mode`` if it is one."""
    if mode not in ("train", "inference"):
        raise ValueError(f"unknown mode {mode!r}; modes: train, inference")
    return mode


def width(cls: type[Method], dtype: str) -> int:
    """Bytes per element of ``dtype``."""
    if dtype not in cls.dtypes:
        raise ValueError(f"{cls.name} does not work in dtype {dtype!r}; supported: {', '.join(cls.dtypes)}")
    return cls.dtypes[dtype]


def resolve_options(cls: type[Method], given: dict[str, Any]) -> dict[str, Any]:
    """The method's iteration counts, the given ones over the published ones."""
    unknown = [name for name in given if name not in cls.options]
    if unknown:
        options = ", ".join(cls.options) or "none"
        raise ValueError(f"{cls.name} has no iteration count {unknown[0]!r}; its iteration counts: {options}")
    for name, value in given.items():
        positive(name, value)
    return {**cls.options, **given}


def channels(c: Any, c_in: Any, c_out: Any) -> tuple[Any, Any]:
    """(c_in, c_out) from what is given."""
    c_in, c_out = c if c_in is None else c_in, c if c_out is None else c_out
    if c_in is None or c_out is None:
        raise ValueError("the channels are missing: give c, or c_in and c_out")
    return c_in, c_out


def check_configuration(cls: type[Method], *, b: int, s: int, c_in: int, c_out: int, k: int) -> None:
    """Raise ValueError for a configuration that the layer would refuse."""
    for name, value in {"b": b, "s": s, "c_in": c_in, "c_out": c_out, "k": k}.items():
        positive(name, value)
    if k % 2 == 0:
        raise ValueError(f"k must be odd (costs are known for kernels with a centre), got {k}")
    if cls.square and c_in != c_out:
        own = cls.name.partition("/")[0]
        raise ValueError(
            f"{cls.name} adds its input to its output and needs c_in == c_out, got {c_in} and {c_out}; {own} takes any"
        )
    cls.check(s, k)


def positive(name: str, value: Any) -> None:
    """Raise ValueError unless ``value`` is a positive integer."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ValueError(f"{name} must be a positive integer, got {value!r}")


def check_quantity(quantity: str, part: str | None) -> None:
    """Raise ValueError unless ``quantity`` is one, and has parts if ``part`` is given."""
    if quantity not in QUANTITIES:
        raise ValueError(f"unknown quantity {quantity!r}; quantities: {', '.join(QUANTITIES)}")
    if part is not None and (part not in PARTS or quantity.endswith("_bytes")):
        raise ValueError(f"no part {part!r} of {quantity}; parts: {', '.join(PARTS)}, of counts only, not of bytes")
