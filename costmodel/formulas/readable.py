"""Closed-form expressions, for any configuration at once."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np
import sympy

from ..checks import channels, check_mode, check_quantity, lookup, one_of, positive, resolve_counts
from ..layer_cost import predict
from .closed_form import SIDES, SIZES, Setting, closed_form
from .symbols import C_IN, C_OUT, B, C, H, K, M, S, option_symbol
from .vectorised import compiled, integers

if TYPE_CHECKING:
    from lipcost.layers import LipschitzConv2d


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
    stride: int = 1,
    padding_mode: str | None = None,
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
        stride: likewise; s is then a multiple of it.
        padding_mode: likewise.
        **fixed: numbers to put in for b, s (or h and w), c, c_in, c_out, k, iteration counts or the method's own sizes.
            An even k must be put in.

    Returns:
        An expression in the symbols b, s, c (or c_in and c_out), k, the iteration counts and the method's own sizes,
        with floor(s/2) for ⌊s/2⌋. A Piecewise where the layer branches.

    Raises:
        ValueError: for an unknown name or value, or one that the layer refuses; or where a count is not linear, or no
            polynomial in k, which is checked.

    Example:
        >>> from lipcost.costmodel import formula
        >>> formula("soc/published", "macs_forward")
        b*c**2*k**2*s**2*terms
        >>> formula("soc/published", "macs_forward", terms=5, k=3)
        45*b*c**2*s**2
    """
    cls = lookup(method)
    check_quantity(quantity, part)
    names = (*SIZES, *SIDES)
    sizes = {name: positive(name, value) for name, value in fixed.items() if name in names}
    given = {name: value for name, value in fixed.items() if name not in names}
    counts = {name: value for name, value in resolve_counts(cls, given).items() if name in given}
    rectangular = rectangular or "c_in" in sizes or "c_out" in sizes
    _check_sizes(cls, sizes, rectangular)
    if "c_in" in sizes and sizes["c_in"] == sizes.get("c_out"):
        sizes["c"], rectangular = sizes.pop("c_in"), False
        del sizes["c_out"]
    setting = Setting(
        method=method,
        train=check_mode(mode) == "train",
        dtype=one_of("dtype", dtype, _dtypes(cls)),
        bias=bias,
        rectangular=rectangular and not cls.square,
        in_place=in_place,
        stride=positive("stride", stride),
        padding_mode=padding_mode,
        sizes=tuple(sizes.items()),
        counts=tuple((name, int(value)) for name, value in counts.items()),
    )
    form = _mapped(closed_form(setting, quantity, part), _readable, _readable_condition)

    def of_image(expression: Any) -> Any:
        return expression.subs(S, S / stride)

    return form if stride == 1 else _mapped(form, of_image, of_image)


def _dtypes(cls: type[LipschitzConv2d]) -> list[str]:
    return [str(dtype).removeprefix("torch.") for dtype in cls.dtypes]


