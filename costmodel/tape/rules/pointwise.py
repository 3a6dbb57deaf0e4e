"""Rules of functions of the elements: arithmetic, comparisons, activations."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch

from ..errors import refused
from ..graph import attach
from ..table import rule
from ..tensor import Tensor
from .factories import filled
from .kernels import Operand, broadcast, in_place, pointwise, promoted, real_of
from .views import conj

Derivative = Callable[[Tensor, Tensor, Tensor], Tensor]  # of the gradient, the input and the output


def unary(
    name: str, x: Tensor, derivative: Derivative | None, keeps: str = "x", *, dtype: Any = None, **how: Any
) -> Tensor:
    """A function of one tensor's elements.

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


# Arithmetic.


@rule("torch.neg", "Tensor.neg", "torch.negative", "Tensor.negative")
def neg(x: Tensor) -> Tensor:
    return unary("neg", x, lambda g, *_: neg(g), "")


@rule("torch.add", "Tensor.add")
def add(x: Operand, y: Operand, *, alpha: float = 1) -> Tensor:
    if type(y) is not Tensor:
        return unary("add", x, lambda g, *_: g, "", dtype=promoted((x, y)))
    if type(x) is not Tensor:
        return add(y, x)
    out = pointwise("add", x, y)
    needs = y.requires_grad
    attach([out], [x, y], [], lambda _, g: [g, scaled(g, alpha) if needs else None])
    return out


@rule("torch.sub", "Tensor.sub", "torch.subtract", "Tensor.subtract")
def sub(x: Operand, y: Operand, *, alpha: float = 1) -> Tensor:
    if type(y) is not Tensor:
        return unary("sub", x, lambda g, *_: g, "", dtype=promoted((x, y)))
    out = pointwise("sub", x, y)
    needs = y.requires_grad
    attach([out], [x, y], [], lambda _, g: [g, scaled(neg(g), alpha) if needs else None])
    return out


def scaled(g: Tensor, alpha: float) -> Tensor:
    """A gradient times a factor, if that is not 1."""
    return g if alpha == 1 else mul(g, alpha)


@rule("torch.rsub", "Tensor.__rsub__")
def rsub(x: Tensor, y: Operand) -> Tensor:
    """y - x; torch calls the kernel of a number and a tensor rsub."""
    if type(y) is Tensor:
        return sub(y, x)
    return unary("rsub", x, lambda g, *_: neg(g), "", dtype=promoted((x, y)))


@rule("torch.mul", "Tensor.mul", "torch.multiply", "Tensor.multiply")
def mul(x: Operand, y: Operand) -> Tensor:
    if type(y) is not Tensor:
        return unary("mul", x, lambda g, *_: mul(g, y), "", dtype=promoted((x, y)))
    if type(x) is not Tensor:
        return mul(y, x)

    def backward(saved: Sequence[Tensor | None], g: Tensor) -> list[Tensor | None]:
        a, b = saved
        of_y = None if a is None else mul(g, conj(a))
        return [None if b is None else mul(g, conj(b)), of_y]

    out = pointwise("mul", x, y)
    attach([out], [x, y], [x if y.requires_grad else None, y if x.requires_grad else None], backward)
    return out


@rule("torch.div", "Tensor.div", "torch.true_divide", "Tensor.true_divide", "torch.divide", "Tensor.divide")
def div(x: Operand, y: Operand) -> Tensor:
    if type(x) is not Tensor:
        return rdiv(y, x)
    if type(y) is not Tensor:
        return unary("div", x, lambda g, *_: div(g, y), "", dtype=promoted((x, y, 1.0)))
    of_x, of_y = x.requires_grad, y.requires_grad

    def backward(saved: Sequence[Tensor | None], g: Tensor) -> list[Tensor | None]:
        a, b = saved
        assert b is not None
        divisor = None if a is None else _divisor_gradient(a, b, g)
        return [div(g, conj(b)) if of_x else None, divisor]

    out = pointwise("div", x, y, dtype=promoted((x, y, 1.0)))
    attach([out], [x, y], [x if of_y else None, y], backward)
    return out


def _divisor_gradient(a: Tensor, b: Tensor, g: Tensor) -> Tensor:
    """Of b in a / b."""
    first = div(a, b)
    second = div(first, b)  # all of them live until the product is there
    negative = neg(g)
    return mul(negative, conj(second))


