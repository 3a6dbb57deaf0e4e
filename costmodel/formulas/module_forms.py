"""The formulas of any module: one recording in symbols for each way through its branches."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import sympy

from ..tape import Tape
from ..tape.errors import NeedsNumber, UnruledFunction
from ..tape.program import Program, record_call
from ..tape.recording import Recording
from ..tape.run import prompt_frees
from .asymptotics import leading_terms
from .atoms import Atoms
from .cases import REFUSALS, Outcome, Path, Ranges, explore, join, pieces
from .knowledge import Knowledge, Learnt
from .own_sizes import STEPS, NotAlike, along, check, further, numbers, smaller
from .peak import peak_candidates
from .samples import FAR, Samples
from .vectorised import compiled

# Hints: primes, which no sizes of a program have in common, times what many a size is divided by.
PRIMES = tuple(720720 * prime for prime in (100003, 200003, 300007, 400009, 500009, 600011))
Build = Callable[[Mapping[Any, int]], Program]  # the module and its input, at numbers for its own sizes


@dataclass
class Forms:
    """The quantities of a module's call as expressions in the symbols of its sizes.

    Attributes:
        symbols: of its sizes.
        recordings: of every way through the module's branches.
        samples: sizes on each of these.
        refused: the ways that end in a refusal, and why.
        dtype: of the input.
        own: the condition on the module's own sizes, where it was built at several.
    """

    symbols: list[sympy.Symbol]
    recordings: dict[Path, tuple[Recording, Ranges]]
    samples: Samples
    refused: dict[Path, Exception]
    dtype: Any
    own: Any = sympy.true
    _values: dict[tuple[Any, ...], sympy.Expr] = field(default_factory=dict)

    @property
    def domain(self) -> Any:
        """The condition that sizes meet where the module takes them."""
        ways = (sympy.And(*(c if answer else sympy.Not(c) for c, answer in self._few(way))) for way in self.refused)
        return sympy.And(self.own, *_strictest([sympy.Not(way) for way in ways]))

    def _few(self, way: Path) -> Path:
        """The conditions of a refused way without those that it needs not to lead to refused sizes alone."""
        kept = way
        for each in way:
            fewer = tuple(other for other in kept if other is not each)
            if fewer and not self.samples.where(fewer).any():
                kept = fewer
        return kept

    def quantity(self, name: str, part: str | None = None, cls: str | None = None) -> sympy.Expr:
        """One of QUANTITIES, or the FLOPs of a class; of a part, or all."""
        key = name, part, cls
        if key not in self._values:
            self._values[key] = self._form(*key)
        return self._values[key]

    def _form(self, name: str, part: str | None, cls: str | None) -> sympy.Expr:
        def read(recording: Recording, ranges: Ranges) -> Outcome:
            atoms = Atoms()
            if name == "peak_bytes":
                found = peak_candidates(recording.sizes, recording.start, ranges, atoms)
            elif cls is not None:
                found = (sum(recording.count("flops", phase, part, cls) for phase in ("forward", "backward")),)
            else:
                found = (recording.quantity(name, part),)
            return tuple(atoms.back(sympy.expand(atoms.put(each))) for each in found)

        outcomes = {path: read(*result) for path, result in self.recordings.items()}
        maxima = {path: o[0] if len(o) == 1 else sympy.Max(*o, evaluate=False) for path, o in outcomes.items()}
        form = join(maxima, self.samples)
        return form if self.domain == sympy.true else sympy.Piecewise(*pieces(form, self.domain))

    def leading(self, name: str) -> sympy.Expr:
        """The leading terms where all sizes are large."""
        far = dict.fromkeys(self.symbols, FAR)
        for way, (recording, _) in self.recordings.items():
            if all(bool(condition.subs(far)) == answer for condition, answer in way):
                return leading_terms(recording, name, self.symbols)
        raise ValueError("the module takes no large sizes")

    def evaluate(self, name: str, sizes: Mapping[Any, np.ndarray]) -> np.ndarray:
        """A quantity at arrays of sizes, of one shape."""
        values = [sizes[symbol] for symbol in self.symbols]
        refused = ~np.broadcast_to(compiled(self.domain, self.symbols)(*values), values[0].shape).astype(np.bool_)
        if refused.any():
            at = np.flatnonzero(refused)[0]
            point = ", ".join(f"{symbol}={value.flat[at]}" for symbol, value in zip(self.symbols, values, strict=True))
            raise ValueError(f"the module takes sizes with {self.domain}, got {point}{self._why()}")
        form = self.quantity(name)
        form = form.args[0][0] if isinstance(form, sympy.Piecewise) and len(form.args) == 1 else form
        function = compiled(form, self.symbols)
        most = np.max(function(*(value.astype(float) for value in values)))
        if most >= 2.0**63:
            raise ValueError(f"{name} reaches {most:.3g}, more than an int64 holds")
        return np.broadcast_to(function(*values), values[0].shape)

    def _why(self) -> str:
        reasons = dict.fromkeys(str(error) for error in self.refused.values() if str(error))
        return f": {'; '.join(reasons)}" if reasons else ""


def _strictest(conditions: list[Any]) -> list[Any]:
    """Conditions without those that an x > n among them implies."""
    least: dict[Any, Any] = {}
    for each in conditions:
        if isinstance(each, sympy.StrictGreaterThan):
            least[each.lhs] = max(each.rhs, least.get(each.lhs, each.rhs))

    def implied(each: Any) -> bool:
        if isinstance(each, sympy.StrictGreaterThan):
            return bool(each.rhs < least[each.lhs])
        return isinstance(each, sympy.Ne) and bool(each.rhs <= least.get(each.lhs, -sympy.oo))

    return [each for each in conditions if not implied(each)]


def forms(build: Build, symbols: Sequence[sympy.Symbol], own: Sequence[sympy.Symbol], in_place: bool) -> Forms:
    """The formulas of a call.

    Args:
        build: makes the program at numbers for its own sizes.
        symbols: of the input, the others.
        own: symbols of the module's own sizes, at which it is built.
        in_place: whether autograd sums gradients in place.
    """
    with prompt_frees():
        return _along(build, list(symbols), list(own), {}, in_place)


def _along(
    build: Build, symbols: list[sympy.Symbol], own: list[sympy.Symbol], fixed: dict[Any, int], in_place: bool
) -> Forms:
    """The formulas with symbols for the first of the ``own`` sizes, where the last are ``fixed``."""
    if not own:
        return _explored(build(fixed), symbols, in_place)
    *others, symbol = own
    reason: Exception | None = None
    for step in STEPS:

        def at(number: int) -> Forms:
            return _along(build, symbols, others, fixed | {symbol: number}, in_place)

        try:
            return _joined(symbol, step, at)
        except (NeedsNumber, UnruledFunction):
            raise
        except REFUSALS as refusal:
            reason = reason if isinstance(reason, NotAlike) else refusal
    raise ValueError(f"no formula in {symbol}: {reason}; give a number for it")


def _joined(symbol: sympy.Symbol, step: int, at: Callable[[int], Forms]) -> Forms:
    """The formulas at several numbers as one in ``symbol``."""
    each = [at(number) for number in numbers(step)]
    first = each[0]
    for other in each[1:]:
        if other.recordings.keys() != first.recordings.keys() or other.domain != first.domain:
            raise NotAlike("its branches change with the number")
    recordings = {way: along(symbol, step, [one.recordings[way][0] for one in each]) for way in first.recordings}

    def holds(number: int) -> bool:
        """Whether the module at a further number is as the polynomials say."""
        try:
            one = at(number)
            return (
                one.domain == first.domain
                and one.recordings.keys() == recordings.keys()
                and all(
                    check(recordings[way], symbol, number, recording) for way, (recording, _) in one.recordings.items()
                )
            )
        except REFUSALS:
            return False

    if not all(holds(number) for number in further(step)):
        raise NotAlike("what was found at some numbers does not hold at further ones")
    least = numbers(step)[0]
    for number in smaller(step):
        if not holds(number):
            break
        least = number
    samples = first.samples.with_symbol(symbol, least, step)
    ranges = {symbol: (least, FAR)}
    multiple = sympy.Eq(sympy.Mod(symbol, step), 0) if step > 1 else sympy.true
    own = sympy.And(first.own, multiple, symbol >= least if least > step else sympy.true)
    return Forms(
        symbols=[*first.symbols, symbol],
        recordings={way: (recordings[way], first.recordings[way][1] | ranges) for way in recordings},
        samples=samples,
        refused=first.refused,
        dtype=first.dtype,
        own=own,
    )


def _explored(program: Program, symbols: list[sympy.Symbol], in_place: bool) -> Forms:
    """Every way through the branches of a program whose input has symbols among its sizes."""
    primes = dict(zip(symbols, PRIMES, strict=False))

    def run(decide: Callable[[Any], bool]) -> Recording:
        def hint(size: Any) -> int:  # of an axis with one entry the stride does not matter: a branch
            return int(size.xreplace(primes)) if known(size > 1) else 1

        known = Knowledge(decide)
        while True:
            try:
                for symbol in symbols:  # of one entry, axes broadcast and need no copies
                    known(known.put(symbol) > 1)
                sizes = tuple(map(known.put, program.sizes))
                return record_call(replace(program, sizes=sizes), Tape(in_place, known, hint))[0]
            except Learnt:
                continue

    samples = Samples(symbols)
    if not symbols:
        return Forms([], {(): (record_call(program, Tape(in_place))[0], {})}, samples, {}, program.dtype)
    while True:
        count, refused = samples.count, dict[Path, Exception]()
        samples.forget()
        found = explore(run, samples, refused)
        if samples.count == count:
            return Forms(symbols, found, samples, refused, program.dtype)
