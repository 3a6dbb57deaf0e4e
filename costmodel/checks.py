"""What a user may ask for: the rules that predictions, formulas and evaluation share. Each is a ValueError."""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from lipcost.layers.methods.registry import LAYERS, find_layer

from .tape.recording import QUANTITIES

if TYPE_CHECKING:
    from collections.abc import Iterable

    from lipcost.layers import LipschitzConv2d

METHODS = LAYERS
MODES = ("train", "inference")
DTYPES = ("float32", "float64", "bfloat16")
PARTS = ("input", "parameter")


def one_of(what: str, value: Any, options: Iterable[str]) -> Any:
    """``value`` if it is one of ``options``; else a ValueError that names it, them, and the nearest of them."""
    names = list(options)
    if value in names:
        return value
    near = get_close_matches(str(value), names, 1)
    hint = f" (did you mean {near[0]!r}?)" if near else ""
    plural = what.removesuffix("y") + "ies" if what.endswith("y") else f"{what}s"
    raise ValueError(f"unknown {what} {value!r}{hint}; {plural}: {', '.join(names)}")


def lookup(method: str) -> type[LipschitzConv2d]:
    """The layer of that name."""
    return find_layer(method)


def check_mode(mode: str) -> str:
    """``mode`` if it is one."""
    return str(one_of("mode", mode, MODES))


def torch_dtype(dtype: str) -> Any:
    """The torch type of that name."""
    import torch  # noqa: PLC0415

    return getattr(torch, one_of("dtype", dtype, DTYPES))


def resolve_counts(cls: type[LipschitzConv2d], given: dict[str, Any]) -> dict[str, Any]:
    """The method's iteration counts, the given ones over its own."""
    known = {**cls.counts, **cls.sizes}
    unknown = [name for name in given if name not in known]
    if unknown:
        options = ", ".join(known) or "none"
        raise ValueError(f"{cls.name} has no iteration count {unknown[0]!r}; its iteration counts: {options}")
    return {**cls.counts, **{name: positive(name, value) for name, value in given.items()}}


def channels(c: Any, c_in: Any, c_out: Any) -> tuple[Any, Any]:
    """(c_in, c_out) from what is given."""
    c_in, c_out = c if c_in is None else c_in, c if c_out is None else c_out
    if c_in is None or c_out is None:
        raise ValueError("the channels are missing: give c, or c_in and c_out")
    return c_in, c_out


def sides(s: Any, h: Any, w: Any) -> tuple[Any, Any]:
    """(h, w) from what is given."""
    h, w = s if h is None else h, s if w is None else w
    if h is None or w is None:
        raise ValueError("the sides of the image are missing: give s, or h and w")
    return h, w


def positive(name: str, value: Any) -> int:
    """``value`` as an int if it is a positive integer, of Python or of NumPy; else a ValueError that names it."""
    if isinstance(value, bool) or not hasattr(value, "__index__") or value < 1:
        raise ValueError(f"{name} must be a positive integer, got {value!r}")
    return int(value)


def check_quantity(quantity: str, part: str | None) -> None:
    """Raise ValueError unless ``quantity`` is one, and has parts if ``part`` is given."""
    one_of("quantity", quantity, QUANTITIES)
    if part is not None and (part not in PARTS or quantity.endswith("_bytes")):
        raise ValueError(f"no part {part!r} of {quantity}; parts: {', '.join(PARTS)}, of counts only, not of bytes")
