"""From recordings in symbols to one expression.

Sizes are symbols on the tape; loop lengths cannot be. An iteration count t enters linearly, as every pass through a
loop does the same from the second on, so two recordings give the line. The kernel size of a method whose program loops
over it enters as a polynomial, found by finite differences.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache, lru_cache
from itertools import pairwise
from typing import Any

import sympy

from ._cases import Grid, Outcome, Path, Ranges, explore, join, pieces
from ._method import Method
from ._methods import METHODS
from ._peak import in_variables, peak_candidates
from ._record import Recording, record
from ._symbols import C_IN, C_OUT, B, C, M, S, option_symbol

SIZES = {"b": B, "s": S, "c": C, "c_in": C_IN, "c_out": C_OUT, "k": 2 * M + 1}
ANCHOR = 3  # an iteration count from which on all iterations are alike
DEGREE = 3  # of k in a method that is unrolled over it

Fixed = tuple[tuple[str, int], ...]


@dataclass(frozen=True)
class Setting:
    """What a closed form is asked for: a method and all that is not a symbol."""

    method: str
    train: bool = True
    bytes_each: int = 4
    bias: bool = True
    rectangular: bool = False
    in_place: bool = True
    sizes: Fixed = ()
    counts: Fixed = ()

    @property
    def cls(self) -> type[Method]:
        """The method."""
        return METHODS[self.method]

    @property
    def free(self) -> list[str]:
        """The iteration counts that stay symbols."""
        return [name for name in self.cls.options if name not in dict(self.counts)]

    def with_(self, **counts: int) -> Setting:
        """With numbers for iteration counts."""
        return replace(self, counts=tuple((dict(self.counts) | counts).items()))


@lru_cache(maxsize=256)
def closed_form(setting: Setting, quantity: str, part: str | None = None) -> sympy.Expr:
    """A quantity in b, s, c (or c_in and c_out), m = (k-1)/2, h = ⌊s/2⌋ and the free iteration counts."""
    grid = _grid(setting.method)
    if not setting.cls.unrolled or "k" in dict(setting.sizes):
        return join(_maxima(_over_counts(setting, quantity, part)), grid)
    # k = 1 is a case of its own; from k = 3 on the values lie on a polynomial.
    first, *others = (
        _over_counts(replace(setting, sizes=(*setting.sizes, ("k", k))), quantity, part)
        for k in range(1, 2 * DEGREE + 6, 2)
    )
    general = {path: _each(_polynomial, [outcomes[path] for outcomes in others]) for path in others[0]}
    forms = [(join(_maxima(general), grid), M > 0), (join(_maxima(first), grid), sympy.true)]
    return sympy.Piecewise(*(piece for form, condition in forms for piece in pieces(form, condition)))


def _over_counts(setting: Setting, quantity: str, part: str | None) -> dict[Path, Outcome]:
    """Outcomes with the free iteration counts as symbols; loops are not nested, so each count adds its own slope."""
    anchor = setting.with_(**dict.fromkeys(setting.free, ANCHOR))
    base = _outcomes(anchor, quantity, part)
    steps = {name: _outcomes(anchor.with_(**{name: ANCHOR + 1}), quantity, part) for name in setting.free}

    def line(values: list[sympy.Expr]) -> sympy.Expr:
        start, *ends = values
        slopes = ((option_symbol(n) - ANCHOR) * (end - start) for n, end in zip(steps, ends, strict=True))
        return sympy.expand(sympy.Add(start, *slopes))

    return {path: _each(line, [base[path], *(step[path] for step in steps.values())]) for path in base}


def _outcomes(setting: Setting, quantity: str, part: str | None) -> dict[Path, Outcome]:
    def read(recording: Recording, ranges: Ranges) -> Outcome:
        if quantity == "peak_bytes":
            return peak_candidates(recording.events, recording.start, ranges)
        return (sympy.expand(in_variables(recording.quantity(quantity, part), ranges)),)

    return {path: read(*result) for path, result in _recordings(setting).items()}


@lru_cache(maxsize=256)
def _recordings(setting: Setting) -> dict[Path, tuple[Recording, Ranges]]:
    """The recordings of every way through the method's branches."""
    value = SIZES | dict(setting.sizes)
    c_in, c_out = ("c_in", "c_out") if setting.rectangular else ("c", "c")

    def run(decide: Any) -> Recording:
        return record(
            setting.cls,
            b=value["b"],
            s=value["s"],
            c_in=value[c_in],
            c_out=value[c_out],
            k=value["k"],
            bias=setting.bias,
            train=setting.train,
            width=setting.bytes_each,
            option=dict(setting.counts),
            in_place=setting.in_place,
            decide=decide,
        )

    return explore(run, _grid(setting.method))


@cache
def _grid(method: str) -> Grid:
    return Grid(METHODS[method], [option_symbol(name) for name in METHODS[method].options])


def _each(combine: Callable[[list[sympy.Expr]], sympy.Expr], outcomes: list[Outcome]) -> Outcome:
    """Combine outcomes candidate by candidate."""
    if len({len(outcome) for outcome in outcomes}) > 1:
        raise ValueError("the candidates of the maximum change with k or an iteration count; give numbers for these")
    return tuple(combine(list(values)) for values in zip(*outcomes, strict=True))


def _maxima(outcomes: dict[Path, Outcome]) -> dict[Path, sympy.Expr]:
    return {path: o[0] if len(o) == 1 else sympy.Max(*o, evaluate=False) for path, o in outcomes.items()}


def _polynomial(values: list[sympy.Expr]) -> sympy.Expr:
    """The polynomial in m with ``values`` at m = 1, 2, …, by forward differences; the last one checks the degree."""
    differences, row = [], values
    while row:
        differences.append(row[0])
        row = [sympy.expand(later - earlier) for earlier, later in pairwise(row)]
    if differences[-1] != 0:
        raise ValueError("no polynomial in k; give a number for it")
    terms = (d * sympy.binomial(M - 1, j).expand(func=True) for j, d in enumerate(differences))
    return sympy.expand(sympy.Add(*terms))
