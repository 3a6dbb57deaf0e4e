"""Case analysis: run a program on symbols once per way through its branches, join the outcomes to one expression."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any, TypeVar

import numpy as np
import sympy

from ..tape.errors import Mismatch, NeedsNumber, UnruledFunction
from .symbols import C_IN, C_OUT, B, C, H, K, M, S, option_symbol
from .vectorised import compiled

Result = TypeVar("Result")
Path = tuple[tuple[Any, bool], ...]  # the conditions met on the way, with the answer taken
Ranges = dict[Any, tuple[int, int]]  # the smallest and the largest value of each symbol
CHANNELS = ("c", "c_in", "c_out")
FAR = 100
Outcome = tuple[sympy.Expr, ...]  # the candidates of a maximum; one where there is none to take


class Points:
    """Configurations: where two cases are compared and impossible ones seen.

    Attributes:
        values: of each symbol, a column.
    """

    def __init__(self, values: dict[Any, np.ndarray]) -> None:
        self.values = values
        self._truths: dict[Any, np.ndarray] = {}

    @property
    def shape(self) -> tuple[int, ...]:
        """Of a column."""
        return next(iter(self.values.values())).shape

    def meet(self, condition: Any) -> None:
        """Called with each condition before it is looked at: more points may be needed to tell its sides apart."""

    def refuse(self, path: Path) -> None:
        """Take out the points that ``path`` leads to."""
        self._keep(~self.where(path))

    def _keep(self, mask: np.ndarray) -> None:
        mask = mask.astype(np.bool_)
        self.values = {symbol: column[mask] for symbol, column in self.values.items()}
        self._truths = {condition: truth[mask] for condition, truth in self._truths.items()}

    def evaluate(self, expression: Any) -> np.ndarray:
        """The values of an expression or a condition at every point."""
        function = compiled(expression, list(self.values))
        kind = float if expression.has(sympy.log) else object
        out: np.ndarray = np.broadcast_to(function(*(v.astype(kind) for v in self.values.values())), self.shape)
        return out

    def where(self, path: Path) -> np.ndarray:
        """The points that ``path`` leads to."""
        mask = np.ones(self.shape, bool)
        for condition, answer in path:
            mask &= self._truth(condition) == answer
        return mask

    def _truth(self, condition: Any) -> np.ndarray:
        if condition not in self._truths:
            self._truths[condition] = self.evaluate(condition).astype(np.bool_)
        return self._truths[condition]


class Grid(Points):
    """The configurations of a method's layer.

    Branch conditions compare sizes with each other and with constants up to 2. So every way through the branches that
    exists is met by small sizes and, where a size is a number, by the others just below, at and above it. A maximum
    changes hands far out too: where one size is so large that its terms dwarf those of all others. What the layer
    refuses is taken out as it is found.

    Args:
        sizes: numbers put in for sizes.
        counts: numbers put in for iteration counts and a method's own sizes.
        free_counts: those that stay symbols, with the values to take for them.
        rectangular: whether c_in and c_out are free, and then differ; else both are c.
        stride: of the layer, which sees stride² · c_in channels.
    """

    def __init__(
        self,
        sizes: dict[str, int],
        counts: dict[str, int],
        free_counts: dict[str, list[int]],
        rectangular: bool,
        stride: int = 1,
    ) -> None:
        numbers = [*sizes.values(), *counts.values()]
        near = sorted({n for number in numbers for n in (number - 1, number, number + 1) if n > 0})
        far = FAR * max(near, default=1) ** 2
        free = {
            "b": [1, 2, 5, FAR, far],
            "s": [1, 2, 3, 4, 5, 7, 8, *near],
            "k": [3, 5, 7, *(n for n in near if n % 2 and n > 1)],
        }
        channels = {1, 2, 3, *near}
        shared = {n // stride**2 + step for n in near for step in (0, 1)}
        free["c"] = free["c_in"] = [*sorted(channels | shared - {0}), far]
        seen = {n * stride**2 + step for n in channels for step in (-1, 0, 1)} if stride > 1 else set()
        free["c_out"] = [*sorted(channels | seen - {0}), far]
        free |= free_counts
        free |= {name: [number] for name, number in (sizes | counts).items()}
        names = [name for name in free if rectangular == (name in ("c_in", "c_out")) or name not in CHANNELS]
        # Python's integers, as numbers put in may be large.
        columns = np.meshgrid(*(np.array(free[name], object) for name in names), indexing="ij")
        at = {name: column.ravel() for name, column in zip(names, columns, strict=True)}
        at |= {"c": at["c_in"]} if rectangular else {"c_in": at["c"], "c_out": at["c"]}
        values = {B: at["b"], S: at["s"], C: at["c"], C_IN: at["c_in"], C_OUT: at["c_out"]}
        values |= {K: at["k"], M: at["k"] // 2, H: at["s"] // 2}
        values |= {option_symbol(name): at[name] for name in (*counts, *free_counts)}
        super().__init__(values)
        if rectangular:
            self._keep(at["c_in"] != at["c_out"])


REFUSALS = (ValueError, AssertionError, RuntimeError, IndexError)  # by which a program says that it takes no such sizes


def explore(
    run: Callable[[Callable[[Any], bool]], Result], grid: Points, refused: dict[Path, Exception] | None = None
) -> dict[Path, tuple[Result, Ranges]]:
    """Every way through the branches of ``run(decide)``: its result and the range of each symbol on that way.

    A way that ends in a ValueError is a configuration that the program refuses.

    Args:
        run: records the program, asking ``decide`` at each branch.
        grid: where the branches are looked at.
        refused: takes the ways that are refused, and why; then sizes that do not fit each other are a refusal too.
    """
    results: dict[Path, tuple[Result, Ranges]] = {}
    waiting: list[Path] = [()]
    error: Exception | None = None
    while waiting:
        path = list(waiting.pop())

        def decide(condition: Any, path: list[tuple[Any, bool]] = path) -> bool:
            return _decided(condition, path, waiting, grid)

        try:
            result = run(decide)
        except (NeedsNumber, UnruledFunction):
            raise
        except REFUSALS as refusal:
            if refused is None and (isinstance(refusal, Mismatch) or not isinstance(refusal, ValueError)):
                raise
            if refused is not None:
                refused[tuple(path)] = refusal
            error = refusal
            grid.refuse(tuple(path))
            continue
        results[tuple(path)] = result, {}
    if not results:
        raise error or ValueError("there is no such configuration")
    found = {}
    for way, (result, _) in results.items():
        region = grid.where(way)
        if region.any():  # what is left of it where others were refused
            ranges = {x: (int(v[region].min()), int(v[region].max())) for x, v in grid.values.items()}
            found[_short(way, grid)] = result, ranges
    return found


def _short(path: Path, grid: Points) -> Path:
    """A path without the conditions whose other side is refused."""
    return tuple(
        (condition, answer)
        for i, (condition, answer) in enumerate(path)
        if grid.where((*path[:i], (condition, not answer))).any()
    )


def _decided(condition: Any, path: list[tuple[Any, bool]], waiting: list[Path], grid: Points) -> bool:
    """The answer to a condition on this way; the other one, if it exists, waits."""
    if condition in (True, False):
        return bool(condition)
    if isinstance(condition, sympy.And | sympy.Or):
        ends = isinstance(condition, sympy.Or)
        return any(_decided(p, path, waiting, grid) == ends for p in condition.args) == ends
    canonical, positive = _canonical(condition)
    if canonical in (True, False):
        return bool(canonical) == positive
    known = dict(path)
    if canonical not in known:
        grid.meet(canonical)
        options = [answer for answer in (True, False) if grid.where((*path, (canonical, answer))).any()]
        if len(options) == 2:
            waiting.append((*path, (canonical, False)))
            path.append((canonical, True))
        elif not options:  # nothing is left here: a refused region
            return False
        return options[0] == positive
    return bool(known[canonical] == positive)


@lru_cache(maxsize=4096)
def _canonical(condition: Any) -> tuple[Any, bool]:
    """A condition as variables > or = a constant, recognised however it was written; and whether it is meant."""
    if isinstance(condition, sympy.Not):
        inner, positive = _canonical(condition.args[0])
        return inner, not positive
    if isinstance(condition, sympy.Eq | sympy.Ne):
        constant, variables = _split(_whole(condition.lhs - condition.rhs))
        positive = isinstance(condition, sympy.Eq)
        if variables == 0:
            return constant == 0, positive
        if variables.could_extract_minus_sign():
            constant, variables = -constant, -variables
        if constant == -1 and variables.is_positive and variables.is_integer:  # not more than 1
            return sympy.Gt(variables, 1), not positive
        return sympy.Eq(variables, -constant, evaluate=False), positive
    strict = isinstance(condition, sympy.StrictGreaterThan | sympy.StrictLessThan)
    difference = _whole(condition.gts - condition.lts)  # ≥ or > 0
    constant, variables = _split(difference if strict else difference + 1)
    if variables == 0:
        return constant > 0, True
    if constant == -1 and variables.is_Pow:  # xⁿ > 1 for a positive integer x
        variables = variables.base
    return sympy.Gt(variables, -constant, evaluate=False), True


def _whole(difference: Any) -> Any:
    """A multiple of a difference that is an integer: SymPy writes ⌊s/4⌋ ≥ 1 as s/4 ≥ 1."""
    terms = sympy.expand(difference).as_coefficients_dict()
    return difference * sympy.ilcm(1, 1, *(factor.q for factor in terms.values()))


def _split(difference: Any) -> tuple[Any, Any]:
    constant, variables = sympy.expand(difference).as_coeff_Add()
    return constant, variables


def join(outcomes: dict[Path, sympy.Expr], grid: Points, depth: int = 0) -> sympy.Expr:
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
        if here == other or _equal(here, other, region, grid):
            return here
    return sympy.Piecewise(*pieces(sides[True], condition), *pieces(sides[False], sympy.true))


def _equal(here: sympy.Expr, other: sympy.Expr, region: np.ndarray, grid: Points) -> bool:
    """Whether two expressions have the same values in a region; logarithms, which are floats there, cancel first."""
    if here.has(sympy.log) and not here.has(sympy.Piecewise, sympy.Max) and not other.has(sympy.Piecewise, sympy.Max):
        here, other = sympy.expand(here - other), sympy.Integer(0)
    return np.array_equal(grid.evaluate(here)[region], grid.evaluate(other)[region])


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
