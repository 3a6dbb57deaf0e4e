"""Rules of what works in place, or into a given tensor, beside torch itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from one_function import ROWS, STACK, Case, Of, check, check_refused, parametrized, predicted, refusals
from torch import Tensor, nn

from lipcost.costmodel.tape.errors import Mismatch

SAME = (ROWS,)
INFERENCE = ("inference",)


def changed(function: Callable[..., Any], **how: Any) -> Case:
    """A function that changes what only it holds; of rows."""
    return Case(lambda x: function(2 * x), ROWS, layouts="plain t step wide", **how)


def by(function: Callable[..., Any], **how: Any) -> Case:
    """A function that changes its first argument by a parameter."""
    return Case(lambda x, y: function(2 * x, y), ROWS, SAME, "plain t step", **how)


def by_constant(function: Callable[..., Any], **how: Any) -> Case:
    """The same by a tensor without a gradient."""
    return Case(lambda x, y: function(2 * x, y.detach()) + y, ROWS, SAME, "plain t", **how)


def of_constant(function: Callable[..., Any], **how: Any) -> Case:
    """A function that changes a tensor outside the graph by one that is inside."""
    return Case(lambda x, y: function(2 * x.detach(), y) + x, ROWS, SAME, "plain t", **how)


def into(function: Callable[..., Any]) -> Case:
    """A function that writes into a given tensor."""
    return Case(function, ROWS, layouts="plain t", modes=INFERENCE)


def method(name: str, *others: Any, **how: Any) -> Callable[..., Any]:
    """A method that works in place."""
    return lambda x, *tensors: getattr(x, name)(*tensors, *others, **how)


UNARY = (
    "abs", "acos", "asin", "atan", "ceil", "cos", "cosh", "deg2rad", "digamma", "erf", "erfc", "erfinv", "exp", "exp2",
    "expm1", "floor", "frac", "lgamma", "log", "log10", "log1p", "log2", "logit", "nan_to_num", "neg", "reciprocal",
    "round", "rsqrt", "sigmoid", "sign", "sin", "sinc", "sinh", "sqrt", "square", "tan", "tanh", "trunc", "relu",
)  # fmt: skip
BINARY = (
    "add", "sub", "mul", "div", "remainder", "fmod", "pow", "atan2", "copysign", "hypot", "xlogy", "true_divide",
    "multiply", "subtract", "divide",
)  # fmt: skip
NUMBERS = {
    "add_": (2,), "sub_": (2,), "mul_": (3,), "div_": (3,), "pow_": (3,), "remainder_": (0.3,), "fmod_": (0.3,),
    "clamp_": (0.1, 0.9), "clamp_min_": (0.1,), "clamp_max_": (0.9,), "clip_": (0.1, 0.9), "fill_": (1.0,),
    "zero_": (),
}  # fmt: skip

CASES: dict[str, Case] = {
    **{f"{name}_": Case(lambda x, name=name: method(f"{name}_")(2 * x), ROWS) for name in UNARY},
    **{f"{name} of numbers": changed(method(name, *numbers)) for name, numbers in NUMBERS.items()},
    **{f"{name}_ of both": by(method(f"{name}_")) for name in BINARY},
    **{f"{name}_ by a constant": by_constant(method(f"{name}_")) for name in BINARY},
    **{f"{name}_ of a constant": of_constant(method(f"{name}_")) for name in BINARY},
    "add_ itself": Case(lambda x: (2 * x).add_(x)),
    "sub_ itself": Case(lambda x: (2 * x).sub_(x)),
    "mul_ of images": Case(lambda x: (2 * x).mul_(3)),
    "div_ of images": Case(lambda x: (2 * x).div_(3)),
    "add_ alpha": by(method("add_", alpha=2)),
    "sub_ alpha": by(method("sub_", alpha=2)),
    "+=": by(lambda x, y: x.__iadd__(y)),
    "*= broadcast": Case(lambda x, w: (2 * x).__imul__(w), STACK, ((4, 1),)),
    "/= broadcast": Case(lambda x, w: (2 * x).__itruediv__(w), STACK, ((4, 1),)),
    "-= broadcast": Case(lambda x, w: (2 * x).__isub__(w), STACK, ((6,),)),
    "**=": changed(lambda x: x.__ipow__(2)),
    "%=": changed(lambda x: x.__imod__(0.5)),
    "//=": changed(lambda x: x.__ifloordiv__(2), modes=INFERENCE),
    "div_ floor": changed(lambda x: x.div_(0.3, rounding_mode="floor")),
    "addcmul_": Case(lambda x, a, b: (2 * x).addcmul_(a, b, value=0.5), ROWS, (ROWS, (6,)), "plain t"),
    "addcdiv_": Case(lambda x, a, b: (2 * x).addcdiv_(a, b, value=0.5), ROWS, (ROWS, (6,)), "plain t"),
    "lerp_": by(lambda x, y: x.lerp_(y, 0.3)),
    "lerp_ of tensors": Case(lambda x, a, b: (2 * x).lerp_(a, b), ROWS, (ROWS, ROWS), "plain t"),
    "masked_fill_": changed(lambda x: x.masked_fill_(x > 0.3, 0.0)),
    "masked_fill_ of a tensor": by_constant(lambda x, y: x.masked_fill_(x > 0.3, y.sum())),
    "clamp_ by a tensor": by(lambda x, y: x.clamp_(max=y)),
    "clamp_min_ by a tensor": by(lambda x, y: x.clamp_min_(y)),
    "fill_ of a tensor": by_constant(lambda x, y: x.fill_(y.sum())),
    "torch.exp_": changed(torch.exp_),
    "torch.neg_": changed(torch.neg_),
    "torch.fill_": changed(lambda x: torch.fill_(x, 2)),
    "used before": Case(lambda x: (y := 2 * x) * 0 + y.add_(1), ROWS),
    "twice": Case(lambda x: (2 * x).add_(1).mul_(3).exp_(), ROWS),
    "saved result": Case(lambda x: x.exp().mul(2).add_(x), ROWS),
    "types": Case(lambda x: (2 * x).mul_(x.double()), ROWS),
    "bfloat16": changed(lambda x: x.mul_(2.5).add_(1), dtype=torch.bfloat16),
    "complex": by(lambda x, y: x.mul_(y).add_(1j), dtype=torch.complex64),
    "truths": changed(lambda x: x * (x > 0.3).logical_not_().logical_and_(x < 0.9)),
    "truths by operators": changed(lambda x: x * ((x > 0.3).__iand__(x < 0.9).__ior__(x == 2).__ixor__(x < 0))),
    "integers": changed(lambda x: x * x.detach().long().add_(3).__ilshift__(1).__irshift__(1)),
    "outside a graph": changed(lambda x: x * x.detach().clone().add_(1).sqrt_()),
    "comparison in place": changed(lambda x: x * x.detach().clone().gt_(0.3)),
    "view outside a graph": changed(lambda x: x * x.detach().clone()[0].mul_(2)),
    **{
        f"{name} into": into(lambda x, name=name: getattr(torch, name)(x, x, out=torch.empty(ROWS)))
        for name in ("add", "sub", "mul", "div", "pow", "maximum", "atan2")
    },
    **{
        f"{name} into": into(lambda x, name=name: getattr(torch, name)(x, out=torch.empty(ROWS)))
        for name in ("exp", "abs", "sqrt", "neg", "tanh", "floor")
    },
    "clamp into": into(lambda x: torch.clamp(x, 0, 1, out=torch.empty(ROWS))),
    "into a clone": into(lambda x: torch.mul(x, 2, out=x.clone())),
    "comparison into": into(lambda x: torch.gt(x, 0.3, out=torch.empty(ROWS, dtype=torch.bool))),
}  # fmt: skip


@parametrized(CASES)
def test_a_rule_is_what_torch_does(make: Callable[[], nn.Module] | None, case: Case, layout: str) -> None:
    check(make, case, layout)


REFUSED: dict[str, list[Case]] = {
    "gradient of floor_divide": [Case(lambda x: x // 2, ROWS)],
    "gradient of acosh": [Case(lambda x: (2 * x).acosh_(), ROWS)],
    "out= in a graph": [Case(lambda x: torch.mul(x, 2, out=torch.empty(ROWS)), ROWS)],
    "gt_ of a tensor": [Case(lambda x: (2 * x).gt_(1), ROWS)],
}


@refusals(REFUSED)
def test_other_uses_are_refused_by_name(message: str, case: Case) -> None:
    check_refused(message, case)


def changed_part(x: Tensor, part: Callable[[Tensor], Tensor], change: Callable[[Tensor], Any]) -> Tensor:
    """A tensor of the graph of which a part was changed."""
    y = 2 * x
    change(part(y))
    return y


def plus(x: Tensor) -> Tensor:
    """An operator on a part, which writes it twice."""
    y = 2 * x
    y[:, 0] += x[:, 0]
    return y


def seen(x: Tensor) -> Tensor:
    """A view of what is changed later."""
    y = 2 * x
    row = y[0]
    y.mul_(2)
    return row * 3 + y


PARTS: dict[str, Callable[[Tensor], Tensor]] = {
    "a row": lambda y: y[0],
    "a column": lambda y: y[:, 1],
    "a slice": lambda y: y[:, 1:4],
    "a shape": lambda y: y.view(-1),
    "axes": lambda y: y.mT,
    "a part of a part": lambda y: y[1:][:, 2],
}
CHANGES: dict[str, Callable[[Tensor], Any]] = {
    "mul_": lambda v: v.mul_(3),
    "add_": lambda v: v.add_(1),
    "exp_": lambda v: v.exp_(),
    "pow_": lambda v: v.pow_(2),
    "clamp_": lambda v: v.clamp_(0.1, 0.5),
    "sigmoid_": lambda v: v.sigmoid_(),
    "relu_": torch.relu_,
    "silu_": lambda v: torch.nn.functional.silu(v, inplace=True),
    "zero_": lambda v: v.zero_(),
    "masked_fill_": lambda v: v.masked_fill_(v > 0.3, 1.0),
    "twice": lambda v: v.mul_(3).sqrt_(),
}
VIEWS = {
    **{
        f"{change} of {part}": Case(
            lambda x, p=part, c=change: changed_part(x, PARTS[p], CHANGES[c]), ROWS, layouts="plain"
        )
        for part in PARTS
        for change in CHANGES
    },
    "a part by a parameter": Case(
        lambda x, w: changed_part(x, lambda y: y[:, 0], lambda v: v.mul_(w)), ROWS, ((3,),), "plain t step"
    ),
    "a part by its own": Case(lambda x: changed_part(x, lambda y: y[0], lambda v: v.add_(x[1])), ROWS),
    "the part": Case(lambda x: (2 * x)[0].mul_(3), ROWS),
    "both": Case(lambda x: (y := 2 * x) * y[0].mul_(3), ROWS),
    "a part of constants": Case(
        lambda x, w: changed_part(x.detach(), lambda y: y[0], lambda v: v.add_(w)) + x, ROWS, ((6,),)
    ),
    "+= of a part": Case(plus, ROWS),
    "a view from before": Case(seen, ROWS),
}  # fmt: skip


@parametrized(VIEWS)
def test_views_of_a_graph_are_changed_as_torch_does(
    make: Callable[[], nn.Module] | None, case: Case, layout: str
) -> None:
    check(make, case, layout)


def test_a_leaf_is_not_changed_in_place() -> None:
    with pytest.raises(Mismatch, match="leaf"):
        predicted(Of(lambda x, w: w.add_(x), ROWS, dtype=torch.float32), ROWS, "train")


def test_what_does_not_hold_the_result_is_not_changed() -> None:
    with pytest.raises(Mismatch, match="cannot hold"):
        predicted(Of(lambda x: (2 * x[0]).add_(x), dtype=torch.float32), ROWS, "train")
