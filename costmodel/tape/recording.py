"""What a recording holds, and the two protocols that make one: a layer's call and a network's training step."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import accumulate
from typing import TYPE_CHECKING, Any

from .graph import run_backward, saved_storages
from .run import mark_transforms, recording
from .tape import DType, Operation, Shape, Size, Storage, Tape
from .tensor import Tensor

if TYPE_CHECKING:
    from torch import nn

COUNTED = ("macs", "flops", "traffic", "launches")  # each as *_forward and *_backward
BYTES = ("parameter_bytes", "buffer_bytes", "cache_bytes", "saved_bytes", "peak_bytes")
QUANTITIES = tuple(f"{name}_{phase}" for name in COUNTED for phase in ("forward", "backward")) + BYTES
CATEGORIES = ("parameters", "buffers", "inputs", "optimizer", "cache", "gradients", "activations", "temporaries")
CALLS = 2  # by the second one lazy buffers have their size and caches are full


@dataclass(frozen=True)
class Recording:
    """What one call left on the tape. Sizes are ints or SymPy expressions, as the call's were.

    Attributes:
        operations: every kernel, in order.
        setup: the kernels that an earlier call paid once: in inference, those of the parameter transformations.
        events: allocations (+1, storage) and releases (-1, storage), from an empty memory on.
        start: how many of the events are the base: what was there before the call.
        once: whether the parameter transformations are paid once (inference).
        bytes_of: of what is kept, by category.
        saved_bytes: kept by autograd for the backward, without the input and the module's own tensors.
    """

    operations: list[Operation]
    setup: list[Operation]
    events: list[tuple[int, Storage]]
    start: int
    once: bool
    bytes_of: dict[str, Size]
    saved_bytes: Size = 0
    sizes: list[tuple[int, Size]] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "sizes", [(sign, storage.nbytes) for sign, storage in self.events])

    def count(self, name: str, phase: str, part: str | None = None, cls: str | None = None) -> Size:
        """Total of ``name`` (macs, flops, traffic, launches) over a phase, of one part and one class or all.

        The total of all parts is what a call pays: without what was paid once.
        """
        return total(
            1 if name == "launches" else getattr(op, name)
            for op in self.paid(part)
            if op.phase == phase and cls in (None, op.cls)
        )

    def paid(self, part: str | None = None) -> Iterator[Operation]:
        """The operations that a call pays; of one part, also what was paid for it once."""
        if part is None:
            return iter(self.operations)
        return (op for op in (*self.setup, *self.operations) if op.part == part)

    def quantity(self, name: str, part: str | None = None) -> Size:
        """Any of QUANTITIES but the peak."""
        if name == "saved_bytes":
            return self.saved_bytes
        if name in BYTES:
            return self.bytes_of[{"parameter": "parameters", "buffer": "buffers", "cache": "cache"}[name.split("_")[0]]]
        counted, phase = name.split("_")
        return self.count(counted, phase, part)

    def peak(self, rounding: int = 1) -> int:
        """The most bytes live at once, in a recording with numbers; each allocation rounded up to a multiple."""
        live: list[int] = list(accumulate(sign * (-(-size // rounding) * rounding) for sign, size in self.sizes))
        return max(live[max(self.start - 1, 0) :])

    def at_peak(self) -> dict[str, int]:
        """The bytes live at the first moment of the peak, by category."""
        live = dict.fromkeys(CATEGORIES, 0)
        best, most, now = dict(live), 0, 0
        for i, (sign, storage) in enumerate(self.events, 1):
            live[storage.category] += sign * storage.nbytes
            now += sign * storage.nbytes
            if i >= self.start and now > most:
                best, most = dict(live), now
        return best


@dataclass(frozen=True)
class Program:
    """What is recorded: a module and its input.

    Attributes:
        module: an nn.Module, or a function of the tape that builds one; then its parameters have no values at all.
        sizes: of the input, the batch first.
        dtype: of the input; None for that of the module's first parameter.
        train: whether the module is in training mode and its gradients are recorded; None records them too, with
            each of its parts in the mode that it is in.
        input_gradient: whether the input's gradient is wanted.
    """

    module: Any
    sizes: Shape
    dtype: DType
    train: bool | None
    input_gradient: bool = False


def record_call(program: Program, tape: Tape) -> tuple[Recording, Any]:
    """Record a call by the protocol of docs/conventions.md; also the module that was called.

    Training: ``y = module(x); torch.autograd.grad(y, [x, *parameters], g)``. Inference: ``y = module(x)`` without
    gradients and with what the module caches.
    """

    def call(session: Session) -> None:
        import torch  # noqa: PLC0415

        if program.train is False:
            with torch.no_grad():
                session.module(session.x)
            return
        y = session.forward(session.module)
        g = given(tape, y.sizes, y.dtype)
        mark("inputs", [g])
        session.gradients = run_backward(y, g)

    session = Session(program, tape)
    return session.record(call), session.module


class Session:
    """One program on one tape, called until nothing about the module changes any more."""

    def __init__(self, program: Program, tape: Tape) -> None:
        self.program, self.tape = program, tape
        self.module: Any = None
        self.x: Any = None
        self.saved: Size = 0
        self.gradients: Any = None
        self.kept: dict[str, Iterable[Tensor]] = {}

    def record(self, call: Callable[[Session], None], calls: int = CALLS) -> Recording:
        """Call the program and read what the last call left."""
        program, tape = self.program, self.tape
        built = None if callable(getattr(program.module, "parameters", None)) else program.module
        with recording(tape, None if built else program.module):
            self.module = _built(built, tape) if built else program.module
            if program.train is not None:
                self.module.train(program.train)
            dtype = program.dtype or _dtype(self.module)
            self.x = given(tape, program.sizes, dtype)
            if program.input_gradient:
                self.x.require_grad()
            tape.restart()
            if built and program.train is False:  # as trained before: some buffers get their size in a training call
                self._train_once()
            setup: list[Operation] = []
            for i in range(calls):
                before: Any = _state(self.module)
                tape.phase, tape.part = "forward", "input"
                call(self)
                if i + 1 == calls or not _changed(before, self.module):
                    break
                setup = [op for op in tape.operations if op.part == "parameter"]
                self.gradients = before = None
                self.kept.clear()
                tape.restart()
            return self._read(setup if program.train is False else [])

    def _train_once(self) -> None:
        import torch  # noqa: PLC0415

        with torch.no_grad():
            self.module.train()(self.x)
        self.module.eval()
        self.tape.restart()

    def forward(self, function: Callable[[Tensor], Tensor]) -> Tensor:
        """The output; what its graph keeps is read at once."""
        y = function(self.x)
        own = self._mark_own()
        if y.edge is None:
            raise ValueError("nothing in the output asks for a gradient: the module has no parameter that reaches it")
        saved = saved_storages(y) - own
        for storage in saved:
            storage.category = "activations"
        self.saved = total(storage.nbytes for storage in saved)
        return y

    def _mark_own(self) -> set[Storage]:
        own = mark("parameters", self.module.parameters())
        own |= mark("buffers", [b for b in self.module.buffers() if b.storage not in own])
        return own | mark("inputs", [self.x, *self.kept.get("inputs", ())])

    def _read(self, setup: list[Operation]) -> Recording:
        tape = self.tape
        own = self._mark_own()
        for category, tensors in self.kept.items():
            own |= mark(category, [tensor for tensor in tensors if tensor.storage not in own])
        for storage in tape.base:
            if storage not in own and storage.category == "temporaries":
                storage.category = "cache"
        held: dict[str, Size] = dict.fromkeys(CATEGORIES, 0)
        live = [*tape.base, *(storage for sign, storage in tape.events if sign > 0)]
        for category in CATEGORIES:
            held[category] = total(storage.nbytes for storage in live if storage.category == category)
        return Recording(
            operations=tape.operations,
            setup=setup,
            events=[(1, storage) for storage in tape.base] + tape.events,
            start=len(tape.base),
            once=self.program.train is False,
            bytes_of=held,
            saved_bytes=self.saved,
        )


def given(tape: Tape, sizes: Shape, dtype: DType) -> Tensor:
    """A tensor that is there before the call."""
    from .layout import contiguous  # noqa: PLC0415

    storage = tape.existing(tape.nbytes(sizes, dtype.itemsize))
    return Tensor(tape, sizes, dtype, storage, contiguous(tuple(map(tape.hint, sizes))))


def mark(category: str, tensors: Iterable[Tensor]) -> set[Storage]:
    """Say what tensors are; their storages."""
    storages = {tensor.storage for tensor in tensors}
    for storage in storages:
        storage.category = category
    return storages


def _built(build: Callable[[Tape], nn.Module], tape: Tape) -> nn.Module:
    module = build(tape)
    mark_transforms(module)
    return module


def _dtype(module: nn.Module) -> DType:
    import torch  # noqa: PLC0415

    return next((p.dtype for p in module.parameters()), torch.get_default_dtype())


def _state(module: nn.Module) -> list[tuple[dict[str, Any], ...]]:
    return [(dict(each.__dict__), dict(each._parameters), dict(each._buffers)) for each in module.modules()]


def _changed(before: list[tuple[dict[str, Any], ...]], module: nn.Module) -> bool:
    """Whether an attribute, parameter or buffer is another object than before."""
    for old, new in zip(before, _state(module), strict=True):
        for was, now in zip(old, new, strict=True):
            if was.keys() != now.keys() or any(now[name] is not value for name, value in was.items()):
                return True
    return False


def total(sizes: Iterable[Size]) -> Size:
    """The sum, equal terms first: a sum of thousands of symbolic terms is slow, and most of them are equal."""
    return sum(number * size for size, number in Counter(sizes).items())
