"""Expressions as NumPy functions that keep integers exact."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import reduce
from typing import Any

import numpy as np
import sympy


def compiled(expression: Any, symbols: Sequence[sympy.Symbol]) -> Callable[..., Any]:
    """A function of arrays for ``symbols``. Integers stay int64; numpy.select, SymPy's own way, would lose it."""
    if isinstance(expression, sympy.Piecewise):
        (first, condition), *rest = expression.args
        test, here = compiled(condition, symbols), compiled(first, symbols)
        if not rest:
            return here
        other = compiled(sympy.Piecewise(*rest), symbols)
        return lambda *values: np.where(test(*values), here(*values), other(*values))
    if isinstance(expression, sympy.Max):
        return _maximum(expression.args, symbols)
    expression = _in_integers(expression)
    if not isinstance(expression, sympy.Expr):  # a condition
        return _numpy(expression, symbols)
    denominator = int(sympy.ilcm(1, 1, *(number.q for number in expression.atoms(sympy.Rational))))
    if denominator == 1 or expression.has(sympy.log):
        return _numpy(expression, symbols)
    # Fractions in floats would be inexact. The values are whole, or FLOPs, which are rounded.
    multiple = _numpy(sympy.expand(2 * expression * denominator), symbols)
    return lambda *values: (multiple(*values) + denominator) // (2 * denominator)


def _maximum(candidates: Sequence[Any], symbols: Sequence[sympy.Symbol]) -> Callable[..., Any]:
    """Of polynomials all at once: what they have in common is computed once."""
    whole = [_in_integers(candidate) for candidate in candidates]
    integers_alone = all(number.is_Integer for candidate in whole for number in candidate.atoms(sympy.Rational))
    if integers_alone and not any(candidate.has(sympy.Piecewise, sympy.log) for candidate in whole):
        at_once = _numpy(sympy.Tuple(*whole), symbols)
        return lambda *values: reduce(np.maximum, at_once(*values))
    each = [compiled(candidate, symbols) for candidate in candidates]
    return lambda *values: reduce(np.maximum, (candidate(*values) for candidate in each))


def _numpy(expression: Any, symbols: Sequence[sympy.Symbol]) -> Callable[..., Any]:
    function: Callable[..., Any] = sympy.lambdify(symbols, expression, [_MODULE, "numpy"], cse=True)
    return function


_DIVIDED = sympy.Function("floor_divide")
_MODULE = {"floor_divide": np.floor_divide}


def _in_integers(expression: Any) -> Any:
    """The expression with each ⌊p/q⌋ as a division of integers: floats would be inexact."""
    return expression.replace(sympy.floor, _quotient).replace(sympy.ceiling, lambda argument: -_quotient(-argument))


def _quotient(argument: Any) -> Any:
    numerator, denominator = sympy.together(argument).as_numer_denom()
    return _DIVIDED(numerator, denominator)


def integers(name: str, value: Any) -> np.ndarray:
    """An array of sizes; a ValueError unless they are positive integers."""
    array = np.asarray(value)
    if array.dtype.kind not in "iu" or (array < 1).any():
        raise ValueError(f"{name} must be positive integers, got {value!r}")
    return array.astype(np.int64)