def evaluate(
    method: str,
    quantity: str,
    *,
    b: Any,
    s: Any,
    c: Any = None,
    c_in: Any = None,
    c_out: Any = None,
    k: Any = 3,
    mode: str = "train",
    dtype: str = "float32",
    bias: bool = True,
    **counts: Any,
) -> np.ndarray:
    """A quantity over arrays of configurations at once, by the formula.

    Args:
        method: one of METHODS.
        quantity: one of QUANTITIES.
        b: batch sizes; like all that follow, an int or an integer array, which broadcast.
        s: image sides.
        c: channels, c_in = c_out; or give both of the following.
        c_in: input channels.
        c_out: output channels.
        k: kernel sizes, odd.
        mode: "train" or "inference".
        dtype: as for :func:`predict`.
        bias: whether the layer has a bias.
        **counts: the method's iteration counts and own sizes, likewise ints or arrays; by default the layer's.

    Returns:
        int64 (float64 for the FLOPs of methods with FFTs), of the broadcast shape.

    Raises:
        ValueError: as :func:`predict`, for the first configuration that breaks a rule; or if a value exceeds an int64.

    Example:
        >>> import numpy as np
        >>> from lipcost.costmodel import evaluate
        >>> evaluate("aol", "parameter_bytes", b=1, s=32, c=np.array([16, 32]))
        array([ 9280, 36992])
    """
    cls = lookup(method)
    check_quantity(quantity, None)
    resolve_counts(cls, dict.fromkeys(counts, 1))
    c_in, c_out = channels(c, c_in, c_out)
    given = {"b": b, "s": s, "c_in": c_in, "c_out": c_out, "k": k, **cls.counts, **counts}
    arrays = dict(zip(given, np.broadcast_arrays(*(integers(n, v) for n, v in given.items())), strict=True))
    for name, size in cls.sizes.items():
        if name not in arrays:
            arrays[name] = np.vectorize(size, otypes=[np.int64])(arrays["c_in"], arrays["c_out"])
    check_mode(mode)
    _check_arrays(method, arrays, mode=mode, dtype=dtype, bias=bias)
    setting = Setting(
        method=method,
        train=mode == "train",
        dtype=dtype,
        bias=bias,
        rectangular=not cls.square and bool((arrays["c_in"] != arrays["c_out"]).any()),
    )
    out = np.empty(arrays["b"].shape, object)
    even = np.unique(arrays["k"][arrays["k"] % 2 == 0])
    groups = [(arrays["k"] % 2 == 1, setting), *((arrays["k"] == n, setting.with_(k=int(n))) for n in even)]
    for chosen, of_group in groups:
        if chosen.all():
            return _values(of_group, quantity, arrays)
        if chosen.any():
            out[chosen] = _values(of_group, quantity, {name: values[chosen] for name, values in arrays.items()})
    return out.astype(np.result_type(*{type(value) for value in out.flat}))


