"""The peak of a recording in symbols: the few running totals that can be the largest."""

from __future__ import annotations

from functools import lru_cache
from itertools import accumulate
from typing import Any

import numpy as np
import sympy

from .cases import Outcome, Ranges
from .symbols import H, S

_REMAINDER = sympy.Symbol("s mod 2", integer=True, nonnegative=True)


def peak_candidates(events: list[tuple[int, Any]], start: int, ranges: Ranges) -> Outcome:
    """Polynomials whose maximum is the peak of live bytes, in order of time.

    A total is left out if another is at least as large for all values: if no coefficient of the other is smaller once
    every variable x is written as its least value + x', or with s written as 2h + a remainder.

    Args:
        events: allocations (+1, bytes) and releases (-1, bytes).
        start: the number of events before the measured call.
        ranges: the smallest and the largest value of each symbol.
    """
    if all(isinstance(size, int) for _, size in events):
        return (sympy.Integer(max(list(accumulate(sign * size for sign, size in events))[start - 1 :])),)
    sizes = {size: i for i, size in enumerate(dict.fromkeys(size for _, size in events))}
    live = np.zeros((len(events), len(sizes)), np.int64)
    for row, (sign, size) in enumerate(events):
        live[row, sizes[size]] = sign
    live = live.cumsum(axis=0)[start - 1 :]
    falls = [sign < 0 for sign, _ in events[start:]]
    tops = live[[row for row, fall in enumerate([*falls, True]) if fall]]
    tops = np.array(list(dict.fromkeys(map(tuple, tops))))

    expressions = [in_variables(size) for size in sizes]
    least = {x: x + low for x, (low, _) in ranges.items()}
    halves = any(e.has(H) for e in expressions)
    for shift in (least, least | {S: 2 * least.get(H, H) + _REMAINDER}) if halves else (least,):
        totals = tops @ _matrix([e.xreplace(shift) for e in expressions])[1]
        tops = tops[[not _dominated(totals, i) for i in range(len(tops))]]
    monomials, matrix = _matrix(expressions)
    return tuple(sympy.Add(*(int(a) * x for a, x in zip(top @ matrix, monomials, strict=True) if a)) for top in tops)


def in_variables(size: Any) -> sympy.Expr:
    """An expression with h for ⌊s/2⌋."""
    return sympy.sympify(size).subs(sympy.floor(S / 2), H)


def _dominated(totals: np.ndarray, i: int) -> bool:
    """Whether another row is no smaller anywhere (of equal rows the first stays)."""
    others = (totals >= totals[i]).all(axis=1)
    equal = (totals == totals[i]).all(axis=1)
    return bool((others & ~equal).any() or equal[:i].any())


def _matrix(expressions: list[sympy.Expr]) -> tuple[list[sympy.Expr], np.ndarray]:
    """Expressions as polynomials: the monomials, and a row of coefficients for each."""
    symbols = tuple(sorted(set().union(*(e.free_symbols for e in expressions)), key=str))
    if not symbols:
        return [sympy.Integer(1)], _integers([[int(e)] for e in expressions])
    terms = [_terms(e, symbols) for e in expressions]
    powers = sorted(set().union(*terms), reverse=True)
    monomials = [sympy.Mul(*(x**p for x, p in zip(symbols, power, strict=True))) for power in powers]
    return monomials, _integers([[int(t.get(power, 0)) for power in powers] for t in terms])


@lru_cache(maxsize=8192)
def _terms(expression: sympy.Expr, symbols: tuple[sympy.Symbol, ...]) -> dict[tuple[int, ...], Any]:
    """The coefficients of a polynomial by powers; many a size is in many recordings."""
    return dict(sympy.Poly(expression, *symbols).terms())


def _integers(rows: list[list[int]]) -> np.ndarray:
    """A matrix of machine integers, or of Python's where thousands of its entries might add up to more."""
    largest = max((abs(entry) for row in rows for entry in row), default=0)
    return np.array(rows, np.int64 if largest < 2**48 else object)
