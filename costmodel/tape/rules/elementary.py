"""Rules of functions of one tensor's elements: exponentials, logarithms, angles, special functions, rounding."""

from __future__ import annotations

import math
from math import pi
from typing import Any

from ..table import rule
from ..tensor import Tensor
from .arithmetic import divided
from .formulas import Formula, Term, elementwise, function
from .kernels import real_of


def _of_acosh(grad: Term, self: Term) -> Term:
    if self.tensor.dtype.is_complex:
        return grad * ((self + 1).rsqrt() * (self - 1).rsqrt()).conj()
    return grad * (self * self - 1).rsqrt()


def _of_sinc(grad: Term, self: Term) -> Term:
    multiple = (self * pi).named()
    square = (self * self * pi).named()
    found = (grad * ((multiple * multiple.cos() - multiple.sin()) / square).conj()).named()
    return found.constant("zeros").where(square.eq(0), found)


def _nothing(grad: Term) -> Term:
    return grad.zeros_like()


# By the kernel. Integers are taken as torch's default type.
OF_FLOATS: dict[str, Formula] = {
    "acos": lambda grad, self: grad * -((-self * self + 1).rsqrt()).conj(),
    "acosh": _of_acosh,
    "asin": lambda grad, self: grad * (-self * self + 1).rsqrt().conj(),
    "asinh": lambda grad, self: grad * (self.pow(2) + 1).rsqrt().conj(),
    "atan": lambda grad, self: grad / (self * self + 1).conj(),
    "atanh": lambda grad, self: grad * 1 / (1 - self.pow(2)).conj(),
    "cos": lambda grad, self: grad * -self.sin().conj(),
    "cosh": lambda grad, self: grad * self.sinh().conj(),
    "deg2rad": lambda grad: grad * (pi / 180),
    "digamma": lambda grad, self: grad * self.kernel("polygamma"),
    "erf": lambda grad, self: 2.0 / math.sqrt(pi) * (-(self.pow(2))).exp() * grad,
    "erfc": lambda grad, self: -2.0 / math.sqrt(pi) * (-(self.pow(2))).exp() * grad,
    "erfinv": lambda grad, self: 0.5 * math.sqrt(pi) * self.erfinv().pow(2).exp() * grad,
    "exp": lambda grad, result: grad * result.conj(),
    "exp2": lambda grad, result: grad * result.conj() * math.log(2),
    "expm1": lambda grad, result: grad * (result.conj() + 1),
    "i0": lambda grad, self: grad * self.kernel("special_i1"),
    "special_i0e": lambda grad, self, result: grad * (self.kernel("special_i1e") - self.sgn() * result),
    "lgamma": lambda grad, self: grad * self.digamma(),
    "log": lambda grad, self: grad / self.conj(),
    "log10": lambda grad, self: grad / (self.conj() * math.log(10)),
    "log1p": lambda grad, self: grad / (self + 1).conj(),
    "log2": lambda grad, self: grad / (self.conj() * math.log(2)),
    "rad2deg": lambda grad: grad * (180 / pi),
    "rsqrt": lambda grad, result: -0.5 * grad * result.pow(3).conj(),
    "sin": lambda grad, self: grad * self.cos().conj(),
    "sinc": _of_sinc,
    "sinh": lambda grad, self: grad * self.cosh().conj(),
    "special_erfcx": lambda grad, self, result: (2.0 * self * result - 2.0 / math.sqrt(pi)) * grad,
    "special_entr": lambda grad, self: grad * (-(1 + self.log())),
    "special_ndtri": lambda grad, result: grad * math.sqrt(2 * pi) * (result.square() / 2).exp(),
    "special_log_ndtr": lambda grad, self, result: grad / math.sqrt(2 * pi) * (result + self.pow(2) / 2).neg().exp(),
    "sqrt": lambda grad, result: grad / (2 * result.conj()),
    "tan": lambda grad, result: grad * (1 + result.pow(2)).conj(),
}

