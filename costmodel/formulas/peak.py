"""The peak of a recording in symbols: the few running totals that can be the largest."""

from __future__ import annotations

from typing import Any

import numpy as np
import sympy

from .cases import Outcome, Ranges
from .symbols import H, S


def peak_candidates(events: list[tuple[int, Any]], start: int, ranges: Ranges) -> Outcome:
    """Polynomials whose maximum is the peak of live bytes, in order of time.

    A total is left out if another is at least as large for all values: if, with every variable x written as its least
    value + x', no coefficient of the other is smaller.

    Args:
        events: allocations (+1, bytes) and releases (-1, bytes).
        start: the number of events before the measured call.
        ranges: the smallest and the largest value of each symbol.
    """
    sizes = {size: i for i, size in enumerate(dict.fromkeys(size for _, size in events))}
    live = np.zeros((len(events), len(sizes)), np.int64)
    for row, (sign, size) in enumerate(events):
        live[row, sizes[size]] = sign
    live = live.cumsum(axis=0)[start - 1 :]
    falls = [sign < 0 for sign, _ in events[start:]]
    tops = live[[row for row, fall in enumerate([*falls, True]) if fall]]
    tops = np.array(list(dict.fromkeys(map(tuple, tops))))

    exact, shifted = _coefficients(list(sizes), ranges)
    totals = tops @ shifted
    kept = [i for i in range(len(tops)) if not _dominated(totals, i)]
    monomials, matrix = exact
    return tuple(sympy.Add(*(int(a) * x for a, x in zip(tops[i] @ matrix, monomials, strict=True) if a)) for i in kept)


def in_variables(size: Any) -> sympy.Expr:
    """An expression with h for ⌊s/2⌋."""
    return sympy.sympify(size).subs(sympy.floor(S / 2), H)


def _dominated(totals: np.ndarray, i: int) -> bool:
    """Whether another row is no smaller anywhere (of equal rows the first stays)."""
    others = (totals >= totals[i]).all(axis=1)
    equal = (totals == totals[i]).all(axis=1)
    return bool((others & ~equal).any() or equal[:i].any())


def _coefficients(sizes: list[Any], ranges: Ranges) -> tuple[tuple[list[sympy.Expr], np.ndarray], np.ndarray]:
    """The sizes as polynomials: (monomials, coefficients), and the coefficients once every variable is shifted."""
    expressions = [in_variables(size) for size in sizes]
    symbols = sorted(set().union(*(e.free_symbols for e in expressions)), key=str)
    if not symbols:
        constants = _integers([[int(e)] for e in expressions])
        return ([sympy.Integer(1)], constants), constants
    polynomials = [sympy.Poly(e, *symbols) for e in expressions]
    powers, matrix = _matrix(polynomials)
    monomials = [sympy.Mul(*(x**p for x, p in zip(symbols, power, strict=True))) for power in powers]
    shift = {x: x + ranges[x][0] if x in ranges else x for x in symbols}
    _, shifted = _matrix([sympy.Poly(p.as_expr().subs(shift), *symbols) for p in polynomials])
    return (monomials, matrix), shifted


def _matrix(polynomials: list[sympy.Poly]) -> tuple[list[tuple[int, ...]], np.ndarray]:
    terms = [dict(p.terms()) for p in polynomials]
    powers = sorted(set().union(*terms), reverse=True)
    return powers, _integers([[int(t.get(power, 0)) for power in powers] for t in terms])


def _integers(rows: list[list[int]]) -> np.ndarray:
    """A matrix of machine integers, or of Python's where thousands of its entries might add up to more."""
    largest = max((abs(entry) for row in rows for entry in row), default=0)
    return np.array(rows, np.int64 if largest < 2**48 else object)
