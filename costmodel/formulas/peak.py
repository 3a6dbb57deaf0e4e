"""The peak of a recording in symbols: the few running totals that can be the largest."""

from __future__ import annotations

from functools import lru_cache
from itertools import accumulate
from typing import Any

import numpy as np
import sympy

from .atoms import Atoms
from .cases import Outcome, Ranges


def peak_candidates(events: list[tuple[int, Any]], start: int, ranges: Ranges, atoms: Atoms) -> Outcome:
    """Polynomials whose maximum is the peak of live bytes, in order of time.

    A total is left out if another is at least as large for all values: if no coefficient of the other is smaller once
    every variable x is written as its least value + x', or the sides of images by the floors of their parts.

    Args:
        events: allocations (+1, bytes) and releases (-1, bytes).
        start: the number of events before the measured call.
        ranges: the smallest and the largest value of each variable.
        atoms: the variables that stand for floors.
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

    expressions = [sympy.expand(atoms.put(size)) for size in sizes]
    for shift in (atoms.least(ranges), atoms.remainders(ranges)):
        if shift is not None:
            totals = tops @ _matrix([e.xreplace(shift) for e in expressions])[1]
            tops = tops[_undominated(totals)]
    monomials, matrix = _matrix(expressions)
    return tuple(sympy.Add(*(int(a) * x for a, x in zip(top @ matrix, monomials, strict=True) if a)) for top in tops)


def _undominated(totals: np.ndarray) -> list[int]:
    """The rows of which no other is as large everywhere; of equal rows the first."""
    kept: list[int] = []
    for i in np.lexsort((np.arange(len(totals)), -totals.sum(axis=1))):  # a row that dominates has a larger sum
        if not any((totals[j] >= totals[i]).all() for j in kept):
            kept.append(int(i))
    return sorted(kept)


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
