"""Expressions as NumPy functions that keep integers exact."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import reduce
from typing import Any

import numpy as np
import sympy

_NUMPY = [{"Max": lambda *values: reduce(np.maximum, values)}, "numpy"]


def compiled(expression: Any, symbols: Sequence[sympy.Symbol]) -> Callable[..., Any]:
    """A function of arrays for ``symbols``. Integers stay int64; numpy.select, SymPy's own way, would lose it."""
    if not isinstance(expression, sympy.Piecewise):
        return sympy.lambdify(symbols, expression, _NUMPY, cse=True)
    (first, condition), *rest = expression.args
    test, here = sympy.lambdify(symbols, condition, "numpy"), compiled(first, symbols)
    if not rest:
        return here
    other = compiled(sympy.Piecewise(*rest), symbols)
    return lambda *values: np.where(test(*values), here(*values), other(*values))
