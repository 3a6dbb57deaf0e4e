"""What the branches on a way say of its symbols: which are numbers there, or other sizes.

A size that is known to be a number is one in the program, where it may be what another size is: then axes broadcast,
views need no copy and kernels have shapes that they have for no other.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np
import sympy

from .vectorised import compiled

FEW = 8  # values of a symbol, each of which becomes a way of its own
LOOKED_AT = np.array([*range(1, 257), 10**3, 10**4, 10**6, 10**6 + 1], object)


class Learnt(Exception):
    """A symbol turned out to be a number or another size: the program runs again with that in its place."""


class Knowledge:
    """A ``decide`` that learns from the answers.

    Args:
        decide: answers a condition.
    """

    def __init__(self, decide: Callable[[Any], bool]) -> None:
        self._decide = decide
        self._values: dict[Any, Any] = {}

    def put(self, size: Any) -> Any:
        """A size with what is known put in."""
        if isinstance(size, int):
            return size
        size = size.xreplace(self._values)
        return int(size) if size.is_Integer else size

    def __call__(self, condition: Any) -> bool:
        """The answer.

        Raises:
            Learnt: where it says what a symbol is.
        """
        if condition in (True, False):
            return bool(condition)
        answer = self._decide(condition)
        found = self._said(condition if answer else sympy.Not(condition))
        if found is None:
            return answer
        symbol, value = found
        self._values = {known: each.xreplace({symbol: value}) for known, each in self._values.items()}
        self._values[symbol] = value
        raise Learnt

    def _said(self, condition: Any) -> tuple[Any, Any] | None:
        """A symbol and what it is where a condition holds, if the condition says so."""
        symbols = sorted(condition.free_symbols, key=str)
        if len(symbols) == 1:
            values = _few_values(condition, symbols[0])
            return next(((symbols[0], sympy.Integer(v)) for v in values if self._decide(sympy.Eq(symbols[0], v))), None)
        if not isinstance(condition, sympy.Eq):
            return None
        difference = sympy.expand(condition.lhs - condition.rhs)
        for symbol in symbols:
            slope = difference.coeff(symbol)
            other = sympy.expand(symbol - difference / slope) if slope in (1, -1) else symbol
            if symbol not in other.free_symbols:
                return symbol, other
        return None


@lru_cache(maxsize=4096)
def _few_values(condition: Any, symbol: sympy.Symbol) -> tuple[int, ...]:
    """The values of a symbol for which a condition holds, if they are few."""
    holds = np.broadcast_to(compiled(condition, [symbol])(LOOKED_AT), LOOKED_AT.shape).astype(np.bool_)
    values = LOOKED_AT[holds]
    return tuple(map(int, values)) if len(values) <= FEW and not any(values > 256) else ()
