"""Case analysis: run a program on symbols once per way through its branches, join the outcomes to one expression."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, TypeVar

import numpy as np
import sympy

from ._method import Method
from ._symbols import C_IN, C_OUT, B, C, H, M, S
from ._vectorised import compiled

Result = TypeVar("Result")
Path = tuple[tuple[Any, bool], ...]  # the conditions met on the way, with the answer taken
Ranges = dict[Any, tuple[int, int]]  # the smallest and the largest value of each symbol
Outcome = tuple[sympy.Expr, ...]  # the candidates of a maximum; one where there is none to take


class Grid:
    """Small configurations, all those that a method accepts: where two cases are compared and impossible ones seen.

    Branch conditions compare symbols with each other and with constants up to 2, so that every way through the branches
    that exists is met here.

    Args:
        method: whose ``check`` says which configurations exist.
        symbols: further symbols, the iteration counts, which take two values each.
    """

    def __init__(self, method: type[Method], symbols: Sequence[sympy.Symbol]) -> None:
        ranges = {B: (1, 2, 5), S: (1, 2, 3, 4, 5, 8), C: (1, 2, 3), C_IN: (1, 2, 3), C_OUT: (1, 2, 3), M: (0, 1, 2, 3)}
        points = np.meshgrid(*ranges.values(), *[(2, 5)] * len(symbols), indexing="ij")
        self.symbols = (*ranges, *symbols)
        columns = [p.ravel() for p in points]
        s, m = columns[1], columns[5]
        valid = np.array([_accepts(method, int(a), 2 * int(b) + 1) for a, b in zip(s, m, strict=True)])
        self.values = {symbol: column[valid] for symbol, column in zip(self.symbols, columns, strict=True)}
        self.values[H] = self.values[S] // 2

    def evaluate(self, expression: Any) -> np.ndarray:
        """The values of an expression or a condition at every point."""
        function = compiled(expression, list(self.values))
        return np.broadcast_to(function(*self.values.values()), self.values[S].shape)

    def where(self, path: Path) -> np.ndarray:
        """The points that ``path`` leads to."""
        mask = np.ones(self.values[S].shape, bool)
        for condition, answer in path:
            mask &= self._truth(condition) == answer
        return mask

    @cache  # noqa: B019  (a grid lives as long as one formula is built)
    def _truth(self, condition: Any) -> np.ndarray:
        return self.evaluate(condition).astype(bool)


def _accepts(method: type[Method], s: int, k: int) -> bool:
    try:
        method.check(s, k)
    except ValueError:
        return False
    return True


def explore(run: Callable[[Callable[[Any], bool]], Result], grid: Grid) -> dict[Path, tuple[Result, Ranges]]:
    """Every way through the branches of ``run(decide)``: its result and the range of each symbol on that way."""
    results: dict[Path, tuple[Result, Ranges]] = {}
    waiting: list[Path] = [()]
    while waiting:
        path = list(waiting.pop())

        def decide(condition: Any, path: list[tuple[Any, bool]] = path) -> bool:
            try:
                return bool(condition)
            except TypeError:  # between symbols
                condition = _canonical(condition)
            known = dict(path)
            if condition in known:
                return known[condition]
            options = [answer for answer in (True, False) if grid.where((*path, (condition, answer))).any()]
            if len(options) == 2:
                waiting.append((*path, (condition, False)))
                path.append((condition, True))
            return options[0]

        result = run(decide)
        region = grid.where(tuple(path))
        results[tuple(path)] = result, {x: (int(v[region].min()), int(v[region].max())) for x, v in grid.values.items()}
    return results


def _canonical(condition: Any) -> Any:
    """A strict inequality as variables > constant, so that it is recognised however it was written."""
    constant, variables = sympy.expand(condition.gts - condition.lts).subs(sympy.floor(S / 2), H).as_coeff_Add()
    if constant == -1 and variables.is_Pow:  # xⁿ > 1 for a positive integer x
        variables = variables.base
    return sympy.Gt(variables, -constant)


def join(outcomes: dict[Path, sympy.Expr], grid: Grid, depth: int = 0) -> sympy.Expr:
    """One expression for all cases: a Piecewise, but for branches that make no difference."""
    if len(outcomes) == 1:
        return next(iter(outcomes.values()))
    condition = next(iter(outcomes))[depth][0]
    sides = {
        answer: join({p: e for p, e in outcomes.items() if p[depth] == (condition, answer)}, grid, depth + 1)
        for answer in (True, False)
    }
    prefix = next(iter(outcomes))[:depth]
    for answer in (True, False):
        here, other = sides[answer], sides[not answer]
        region = grid.where((*prefix, (condition, not answer)))
        if here == other or np.array_equal(grid.evaluate(here)[region], grid.evaluate(other)[region]):
            return here
    return sympy.Piecewise(*pieces(sides[True], condition), *pieces(sides[False], sympy.true))


def pieces(expression: sympy.Expr, condition: Any) -> list[tuple[sympy.Expr, Any]]:
    """The pieces of an expression, each under a further condition."""
    if isinstance(expression, sympy.Piecewise):
        return [(piece, sympy.And(condition, own)) for piece, own in expression.args]
    return [(expression, condition)]
