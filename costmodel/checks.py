"""What a user may ask for: the rules that predictions, formulas and evaluation share. Each is a ValueError."""

from __future__ import annotations

from difflib import get_close_matches
from inspect import signature
from typing import TYPE_CHECKING, Any

from lipcost.layers.methods.registry import LAYERS, PUBLISHED, find_layer

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


def placement(cls: type[LipschitzConv2d], stride: Any, padding_mode: str | None) -> dict[str, Any]:
    """The keywords for a stride and a padding that are not the layer's defaults; algorithms as published have none."""
    stride, modes = positive("stride", stride), cls.padding_modes
    if padding_mode is not None and padding_mode not in modes:
        raise ValueError(f"{cls.name} has no padding_mode {padding_mode!r}; its padding modes: {', '.join(modes)}")
    if stride > 1 and "stride" not in signature(cls).parameters:
        raise ValueError(f"{cls.name} has no stride, got {stride}; {cls.name.removesuffix(PUBLISHED)} takes any")
    given = {"stride": (stride, 1), "padding_mode": (padding_mode or modes[0], modes[0])}
    return {name: value for name, (value, default) in given.items() if value != default}


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


def all_positive(**given: Any) -> list[Any]:
    """The values as ints, each as of :func:`positive`; None stays None."""
    return [None if value is None else positive(name, value) for name, value in given.items()]


def check_layer(layer: Any, given: dict[str, Any]) -> None:
    """Raise ValueError unless it is a layer of ``lipcost.layers`` and what is given beside it is its own."""
    if not hasattr(layer, "parameter_transform") or not hasattr(layer, "in_channels"):
        raise ValueError(
            f"predict takes a method or one of its layers, got {layer!r}; predict_network takes any module"
        )
    own = {
        "c": layer.in_channels if layer.in_channels == layer.out_channels else None,
        "c_in": layer.in_channels,
        "c_out": layer.out_channels,
        "k": layer.kernel_size,
        "stride": getattr(layer, "stride", 1),
        "padding_mode": getattr(layer, "padding_mode", None),
        "dtype": str(layer.weight.dtype).removeprefix("torch."),
        "bias": layer.bias is not None,
        **{name: getattr(layer, name) for name in (*layer.counts, *layer.sizes)},
    }
    for name, value in given.items():
        if value is not None and (name not in own or own[name] != value):
            raise ValueError(f"a layer has its own {name}, {own.get(name)}, got {value!r}; leave it out")


def check_quantity(quantity: str, part: str | None) -> None:
    """Raise ValueError unless ``quantity`` is one, and has parts if ``part`` is given."""
    one_of("quantity", quantity, QUANTITIES)
    if part is not None and (part not in PARTS or quantity.endswith("_bytes")):
        raise ValueError(f"no part {part!r} of {quantity}; parts: {', '.join(PARTS)}, of counts only, not of bytes")
