"""Rules of arithmetic: sums, products, remainders, powers."""

from __future__ import annotations

from typing import Any

import torch

from ..errors import refused
from ..table import rule
from ..tape import DType
from ..tensor import Tensor
from .copies import to
from .factories import filled
from .formulas import Formulas, Term, elementwise, function
from .kernels import Operand, promoted

How = Any  # inplace= and out=, as elementwise takes them


def conjugate(value: Term | complex, grad: Term) -> Any:
    """Of a tensor or a number; of a complex number torch makes a tensor without axes and copies its lazy conjugate."""
    if type(value) is Term:
        return value.conj()
    return value if type(value) is not complex else grad.by(_conjugated)


def _conjugated(like: Tensor) -> Tensor:
    out = like.new((), torch.complex128)
    out.tape.kernel("clone", "pointwise", [out, out], flops=0)
    return out


def divided(*operands: Operand) -> DType:
    """The type of a quotient: of integers it is torch's default one."""
    return promoted((*operands, 1.0))


# Sums.


@function("neg", "negative")
def neg(x: Tensor, **how: How) -> Tensor:
    return elementwise("neg", {"self": x}, {"self": lambda grad: -grad}, **how)


@function("add")
def add(x: Operand, y: Operand, *, alpha: float = 1, **how: How) -> Tensor:
    if type(x) is not Tensor:
        return add(y, x, **how)
    formulas: Formulas = {"self": lambda grad: grad, "other": lambda grad: scaled(grad, alpha)}
    return elementwise("add", {"self": x, "other": y}, formulas, **how)


def add_(x: Tensor, y: Operand) -> Tensor:
    """x, with y added in place."""
    return add(x, y, inplace=True)


def div_(x: Tensor, y: Operand) -> Tensor:
    """x, divided by y in place."""
    return div(x, y, inplace=True)


@function("sub", "subtract")
def sub(x: Operand, y: Operand, *, alpha: float = 1, **how: How) -> Tensor:
    formulas: Formulas = {"self": lambda grad: grad, "other": lambda grad: scaled(-grad, alpha)}
    return elementwise("sub", {"self": x, "other": y}, formulas, **how)


def scaled(gradient: Any, alpha: complex) -> Any:
    """A gradient times a factor, if that is not 1."""
    return gradient if alpha == 1 else gradient * alpha.conjugate()


@rule("torch.rsub", "Tensor.__rsub__")
def rsub(x: Tensor, y: Operand, *, alpha: float = 1) -> Tensor:
    """y - x."""
    formulas: Formulas = {"self": lambda grad: scaled(-grad, alpha), "other": lambda grad: grad}
    return elementwise("rsub", {"self": x, "other": y}, formulas, order=("other", "self"))


@rule("torch.positive", "Tensor.positive")
def positive(x: Tensor) -> Tensor:
    return x


# Products.


@function("mul", "multiply")
def mul(x: Operand, y: Operand, **how: How) -> Tensor:
    if type(x) is not Tensor:
        return mul(y, x, **how)
    formulas: Formulas = {
        "self": lambda grad, other: grad * conjugate(other, grad),
        "other": lambda grad, self: grad * self.conj(),
    }
    return elementwise("mul", {"self": x, "other": y}, formulas, **how)


@function("div", "divide")
def div(x: Operand, y: Operand, *, rounding_mode: str | None = None, **how: How) -> Tensor:
    if type(x) is not Tensor:
        return rdiv(y, x)
    if rounding_mode is not None:
        zeros: Formulas = {  # which name what they keep and do not use
            "self": lambda grad, other: grad.zeros_like(),
            "other": lambda grad, self, other: grad.zeros_like(),
        }
        return elementwise("div", {"self": x, "other": y}, zeros, **how)
    formulas: Formulas = {
        "self": lambda grad, other: grad / conjugate(other, grad),
        "other": lambda grad, self, other: -grad * ((self / other) / other).conj(),
    }
    return elementwise("div", {"self": x, "other": y}, formulas, dtype=divided(x, y), **how)


@function("true_divide")
def true_divide(x: Tensor, y: Operand, **how: How) -> Tensor:
    return div(x, y, **how)


@rule("Tensor.__rdiv__", "Tensor.__rtruediv__")
def rdiv(x: Tensor, y: complex) -> Tensor:
    """y / x."""
    return mul(reciprocal(x), y)


@function("reciprocal")
def reciprocal(x: Tensor, **how: How) -> Tensor:
    formulas: Formulas = {"self": lambda grad, result: -grad * (result * result).conj()}
    return elementwise("reciprocal", {"self": x}, formulas, dtype=divided(x), **how)


@function("floor_divide")
def floor_divide(x: Operand, y: Operand, **how: How) -> Tensor:
    return elementwise("floor_divide", {"self": x, "other": y}, None, **how)


@rule("Tensor.__rfloordiv__")
def rfloordiv(x: Tensor, y: complex) -> Tensor:
    """y // x."""
    return floor_divide(y, x)


