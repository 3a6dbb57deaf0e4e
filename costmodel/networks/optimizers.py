"""The optimizers of torch, line by line on the tape: one step with the state that earlier ones made, or the first.

``foreach`` is what torch does where all parameters are on a GPU: one kernel for a list of tensors. Adam's step counters
are 0-dimensional and stay on the host; they and their kernels are left out.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, ClassVar

from ..checks import one_of
from ..tape import Tape

if TYPE_CHECKING:
    from ..tape import Tensor

Tensors = Sequence["Tensor"]


class Optimizer:
    """One step over all parameters.

    Args:
        parameters: what is optimised.
        weight_decay: whether there is one.
        foreach: whether a kernel treats all parameters at once.
        first: whether there was no step before, which makes the state.

    Attributes:
        state: its own tensors, as many of each parameter's shape as ``states``.
    """

    states: ClassVar[int]

    def __init__(self, parameters: list[Tensor], *, weight_decay: bool, foreach: bool, first: bool = False) -> None:
        self.parameters, self.weight_decay, self.foreach, self.first = parameters, weight_decay, foreach, first
        from ..tape.program import given  # noqa: PLC0415  (it needs torch, which the names of optimizers do not)

        states = 0 if first else self.states
        self.state = [[given(p.tape, p.sizes, p.dtype) for p in parameters] for _ in range(states)]

    def step(self, gradients: list[Tensor]) -> None:
        """Update the parameters by their ``gradients``, in the same order."""
        if self.first:
            self.begin()
        columns = (self.parameters, gradients, *self.state)
        self.update([columns] if self.foreach else ([[t] for t in row] for row in zip(*columns, strict=True)))

    def begin(self) -> None:
        """Make the state that torch makes before the first update."""

    def update(self, rows: Iterable[Sequence[Tensors]]) -> None:
        """The same, for each of ``rows``: parameters, gradients and state that are treated at once.

        As in torch, a row's temporaries live until the next row's take their names.
        """
        raise NotImplementedError

    def kernel(self, name: str, *lists: Tensors) -> None:
        """A kernel that changes the first of the lists in place."""
        read = [tensor for each in lists for tensor in each]
        self._record(name, read, lists[0])

    def new(self, name: str, *lists: Tensors) -> list[Tensor]:
        """A kernel that writes new tensors of the shapes of the first list."""
        written = [tensor.new(tensor.sizes) for tensor in lists[0]]
        self._record(name, [tensor for each in lists for tensor in each], written)
        return written

    def made(self, name: str, like: Tensor, *read: Tensor) -> Tensor:
        """A tensor of the state, which torch makes one by one."""
        out = like.new(like.sizes)
        out.tape.kernel(name, "pointwise", [*read, out], flops=0)
        return out

    def _record(self, name: str, read: Tensors, written: Tensors) -> None:
        tape: Tape = written[0].tape
        name = f"_foreach_{name}" if self.foreach else name
        tape.kernel(name, "pointwise", [*read, *written], flops=sum(tensor.elements for tensor in written))


class SGD(Optimizer):
    """Gradient descent: torch.optim.SGD without momentum."""

    states = 0

    def update(self, rows: Iterable[Sequence[Tensors]]) -> None:
        """w ← w - η g."""
        for row in rows:
            parameters, gradients = row
            if self.weight_decay:
                gradients = self.new("add", gradients, parameters)
            self.kernel("add_", parameters, gradients)


class Momentum(Optimizer):
    """torch.optim.SGD with momentum."""

    states = 1

    def update(self, rows: Iterable[Sequence[Tensors]]) -> None:
        """v ← μ v + g, w ← w - η v; the first v is g."""
        made: list[Tensor] = []
        for row in rows:
            parameters, gradients, *state = row
            if self.weight_decay:
                gradients = self.new("add", gradients, parameters)
            if self.first:
                velocity: Tensors = [self.made("clone", g, g) for g in gradients]
                made += velocity
            else:
                (velocity,) = state
                self.kernel("mul_", velocity)
                self.kernel("add_", velocity, gradients)
            gradients = velocity
            self.kernel("add_", parameters, gradients)
        if self.first:
            self.state = [made]


class Adam(Optimizer):
    """torch.optim.Adam."""

    states = 2
    decoupled = False

    def begin(self) -> None:
        """Both moments of a parameter, then those of the next."""
        pairs = [[self.made("zeros_like", p) for _ in range(self.states)] for p in self.parameters]
        self.state = [list(column) for column in zip(*pairs, strict=True)]

    def update(self, rows: Iterable[Sequence[Tensors]]) -> None:
        """Both moments, and w ← w - η m / (√v + ε)."""
        for row in rows:
            parameters, gradients, first, second = row
            if self.weight_decay and self.decoupled:
                self.kernel("mul_", parameters)
            elif self.weight_decay:
                gradients = self.new("add", gradients, parameters)
            self.kernel("lerp_", first, gradients)
            self.kernel("mul_", second)
            self.kernel("addcmul_", second, gradients, gradients)
            if self.foreach:
                gradients = ()
                root = self.new("sqrt", second)
                self.kernel("div_", root)
            else:
                root = self.new("div", self.new("sqrt", second))
            self.kernel("add_", root)
            self.kernel("addcdiv_", parameters, first, root)


class AdamW(Adam):
    """torch.optim.AdamW: weight decay apart from the gradient."""

    decoupled = True


OPTIMIZERS: dict[str, type[Optimizer]] = {"sgd": SGD, "sgd-momentum": Momentum, "adam": Adam, "adamw": AdamW}


def find_optimizer(name: str) -> type[Optimizer]:
    """The optimizer of that name."""
    return OPTIMIZERS[one_of("optimizer", name, OPTIMIZERS)]
