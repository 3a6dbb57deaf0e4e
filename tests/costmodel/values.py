"""The value of a formula at a point, exact."""

from __future__ import annotations

import sympy


def at(expression: sympy.Expr, **point: int) -> int | float:
    """The value of a formula, a float only where it has logarithms; what is no symbol of it does not matter."""
    numbers = {"c": point.get("c_in")} | point  # a method that is square only has no c_in in its formula
    number = expression.xreplace({x: sympy.Integer(numbers[x.name]) for x in expression.free_symbols})
    return int(number) if number.is_Integer else float(number.evalf(25))
