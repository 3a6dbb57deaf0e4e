"""Rules of functions of two tensors' elements, and what all families take from those of functions of the elements."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from ..graph import attach
from ..tensor import Tensor
from ..versions import since
from .arithmetic import add, div, divided, mul, neg, pow, reciprocal, scaled, square, sub
from .comparisons import at_extremum, bitwise_and, clamp, clamp_min, eq, ge, gt, le, lt, masked_fill, ne, where
from .elementary import absolute, cos, exp, log, rsqrt, sgn, sin, sqrt
from .factories import filled
from .formulas import Formula, Formulas, Term, elementwise, function
from .kernels import Operand, pointwise

__all__ = [
    "absolute", "add", "bitwise_and", "clamp", "clamp_min", "cos", "div", "eq", "exp", "ge", "gt", "le",
    "log", "lt", "masked_fill", "maximum", "minimum", "mul", "ne", "neg", "pow", "reciprocal", "rsqrt",
    "scaled", "sgn", "sin", "sqrt", "square", "sub", "unary", "where",
]  # fmt: skip

Derivative = Callable[[Tensor, Tensor, Tensor], Tensor]  # of the gradient, the input and the output


def unary(
    name: str, x: Tensor, derivative: Derivative | None, keeps: str = "x", *, dtype: Any = None, **how: Any
) -> Tensor:
    """A function of one tensor's elements, its derivative written in tensors.

    Args:
        name: of the kernel.
        x: its input.
        derivative: the gradient of x from that of the output, x and the output; None where there is none.
        keeps: what of them its backward reads: "x", "y" or "".
        dtype: of the output.
        **how: what else :func:`~.kernels.pointwise` takes.
    """
    out = pointwise(name, x, dtype=dtype, **how)
    if derivative is None:
        return out

    def backward(saved: Sequence[Tensor], g: Tensor) -> list[Tensor]:
        kept = saved[0] if saved else g
        return [derivative(g, kept, kept)]

    attach([out], [x], {"x": [x], "y": [out], "": []}[keeps], backward)
    return out


def _of_angle(grad: Term, self: Term, other: Term, wanted: list[bool]) -> list[Term | None]:
    square = (self * self + other * other).named()
    share = square.reciprocal().masked_fill(square.eq(0), 0).named()
    return [grad * other * share if wanted[0] else None, grad * -self * share if wanted[1] else None]


def _of_copysign(grad: Term, self: Term, result: Term) -> Term:
    ratio = (result / self).named()
    ratio.masked_fill_(self.eq(0), 0).named()
    return grad * ratio


def _zeros(like: Tensor) -> Formula:
    """Zeros like a tensor of which only shape and type are kept."""
    sizes, dtype = like.sizes, like.dtype
    return lambda grad: grad.by(lambda g: filled("zeros", g.tape, sizes, dtype))


def _extremum(beyond: str, other_beyond: str) -> Formulas:
    """The gradient goes to the extremum, half of it to each where both are equal."""
    return {
        "self": lambda grad, self, other: at_extremum(grad, self, other, beyond),
        "other": lambda grad, self, other: at_extremum(grad, self, other, other_beyond),
    }


def _extremum_but_nan(beyond: str, other_beyond: str, holds: str) -> Formulas:
    if since(2, 14):
        return _extremum(beyond, other_beyond)

    def of_self(grad: Term, self: Term, other: Term) -> Term:
        return grad.masked_fill(getattr(self, holds)(other).logical_or_(other.isnan()).logical_not_(), 0)

    def of_other(grad: Term, self: Term, other: Term) -> Term:
        return grad.masked_fill(getattr(self, holds)(other).logical_or_(other.isnan()), 0)

    return {"self": of_self, "other": of_other}


def _product_with_logarithm(name: str, beside: int) -> Formulas:
    """Of x · log(y + beside)."""

    def of_self(grad: Term, self: Term, other: Term | float) -> Term:
        product = grad.by(_RULES[name], other)
        if type(other) is Term:
            return product.masked_fill(self.eq(0).bitwise_and(other.le(-beside)), 0)
        return product if other > -beside else product.masked_fill(self.eq(0), 0)  # type: ignore[operator]

    def of_other(grad: Term, self: Term | float, other: Term) -> Term:
        return grad * self / (other + beside if beside else other)

    return {"self": of_self, "other": of_other}


# Of functions of real numbers; None where torch has no gradient.
FORMULAS: dict[str, Formulas | None] = {
    "atan2": {"self other": _of_angle},
    "copysign": {"self": _of_copysign},
    "fmax": _extremum_but_nan("lt", "gt", "ge"),
    "fmin": _extremum_but_nan("gt", "lt", "le"),
    "gcd": None,
    "heaviside": None,
    "hypot": {
        "self": lambda grad, self, result: grad * self / result,
        "other": lambda grad, other, result: grad * other / result,
    },
    "lcm": None,
    "ldexp": {
        "self": lambda grad, other: grad * (2**other).conj(),
        "other": lambda grad, result: grad * result.conj() * math.log(2),
    },
    "logaddexp": {
        "self": lambda grad, self, other: grad / (1 + (other - self).exp()).conj(),
        "other": lambda grad, self, other: grad / (1 + (self - other).exp()).conj(),
    },
    "logaddexp2": {
        "self": lambda grad, self, other: grad / (1 + 2 ** (other - self)),
        "other": lambda grad, self, other: grad / (1 + 2 ** (self - other)),
    },
    "maximum": _extremum("lt", "gt"),
    "minimum": _extremum("gt", "lt"),
    "nextafter": None,
    "xlogy": _product_with_logarithm("xlogy", 0),
    "special_xlog1py": _product_with_logarithm("special_xlog1py", 1),
}

NAMES = {
    "atan2": ("atan2", "arctan2"),
    "special_xlog1py": ("torch.special.xlog1py",),
    "xlogy": ("xlogy", "torch.special.xlogy"),
}
OF_FLOATS = ("atan2", "copysign", "ldexp", "xlogy", "special_xlog1py")  # integers are taken as torch's default type


def _binary(name: str) -> Any:
    def binary(x: Operand, y: Operand, **how: Any) -> Tensor:
        dtype, formulas = divided(x, y) if name in OF_FLOATS else None, FORMULAS[name]
        if name == "copysign" and type(y) is Tensor:
            formulas = {"self": _of_copysign, "other": _zeros(y)}
        return elementwise(name, {"self": x, "other": y}, formulas, dtype=dtype, **how)

    return function(*NAMES.get(name, (name,)))(binary)


_RULES = {name: _binary(name) for name in FORMULAS}
minimum, maximum = _RULES["minimum"], _RULES["maximum"]
