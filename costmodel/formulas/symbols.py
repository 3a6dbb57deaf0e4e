"""The symbols of the formulas: positive integers, declared once."""

from __future__ import annotations

from functools import lru_cache

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


# Numbers for the symbols, by which strides are compared: primes, so that no two products of them coincide.
HINTS = dict(zip((B, S, C, C_IN, C_OUT, K, M, H), (1009, 2003, 3001, 4001, 5003, 6007, 7001, 1001), strict=True))


@lru_cache(maxsize=4096)
def hint(size: sympy.Expr) -> int:
    """A number for a size, which other sizes do not share."""
    own = {symbol: 8009 + 2 * i for i, symbol in enumerate(sorted(size.free_symbols - set(HINTS), key=str))}
    return int(size.xreplace(HINTS | own))
