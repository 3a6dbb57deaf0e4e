"""What the cost model says without a measurement: orders of growth, formulas, and how costs compare and grow."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import sympy

from lipcost.costmodel import PUBLISHED, Prediction, formula, leading_order, predict
from lipcost.costmodel.text import SUPERSCRIPTS, polynomial

ORDERS = ("flops_forward", "memory")
FORMULAS = ("macs_forward", "macs_backward", "saved_bytes")
PLAIN = "standard" + PUBLISHED  # the convolution that everybody has
SIZES: dict[str, Any] = {"b": 256, "s": 32, "c": 64, "k": 3}
RATIOS: dict[str, Callable[[Prediction], int]] = {
    "MACs": lambda p: p.macs_forward + p.macs_backward,
    "FLOPs (with FFTs and inverses)": lambda p: p.flops_forward + p.flops_backward,
    "bytes saved for backward": lambda p: p.saved_bytes,
    "peak bytes": lambda p: p.peak_bytes,
}
# By the size that grows: its values, and what the others are.
GROWTH: dict[str, tuple[tuple[int, ...], dict[str, Any]]] = {
    "b": ((1, 4, 16, 64, 256, 1024), SIZES),
    "s": ((4, 8, 16, 32, 64, 128), SIZES | {"b": 16}),
}


@dataclass(frozen=True)
class Predicted:
    """What is predicted of each method, in training.

    Attributes:
        orders: by method and quantity of ORDERS, the leading terms in Unicode.
        formulas: by method and quantity of FORMULAS, the formula in Unicode, one line per case.
        ratios: by method but PLAIN and by name in RATIOS, what it costs with SIZES, PLAIN = 1.
        growth: by size of GROWTH and method, the peak bytes for each of the size's values.
    """

    orders: dict[str, dict[str, str]]
    formulas: dict[str, dict[str, str]]
    ratios: dict[str, dict[str, float]]
    growth: dict[str, dict[str, list[int]]]

    def to_dict(self) -> dict[str, Any]:
        """All of it, ready for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Predicted:
        """Of :meth:`to_dict`."""
        return cls(**data)


def predicted(methods: Sequence[str]) -> Predicted:
    """What the cost model says of some methods.

    Example:
        >>> from lipcost.validate.compare.predicted import predicted
        >>> predicted(["cayley"]).orders
        {'cayley': {'flops_forward': 'b s² c² + s² c³', 'memory': 'b s² c + s² c²'}}
    """
    plain = predict(PLAIN, **SIZES)
    peaks = {
        name: {m: [predict(m, **others | {name: value}).peak_bytes for value in values] for m in methods}
        for name, (values, others) in GROWTH.items()
    }
    at = {m: predict(m, **SIZES) for m in methods if m != PLAIN}
    return Predicted(
        orders={m: {q: polynomial(leading_order(m, q)) for q in ORDERS} for m in methods},
        formulas={m: {q: written(formula(m, q)) for q in FORMULAS} for m in methods},
        ratios={m: {name: cost(p) / cost(plain) for name, cost in RATIOS.items()} for m, p in at.items()},
        growth=peaks,
    )


def written(expression: sympy.Expr) -> str:
    """An expression in Unicode, one line per case.

    Args:
        expression: what ``lipcost.costmodel.formula`` gives.

    Example:
        >>> from lipcost.costmodel import formula
        >>> from lipcost.validate.compare.predicted import written
        >>> print(written(formula("cayley/published", "macs_forward")))
        4·c²·s·(b + c)·(⌊s/2⌋ + 1)
        >>> print(written(formula("standard/published", "saved_bytes")))
        k > 1: 4·b·c·(k + s - 1)²;
        else: 0
    """
    if isinstance(expression, sympy.Piecewise):
        cases = (("else" if condition == sympy.true else str(condition), e) for e, condition in expression.args)
        return ";\n".join(f"{condition}: {written(e)}" for condition, e in cases)
    text = re.sub(r"\*\*(\d+)", lambda power: power[1].translate(SUPERSCRIPTS), str(expression))
    return re.sub(r"floor\(([^()]*)\)", r"⌊\1⌋", text).replace("*", "·")
