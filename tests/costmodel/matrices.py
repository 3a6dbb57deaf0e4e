"""Stacks of matrices of every form, and functions of them as cases."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from one_function import Case
from torch import Tensor

STACK, TALL, WIDE = (2, 3, 3), (2, 4, 3), (2, 3, 4)
COMPLEX = torch.complex128

Functions = Mapping[str, Callable[[Tensor], Tensor]]


def product(*factors: Tensor) -> Tensor:
    """Of the first and the last."""
    return factors[0] @ factors[-1]


def each_of(functions: Functions, of_squares: Functions) -> dict[str, Case]:
    """Functions of square, tall and wide matrices, and of square ones alone; real and complex."""
    cases = {}
    for suffix, layouts, dtype in (("", "plain step", torch.float32), (" of complex", "t", COMPLEX)):
        for name, function in functions.items():
            for side, shape in {"square": STACK, "tall": TALL, "wide": WIDE}.items():
                cases[f"{name}, {side}{suffix}"] = Case(function, shape, (), layouts, dtype)
        for name, function in of_squares.items():
            cases[f"{name}{suffix}"] = Case(function, STACK, (), layouts, dtype)
    return cases
