"""Rules of functions of the elements beside torch itself: arithmetic, elementary functions, comparisons, choices."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from one_function import ROWS, STACK, Case, Of, check, check_refused, parametrized, predicted, refusals
from torch import Tensor, nn

from lipcost.costmodel.tape.errors import Mismatch

CHANNELS = ((4, 1, 1),)
ROW = ((6,),)
SAME = (ROWS,)
LAYOUTS = "plain t step wide"
INFERENCE = ("inference",)


def shared_gradient(x: torch.Tensor) -> torch.Tensor:
    """A gradient that goes to one result twice."""
    y = x.tanh()
    return (x + (y + y)).tanh()


def same(function: Callable[..., Any], **how: Any) -> Case:
    """A function of rows and of a parameter of their shape."""
    return Case(function, ROWS, SAME, "plain t step", **how)


def first(function: Callable[..., Any], **how: Any) -> Case:
    """A function whose second argument needs no gradient."""
    return same(lambda x, y: function(x, y.detach()) + y, **how)


def second(function: Callable[..., Any], **how: Any) -> Case:
    """A function whose first argument needs no gradient."""
    return same(lambda x, y: function(x.detach(), y) + x, **how)


def beside(function: Callable[..., Any], **how: Any) -> Case:
    """A function of a stack and of parameters that are broadcast to it."""
    return Case(function, STACK, ((4, 1),), "plain t", **how)


def one(function: Callable[..., Any], **how: Any) -> Case:
    """A function of rows."""
    return Case(function, ROWS, layouts=LAYOUTS, **how)


def whole(x: Tensor) -> Tensor:
    """As integers."""
    return x.detach().long()


SUMS = {
    "neg": Case(torch.neg),
    "positive": one(lambda x: (+x).neg()),
    "add": same(torch.add),
    "add alpha": same(lambda x, y: torch.add(x, y, alpha=2)),
    "add a number": one(lambda x: torch.add(x, 2, alpha=3)),
    "a number plus": one(lambda x: 2 + x),
    "sub": same(torch.sub),
    "sub alpha": same(lambda x, y: x.sub(y, alpha=2)),
    "subtract": same(torch.subtract),
    "rsub": same(torch.rsub),
    "rsub alpha": same(lambda x, y: torch.rsub(x, y, alpha=3)),
    "a number minus": one(lambda x: 1 - x),
    "numbers": Case(lambda x: 1 - 2 * x / 3 + 4),
    "shifted": Case(lambda x, w: x + w, parameters=CHANNELS),
    "parameter first": Case(lambda x, w: w - x, parameters=CHANNELS),
    "twice": Case(lambda x: x + x.mT + x),
    "one gradient for several inputs": Case(shared_gradient),
    "without axes": one(lambda x: x + x.sum()),
    "both broadcast": Case(lambda x, w: x + w, (3, 1), ((6,),), LAYOUTS),
    "constant": first(torch.sub),
    "constant first": second(torch.sub),
}

PRODUCTS = {
    "mul": same(torch.mul),
    "multiply": same(torch.multiply),
    "scaled": Case(lambda x, w: x * w, parameters=CHANNELS),
    "scaled constant": second(torch.mul),
    "scaled by constant": first(torch.mul),
    "with itself": Case(lambda x: x * x + x),
    "broadcast": Case(lambda x: x * x.mean((2, 3), keepdim=True)),
    "by one number": Case(lambda x, w: x * w, ROWS, ((),), LAYOUTS),
    "over": Case(lambda x: 2 / x),
    "div": same(torch.div),
    "true_divide": same(torch.true_divide),
    "divide": same(lambda x, y: x.divide(y)),
    "over a scale": Case(lambda x, w: x / w, parameters=CHANNELS),
    "constant over": second(torch.div),
    "over a constant": first(torch.div),
    "div floor": same(lambda x, y: torch.div(x, y, rounding_mode="floor")),
    "div trunc": same(lambda x, y: x.div(y, rounding_mode="trunc")),
    "div floor by a number": one(lambda x: torch.div(x, 2, rounding_mode="floor")),
    "reciprocal": Case(torch.reciprocal),
    "floor_divide": same(torch.floor_divide, modes=INFERENCE),
    "//": one(lambda x: x // 2 + 2 // x, modes=INFERENCE),
    "remainder": same(torch.remainder),
    "%": one(lambda x: x % 0.3),
    "number %": one(lambda x: 3 % x, modes=INFERENCE),
    "fmod": same(torch.fmod),
    "fmod number": one(lambda x: x.fmod(0.3)),
    "fmod constant": first(torch.fmod),
    "addcmul": Case(torch.addcmul, ROWS, ((3, 1), (6,)), "plain t step"),
    "addcmul value": Case(lambda x, a, b: x.addcmul(a, b, value=0.5), ROWS, ((3, 1), ROWS), "plain t step"),
    "addcmul constant": first(lambda x, y: torch.addcmul(x, y, x)),
    "addcdiv": Case(torch.addcdiv, ROWS, (ROWS, (6,)), "plain t step"),
    "addcdiv value": Case(lambda x, a, b: x.addcdiv(a, b, value=0.5), ROWS, ((3, 1), ROWS), "plain t step"),
    "addcdiv constant": first(lambda x, y: torch.addcdiv(x, x, y)),
    "lerp": Case(torch.lerp, ROWS, (ROWS, (6,)), "plain t step"),
    "lerp number": same(lambda x, y: torch.lerp(x, y, 0.3)),
    "lerp constant": first(lambda x, y: torch.lerp(x, y, x)),
    "lerp by a constant": first(lambda x, y: torch.lerp(x, x, y)),
}

POWERS = {
    "square": Case(torch.square),
    **{f"pow {n}": Case(lambda x, n=n: x**n) for n in (0, 0.5, 1, 2, 3, -1, -0.5, -2, 2.5)},
    "pow of tensors": same(torch.pow),
    "pow broadcast": beside(torch.pow),
    "pow of a constant": second(torch.pow),
    "pow to a constant": first(torch.pow),
    "number to the power": one(lambda x: 2**x),
    "torch number to the power": one(lambda x: torch.pow(2.0, x)),
    "zero to the power": one(lambda x: 0**x),
    "float_power": one(lambda x: torch.float_power(x, 2)),
    "float_power of tensors": same(torch.float_power),
    "float_power of a number": one(lambda x: torch.float_power(2, x)),
}

BINARY = {
    **{
        name: same(getattr(torch, name))
        for name in (
            "atan2",
            "copysign",
            "fmax",
            "fmin",
            "hypot",
            "logaddexp",
            "logaddexp2",
            "maximum",
            "minimum",
            "xlogy",
        )
    },
    **{
        f"{name} broadcast": beside(getattr(torch, name))
        for name in ("atan2", "copysign", "fmax", "hypot", "logaddexp", "maximum", "xlogy")
    },
    **{
        f"{name} constant": second(getattr(torch, name))
        for name in ("atan2", "copysign", "fmin", "hypot", "logaddexp", "minimum", "xlogy")
    },
    **{
        f"{name} by a constant": first(getattr(torch, name))
        for name in ("atan2", "copysign", "fmax", "hypot", "logaddexp2", "maximum", "xlogy")
    },
    "maximum of one": Case(lambda x: torch.maximum(x, 2 * x)),
    "max of two": same(torch.max),
    "copysign number": one(lambda x: torch.copysign(x, -1.0)),
    "xlogy numbers": one(lambda x: torch.xlogy(x, 2) + torch.xlogy(2, x) + torch.xlogy(x, 0)),
    "xlog1py": same(torch.special.xlog1py),
    "xlog1py numbers": one(lambda x: torch.special.xlog1py(x, 2) + torch.special.xlog1py(2, x)),
    "heaviside": same(torch.heaviside, modes=INFERENCE),
    "ldexp": same(torch.ldexp),
    "nextafter": same(torch.nextafter, modes=INFERENCE),
}

ELEMENTARY = {
    **{
        name: one(getattr(torch, name))
        for name in (
            "acos", "angle", "asin", "asinh", "atan", "atanh", "ceil", "cosh", "deg2rad", "digamma", "erf", "erfc",
            "erfinv", "exp2", "expm1", "floor", "frac", "i0", "lgamma", "log10", "log1p", "log2", "logit",
            "nan_to_num", "rad2deg", "round", "sign", "sinc", "sinh", "tan", "trunc",
        )
    },
    **{
        f"special {name}": one(getattr(torch.special, name))
        for name in ("entr", "erfcx", "expit", "expm1", "log_ndtr", "ndtri")
    },
    "polygamma": one(lambda x: torch.polygamma(2, x) + x.polygamma(1)),
    "i0e": one(torch.special.i0e),
    "acosh": one(lambda x: torch.acosh(x + 2)),
    "exp": Case(torch.exp),
    "log": Case(torch.log),
    "sqrt": Case(lambda x: x.sqrt()),
    "rsqrt": Case(torch.rsqrt),
    "abs": Case(torch.abs),
    "sin": Case(torch.sin),
    "cos": Case(torch.cos),
    "arccos": one(lambda x: x.arccos()),
    "fix": one(torch.fix),
    "sgn": one(torch.sgn, modes=INFERENCE),
    "round decimals": one(lambda x: torch.round(x, decimals=1)),
    "logit eps": one(lambda x: torch.logit(x, eps=0.1)),
}  # fmt: skip

CHOICES = {
    **{
        name: first(lambda x, y, name=name: x * getattr(torch, name)(x, y))
        for name in ("eq", "ne", "lt", "le", "gt", "ge")
    },
    **{
        name: first(lambda x, y, name=name: x * getattr(x, name)(y))
        for name in ("logical_and", "logical_or", "logical_xor", "less", "greater_equal", "not_equal")
    },
    **{
        name: one(lambda x, name=name: x * getattr(torch, name)(x))
        for name in ("isnan", "isinf", "isfinite", "signbit", "logical_not", "isposinf", "isneginf")
    },
    "compared with a number": one(lambda x: x * (x > 0.3) * (x <= 0.9)),
    "bits": one(lambda x: x * ((x > 0.3) & (x < 0.9) | ~(x == 0.1) ^ (x > 0))),
    "where": Case(lambda x: torch.where(x > 0, x, 0.0)),
    "where number first": one(lambda x: torch.where(x > 0.3, 1, x)),
    "where of tensors": same(lambda x, y: torch.where(torch.gt(x, y), x, y)),
    "where method": same(lambda x, y: x.where(torch.gt(x, y), y)),
    "where constant": second(lambda x, y: torch.where(x > 0.3, x, y)),
    "where numbers": one(lambda x: x * torch.where(x > 0.3, 1, 2)),
    "where broadcast": beside(lambda x, y: torch.where(y > 0.3, x, y)),
    "where condition": beside(lambda x, y: x + torch.where(x > 0.3, y, 0.0)),
    "where types": one(lambda x: torch.where(x > 0.3, x, whole(x))),
    "where other types": one(lambda x: torch.where(x > 0.3, whole(x), 0.5) * x),
    "masked_fill": Case(lambda x: x.masked_fill(x < 0, 1.0)),
    "masked_fill of a tensor": first(lambda x, y: x.masked_fill(x < 0, y.sum())),
    "masked_fill broadcast": beside(lambda x, y: x + y.masked_fill(x > 0.3, 1.0)),
    "clamp": Case(lambda x: x.clamp(-1, 1)),
    "clamp min": one(lambda x: torch.clamp(x, min=0.1)),
    "clamp max": one(lambda x: torch.clamp(x, max=0.1)),
    "clip": one(lambda x: x.clip(0.1, 0.5)),
    "clamp_min": Case(lambda x: x.clamp_min(0.1)),
    "clamp_max": one(lambda x: x.clamp_max(0.1)),
    "clamp_min of a tensor": same(torch.clamp_min),
    "clamp_max of a tensor": beside(torch.clamp_max),
    "clamp by a least tensor": same(lambda x, y: x.clamp(min=y)),
    "clamp by a largest tensor": same(lambda x, y: x.clamp(max=y)),
}

BETWEEN_TENSORS = {
    "clamp by tensors": Case(torch.clamp, ROWS, (ROWS, ROWS), "plain t step"),
    "clamp by tensors, broadcast": Case(torch.clamp, STACK, ((4, 1), (6,)), "plain t"),
    "clamp by constants": first(lambda x, y: x.clamp(y, 2 * y)),
    "clamp of a constant": second(lambda x, y: x.clamp(x, y)),
}

BFLOAT = torch.bfloat16
TYPES = {
    "types of a parameter": Case(lambda x, w: x * w.double() + w, parameters=CHANNELS),
    "types of x": Case(lambda x, w: x.double() * w, parameters=CHANNELS),
    "types of both": same(lambda x, y: x.double() / y),
    "type without axes": Case(lambda x, w: x * w.double(), ROWS, ((),), LAYOUTS),
    "integers": one(lambda x: x + whole(x)),
    "integers over": one(lambda x: x * (whole(x) / 3)),
    "integers rooted": one(lambda x: x * whole(x).sqrt()),
    "integers rounded": one(lambda x: x * whole(x).neg().abs(), modes=INFERENCE),
    "integer bits": one(lambda x: x * ((whole(x) << 1) + (whole(x) >> 1) + (1 & whole(x)))),
    "truths": one(lambda x: x + (x > 0.3)),
    "a complex number": one(lambda x: (x * 1j).abs()),
    **{
        f"bfloat16 {name}": one(getattr(torch, name), dtype=BFLOAT)
        for name in ("exp", "tan", "erf", "reciprocal", "rsqrt", "log1p")
    },
    "bfloat16 mul": same(torch.mul, dtype=BFLOAT),
    "bfloat16 pow": same(torch.pow, dtype=BFLOAT),
    "bfloat16 with float": same(lambda x, y: x * y.float(), dtype=BFLOAT),
    "bfloat16 with a number": one(lambda x: 2.5 * x + 1, dtype=BFLOAT),
}

COMPLEX64 = torch.complex64
COMPLEX = {
    "complex": same(torch.complex),
    "complex broadcast": beside(torch.complex),
    "polar": same(torch.polar),
    "polar constant": second(torch.polar),
    "real of complex": same(lambda x, y: torch.complex(x, y).real),
    "imag of complex": same(lambda x, y: torch.complex(x, y).imag),
    "abs of complex": same(lambda x, y: torch.complex(x, y).abs()),
    "angle of complex": same(lambda x, y: torch.complex(x, y).angle()),
    "sgn of complex": same(lambda x, y: torch.complex(x, y).sgn()),
    "view_as_complex": Case(torch.view_as_complex, (3, 4, 2), layouts="plain"),
    "view_as_real": same(lambda x, y: torch.view_as_real(torch.complex(x, y))),
    "conj": one(lambda x: x.conj() * x, dtype=COMPLEX64),
    **{
        f"complex {name}": one(getattr(torch, name), dtype=COMPLEX64)
        for name in (
            "acos",
            "acosh",
            "asin",
            "asinh",
            "atan",
            "atanh",
            "cos",
            "cosh",
            "exp",
            "expm1",
            "log",
            "log10",
            "log1p",
            "log2",
            "neg",
            "reciprocal",
            "rsqrt",
            "sin",
            "sinh",
            "sqrt",
            "square",
            "tan",
        )
    },
    **{f"complex {name}": same(getattr(torch, name), dtype=COMPLEX64) for name in ("add", "sub", "mul", "div", "pow")},
    "complex pow": one(lambda x: x**3, dtype=COMPLEX64),
    "complex with real": same(lambda x, y: torch.complex(x, y) * x + y),
    "complex over real": same(lambda x, y: torch.complex(x, y) / x),
    "real over complex": same(lambda x, y: y / torch.complex(x, y)),
    "complex addcmul": same(lambda x, y: torch.addcmul(x, y, y), dtype=COMPLEX64),
    "complex lerp": same(lambda x, y: torch.lerp(x, y, 0.5), dtype=COMPLEX64),
    "complex where": same(lambda x, y: torch.where(x.eq(y), x, y), dtype=COMPLEX64),
}

CASES: dict[str, Case] = {
    **SUMS, **PRODUCTS, **POWERS, **BINARY, **ELEMENTARY, **CHOICES, **TYPES, **COMPLEX,
}  # fmt: skip


@parametrized(CASES)
def test_a_rule_is_what_torch_does(make: Callable[[], nn.Module] | None, case: Case, layout: str) -> None:
    check(make, case, layout)


REFUSED: dict[str, list[Case]] = {
    "gradient of floor_divide": [Case(lambda x: x // 2, ROWS)],
    "gradient of heaviside": [Case(lambda x: torch.heaviside(x, x), ROWS)],
    "gradient of sgn": [Case(torch.sgn, ROWS)],
    "gradient of nextafter": [Case(lambda x: torch.nextafter(x, x), ROWS)],
    "gradient of remainder": [Case(lambda x: 3 % x, ROWS)],
    "gradient of a value that masked_fill": [Case(lambda x: x.masked_fill(x > 0, x.sum()), ROWS)],
    "torch.where of a condition": [Case(lambda x: torch.where(x > 0), ROWS)],
    "imaginary part of a lazy conjugate": [Case(lambda x: torch.complex(x, x).conj().imag, ROWS)],
    "isfinite of": [Case(lambda x: torch.complex(x, x).isfinite() * x, ROWS)],
    "torch.equal: values decide": [Case(lambda x: x * torch.equal(x, x), ROWS)],
    "torch.allclose: values decide": [Case(lambda x: x * torch.allclose(x, x), ROWS)],
    "gradient of a complex exponent": [Case(lambda x: x ** torch.complex(x, x), ROWS)],
}


@refusals(REFUSED)
def test_other_uses_are_refused_by_name(message: str, case: Case) -> None:
    check_refused(message, case)


def test_operands_that_do_not_fit() -> None:
    with pytest.raises(Mismatch, match="operands of a pointwise function"):
        predicted(Of(torch.mul, (3, 5), dtype=torch.float32), ROWS, "train")
