"""Case analysis: run a program on symbols once per way through its branches, join the outcomes to one expression."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any, TypeVar

import numpy as np
import sympy

from ._method import Method
from ._symbols import C_IN, C_OUT, B, C, H, K, M, S, option_symbol
from ._vectorised import compiled

Result = TypeVar("Result")
Path = tuple[tuple[Any, bool], ...]  # the conditions met on the way, with the answer taken
Ranges = dict[Any, tuple[int, int]]  # the smallest and the largest value of each symbol
CHANNELS = ("c", "c_in", "c_out")
FAR = 100
Outcome = tuple[sympy.Expr, ...]  # the candidates of a maximum; one where there is none to take


class Grid:
    """Configurations that a method accepts: where two cases are compared and impossible ones seen.

    Branch conditions compare sizes with each other and with constants up to 2. So every way through the branches that
    exists is met by small sizes and, where a size is a number, by the others just below, at and above it. A maximum
    changes hands far out too: where one size is so large that its terms dwarf those of all others.

    Args:
        method: whose ``check`` says which configurations exist.
        sizes: numbers put in for sizes.
        counts: numbers put in for iteration counts.
        rectangular: whether c_in and c_out are free, and then differ; else both are c.
    """

    def __init__(self, method: type[Method], sizes: dict[str, int], counts: dict[str, int], rectangular: bool) -> None:
        near = sorted({n for number in sizes.values() for n in (number - 1, number, number + 1) if n > 0})
        far = FAR * max(near, default=1) ** 2
        free = {
            "b": [1, 2, 5, FAR, far],
            "s": [1, 2, 3, 4, 5, 7, 8, *near],
            "k": [3, 5, 7, *(n for n in near if n % 2 and n > 1)],
        }
        free |= {name: [1, 2, 3, *near, far] for name in CHANNELS}
        free |= {name: [method.alike_from, method.alike_from + 3] for name in method.options}
        free |= {name: [number] for name, number in (sizes | counts).items()}
        names = [name for name in free if rectangular == (name in ("c_in", "c_out")) or name not in CHANNELS]
        # Python's integers, as numbers put in may be large.
        columns = np.meshgrid(*(np.array(free[name], object) for name in names), indexing="ij")
        at = {name: column.ravel() for name, column in zip(names, columns, strict=True)}
        at |= {"c": at["c_in"]} if rectangular else {"c_in": at["c"], "c_out": at["c"]}
        fits = [method.accepts(int(s), int(k)) for s, k in zip(at["s"], at["k"], strict=True)]
        valid = np.array(fits) & ((at["c_in"] != at["c_out"]) | (not rectangular))
        at = {name: column[valid] for name, column in at.items()}
        self.values = {B: at["b"], S: at["s"], C: at["c"], C_IN: at["c_in"], C_OUT: at["c_out"]}
        self.values |= {K: at["k"], M: at["k"] // 2, H: at["s"] // 2}
        self.values |= {option_symbol(name): at[name] for name in method.options}

    def evaluate(self, expression: Any) -> np.ndarray:
        """The values of an expression or a condition at every point."""
        function = compiled(expression, list(self.values))
        kind = float if expression.has(sympy.log) else object
        return np.broadcast_to(function(*(v.astype(kind) for v in self.values.values())), self.values[S].shape)

    def where(self, path: Path) -> np.ndarray:
        """The points that ``path`` leads to."""
        mask = np.ones(self.values[S].shape, bool)
        for condition, answer in path:
            mask &= self._truth(condition) == answer
        return mask

    @cache  # noqa: B019  (a grid lives as long as one formula is built)
    def _truth(self, condition: Any) -> np.ndarray:
        return self.evaluate(condition).astype(np.bool_)


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
                return bool(known[condition])
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
    if not isinstance(expression, sympy.Piecewise):
        return [(expression, condition)]
    return [(piece, own if _implies(own, condition) else sympy.And(condition, own)) for piece, own in expression.args]


def _implies(own: Any, condition: Any) -> bool:
    """Whether a part of ``own`` is a stricter x > n than ``condition``."""
    if not isinstance(condition, sympy.StrictGreaterThan):
        return False
    parts = (part for part in sympy.And.make_args(own) if isinstance(part, sympy.StrictGreaterThan))
    return any(part.lhs == condition.lhs and (part.rhs - condition.rhs).is_nonnegative for part in parts)
