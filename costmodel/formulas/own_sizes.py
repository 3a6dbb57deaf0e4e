"""Symbols for a module's own sizes: it is built at several numbers, and its recordings are joined event by event.

A program that does the same at every number leaves the same events and kernels, each of a size that is a polynomial in
the number. Finite differences find it and further numbers check it; anything else is refused.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

import sympy

from ..tape import Operation, Storage
from ..tape.recording import Recording

STEPS = (1, 2, 4, 8, 16)  # between the numbers: heads and groups may want a multiple
DEGREE = 4
VALUES = DEGREE + 2  # the last one checks the degree
FIRST = 8


def smaller(step: int) -> list[int]:
    """Numbers below these, downwards: how far the polynomials hold is looked at."""
    return list(range(numbers(step)[0] - step, 0, -step))


def further(step: int) -> list[int]:
    """Numbers above these, at which the polynomials are checked."""
    last = numbers(step)[-1]
    return [last + 3 * step, 4 * last + 7 * step]


class NotAlike(ValueError):
    """The recordings at several numbers differ by more than sizes, or by no polynomial."""


def numbers(step: int) -> list[int]:
    """At which a module is built, ``step`` apart."""
    first = max(FIRST, step)
    return [first + i * step for i in range(VALUES)]


def along(symbol: sympy.Symbol, step: int, recordings: Sequence[Recording]) -> Recording:
    """One recording in ``symbol`` from those at ``numbers(step)``.

    Raises:
        NotAlike: if there is none.
    """
    first = recordings[0]
    for other in recordings[1:]:
        _check_alike(first, other)
    fit = _Fit(symbol, numbers(step))
    storages = {}
    for events in zip(*(recording.events for recording in recordings), strict=True):
        own = events[0][1]
        if own not in storages:
            storages[own] = _storage(own, fit([storage.nbytes for _, storage in events]))
    return replace(
        first,
        operations=[fit.operation(each) for each in zip(*(r.operations for r in recordings), strict=True)],
        setup=[fit.operation(each) for each in zip(*(r.setup for r in recordings), strict=True)],
        events=[(sign, storages[storage]) for sign, storage in first.events],
        saved={storages[storage] for storage in first.saved},
    )


def check(recording: Recording, symbol: sympy.Symbol, number: int, other: Recording) -> bool:
    """Whether a recording in ``symbol`` is another one, made at a number."""
    at = {symbol: sympy.Integer(number)}

    def equal(polynomial: Any, value: Any) -> bool:
        return bool(sympy.expand(sympy.sympify(polynomial).xreplace(at) - value) == 0)

    try:
        _check_alike(recording, other)
    except NotAlike:
        return False
    pairs = {(own.nbytes, has.nbytes) for (_, own), (_, has) in zip(recording.events, other.events, strict=True)}
    for kernels, others in ((recording.operations, other.operations), (recording.setup, other.setup)):
        for op, is_ in zip(kernels, others, strict=True):
            pairs |= {(op.macs, is_.macs), (op.flops, is_.flops), *zip(op.moved, is_.moved, strict=True)}
    return all(equal(*pair) for pair in pairs)


def _storage(like: Storage, nbytes: Any) -> Storage:
    out = Storage(nbytes, like.part)
    out.category = like.category
    return out


def _check_alike(first: Recording, other: Recording) -> None:
    """Raise NotAlike unless two recordings have the same events of the same storages, and the same kernels."""
    for what in (_order, lambda r: list(map(_kind, r.operations)), lambda r: list(map(_kind, r.setup))):
        if what(first) != what(other):
            raise NotAlike("what it runs changes with the number")


def _order(recording: Recording) -> list[tuple[Any, ...]]:
    """The events, each storage by the order in which it comes."""
    index: dict[Storage, int] = {}
    return [
        (sign, index.setdefault(storage, len(index)), storage.category, storage.part, storage in recording.saved)
        for sign, storage in recording.events
    ]


def _kind(op: Operation) -> tuple[Any, ...]:
    return op.name, op.cls, op.phase, op.part, op.variant, len(op.moved)


class _Fit:
    """Polynomials through values at equally spaced numbers."""

    def __init__(self, symbol: sympy.Symbol, at: Sequence[int]) -> None:
        first, second, *_ = at
        self.place = (symbol - first) / (second - first)
        self._known: dict[tuple[Any, ...], Any] = {}

    def __call__(self, values: Sequence[Any]) -> Any:
        """The polynomial; a NotAlike where the last value is not on it."""
        if all(value == values[0] for value in values):
            return values[0]
        key = tuple(values)
        if key not in self._known:
            self._known[key] = self._through(key)
        return self._known[key]

    def _through(self, values: tuple[Any, ...]) -> sympy.Expr:
        differences, row = [], list(values)
        while row:
            differences.append(row[0])
            row = [sympy.expand(later - earlier) for earlier, later in pairwise(row)]
        if differences[-1] != 0:
            raise NotAlike("a size is no polynomial in the number")
        terms = (d * sympy.ff(self.place, j) / sympy.factorial(j) for j, d in enumerate(differences))
        return sympy.expand(sympy.Add(*terms))

    def operation(self, each: Sequence[Operation]) -> Operation:
        """One kernel of these at each number."""
        first = each[0]
        return first._replace(
            macs=self([op.macs for op in each]),
            flops=self([op.flops for op in each]),
            moved=tuple([self(moved) for moved in zip(*(op.moved for op in each), strict=True)]),
            steps=self([op.steps for op in each]),
        )
