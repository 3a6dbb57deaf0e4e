"""Closed-form expressions, for any configuration at once."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
import sympy

from ._cases import Grid, Outcome, Path, Ranges, explore, join
from ._method import Method
from ._methods import METHODS
from ._peak import in_variables, peak_candidates
from ._record import QUANTITIES, Recording, record
from ._symbols import B, C, C_IN, C_OUT, H, K, M, S, option_symbol
from ._vectorised import compiled
from .predict import PARTS, channels, check_configuration, check_mode, lookup, positive, resolve_options, width

SIZES = {"b": B, "s": S, "c": C, "c_in": C_IN, "c_out": C_OUT, "k": 2 * M + 1}
ANCHOR = 3  # iteration count that formulas are anchored at: from the second iteration on, all are alike

Fixed = tuple[tuple[str, int], ...]


def formula(
    method: str,
    quantity: str,
    *,
    mode: str = "train",
    part: str | None = None,
    dtype: str = "float32",
    bias: bool = True,
    rectangular: bool = False,
    in_place: bool = True,
    **fixed: int,
) -> sympy.Expr:
    """A quantity of a method in b, s, c, k and the method's iteration counts, exact for all positive integers.

    Args:
        method: one of METHODS.
        quantity: one of QUANTITIES; the peak is a maximum of polynomials.
        mode: "train" or "inference".
        part: "input" or "parameter" for that transformation alone (counts only), or None for what a call pays.
        dtype: as for :func:`predict`.
        bias: whether the layer has a bias.
        rectangular: whether to tell c_in and c_out apart.
        in_place: as for :func:`predict`.
        **fixed: numbers to put in for b, s, c, c_in, c_out, k or iteration counts.

    Returns:
        An expression in the symbols b, s, c (or c_in and c_out), k and the iteration counts, with floor(s/2) for ⌊s/2⌋.
        A Piecewise where the layer branches.

    Raises:
        ValueError: for an unknown name or value.

    Example:
        >>> from lipcost.costmodel import formula
        >>> formula("soc", "macs_forward")
        b*c**2*k**2*s**2*terms
        >>> formula("soc", "macs_forward", terms=5, k=3)
        45*b*c**2*s**2
    """
    cls = lookup(method)
    _check_quantity(quantity, part)
    sizes = {name: value for name, value in fixed.items() if name in SIZES}
    options = {name: value for name, value in fixed.items() if name not in SIZES}
    resolve_options(cls, options)
    for name, value in sizes.items():
        positive(name, value)
    raw = _raw(
        method,
        quantity,
        check_mode(mode) == "train",
        part,
        width(cls, dtype),
        bias,
        rectangular,
        in_place,
        tuple(sizes.items()),
        tuple(options.items()),
    )
    return _readable(raw)


def evaluate(
    method: str, quantity: str, *, mode: str = "train", dtype: str = "float32", bias: bool = True, **values: Any
) -> np.ndarray:
    """A quantity over arrays of configurations at once, by the formula.

    Args:
        method: one of METHODS.
        quantity: one of QUANTITIES.
        mode: "train" or "inference".
        dtype: as for :func:`predict`.
        bias: whether the layer has a bias.
        **values: b, s, c (or c_in and c_out), k and iteration counts: ints or integer arrays that broadcast. What is left
            out has the default of :func:`predict`.

    Returns:
        int64 (float64 for the FLOPs of methods with FFTs), of the broadcast shape.

    Raises:
        ValueError: as :func:`predict`, for the first configuration that breaks a rule.

    Example:
        >>> import numpy as np
        >>> from lipcost.costmodel import evaluate
        >>> evaluate("aol", "parameter_bytes", b=1, s=32, c=np.array([16, 32]))
        array([ 9280, 36992])
    """
    cls = lookup(method)
    _check_quantity(quantity, None)
    train, bytes_each = check_mode(mode) == "train", width(cls, dtype)
    sizes = {name: values.pop(name) for name in SIZES if name in values}
    option = resolve_options(cls, {name: 1 for name in values}) | {n: cls.options[n] for n in cls.options} | values
    c_in, c_out = channels(sizes.get("c"), sizes.get("c_in"), sizes.get("c_out"))
    given = {"b": sizes["b"], "s": sizes["s"], "c_in": c_in, "c_out": c_out, "k": sizes.get("k", 3), **option}
    arrays = dict(zip(given, np.broadcast_arrays(*(_integers(n, v) for n, v in given.items())), strict=True))
    _check_arrays(cls, arrays)
    square = bool((arrays["c_in"] == arrays["c_out"]).all())

    def values_at(where: np.ndarray, fixed: Fixed) -> np.ndarray:
        raw = _raw(method, quantity, train, None, bytes_each, bias, not square, True, fixed, ())
        a = {name: array[where] for name, array in arrays.items()}
        point = {B: a["b"], S: a["s"], C: a["c_in"], C_IN: a["c_in"], C_OUT: a["c_out"], M: a["k"] // 2, H: a["s"] // 2}
        point |= {option_symbol(name): a[name] for name in option}
        return np.broadcast_to(compiled(raw, list(point))(*point.values()), a["b"].shape)

    everywhere = np.ones(arrays["b"].shape, bool)
    if not cls.unrolled:
        return values_at(everywhere, ()).reshape(everywhere.shape)
    result = np.zeros(everywhere.shape, np.int64)
    for k in np.unique(arrays["k"]):
        where = arrays["k"] == k
        result[where] = values_at(where, (("k", int(k)),))
    return result


@lru_cache(maxsize=1024)
def _raw(
    method: str,
    quantity: str,
    train: bool,
    part: str | None,
    bytes_each: int,
    bias: bool,
    rectangular: bool,
    in_place: bool,
    sizes: Fixed,
    options: Fixed,
) -> sympy.Expr:
    """The expression in b, s, c, m = (k-1)/2, h = ⌊s/2⌋ and the iteration counts."""
    cls, fixed, counts = METHODS[method], dict(sizes), dict(options)
    value = {name: fixed.get(name, symbol) for name, symbol in SIZES.items()}
    c_in, c_out = (value["c_in"], value["c_out"]) if rectangular and not cls.square else (value["c"], value["c"])
    free = [name for name in cls.options if name not in counts]
    grid = Grid(lambda s, k: _accepts(cls, s, k), [option_symbol(name) for name in free])

    def outcomes(k: Any, counts: dict[str, int]) -> dict[Path, Outcome]:
        def run(decide: Any) -> Recording:
            return record(
                cls,
                b=value["b"],
                s=value["s"],
                c_in=c_in,
                c_out=c_out,
                k=k,
                bias=bias,
                train=train,
                width=bytes_each,
                option=counts,
                in_place=in_place,
                decide=decide,
            )

        def read(recording: Recording, ranges: Ranges) -> Outcome:
            if quantity == "peak_bytes":
                return peak_candidates(recording.events, recording.start, ranges)
            return (sympy.expand(in_variables(recording.quantity(quantity, part), ranges)),)

        return explore(run, read, grid)

    def in_counts(k: Any) -> dict[Path, Outcome]:
        return _linear_in_counts(lambda step: outcomes(k, counts | step), free)

    if not cls.unrolled or "k" in fixed:
        return _joined(in_counts(value["k"]), grid)
    first, *others = [_joined_each(in_counts(2 * m + 1)) for m in range(6)]
    general = {path: _polynomial([o[path] for o in others]) for path in others[0]}
    return sympy.Piecewise((join(general, grid), M > 0), (join(first, grid), True))


def _linear_in_counts(outcomes: Any, names: list[str]) -> dict[Path, Outcome]:
    """Outcomes with iteration counts as symbols: loops are not nested, so each adds the same per iteration."""
    anchor = dict.fromkeys(names, ANCHOR)
    base = outcomes(anchor)
    result = {path: list(outcome) for path, outcome in base.items()}
    for name in names:
        step = outcomes(anchor | {name: ANCHOR + 1})
        for path, outcome in base.items():
            if len(step[path]) != len(outcome):
                raise ValueError(f"no closed form in {name}; give a number for it")
            for i, (one, more) in enumerate(zip(outcome, step[path], strict=True)):
                result[path][i] += (option_symbol(name) - ANCHOR) * (more - one)
    return {path: tuple(sympy.expand(e) for e in outcome) for path, outcome in result.items()}


def _joined_each(outcomes: dict[Path, Outcome]) -> dict[Path, sympy.Expr]:
    return {path: _maximum(outcome) for path, outcome in outcomes.items()}


def _joined(outcomes: dict[Path, Outcome], grid: Grid) -> sympy.Expr:
    return join(_joined_each(outcomes), grid)


def _maximum(outcome: Outcome) -> sympy.Expr:
    return outcome[0] if len(outcome) == 1 else sympy.Max(*outcome, evaluate=False)


def _polynomial(values: list[sympy.Expr]) -> sympy.Expr:
    """The polynomial in m with ``values`` at m = 1, 2, …, by Newton's forward differences; the last one checks the degree."""
    differences, row = [], values
    while row:
        differences.append(row[0])
        row = [sympy.expand(b - a) for a, b in zip(row, row[1:])]
    if differences[-1] != 0:
        raise ValueError("no closed form in k; give a number for it")
    terms = (d * sympy.binomial(M - 1, j).expand(func=True) for j, d in enumerate(differences))
    return sympy.expand(sympy.Add(*terms))


