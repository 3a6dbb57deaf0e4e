"""Sizes that are no polynomials, as variables: ⌊x/2⌋ and the like, and what they say of each other."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import sympy

from .symbols import H, S

NOT_POLYNOMIAL = (sympy.floor, sympy.Max, sympy.Min, sympy.Mod, sympy.Piecewise)


class Atoms:
    """The variables that stand for the parts of expressions that are no polynomials.

    Attributes:
        names: of each part, written in symbols and in the variables before it, its variable.
    """

    def __init__(self, names: dict[Any, sympy.Symbol] | None = None) -> None:
        self.names = names or {}

    def put(self, expression: Any) -> sympy.Expr:
        """The expression as a polynomial of symbols and variables."""
        expression = sympy.sympify(expression)
        if not expression.has(*NOT_POLYNOMIAL, sympy.ceiling):
            return expression
        return _floored(expression).replace(lambda part: isinstance(part, NOT_POLYNOMIAL), self._name)

    def back(self, expression: Any) -> sympy.Expr:
        """The expression in symbols alone."""
        for part, name in reversed(self.names.items()):
            expression = expression.xreplace({name: part})
        return expression

    def _name(self, part: Any) -> sympy.Symbol:
        if part not in self.names:
            self.names[part] = sympy.Symbol(f"n{len(self.names) + 1}", integer=True, nonnegative=True)
        return self.names[part]

    def least(self, ranges: dict[Any, tuple[int, int]]) -> dict[Any, sympy.Expr]:
        """What is put in for each variable so that it is its least value and something that is not negative."""
        return {x: x + low for x, (low, _) in ranges.items() if low}

    def remainders(self, ranges: dict[Any, tuple[int, int]]) -> dict[Any, sympy.Expr] | None:
        """The same, where of x and ⌊(x + c)/q⌋ = n the former is written as q n - c + a remainder; None without one."""
        found: dict[Any, sympy.Expr] = {}
        for part, name in self.names.items():
            x, shift, divisor = _of_one(part)
            if x is not None and x not in found:
                rest = sympy.Symbol(f"remainder of {name}", integer=True, nonnegative=True)
                found[x] = divisor * name - shift + rest
        if not found:
            return None
        least = self.least(ranges)
        return {x: _through(expression, found, least) for x, expression in found.items()} | {
            x: low for x, low in least.items() if x not in found
        }


def _through(expression: sympy.Expr, found: dict[Any, sympy.Expr], least: dict[Any, sympy.Expr]) -> sympy.Expr:
    """An expression in the variables that are written as no other's multiple, each from its least value on."""
    while any(x in found for x in expression.free_symbols):
        expression = expression.xreplace(found)
    return sympy.expand(expression.xreplace(least))


def _floored(expression: Any) -> Any:
    """The expression with each ⌈p/q⌉ of integers as ⌊(p + q - 1)/q⌋."""

    def floor(argument: Any) -> Any:
        numerator, divisor = sympy.together(argument).as_numer_denom()
        return sympy.floor((numerator + divisor - 1) / divisor)

    return expression.replace(sympy.ceiling, floor)


@lru_cache(maxsize=1024)
def _of_one(part: Any) -> tuple[Any, Any, Any]:
    """x, c and q of ⌊(x + c)/q⌋; of anything else x is None."""
    if isinstance(part, sympy.floor):
        numerator, divisor = sympy.together(part.args[0]).as_numer_denom()
        constant, x = sympy.expand(numerator).as_coeff_Add()
        if x.is_Symbol and divisor.is_Integer:
            return x, constant, divisor
    return None, None, None


def of_methods() -> Atoms:
    """Those of a method's formulas: h for ⌊s/2⌋."""
    return Atoms({sympy.floor(S / 2): H})
