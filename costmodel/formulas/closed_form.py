"""From recordings in symbols to one expression.

Sizes are symbols on the tape; loop lengths cannot be. An iteration count enters linearly, as every pass through a loop
does the same from one of the first on, so two recordings give the line and a third one checks it. The kernel size of
a method whose program loops over it enters as a polynomial, found and checked by finite differences. Where sizes
coincide (k = 1, c_in = c_out) or a loop runs less often, the program may do something else: these exceptions are
recorded apart and kept only where they differ.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import sympy

from ..checks import METHODS
from ..layer_cost import builder
from ..tape import Tape
from ..tape.errors import Mismatch, NeedsNumber, UnruledFunction
from ..tape.program import Program, record_call
from ..tape.recording import Recording
from ..tape.run import prompt_frees
from .atoms import of_methods
from .cases import Grid, Outcome, Path, Ranges, explore, join, pieces
from .peak import peak_candidates
from .symbols import C_IN, C_OUT, B, C, K, M, S, hint, option_symbol

if TYPE_CHECKING:
    from lipcost.layers import LipschitzConv2d

SIZES = {"b": B, "s": S, "c": C, "c_in": C_IN, "c_out": C_OUT, "k": 2 * M + 1}
SIDES = ("h", "w")  # numbers only, in place of s
ANCHORS = (3, 4, 5)  # iteration counts from which on all iterations may be alike
SAMPLE = {"b": 5, "s": 11, "c": 6, "c_in": 6, "c_out": 10, "k": 3}  # sizes that are in no relation
COPIES = ("traffic", "launches", "saved", "peak")  # quantities in which a copy shows
DEGREE = 3  # of k in a method that is unrolled over it

Fixed = tuple[tuple[str, int], ...]


@dataclass(frozen=True)
class Setting:
    """What a closed form is asked for: a method and all that is not a symbol.

    ``sizes`` and ``counts`` are the numbers put in for sizes, and for iteration counts and the method's own sizes. A
    rectangular setting has c_in and c_out, which differ; another has c. With a stride the symbol s is the image's side
    over the stride. From ``anchor`` iterations on all are taken to be alike, which is checked.
    """

    method: str
    train: bool = True
    dtype: str = "float32"
    bias: bool = True
    rectangular: bool = False
    in_place: bool = True
    stride: int = 1
    padding_mode: str | None = None
    sizes: Fixed = ()
    counts: Fixed = ()
    anchor: int = ANCHORS[0]

    @property
    def cls(self) -> type[LipschitzConv2d]:
        """The method."""
        return METHODS[self.method]

    @property
    def free(self) -> list[str]:
        """The iteration counts that stay symbols."""
        return [name for name in self.cls.counts if name not in dict(self.counts)]

    @property
    def own(self) -> list[str]:
        """The method's own sizes that stay symbols."""
        return [name for name in self.cls.sizes if name not in dict(self.counts)]

    @property
    def symbols(self) -> list[str]:
        """The sizes that stay symbols, the method's own too."""
        sides = () if set(SIDES) & set(dict(self.sizes)) else ("s",)
        channels = ("c_in", "c_out") if self.rectangular else ("c",)
        return [name for name in ("b", *sides, *channels, "k") if name not in dict(self.sizes)] + self.own

    @property
    def idle(self) -> list[str]:
        """Counts that the mode has no use for: training takes a count, inference its eval twin if it has one."""
        twins = [name for name in self.cls.counts if f"eval_{name}" in self.cls.counts]
        return [name for name in (f"eval_{twin}" if self.train else twin for twin in twins) if name in self.free]

    def with_(self, **numbers: int) -> Setting:
        """With numbers for sizes or iteration counts."""
        sizes = dict(self.sizes) | {name: n for name, n in numbers.items() if name in SIZES}
        counts = dict(self.counts) | {name: n for name, n in numbers.items() if name not in SIZES}
        return replace(self, sizes=tuple(sizes.items()), counts=tuple(counts.items()))

    def value(self, name: str) -> Any:
        """The number or the symbol of a size."""
        return dict(self.sizes).get(name, SIZES.get(name, option_symbol(name)))

    @property
    def image(self) -> tuple[Any, Any]:
        """The sides of the images."""
        sizes = dict(self.sizes)
        side = sizes.get("s", self.stride * S)
        return sizes.get("h", side), sizes.get("w", side)

    def program(self, own: bool = True) -> Program:
        """The layer and its input; counts must be numbers. ``own``: its own sizes are symbols, not its defaults."""
        c_in, c_out = (self.value(name if self.rectangular else "c") for name in ("c_in", "c_out"))
        options = dict(self.counts) | {name: option_symbol(name) for name in self.own if own}
        k = self.value("k")
        build = builder(self.cls, c_in, c_out, k, self.stride, self.padding_mode, self.bias, self.dtype, options)
        return Program(build, (self.value("b"), c_in, *self.image), None, self.train, self.train)


