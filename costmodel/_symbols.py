"""The symbols of the formulas: positive integers, declared once."""

from __future__ import annotations

import sympy


def _integer(name: str) -> sympy.Symbol:
    return sympy.Symbol(name, integer=True, positive=True)


B = _integer("b")  # batch size
S = _integer("s")  # image side
C = _integer("c")  # channels, where c_in = c_out
C_IN = _integer("c_in")
C_OUT = _integer("c_out")
K = _integer("k")  # kernel size, odd

# The tape runs on m and the formulas speak of k = 2m + 1, so that halves and parities resolve by themselves; k = 1 is
# put in as a number.
M = _integer("m")
# ⌊s/2⌋, a variable of its own while a formula is built and evaluated.
H = sympy.Symbol("h", integer=True, nonnegative=True)


def option_symbol(name: str) -> sympy.Symbol:
    """The symbol of an iteration count, named as the layer's keyword."""
    return _integer(name)
