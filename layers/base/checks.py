"""What layers ask of their arguments: positive integers, floating-point types, no autocast."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch

FLOATS = (torch.float32, torch.float64, torch.bfloat16)
FFT_FLOATS = (torch.float32, torch.float64)


def positive(name: str, value: Any) -> int:
    """``value`` if it is a positive integer, or a symbol for one (``torch.SymInt``); else a ValueError that names it.

    Example:
        >>> from lipcost.layers.base.checks import positive
        >>> positive("stride", 2)
        2
        >>> positive("stride", 2.0)
        Traceback (most recent call last):
            ...
        ValueError: stride must be a positive integer, got 2.0
    """
    integer = isinstance(value, (int, torch.SymInt)) and not isinstance(value, bool)
    if not integer or value < 1:
        raise ValueError(f"{name} must be a positive integer, got {value!r}")
    number: int = value
    return number


def check_dtype(name: str, dtype: torch.dtype, supported: Sequence[torch.dtype]) -> None:
    """Raise a ValueError unless ``dtype`` is one that the method ``name`` supports."""
    if dtype not in supported:
        options = ", ".join(str(d) for d in supported)
        raise ValueError(f"{name} does not work in {dtype}; supported: {options}")


def autocast_enabled(device_type: str) -> bool:
    """Whether autocast is on for a device; some, like "meta", know none."""
    # torch.compile of 2.11 cannot ask what there is; what it compiles for has autocast.
    there = torch.compiler.is_compiling() or torch.amp.is_autocast_available(device_type)
    return there and torch.is_autocast_enabled(device_type)


def full_precision(device_type: str) -> AbstractContextManager[Any]:
    """No autocast inside."""
    return torch.autocast(device_type, enabled=False) if autocast_enabled(device_type) else nullcontext()