class NotAlikeError(ValueError):
    """Iterations differ from each other, as far as was looked."""


@prompt_frees()  # around all recordings: what each leaves is looked through once
def closed_form(setting: Setting, quantity: str, part: str | None = None) -> sympy.Expr:
    """A quantity in b, s, c (or c_in and c_out), m = (k-1)/2, h = ⌊s/2⌋ and the free iteration counts."""
    *earlier, last = ANCHORS if setting.free else ANCHORS[:1]
    for anchor in earlier:
        with suppress(NotAlikeError):
            return _from(replace(setting, anchor=anchor), quantity, part)
    return _from(replace(setting, anchor=last), quantity, part)


@lru_cache(maxsize=512)
def _from(setting: Setting, quantity: str, part: str | None) -> sympy.Expr:
    """The closed form if iterations are alike from the setting's anchor on, else a NotAlikeError."""
    setting = setting.with_(**dict.fromkeys(setting.idle, setting.anchor))
    if "k" not in dict(setting.sizes) and not _larger_kernels_fit(setting):
        setting = setting.with_(k=1)  # no larger kernel fits the images that were put in
    form = _with_ones(setting, quantity, part)
    for condition, exception in _exceptions(setting, quantity, part):
        form = _excepted(form, condition, _from(exception, quantity, part), setting, exception)
    return form


def _excepted(form: sympy.Expr, condition: Any, other: sympy.Expr, setting: Setting, exception: Setting) -> sympy.Expr:
    """A setting's form where the condition holds and an exception's elsewhere, if that differs there."""
    grid = _grid(exception)
    if np.array_equal(grid.evaluate(form), grid.evaluate(other)):
        return form
    if setting.rectangular and not exception.rectangular:
        other = other.subs(C, setting.value("c_in"))
    return sympy.Piecewise(*pieces(form, condition), *pieces(other, sympy.true))


def _larger_kernels_fit(setting: Setting) -> bool:
    """Whether the layer takes any kernel but k = 1 on the images that were put in."""
    if not {"s", *SIDES} & set(dict(setting.sizes)):
        return True
    anchor = setting.with_(**dict.fromkeys(setting.free, setting.anchor))
    try:
        _recordings(anchor.with_(k=3))
    except NeedsNumber:
        raise
    except ValueError:
        return False
    return True


def _exceptions(setting: Setting, quantity: str, part: str | None) -> Iterator[tuple[Any, Setting]]:
    """Settings in which sizes coincide or loops run once or twice, each with the condition that it is not so."""
    if "k" not in dict(setting.sizes):
        yield K > 1, setting.with_(k=1)
    if setting.rectangular:
        others = {name: n for name, n in setting.sizes if name not in ("c_in", "c_out")}
        fixed = [n for name, n in setting.sizes if name in ("c_in", "c_out")]
        channels = {"c": fixed[0]} if fixed else {}
        square = replace(setting, rectangular=False, sizes=tuple((others | channels).items()))
        yield sympy.Ne(setting.value("c_in"), setting.value("c_out")), square
    if setting.free:
        plain = setting.with_(k=3) if _loops_over_k(setting) else setting
        lines = _over_counts(plain, quantity, part)
        for name in setting.free:
            for fewer in range(setting.anchor - 1, 0, -1):
                if not _on_line(lines, plain, {name: fewer}, quantity, part):
                    yield option_symbol(name) > fewer, setting.with_(**{name: fewer})


@lru_cache(maxsize=512)
def _with_ones(setting: Setting, quantity: str, part: str | None) -> sympy.Expr:
    """The general form, and what differs where an axis has one entry: any stride will do there, so copies fall away.

    Seen by numbers: each size in turn is 1, then all of them.
    """
    form = _general(setting, quantity, part)
    if not quantity.startswith(COPIES):
        return form
    numbers = dict.fromkeys(setting.own, 2) | dict.fromkeys(setting.free, setting.anchor)
    numbers |= {name: SAMPLE[name] for name in setting.symbols if name in SAMPLE}
    names = [name for name in setting.symbols if name != "k"]
    ones = dict.fromkeys(names, 1) | ({"c_out": SAMPLE["c_out"]} if "c_out" in names else {})  # which is not c_in
    for name, point in [(name, {name: 1}) for name in names] + [(name, ones) for name in names]:
        if not _is_as_recorded(form, setting.with_(**numbers | point), quantity, part):
            one = setting.with_(**{name: 1})
            form = _excepted(form, setting.value(name) > 1, _with_ones(one, quantity, part), setting, one)
    return form


def _is_as_recorded(form: sympy.Expr, setting: Setting, quantity: str, part: str | None) -> bool:
    """Whether a form has the value of a setting in numbers; yes where there is no such layer."""
    try:
        (outcome,) = _outcomes(setting, quantity, part).values()
    except (Mismatch, NeedsNumber, UnruledFunction):
        raise
    except ValueError:
        return True
    value = form.xreplace({x: sympy.Integer(int(v[0])) for x, v in _grid(setting).values.items()})
    return round(float(value)) == round(float(outcome[0])) if value.has(sympy.log) else bool(value == outcome[0])