@rule("Tensor.__rdiv__", "Tensor.__rtruediv__")
def rdiv(x: Tensor, y: float) -> Tensor:
    """y / x."""
    return mul(reciprocal(x), y)


@rule("torch.reciprocal", "Tensor.reciprocal")
def reciprocal(x: Tensor) -> Tensor:
    def derivative(g: Tensor, _: Tensor, y: Tensor) -> Tensor:
        squared = mul(y, y)
        return mul(neg(g), conj(squared))

    return unary("reciprocal", x, derivative, "y")


@rule("torch.pow", "Tensor.pow")
def pow(x: Operand, exponent: Operand) -> Tensor:
    """x to a number's power, which torch differentiates as g · (n · x^(n-1))."""
    if type(x) is not Tensor or type(exponent) is Tensor:
        raise refused("pow with a tensor as its exponent")

    def derivative(g: Tensor, x: Tensor, _: Tensor) -> Tensor:
        power = pointwise("pow", x)
        multiple = mul(power, exponent)
        return mul(g, conj(multiple))

    return unary("pow", x, derivative, dtype=promoted((x, exponent)))


@rule("torch.square", "Tensor.square")
def square(x: Tensor) -> Tensor:
    return pow(x, 2)


@rule("torch.abs", "Tensor.abs", "torch.absolute", "Tensor.absolute")
def absolute(x: Tensor) -> Tensor:
    return unary("abs", x, lambda g, x, _: mul(g, pointwise("sgn", x)), dtype=real_of(x.dtype))


@rule("torch.sgn", "Tensor.sgn", "torch.sign", "Tensor.sign")
def sgn(x: Tensor) -> Tensor:
    return pointwise("sgn", x)


@rule("torch.sqrt", "Tensor.sqrt")
def sqrt(x: Tensor) -> Tensor:
    return unary("sqrt", x, lambda g, _, y: div(g, mul(conj(y), 2)), "y")


@rule("torch.rsqrt", "Tensor.rsqrt")
def rsqrt(x: Tensor) -> Tensor:
    return unary("rsqrt", x, lambda g, _, y: mul(mul(g, -0.5), pointwise("pow", y)), "y")


@rule("torch.exp", "Tensor.exp")
def exp(x: Tensor) -> Tensor:
    return unary("exp", x, lambda g, _, y: mul(g, conj(y)), "y")


@rule("torch.log", "Tensor.log")
def log(x: Tensor) -> Tensor:
    return unary("log", x, lambda g, x, _: div(g, conj(x)))


@rule("torch.sin", "Tensor.sin")
def sin(x: Tensor) -> Tensor:
    return unary("sin", x, lambda g, x, _: mul(g, conj(cos(x))))


@rule("torch.cos", "Tensor.cos")
def cos(x: Tensor) -> Tensor:
    def derivative(g: Tensor, x: Tensor, _: Tensor) -> Tensor:
        sine = conj(sin(x))
        negative = neg(sine)
        return mul(g, negative)

    return unary("cos", x, derivative)


@rule("torch.cosh", "Tensor.cosh")
def cosh(x: Tensor) -> Tensor:
    return pointwise("cosh", x)


@rule("torch.polar")
def polar(absolute_value: Tensor, angle: Tensor) -> Tensor:
    if absolute_value.requires_grad or angle.requires_grad:
        raise refused("torch.polar of tensors that need a gradient")
    return pointwise("polar", absolute_value, angle, dtype=angle.dtype.to_complex())


# Comparisons and choices.


def _comparison(name: str) -> Any:
    def compare(x: Tensor, y: Operand) -> Tensor:
        operands = [each.alias() if type(each) is Tensor else each for each in (x, y)]
        return pointwise(name, *operands, dtype=torch.bool)

    return rule(f"torch.{name}", f"Tensor.{name}")(compare)


eq, ne, lt, le, gt, ge = (_comparison(name) for name in ("eq", "ne", "lt", "le", "gt", "ge"))


@rule("torch.minimum", "torch.maximum", "Tensor.minimum", "Tensor.maximum")
def minimum(x: Tensor, y: Tensor) -> Tensor:
    """The lesser (or larger) of two tensors."""
    of_x, of_y = x.requires_grad, y.requires_grad

    def backward(saved: Sequence[Tensor], g: Tensor) -> list[Tensor | None]:
        a, b = saved
        of_other = _masked(g, a, b) if of_y else None
        return [_masked(g, a, b) if of_x else None, of_other]

    out = pointwise("minimum", x, y)
    attach([out], [x, y], [x, y], backward)
    return out


