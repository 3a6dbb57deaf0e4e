"""Arithmetic on sizes that Python's math module would turn into numbers: they may be symbols."""

from __future__ import annotations

import math

import torch


def square_root(n: int) -> float:
    """√n, symbolic where n is (``torch.SymInt``).

    Under torch.jit.trace sizes are tensors, of which ``n**0.5`` would be one in float32: those become numbers.

    Example:
        >>> from lipcost.layers.methods.parts.sizes import square_root
        >>> square_root(9)
        3.0
    """
    return n**0.5 if isinstance(n, torch.SymInt) else math.sqrt(n)
