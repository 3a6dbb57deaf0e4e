"""Rules of comparisons, of logic and bits, and of choices by them."""

from __future__ import annotations

from typing import Any

import torch

from ..errors import refused
from ..table import rule
from ..tape import DType
from ..tensor import Tensor
from ..versions import since
from .arithmetic import mul
from .copies import to
from .factories import filled
from .formulas import Formulas, Term, differentiable, elementwise, function
from .kernels import Operand, broadcast, pointwise, promoted

# Truths, which have no gradient.


def _truth(name: str, *names: str) -> Any:
    def compare(x: Tensor, *others: Operand, inplace: bool = False, out: Tensor | None = None) -> Tensor:
        operands = {str(i): each.alias() if type(each) is Tensor else each for i, each in enumerate((x, *others))}
        if not inplace:
            return elementwise(name, operands, {}, dtype=torch.bool, out=out)
        if torch.is_grad_enabled() and x.requires_grad:
            raise refused(f"{name}_ of a tensor that belongs to a graph")
        elementwise(name, operands, {}, inplace=True)
        return x

    return function(*(names or (name,)))(compare)


eq, ne, lt, le, gt, ge = (
    _truth(name, *dict.fromkeys((name, other)))
    for name, other in {
        "eq": "eq", "ne": "not_equal", "lt": "less", "le": "less_equal", "gt": "greater", "ge": "greater_equal",
    }.items()
)  # fmt: skip
logical_and, logical_or, logical_xor = (_truth(f"logical_{name}") for name in ("and", "or", "xor"))
logical_not, isnan, isinf = (_truth(name) for name in ("logical_not", "isnan", "isinf"))
isposinf, isneginf, signbit = (_truth(name) for name in ("isposinf", "isneginf", "signbit"))


@rule("torch.isfinite", "Tensor.isfinite")
def isfinite(x: Tensor) -> Tensor:
    if not x.dtype.is_floating_point:
        raise refused(f"isfinite of {x.dtype}")
    x = x.alias()
    length = pointwise("abs", x)  # it lives as long as the expression
    finite = ne(length, 0)
    return mul(eq(x, x), finite)


def _decided(name: str) -> None:
    @rule(f"torch.{name}", f"Tensor.{name}")
    def truth(*_: Any, **__: Any) -> bool:
        raise refused(f"torch.{name}: values decide whether it is true")


for _name in ("allclose", "equal", "is_nonzero"):
    _decided(_name)


# Bits.


def _bits(name: str, *names: str) -> Any:
    def bitwise(x: Operand, *others: Operand, **how: Any) -> Tensor:
        return elementwise(name, {str(i): each for i, each in enumerate((x, *others))}, None, **how)

    return function(*names)(bitwise)


bitwise_not = _bits("bitwise_not", "bitwise_not")
bitwise_and = _bits("bitwise_and", "bitwise_and", "Tensor.__rand__")
bitwise_or = _bits("bitwise_or", "bitwise_or", "Tensor.__ror__")
bitwise_xor = _bits("bitwise_xor", "bitwise_xor", "Tensor.__rxor__")
left_shift = _bits("bitwise_left_shift", "bitwise_left_shift")
right_shift = _bits("bitwise_right_shift", "bitwise_right_shift")


def _shift(name: str) -> None:
    @rule(f"Tensor.__{name}__")
    def shift(x: Tensor, y: Operand) -> Tensor:
        return elementwise(f"__{name}__", {"self": x, "other": y}, None)

    @rule(f"Tensor.__i{name}__")
    def shift_(x: Tensor, y: Operand) -> Tensor:
        return elementwise(f"__i{name}_", {"self": x, "other": y}, None, inplace=True)


_shift("lshift")
_shift("rshift")


# Choices.


@rule("Tensor.where")
def where_of(x: Operand, condition: Tensor, y: Operand) -> Tensor:
    return where(condition, x, y)


@rule("torch.where")
def where(condition: Tensor, x: Operand = None, y: Operand = None) -> Tensor:
    """x where the condition is true, else y; a number is made a tensor without axes."""
    if x is None:
        raise refused("torch.where of a condition alone: a value decides how many there are")
    if type(x) is not Tensor or type(y) is not Tensor:
        dtype = _common(x, y)
        x, y = (to(each, dtype) if type(each) is Tensor else _constant(condition, dtype) for each in (x, y))
    formulas: Formulas = {
        "self": lambda grad, condition: grad.where(condition, 0),
        "other": lambda grad, condition: condition.by(where, 0, grad),
    }
    out = pointwise("where", condition, x, y, dtype=promoted((x, y)))
    differentiable(out, {"condition": condition, "self": x, "other": y}, formulas)
    return out


def _common(x: Operand, y: Operand) -> DType:
    if type(x) is Tensor or type(y) is Tensor:
        return promoted((x, y) if type(x) is Tensor else (y, x))
    with torch._C.DisableTorchFunction():
        return torch.result_type(x, y)


def _constant(like: Tensor, dtype: DType) -> Tensor:
    return filled("scalar_tensor", like.tape, (), dtype)