def _readable(raw: sympy.Expr) -> sympy.Expr:
    """k and ⌊s/2⌋ put back, each polynomial in the shorter of its expanded and its factored form."""
    if isinstance(raw, sympy.Piecewise):
        return sympy.Piecewise(*((_readable(e), sympy.simplify(_put_back(condition))) for e, condition in raw.args))
    if isinstance(raw, sympy.Max):
        return sympy.Max(*(_readable(e) for e in raw.args), evaluate=False)
    expanded = sympy.expand(_put_back(raw))
    by_padded_side = sympy.expand(expanded.subs(S, _SIDE - K + 1))
    forms = [f for e in (expanded, by_padded_side) for f in (e, sympy.factor(e))]
    return min(forms, key=sympy.count_ops).subs(_SIDE, S + K - 1)


_SIDE = sympy.Symbol("side", integer=True, positive=True)


def _put_back(expression: Any) -> Any:
    return expression.subs({M: (K - 1) / 2, H: sympy.floor(S / 2)})


def _check_quantity(quantity: str, part: str | None) -> None:
    if quantity not in QUANTITIES:
        raise ValueError(f"unknown quantity {quantity!r}; quantities: {', '.join(QUANTITIES)}")
    if part is not None and (part not in PARTS or quantity.endswith("_bytes")):
        raise ValueError(f"no part {part!r} of {quantity}; parts: {', '.join(PARTS)}, of counts only, not of bytes")


def _accepts(cls: type[Method], s: int, k: int) -> bool:
    try:
        cls.check(s, k)
    except ValueError:
        return False
    return True


def _integers(name: str, value: Any) -> np.ndarray:
    array = np.asarray(value)
    if array.dtype.kind not in "iu" or (array < 1).any():
        raise ValueError(f"{name} must be positive integers, got {value!r}")
    return array.astype(np.int64)


def _check_arrays(cls: type[Method], arrays: dict[str, np.ndarray]) -> None:
    """The rules of :func:`check_configuration`, which speaks up for the first configuration that breaks one."""
    names = ("b", "s", "c_in", "c_out", "k")
    for s, k, c_in, c_out in np.unique(np.stack([arrays[n].ravel() for n in ("s", "k", "c_in", "c_out")], 1), axis=0):
        check_configuration(cls, b=1, s=int(s), c_in=int(c_in), c_out=int(c_out), k=int(k))
    assert set(names) <= set(arrays)
