"""What the steps of random programs are drawn from: the tensors that there are, and choices."""

from __future__ import annotations

import builtins
from collections.abc import Callable
from random import Random
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils import checkpoint as checkpoints

NUMBERS = (0.5, 2, -1.5, 3)
SHAPES = ((6,), (3, 6), (4, 4), (2, 3, 6), (2, 4, 4), (2, 4, 6, 6), (3, 2, 5, 5), (1, 3, 8, 4))
REGIONS = ("torch.no_grad()", "torch.autocast('cpu', torch.bfloat16)")
SELF = "self.training"


class Unfit(Exception):
    """What was drawn so far does not allow the step."""


class Scaled(torch.autograd.Function):
    """A product with what it saves, by an autograd Function of its own."""

    @staticmethod
    def forward(ctx: Any, a: Tensor, b: Tensor) -> Tensor:
        ctx.save_for_backward(a, b)
        return a * b.exp()

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor]:
        a, b = ctx.saved_tensors
        scale = b.exp()
        return grad * scale, grad * a * scale


def checkpoint(function: Callable[..., Tensor], *inputs: Tensor) -> Tensor:
    """A part of a program that the backward runs again."""
    return checkpoints.checkpoint(function, *inputs, use_reentrant=False)


class _Self:
    training = True


NAMESPACE: dict[str, Any] = {
    "__builtins__": __builtins__, "torch": torch, "F": F, "Scaled": Scaled, "checkpoint": checkpoint, "self": _Self(),
}  # fmt: skip