@rule("torch.masked_fill", "Tensor.masked_fill")
def masked_fill(x: Tensor, mask: Tensor, value: Operand) -> Tensor:
    """Its output lies without gaps, the last axis innermost."""
    _check_value(value)
    tensors = [x.resolved(), mask, *([value] if type(value) is Tensor else [])]
    out = x.new(broadcast(x.sizes, mask.sizes))
    x.tape.kernel("masked_fill", "pointwise", [*tensors, out], flops=out.elements)
    differentiable(out, {"self": x, "mask": mask, "value": value}, FILLED)
    return out


@rule("Tensor.masked_fill_")
def masked_fill_(x: Tensor, mask: Tensor, value: Operand) -> Tensor:
    _check_value(value)
    return elementwise("masked_fill", {"self": x, "mask": mask, "value": value}, FILLED, inplace=True)


FILLED: Formulas = {"self": lambda grad, mask: grad.masked_fill(mask, 0)}


def _check_value(value: Operand) -> None:
    if type(value) is Tensor and value.requires_grad and torch.is_grad_enabled():
        raise refused("the gradient of a value that masked_fill writes: the mask decides how many elements it is of")


# Bounds.


@function("clamp", "clip")
def clamp(x: Tensor, min: Operand = None, max: Operand = None, **how: Any) -> Tensor:
    bounds = {"min": min, "max": max}
    formulas: Formulas = {"self": _inside, "min max": _outside}
    operands = {"self": x, **bounds}
    dtype = promoted([each for each in operands.values() if each is not None])
    return elementwise("clamp", operands, formulas, dtype=dtype, **how)


def _inside(grad: Term, self: Term, min: Any, max: Any) -> Term:
    if since(2, 14) and Term in (type(min), type(max)):
        if min is None or max is None:
            return at_extremum(grad, self, max if min is None else min, "gt" if min is None else "lt")
        raise refused("the gradient of clamp between two tensors")
    at_least, at_most = ("gt", "lt") if since(2, 14) else ("ge", "le")
    zero = grad.constant().named()
    if min is None:
        return grad.where(getattr(self, at_most)(max), zero)
    least = getattr(self, at_least)(min).named()
    if max is None:
        return grad.where(least, zero)
    most = getattr(self, at_most)(max).named()
    both = least.logical_and_(most) if type(min) is not Term else _joined(least, "logical_and", most)
    return grad.where(both, zero)


def _outside(grad: Term, self: Term, min: Any, max: Any, wanted: list[bool]) -> list[Term | None]:
    """The gradients of the bounds: where they were put in the tensor's place."""
    if since(2, 14):
        if min is None:
            return [None, at_extremum(grad, self, max, "lt")]
        if max is None:
            return [at_extremum(grad, self, min, "gt"), None]
        raise refused("the gradient of clamp between two tensors")
    zero = grad.constant().named()
    of_min = of_max = None
    if wanted[0]:
        below = self.lt(min).named()
        of_min = grad.where(below if max is None else _joined(below, "logical_and", min.lt(max)), zero).named()
        del below
    if wanted[1]:
        above = self.gt(max).named()
        of_max = grad.where(above if min is None else _joined(above, "logical_or", max.lt(min)), zero)
    return [of_min, of_max]


def at_extremum(grad: Term, self: Term, other: Term, beyond: str) -> Term:
    """A gradient where self is the extremum: half of it where both are equal, none where self is beyond the other."""
    if not since(2, 14):
        shared = (grad / 2).where(self.eq(other), grad)
        return shared.masked_fill_(getattr(self, beyond)(other), 0)
    none: Term = getattr(self, beyond)(other)
    shared = (grad / 2).where(self.eq(other), grad)
    return shared.masked_fill_(none, 0) if grad.tensor.tape.in_place else shared.masked_fill(none, 0)


def _joined(truth: Term, name: str, other: Term) -> Term:
    """In place, but under a dispatch mode, as torch has it."""
    joined: Term = getattr(truth, f"{name}_" if truth.tensor.tape.in_place else name)(other)
    return joined


def _bound(name: str, inside: str, beyond: str) -> Any:
    def bounded(x: Tensor, bound: Operand, **how: Any) -> Tensor:
        if since(2, 14) and type(bound) is Tensor:
            formulas: Formulas = {
                "self": lambda grad, self, bound: at_extremum(grad, self, bound, beyond),
                "bound": lambda grad, self, bound: at_extremum(grad, self, bound, inside),
            }
        else:
            within = inside if since(2, 14) else {"gt": "ge", "lt": "le"}[inside]
            formulas = {
                "self": lambda grad, self, bound: grad.where(getattr(self, within)(bound), grad.constant()),
                "bound": lambda grad, self, bound: grad.where(getattr(self, beyond)(bound), grad.constant()),
            }
        return elementwise(name, {"self": x, "bound": bound}, formulas, **how)

    return function(name)(bounded)


clamp_min, clamp_max = _bound("clamp_min", "gt", "lt"), _bound("clamp_max", "lt", "gt")
