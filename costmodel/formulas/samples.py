"""Sample sizes of a module whose branches nobody knows beforehand: more are taken around each threshold that is met."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise, product
from typing import Any

import numpy as np
import sympy

from .cases import Path, Points
from .vectorised import compiled

NEAR = (*range(1, 10), 12, 15, 16, 17, 24, 31, 32, 33, 64)  # where sizes coincide, or are odd
FAR = 10**6
MOST = 4096  # points of the first product of samples
OTHERS = (1, 2, 7, 64)  # of the other symbols of a condition


class Samples(Points):
    """Every combination of a few values of each symbol, and of those around the thresholds of each condition.

    Args:
        symbols: of the sizes.
    """

    def __init__(self, symbols: Sequence[sympy.Symbol]) -> None:
        few = NEAR[: max(4, int(MOST ** (1 / max(len(symbols), 1))) - 1)]
        self._lists = {symbol: {*few, FAR} for symbol in symbols}
        self._met: set[Any] = set()
        self.refused: list[Path] = []
        super().__init__({})
        self._take()

    def with_symbol(self, symbol: sympy.Symbol, least: int, step: int) -> Samples:
        """The same with another symbol: a few multiples of ``step`` from ``least`` on."""
        out = Samples(list(self._lists))
        out._lists = self._lists | {symbol: {least, *(least + i * step for i in (1, 2, 5)), FAR // step * step}}
        out.refused = self.refused
        out._take()
        return out

    @property
    def count(self) -> int:
        """Of sample values, refused ones included."""
        return sum(map(len, self._lists.values()))

    def meet(self, condition: Any) -> None:
        """Take samples on both sides of a condition's thresholds."""
        if condition in self._met:
            return
        self._met.add(condition)
        before = self.count
        for symbol in condition.free_symbols:
            self._lists[symbol] |= set(_around(condition, symbol))
        if self.count > before:
            self._take()

    def refuse(self, path: Path) -> None:
        """Take out the points that ``path`` leads to, for good."""
        self.refused.append(path)
        super().refuse(path)

    def forget(self) -> None:
        """Have all points again."""
        self.refused = []
        self._take()

    def _take(self) -> None:
        columns = np.meshgrid(*(np.array(sorted(each), object) for each in self._lists.values()), indexing="ij")
        self.values = {symbol: column.ravel() for symbol, column in zip(self._lists, columns, strict=True)}
        self._truths = {}
        for path in self.refused:
            super().refuse(path)


def _around(condition: Any, symbol: sympy.Symbol) -> Iterator[int]:
    """The values of a symbol next to where a condition changes, for a few values of the others."""
    others = [x for x in condition.free_symbols if x != symbol]
    tried = [*range(1, 65), *(2**i for i in range(7, 25))]
    truth = compiled(condition, [symbol, *others])
    for values in product(OTHERS, repeat=len(others)):
        fixed = [np.array(value, object) for value in values]

        def holds(x: int, fixed: list[np.ndarray] = fixed) -> bool:
            return bool(truth(np.array(x, object), *fixed))

        changes = [(a, b) for a, b in pairwise(tried) if holds(a) != holds(b)]
        for below, above in changes[:4]:
            last = _last_alike(holds, below, above)
            yield from (x for x in range(last - 1, last + 3) if x > 0)


def _last_alike(holds: Callable[[int], bool], low: int, high: int) -> int:
    """The last number from ``low`` on at which a condition is as there, where it changes once before ``high``."""
    first = holds(low)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if holds(middle) == first else (low, middle)
    return low