def _values(setting: Setting, quantity: str, arrays: dict[str, np.ndarray]) -> np.ndarray:
    """The closed form at the configurations of ``arrays``."""
    point = {B: arrays["b"], S: arrays["s"], C: arrays["c_in"], C_IN: arrays["c_in"], C_OUT: arrays["c_out"]}
    point |= {K: arrays["k"], M: arrays["k"] // 2, H: arrays["s"] // 2}
    names = [*setting.cls.counts, *setting.cls.sizes]
    point |= {option_symbol(name): arrays[name] for name in names}
    form = closed_form(setting, quantity)
    function = compiled(form, list(point))
    estimate = function(*(values.astype(float) for values in point.values()))
    if np.max(estimate) >= 2.0**63:
        raise ValueError(f"{quantity} reaches {np.max(estimate):.3g}, more than an int64 holds; use predict")
    return np.broadcast_to(function(*point.values()), arrays["b"].shape)


def _mapped(form: sympy.Expr, function: Callable[[Any], Any], of_condition: Callable[[Any], Any]) -> sympy.Expr:
    """A form with each polynomial and each condition replaced; SymPy itself would try to find each maximum anew."""
    if isinstance(form, sympy.Piecewise):
        pieces = [(_mapped(e, function, of_condition), of_condition(condition)) for e, condition in form.args]
        return sympy.Piecewise(*pieces)
    if isinstance(form, sympy.Max):
        return sympy.Max(*(_mapped(e, function, of_condition) for e in form.args), evaluate=False)
    return function(form)


def _readable(raw: sympy.Expr) -> sympy.Expr:
    """A polynomial written short, with k and ⌊s/2⌋ put back."""
    expanded = sympy.expand(_put_back(raw))
    return min(expanded, _collected(expanded), sympy.factor(expanded), key=sympy.count_ops)


def _readable_condition(condition: Any) -> Any:
    """An inequality between positive sides, such as s > k."""
    if isinstance(condition, sympy.And | sympy.Or):
        return condition.func(*(_readable_condition(part) for part in condition.args))
    if not isinstance(condition, sympy.StrictGreaterThan | sympy.StrictLessThan):
        return condition
    difference = sympy.expand(_put_back(condition.gts - condition.lts))
    negative = sympy.Add(*(t for t in sympy.Add.make_args(difference) if t.could_extract_minus_sign()))
    return sympy.Gt(difference - negative, -negative)


def _put_back(expression: Any) -> Any:
    return expression.subs({M: (K - 1) / 2, H: sympy.floor(S / 2)})


def _collected(expression: sympy.Expr) -> sympy.Expr:
    """Grouped by powers of batch, channels, iteration counts and logarithms; each coefficient as short as it gets."""
    dummies = {e: sympy.Dummy(str(e)) for e in expression.atoms(sympy.log)}
    dummies = {log: dummy for log, dummy in dummies.items() if log.free_symbols} | {sympy.floor(S / 2): H}
    expression = expression.subs(dummies)
    others = sorted(expression.free_symbols - {S, K, H}, key=str)
    if not others:
        return _coefficient(expression).subs(H, sympy.floor(S / 2))
    terms = (
        _coefficient(coefficient) * sympy.Mul(*(x**p for x, p in zip(others, powers, strict=True)))
        for powers, coefficient in sympy.Poly(expression, *others).terms()
    )
    return sympy.Add(*terms).subs({dummy: e for e, dummy in dummies.items()})


@lru_cache(maxsize=4096)
def _coefficient(expression: sympy.Expr) -> sympy.Expr:
    """A polynomial in s and k expanded, factored, or with (s+k-1)², the pixels of a padded image, split off."""
    forms = [sympy.expand(expression), sympy.factor(expression)]
    squares = {(S + K - 1) ** 2} if {S, K} <= expression.free_symbols else {(S + k - 1) ** 2 for k in (3, 5, 7)}
    for square, variable in product(squares, {S, K} & expression.free_symbols):
        quotient, rest = sympy.div(sympy.Poly(expression, variable), sympy.Poly(square, variable))
        forms.append(sympy.factor(quotient.as_expr()) * square + sympy.factor(rest.as_expr()))
    return min(forms, key=lambda form: (sympy.count_ops(form), str(form)))


def _check_sizes(cls: type[LipschitzConv2d], sizes: dict[str, int], rectangular: bool) -> None:
    """Raise ValueError for fixed numbers that contradict each other."""
    if rectangular and "c" in sizes:
        raise ValueError("give c, or c_in and c_out, not both")
    if rectangular and cls.square and {"c_in", "c_out"} & set(sizes):
        raise ValueError(f"{cls.name} has c_in == c_out: give c")
    if {"h", "w"} & set(sizes) and ("s" in sizes or not {"h", "w"} <= set(sizes)):
        raise ValueError("give s, or h and w")


def _check_arrays(method: str, arrays: dict[str, np.ndarray], **how: Any) -> None:
    """Let the layer speak up for the worst configuration of every kind."""
    for k in np.unique(arrays["k"]):
        s = arrays["s"][arrays["k"] == k].min()  # a kernel that fits an image fits every larger one
        predict(method, b=1, s=int(s), c=1, k=int(k), **how)
    unequal = np.flatnonzero(arrays["c_in"] != arrays["c_out"])
    if unequal.size:
        c_in, c_out = (int(arrays[name].flat[unequal[0]]) for name in ("c_in", "c_out"))
        predict(method, b=1, s=1, c_in=c_in, c_out=c_out, k=1, **how)
    own = list(lookup(method).sizes)
    if own:  # which the channels may limit
        columns = [arrays[name].ravel() for name in ("c_in", "c_out", *own)]
        for c_in, c_out, *sizes in np.unique(columns, axis=1).T.tolist():
            lookup(method)(c_in, c_out, 1, device="meta", **dict(zip(own, sizes, strict=True)))