def _general(setting: Setting, quantity: str, part: str | None) -> sympy.Expr:
    if _loops_over_k(setting):
        odd = range(3, 2 * DEGREE + 6, 2)
        each = [_over_counts(setting.with_(k=k), quantity, part) for k in odd]
        outcomes = {path: _combine(_polynomial, [one[path] for one in each]) for path in each[0]}
    else:
        outcomes = _over_counts(setting, quantity, part)
    if setting.free:
        _check_lines(setting.with_(k=3) if _loops_over_k(setting) else setting, quantity, part)
    maxima = {path: o[0] if len(o) == 1 else sympy.Max(*o, evaluate=False) for path, o in outcomes.items()}
    return join(maxima, _grid(setting))


@lru_cache(maxsize=256)
def _loops_over_k(setting: Setting) -> bool:
    """Whether the layer's program takes the kernel size as a number, so that it cannot be a symbol on the tape."""
    if "k" in dict(setting.sizes):
        return False
    try:
        _recordings(setting.with_(**dict.fromkeys(setting.free, setting.anchor)))
    except NeedsNumber:
        return True
    return False


@lru_cache(maxsize=512)
def _over_counts(setting: Setting, quantity: str, part: str | None) -> dict[Path, Outcome]:
    """Outcomes with the free iteration counts as symbols; loops are not nested, so each count adds its own slope."""
    anchor = setting.with_(**dict.fromkeys(setting.free, setting.anchor))
    base = _outcomes(anchor, quantity, part)
    steps = {name: _outcomes(anchor.with_(**{name: setting.anchor + 1}), quantity, part) for name in setting.free}

    def line(values: list[sympy.Expr]) -> sympy.Expr:
        start, *ends = values
        slopes = ((option_symbol(n) - setting.anchor) * (end - start) for n, end in zip(steps, ends, strict=True))
        return sympy.expand(sympy.Add(start, *slopes))

    return {path: _combine(line, [base[path], *(step[path] for step in steps.values())]) for path in base}


def _check_lines(setting: Setting, quantity: str, part: str | None) -> None:
    """Raise NotAlikeError unless a recording with other counts, all of them at once, is as the lines say."""
    lines = _over_counts(setting, quantity, part)
    if not _on_line(lines, setting, dict.fromkeys(setting.free, setting.anchor + 2), quantity, part):
        counts = ", ".join(setting.free)
        raise NotAlikeError(f"{quantity} of {setting.method} is not linear in {counts}; give numbers for these")


def _on_line(
    lines: dict[Path, Outcome], setting: Setting, counts: dict[str, int], quantity: str, part: str | None
) -> bool:
    """Whether the outcomes with these counts are what the lines give."""
    numbers = dict.fromkeys(setting.free, setting.anchor) | counts
    values = {option_symbol(name): number for name, number in numbers.items()}
    measured = _outcomes(setting.with_(**numbers), quantity, part)
    return measured.keys() == lines.keys() and all(
        tuple(sympy.expand(e.subs(values)) for e in lines[path]) == outcome for path, outcome in measured.items()
    )


@lru_cache(maxsize=512)
def _outcomes(setting: Setting, quantity: str, part: str | None) -> dict[Path, Outcome]:
    atoms = of_methods()

    def read(recording: Recording, ranges: Ranges) -> Outcome:
        if quantity == "peak_bytes":
            return peak_candidates(recording.sizes, recording.start, ranges, atoms)
        return (sympy.expand(atoms.put(recording.quantity(quantity, part))),)

    return {path: read(*result) for path, result in _recordings(setting).items()}


@lru_cache(maxsize=256)
def _recordings(setting: Setting) -> dict[Path, tuple[Recording, Ranges]]:
    """The recordings of every way through the method's branches."""

    def run(decide: Callable[[Any], bool]) -> Recording:
        return record_call(setting.program(), Tape(setting.in_place, decide, hint))[0]

    return explore(run, _grid(setting))


@lru_cache(maxsize=256)
def _grid(setting: Setting) -> Grid:
    sizes = {name: n for name, n in setting.sizes if name not in SIDES}
    free = {name: [setting.anchor - 1, setting.anchor + 2] for name in setting.free} | {
        name: [1, 2, 3] for name in setting.own
    }
    return Grid(sizes, dict(setting.counts), free, setting.rectangular, setting.stride)


def _combine(function: Callable[[list[sympy.Expr]], sympy.Expr], outcomes: list[Outcome]) -> Outcome:
    """Combine outcomes candidate by candidate."""
    if len({len(outcome) for outcome in outcomes}) > 1:
        raise NotAlikeError("the candidates of the maximum change with k or an iteration count; give numbers for these")
    return tuple(function(list(values)) for values in zip(*outcomes, strict=True))


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