def _remainder(name: str, rounding_mode: str) -> Any:
    @function(name)
    def remainder(x: Operand, y: Operand, **how: How) -> Tensor:
        formulas: Formulas = {
            "self": lambda grad: grad,
            "other": lambda grad, self, other: -grad * self.div(other, rounding_mode=rounding_mode),
        }
        return elementwise(name, {"self": x, "other": y}, formulas if type(x) is Tensor else None, **how)

    return remainder


remainder, fmod = _remainder("remainder", "floor"), _remainder("fmod", "trunc")


@rule("Tensor.__rmod__")
def rmod(x: Tensor, y: complex) -> Tensor:
    """y % x."""
    return remainder(y, x)  # type: ignore[no-any-return]


@function("addcmul")
def addcmul(x: Tensor, tensor1: Operand, tensor2: Operand, *, value: float = 1, **how: How) -> Tensor:
    formulas: Formulas = {
        "self": lambda grad: grad,
        "tensor1": lambda grad, tensor2: grad * (tensor2 * value).conj(),
        "tensor2": lambda grad, tensor1: grad * (tensor1 * value).conj(),
    }
    return elementwise("addcmul", {"self": x, "tensor1": tensor1, "tensor2": tensor2}, formulas, **how)


@function("addcdiv")
def addcdiv(x: Tensor, tensor1: Tensor, tensor2: Tensor, *, value: float = 1, **how: How) -> Tensor:
    formulas: Formulas = {
        "self": lambda grad: grad,
        "tensor1": lambda grad, tensor2: grad * (value / tensor2).conj(),
        "tensor2": lambda grad, tensor1, tensor2: -grad * (value * tensor1 / (tensor2 * tensor2)).conj(),
    }
    return elementwise("addcdiv", {"self": x, "tensor1": tensor1, "tensor2": tensor2}, formulas, **how)


@function("lerp")
def lerp(x: Tensor, end: Tensor, weight: Operand, **how: How) -> Tensor:
    formulas: Formulas = {
        "self": lambda grad, weight: grad * (1 - weight.conjugate()),
        "end": lambda grad, weight: grad * weight.conjugate(),
    }
    if type(weight) is Tensor:
        formulas = {
            "self": lambda grad, weight: grad * (1 - weight).conj(),
            "end": lambda grad, weight: grad * weight.conj(),
            "weight": lambda grad, self, end: grad * (end - self).conj(),
        }
    return elementwise("lerp", {"self": x, "end": end, "weight": weight}, formulas, **how)


# Powers.


@function("pow")
def pow(x: Operand, exponent: Operand, **how: How) -> Tensor:
    formulas: Formulas = {"exponent": _exponent_gradient, "self": _base_gradient}
    if type(x) is not Tensor:
        formulas = {"exponent": _number_gradient}
    elif type(exponent) is not Tensor:
        formulas = {"self": _zero_power_gradient if exponent == 0 else _power_gradient}
    return elementwise("pow", {"self": x, "exponent": exponent}, formulas, plain=type(x) is not Tensor, **how)


def _power_gradient(grad: Term, self: Term, exponent: complex) -> Term:
    return grad * (exponent * self.pow(exponent - 1)).conj()


def _zero_power_gradient(self: Term) -> Term:
    return self.by(lambda x: filled("zeros_like", x.tape, x.sizes, x.dtype))


def _base_gradient(grad: Term, self: Term, exponent: Term) -> Term:
    return grad.constant().where(exponent.eq(0), grad * (exponent * self.pow(exponent - 1)).conj())


def _exponent_gradient(grad: Term, self: Term, exponent: Term, result: Term) -> Term:
    zero = _not_negative(exponent).logical_and(self.eq(0)).named()
    converted = self.to(result.tensor.dtype).named()
    return grad * grad.constant().where(zero, (result * converted.log()).conj())


def _not_negative(exponent: Term) -> Term:
    if not exponent.tensor.dtype.is_complex:
        return exponent.ge(0)
    raise refused("the gradient of a complex exponent")


def _number_gradient(grad: Term, self: complex, exponent: Term, result: Term) -> Term:
    """Of x in a ** x."""
    product = (result * 2.0).conj()
    return grad * (product if self != 0 else grad.constant("zeros").where(_not_negative(exponent), product))


@rule("Tensor.__rpow__")
def rpow(x: Tensor, base: complex) -> Tensor:
    """base ** x."""
    return pow(base, x)


@function("square")
def square(x: Tensor, **how: How) -> Tensor:
    return pow(x, 2, **how)


@function("float_power")
def float_power(x: Operand, exponent: Operand, *, inplace: bool = False) -> Tensor:
    """A power in double precision."""
    double = torch.complex128 if promoted((x, exponent)).is_complex else torch.float64
    x, exponent = (to(each, double) if type(each) is Tensor else each for each in (x, exponent))
    return pow(x, exponent, inplace=inplace)
