"""The O(·) table, read off the formulas."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from typing import Any

import sympy

from ..checks import check_quantity, lookup
from ..tape import Tape
from ..tape.program import record_call
from ..tape.recording import Recording
from .closed_form import Setting
from .symbols import B, C, S, hint

ROUNDED = (sympy.floor, sympy.ceiling)
KERNEL_SIZE = 3  # a constant of the O(·) notation, as are the iteration counts, here the published ones


def leading_order(method: str, quantity: str) -> sympy.Expr:
    """The leading terms of a quantity in b, s and c, for constant kernel size and iteration counts, training mode.

    A size of the method's own is its default, which may grow with c: a rank of c/8 counts as c.

    A term is leading if no other one has at least its power of b, of s and of c. Logarithms count as constants, as
    [P24] counts them: the FFTs' log s is less than the c that stands beside it in the products.

    Args:
        method: one of METHODS.
        quantity: one of QUANTITIES, or "memory", which is the peak.

    Returns:
        The sum of the leading terms with coefficient 1.

    Raises:
        ValueError: for an unknown name.

    Example:
        >>> from lipcost.costmodel import leading_order
        >>> leading_order("soc", "flops_forward")
        b*c**2*s**2
        >>> leading_order("cayley", "memory")
        b*c*s**2 + c**2*s**2
    """
    cls = lookup(method)
    quantity = "peak_bytes" if quantity == "memory" else quantity
    check_quantity(quantity, None)
    setting = Setting(method, counts=tuple(cls.counts.items())).with_(k=KERNEL_SIZE)
    recording, _ = record_call(setting.program(own=False), Tape(True, _in_the_limit, hint))
    return leading_terms(recording, quantity, (B, S, C))


def leading_terms(recording: Recording, quantity: str, symbols: Sequence[sympy.Symbol]) -> sympy.Expr:
    """The leading terms of a recording's quantity, each with coefficient 1."""
    if quantity == "peak_bytes":
        totals = list(accumulate(sign * size for sign, size in recording.sizes))[recording.start - 1 :]
        powers = set().union(*(_powers(total, symbols) for total in set(totals)))
    else:
        powers = _powers(recording.quantity(quantity), symbols)
    leading = [p for p in powers if not any(p != q and all(x <= y for x, y in zip(p, q, strict=True)) for q in powers)]
    return sympy.Add(*(sympy.Mul(*(x**n for x, n in zip(symbols, p, strict=True))) for p in leading))


def _in_the_limit(condition: Any) -> bool:
    return bool(condition) if condition in (True, False) else bool(condition.subs({B: 10**6, S: 10**6, C: 10**6}))


def _powers(expression: Any, symbols: Sequence[sympy.Symbol]) -> set[tuple[int, ...]]:
    """The powers of the symbols in the terms of a polynomial, ⌊x⌋ taken as x and logarithms as 1."""
    expression = sympy.sympify(expression).replace(lambda part: isinstance(part, ROUNDED), lambda x: x.args[0])
    expression = expression.replace(sympy.log, lambda *_: sympy.Integer(1))
    return set(sympy.Poly(expression, *symbols).monoms())
