"""Rules of random draws that a network makes: dropout and its kinds, draws of a shape, draws in place."""

from __future__ import annotations

from typing import Any

import torch

from ..errors import refused
from ..graph import attach
from ..table import active, rule
from ..tape import DType, Shape
from ..tensor import Tensor
from .arithmetic import add_
from .factories import filled, zeros_like
from .inplace import changed
from .kernels import Operand, broadcast, in_place, promoted, strides_for
from .views import squeeze, unsqueeze

# Dropout.


def _dropped(x: Tensor, p: float, training: bool, inplace: bool, *, whole: bool = False, alpha: bool = False) -> Tensor:
    """x times a draw of zeros and ones, scaled.

    Args:
        x: the input.
        p: how much is dropped.
        training: whether anything is.
        inplace: whether x changes.
        whole: whether channels are dropped: one draw for each of (b, c).
        alpha: whether the mean and the variance are kept: what is dropped becomes a number that is added.
    """
    if p == 0 or not training:
        return x
    if p == 1:
        return _times(x, filled("zeros", x.tape, (), x.dtype), inplace)
    shape = (*x.sizes[:2], *(1,) * (x.rank - 2)) if whole else x.sizes
    noise: Any = x.new(shape, strides=None if whole else strides_for(x, None))
    in_place("bernoulli_", noise)
    if not alpha:
        return _times(x, in_place("div_", noise), inplace)
    shift = in_place("add_", in_place("mul_", noise + -1))
    return add_(_times(x, in_place("mul_", noise), inplace), shift)


def _times(x: Any, noise: Any, inplace: bool) -> Tensor:
    if inplace:
        return changed(x, [noise], "mul_", _undone, [noise])
    return x * noise  # type: ignore[no-any-return]


def _undone(saved: Any, g: Any) -> list[Any]:
    return [g * saved[0], None]


@rule("torch.nn.functional.dropout")
def dropout(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    return _dropped(input, p, training, inplace)


def _of_channels(sides: int) -> None:
    @rule(f"torch.nn.functional.dropout{sides}d")
    def dropout(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
        """Of whole channels; an input of two sides without a batch is taken as a batch, as torch does."""
        if sides == 2 or input.rank != sides + 1:
            return _dropped(input, p, training, inplace, whole=True)
        if inplace:
            raise refused(f"dropout{sides}d in place of an input without a batch")
        return squeeze(_dropped(unsqueeze(input, 0), p, training, inplace, whole=True), 0)


for _sides in (1, 2, 3):
    _of_channels(_sides)


@rule("torch.nn.functional.alpha_dropout")
def alpha_dropout(input: Tensor, p: float = 0.5, training: bool = False, inplace: bool = False) -> Tensor:
    return _dropped(input, p, training, inplace, alpha=True)


@rule("torch.nn.functional.feature_alpha_dropout")
def feature_alpha_dropout(input: Tensor, p: float = 0.5, training: bool = False, inplace: bool = False) -> Tensor:
    return _dropped(input, p, training, inplace, whole=True, alpha=True)


def _torch_dropout(name: str, inplace: bool, **how: bool) -> None:
    @rule(f"torch.{name}_" if inplace else f"torch.{name}")
    def dropout(input: Tensor, p: float, train: bool) -> Tensor:
        return _dropped(input, p, train, inplace, **how)


for _inplace in (False, True):
    _torch_dropout("dropout", _inplace)
    _torch_dropout("feature_dropout", _inplace, whole=True)
    _torch_dropout("alpha_dropout", _inplace, alpha=True)
    _torch_dropout("feature_alpha_dropout", _inplace, whole=True, alpha=True)


@rule("torch.native_dropout")
def native_dropout(input: Tensor, p: float, train: bool | None) -> tuple[Tensor, Tensor]:
    """x with some of it dropped, and a mask of what was kept."""
    strides = strides_for(input, None)
    out, mask = input.new(input.sizes, strides=strides), input.new(input.sizes, torch.bool, strides)
    input.tape.kernel("native_dropout", "pointwise", [input, out, mask], flops=out.elements)

    def backward(saved: Any, g: Tensor) -> list[Tensor]:
        gradient = g.new(g.sizes, strides=strides_for(g, None))
        g.tape.kernel("native_dropout_backward", "pointwise", [g, *saved, gradient], flops=gradient.elements)
        return [gradient]

    attach([out], [input], [mask], backward)
    return out, mask


# Draws.


def _drawn(name: str, tensors: list[Tensor], sizes: Shape, dtype: DType) -> Tensor:
    """A new tensor drawn by parameters; no gradient goes through it, but zeros."""
    out = Tensor(active(), sizes, dtype)
    out.tape.kernel(name, "pointwise", [*tensors, out], flops=out.elements)
    shapes = [(each.sizes, each.dtype) for each in tensors]
    if tensors:
        attach([out], tensors, [], lambda _, g: [filled("zeros", g.tape, *shape) for shape in shapes])
    return out


@rule("torch.bernoulli", "Tensor.bernoulli")
def bernoulli(input: Tensor, p: float | None = None, **_: Any) -> Tensor:
    out = input.new(input.sizes, strides=strides_for(input, None))
    input.tape.kernel("bernoulli", "pointwise", [input, out], flops=out.elements)
    if p is None:
        attach([out], [input], [], lambda _, g: [zeros_like(g)])
    return out


@rule("torch.normal", factory=True)
def normal(mean: Operand, std: Operand = 1.0, size: Any = None, *, dtype: DType = None, **_: Any) -> Tensor:
    tensors = [each for each in (mean, std) if type(each) is Tensor]
    if not tensors:
        return _drawn("normal", [], tuple(size), dtype or torch.get_default_dtype())
    return _drawn("normal", tensors, broadcast(*(each.sizes for each in tensors)), promoted(tensors))


@rule("torch.multinomial", "Tensor.multinomial")
def multinomial(input: Tensor, num_samples: Any, replacement: bool = False, **_: Any) -> Tensor:
    """Indices, in 8 bytes, drawn by each row's weights."""
    return _drawn("multinomial", [input.alias()], (*input.sizes[:-1], num_samples), torch.int64)


@rule("torch.randint", factory=True)
def randint(*arguments: Any, size: Any = None, dtype: DType = None, **_: Any) -> Tensor:
    shape = size if size is not None else next(each for each in arguments if isinstance(each, (tuple, list)))
    return filled("randint", active(), tuple(shape), dtype or torch.int64)


@rule("torch.randint_like")
def randint_like(input: Tensor, *_: Any, dtype: DType = None, **__: Any) -> Tensor:
    out = input.new(input.sizes, dtype, strides_for(input, None))
    input.tape.kernel("randint_like", "pointwise", [out], flops=0)
    return out


@rule("torch.randperm", factory=True)
def randperm(n: Any, *, dtype: DType = None, **_: Any) -> Tensor:
    return filled("randperm", active(), (n,), dtype or torch.int64)


def _drawing(name: str) -> None:
    @rule(f"Tensor.{name}")
    def draw(x: Tensor, *parameters: Any, **_: Any) -> Tensor:
        return changed(x, parameters, name)


for _name in ("bernoulli_", "exponential_", "normal_", "random_", "uniform_"):
    _drawing(_name)