# Those of integers are integers.
OF_NUMBERS: dict[str, Formula] = {
    "ceil": _nothing,
    "floor": _nothing,
    "frac": lambda grad: grad,
    "round": _nothing,
    "sign": _nothing,
    "trunc": _nothing,
}

SPECIAL = (
    "digamma", "erf", "erfc", "erfinv", "exp2", "expm1", "i0", "log1p", "sinc",
)  # fmt: skip
NAMES: dict[str, tuple[str, ...]] = {
    "acos": ("acos", "arccos"), "acosh": ("acosh", "arccosh"), "asin": ("asin", "arcsin"),
    "asinh": ("asinh", "arcsinh"), "atan": ("atan", "arctan"), "atanh": ("atanh", "arctanh"),
    "digamma": ("digamma", "torch.special.psi"), "lgamma": ("lgamma", "torch.special.gammaln"),
    "special_entr": ("torch.special.entr",), "special_i0e": ("torch.special.i0e",),
    "special_erfcx": ("torch.special.erfcx",), "special_log_ndtr": ("torch.special.log_ndtr",),
    "special_ndtri": ("torch.special.ndtri",), "round": ("round", "torch.special.round"), "trunc": ("trunc", "fix"),
}  # fmt: skip


NOT_IN_PLACE = ("acosh", "asinh", "atanh")  # in a graph


def _elementary(name: str, formula: Formula, of_floats: bool) -> Any:
    def of_one(x: Tensor, *, decimals: int = 0, **how: Any) -> Tensor:
        formulas = None if name in NOT_IN_PLACE and how.get("inplace") else {"self": formula}
        return elementwise(name, {"self": x}, formulas, dtype=divided(x) if of_floats else None, **how)

    special = (f"torch.special.{name}",) if name in SPECIAL else ()
    return function(*NAMES.get(name, (name,)), *special)(of_one)


_RULES = {name: _elementary(name, formula, True) for name, formula in OF_FLOATS.items()}
_RULES |= {name: _elementary(name, formula, False) for name, formula in OF_NUMBERS.items()}
sqrt, rsqrt, exp, log, cos, sin = (_RULES[name] for name in ("sqrt", "rsqrt", "exp", "log", "cos", "sin"))


@function("abs", "absolute")
def absolute(x: Tensor, **how: Any) -> Tensor:
    return elementwise(
        "abs", {"self": x}, {"self": lambda grad, self: grad * self.sgn()}, dtype=real_of(x.dtype), **how
    )


@function("sgn")
def sgn(x: Tensor, **how: Any) -> Tensor:
    def gradient(grad: Term, self: Term, result: Term) -> Term:
        length = self.abs().named()
        direction = (grad - (result * result) * grad.conj()) / (2.0 * length)
        return direction.masked_fill_(length.eq(0), 0)

    return elementwise("sgn", {"self": x}, {"self": gradient} if x.dtype.is_complex else None, **how)


@function("logit", "torch.special.logit")
def logit(x: Tensor, eps: float | None = None, **how: Any) -> Tensor:
    formulas = {"self": lambda grad, self: grad.kernel("logit_backward", self)}
    return elementwise("logit", {"self": x}, formulas, dtype=divided(x), **how)


@rule("torch.polygamma", "torch.special.polygamma")
def polygamma(n: int, x: Tensor, **how: Any) -> Tensor:
    formulas = {"self": lambda grad, self: grad * self.kernel("polygamma")}
    return elementwise("polygamma", {"self": x}, formulas, dtype=divided(x), **how)


@rule("Tensor.polygamma")
def polygamma_of(x: Tensor, n: int) -> Tensor:
    return polygamma(n, x)


@function("nan_to_num")
def nan_to_num(x: Tensor, nan: Any = None, posinf: Any = None, neginf: Any = None, **how: Any) -> Tensor:
    return elementwise("nan_to_num", {"self": x}, {"self": lambda grad, self: grad * self.isfinite()}, **how)