class Operand(str):
    """An expression of a tensor, with the tensor."""

    __slots__ = ("value",)
    value: Tensor

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the tensor."""
        return tuple(self.value.shape)

    @property
    def rank(self) -> int:
        """The number of axes."""
        return self.value.ndim


Fit = Callable[[Tensor], bool]


class Draw:
    """A program as far as it is drawn.

    Args:
        random: where choices come from.

    Attributes:
        tensors: the live tensors by name: x, p0 … the parameters, c0 … the buffers, v0 … what steps made.
        written: what the statement that is drawn changes.
        owned: the expressions of the parameters and buffers by name.
    """

    def __init__(self, random: Random) -> None:
        self.random = random
        dtype = torch.float64 if self.chance(0.1) else torch.float32
        x = (torch.rand(self.one(*SHAPES)) + 0.1).to(dtype)
        self.tensors: dict[str, Tensor] = {"x": x.requires_grad_()}
        self.owned: dict[str, str] = {}
        self.written: Tensor | None = None
        self.dtype = dtype
        for _ in range(random.randint(0, 2)):
            self.parameter(*self.one(*SHAPES))

    def one(self, *options: Any) -> Any:
        """One of several."""
        return self.random.choice(options)

    def int(self, low: int, high: int) -> int:
        """A number in a range."""
        return self.random.randint(low, high)

    def chance(self, probability: float) -> bool:
        """Whether something rare happens."""
        return self.random.random() < probability

    def number(self) -> Any:
        """A number of the program."""
        return self.one(*NUMBERS)

    def tensor(self, fit: Fit = lambda t: True, floating: bool = True, nested: bool = True) -> Operand:
        """A live tensor, the latest ones more often; now and then an expression of one, which has no name."""
        fits = [
            name for name, t in self.tensors.items()
            if fit(t) and (not floating or t.is_floating_point()) and self._may_read(t)
        ]  # fmt: skip
        if not fits:
            raise Unfit
        latest = [name for name in fits if name[0] == "v"][-3:] or ["x"]
        name = self.one(*latest) if latest[0] in fits and self.chance(0.7) else self.one(*fits)
        if nested and self.chance(0.15):
            expression = self.one("{}.mT", "({} * 2)", "{}.detach()", "{}.clone()", "{}[..., :-1]", "{}.sin()", "(-{})")
            other = self.operand(expression.format(name))
            if fit(other.value):
                return other
        return self.operand(name)

    def _may_read(self, t: Tensor) -> bool:
        """Whether it shares no memory with what the statement changes: torch would keep such a step alive for ever."""
        return self.written is None or t.untyped_storage().data_ptr() != self.written.untyped_storage().data_ptr()

    def operand(self, text: str) -> Operand:
        """An expression with its value."""
        out = Operand(text)
        try:
            out.value = eval(text, {**NAMESPACE, **self.tensors})
        except Exception as error:  # torch's own, of many types
            raise Unfit from error
        return out

    def result_name(self, floating: bool = True) -> Operand:
        """A tensor that a step made."""
        names = [n for n, t in self.tensors.items() if n[0] == "v" and (not floating or t.is_floating_point())]
        if not names:
            raise Unfit
        return self.operand(self.one(*names[-4:]))

    def axis(self, a: Operand) -> builtins.int:
        """An axis of a tensor, counted from the front or from the back."""
        return self.int(-a.rank, a.rank - 1) if a.rank else 0

    def axes(self, a: Operand) -> tuple[builtins.int, ...]:
        """Several."""
        return tuple(self.random.sample(range(a.rank), self.int(1, max(1, a.rank)))) if a.rank else ()

    def parameter(self, *shape: builtins.int) -> str:
        """A parameter, frozen or not, or a constant; an old one or a new one."""
        old = [n for n, t in self.tensors.items() if n[0] in "pc" and t.shape == shape and t.is_floating_point()]
        if old and self.chance(0.5):
            return self.one(*old)
        made = f"torch.rand({tuple(shape)}) + 0.1"
        if self.dtype is not torch.float32:
            made = f"({made}).to({self.dtype})"
        kind = self.random.random()
        if kind < 0.15:
            return self.constant(made)
        return self._owned("p", f"torch.nn.Parameter({made}{', requires_grad=False' if kind < 0.3 else ''})")

    def constant(self, made: str) -> str:
        """A buffer."""
        return self._owned("c", made)

    def _owned(self, letter: str, made: str) -> str:
        name = f"{letter}{len(self.owned)}"
        self.owned[name] = made
        self.tensors[name] = eval(made, dict(NAMESPACE))
        return name

    def indices(self, below: builtins.int, *shape: builtins.int) -> str:
        """A constant of indices."""
        return self.constant(f"torch.randint(0, {below}, {tuple(shape)})")

    def mask(self, *shape: builtins.int) -> str:
        """A mask: a constant or a comparison."""
        if self.chance(0.5):
            return self.constant(f"torch.rand({tuple(shape)}) > 0.5")
        like = [name for name, t in self.tensors.items() if t.shape == shape and t.is_floating_point()]
        if not like:
            raise Unfit
        return f"({self.one(*like)} > {self.number()})"

    def images(self) -> Operand:
        """A batch of images."""
        return self._shaped(4, lambda h, w: self.one((1, -1, h, w), (-1, 1, h, w)))

    def stack(self) -> Operand:
        """A stack of matrices, or a batch of signals."""
        return self._shaped(3, lambda h, w: (-1, h, w))

    def rows(self) -> Operand:
        """A matrix."""
        return self._shaped(2, lambda h, w: (-1, w))

    def _shaped(
        self, rank: builtins.int, shape: Callable[[builtins.int, builtins.int], tuple[builtins.int, ...]]
    ) -> Operand:
        if any(t.ndim == rank and t.is_floating_point() for t in self.tensors.values()) and self.chance(0.8):
            return self.tensor(lambda t: t.ndim == rank)
        a = self.tensor(lambda t: t.ndim >= 2)
        return self.operand(f"{a}.reshape{shape(*a.shape[-2:])}")

    def like(self, a: Operand) -> str:
        """A tensor of the same shape, or a new parameter of it."""
        others = [
            name
            for name, t in self.tensors.items()
            if t.is_floating_point() and tuple(t.shape) == a.shape and self._may_read(t)
        ]
        return self.one(*others) if others and self.chance(0.7) else self.parameter(*a.shape)

    def beside(self, a: Operand) -> str:
        """What broadcasts with a tensor, or a number."""
        if self.chance(0.25):
            return str(self.number())
        if self.chance(0.3):
            return self.like(a)
        if self.chance(0.4):
            shape = tuple(1 if self.chance(0.3) else size for size in a.shape[self.int(0, a.rank) :])
            return self.parameter(*shape)
        return self.tensor()

    def result(self) -> str:
        """What a program returns: one of its tensors, or some of them summed."""
        results = [
            name for name, t in self.tensors.items() if name[0] == "v" and t.is_floating_point() and t.requires_grad
        ]
        if not results:
            raise Unfit
        if self.chance(0.5):
            return results[-1]
        some = results[-self.int(1, 4) :]
        return " + ".join(f"{name}.{self.one('sum', 'mean')}()" for name in some)