def _masked(g: Tensor, a: Tensor, b: Tensor) -> Tensor:
    """Half the gradient where a = b, none where the other one is the minimum."""
    half = div(g, 2)
    equal = eq(a, b)
    out = pointwise("where", equal, half, g, dtype=g.dtype)
    return in_place("masked_fill_", out, gt(a, b))


@rule("Tensor.where")
def where_of(x: Tensor, condition: Tensor, y: Operand) -> Tensor:
    return where(condition, x, y)


@rule("torch.where")
def where(condition: Tensor, x: Operand, y: Operand) -> Tensor:
    dtype = promoted((x, y))
    tensors = [each for each in (x, y) if type(each) is Tensor]
    needs = [each.requires_grad for each in tensors]
    first = type(x) is Tensor

    def backward(saved: Sequence[Tensor], g: Tensor) -> list[Tensor | None]:
        sides = [(g, 0), (0, g)] if len(needs) > 1 else [(g, 0) if first else (0, g)]
        found = [
            _chosen(saved[0], *s, g.dtype) if need else None for s, need in reversed([*zip(sides, needs, strict=True)])
        ]
        return found[::-1]

    out = _chosen(condition, x, y, dtype)
    attach([out], tensors, [condition], backward)
    return out


def _chosen(condition: Tensor, x: Operand, y: Operand, dtype: Any) -> Tensor:
    """The kernel; it takes a number as a tensor without axes."""
    both = [each if type(each) is Tensor else filled("scalar_tensor", condition.tape, (), dtype) for each in (x, y)]
    return pointwise("where", condition, *both, dtype=dtype)


@rule("torch.masked_fill", "Tensor.masked_fill")
def masked_fill(x: Tensor, mask: Tensor, value: Operand) -> Tensor:
    out = _filled(x, mask)
    attach([out], [x], [mask], lambda saved, g: [_filled(g, saved[0])])
    return out


def _filled(x: Tensor, mask: Tensor) -> Tensor:
    """The kernel, whose output lies without gaps, the last axis innermost."""
    out = x.new(broadcast(x.sizes, mask.sizes))
    x.tape.kernel("masked_fill", "pointwise", [x, mask, out], flops=out.elements)
    return out


@rule("torch.clamp_min", "Tensor.clamp_min", "torch.clamp_max", "Tensor.clamp_max")
def clamp_min(x: Tensor, least: Operand) -> Tensor:
    return clamp(x, least, name="clamp_min")


@rule("torch.clamp", "Tensor.clamp", "torch.clip", "Tensor.clip")
def clamp(x: Tensor, min: Operand = None, max: Operand = None, *, name: str = "clamp") -> Tensor:
    if type(min) is Tensor or type(max) is Tensor:
        raise refused("clamp with tensors as its bounds")
    bounds = [bound for bound in (min, max) if bound is not None]

    def derivative(g: Tensor, x: Tensor, _: Tensor) -> Tensor:
        mask = ge(x, 0)
        if len(bounds) > 1:
            upper = le(x, 0)  # it lives as long as the mask
            mask = in_place("logical_and_", mask, upper)
        return _chosen(mask, g, 0, g.dtype)

    return unary(name, x, derivative)


# Integers.


def _bitwise(name: str, *names: str) -> Any:
    return rule(*names)(lambda x, y=0: pointwise(name, x, y))


bitwise_and = _bitwise("bitwise_and", "torch.bitwise_and", "Tensor.bitwise_and")
bitwise_or = _bitwise("bitwise_or", "torch.bitwise_or", "Tensor.bitwise_or")
bitwise_xor = _bitwise("bitwise_xor", "torch.bitwise_xor", "Tensor.bitwise_xor")
bitwise_not = _bitwise("bitwise_not", "torch.bitwise_not", "Tensor.bitwise_not")
rshift = _bitwise("__rshift__", "Tensor.__rshift__", "torch.bitwise_right_shift", "Tensor.bitwise_right_shift")
lshift = _bitwise("__lshift__", "Tensor.__lshift__", "torch.bitwise_left_shift", "Tensor.bitwise_left_shift")
