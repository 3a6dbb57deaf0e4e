"""Programs on a tape: a module is called until nothing about it changes any more, and the last call is read."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.utils._pytree import tree_leaves

from .graph import run_backward, saved_storages
from .layout import contiguous
from .recording import Recording
from .run import mark_transforms, running
from .tape import DType, Operation, Shape, Storage, Tape
from .tensor import Tensor

CALLS = 2  # by the second one lazy buffers have their size and caches are full


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


def autocast(dtype: Any) -> Any:
    """The context in which a forward pass computes in a type where torch.autocast has it; none for None."""
    return nullcontext() if dtype is None else torch.autocast("cpu", dtype)


def record_call(program: Program, tape: Tape, cast: Any = None) -> tuple[Recording, Any]:
    """Record a call by the protocol of docs/conventions.md; also the module that was called.

    Training: ``y = module(x); torch.autograd.grad(y, [x, *parameters], g)``. Inference: ``y = module(x)`` without
    gradients and with what the module caches.
    """

    def call(session: Session) -> None:
        if program.train is False:
            with torch.no_grad(), autocast(cast):
                session.module(session.x)
            return
        with autocast(cast):
            y = session.forward(session.module)
        g = given(tape, y.sizes, y.dtype)
        mark("inputs", [g])
        session.gradients = run_backward([y], [g])

    session = Session(program, tape)
    return session.record(call), session.module


class Session:
    """One program on one tape, called until nothing about the module changes any more."""

    def __init__(self, program: Program, tape: Tape) -> None:
        self.program, self.tape = program, tape
        self.module: Any = None
        self.x: Any = None
        self.saved: set[Storage] = set()
        self.gradients: Any = None
        self.kept: dict[str, Iterable[Tensor]] = {}

    def record(self, call: Callable[[Session], None], calls: int = CALLS) -> Recording:
        """Call the program and read what the last call left."""
        program, tape = self.program, self.tape
        built = None if callable(getattr(program.module, "parameters", None)) else program.module
        with running(tape, None if built else program.module):
            tape.part = "parameter"  # what is built is the module's own
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
                before: Any = _state(self.module) if i + 1 < calls else None
                tape.phase, tape.part = "forward", "input"
                call(self)
                if i + 1 == calls or not _changed(before, self.module):
                    break
                setup = [op for op in tape.operations if op.part == "parameter"]
                self.gradients = before = None
                self.kept.clear()
                self._keep_caches()
                tape.restart()
            return self._read(setup if program.train is False else [])

    def _keep_caches(self) -> None:
        for tensor in (*caches(self.module), *self.module.buffers()):  # some get their size in a call
            tensor.memory.part = "parameter"

    def _train_once(self) -> None:
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
        self.saved = saved_storages(self.tape) - own - {tensor.memory for tensor in self.tape.lifted}
        for storage in self.saved:
            storage.category = "activations"
        return y

    def _mark_own(self) -> set[Storage]:
        own = mark("parameters", self.module.parameters())
        own |= mark("buffers", [b for b in self.module.buffers() if b.memory not in own])
        own |= mark("inputs", [self.x, *self.kept.get("inputs", ())])
        cached = mark("cache", [tensor for tensor in caches(self.module) if tensor.memory not in own])
        for storage in self.tape.base:
            if not storage.users:  # replaced by the call
                storage.category = "temporaries"
            elif storage.part == "parameter" and storage not in own:
                storage.category = "cache"
                cached.add(storage)
        return own | cached

    def _read(self, setup: list[Operation]) -> Recording:
        tape = self.tape
        own = self._mark_own()
        for category, tensors in self.kept.items():
            own |= mark(category, [tensor for tensor in tensors if tensor.memory not in own])
        return Recording(
            operations=tape.operations,
            setup=setup,
            events=[(1, storage) for storage in tape.base] + tape.events,
            start=len(tape.base),
            once=self.program.train is False,
            saved=self.saved,
        )


def given(tape: Tape, sizes: Shape, dtype: DType) -> Tensor:
    """A tensor that is there before the call."""
    storage = tape.existing(tape.nbytes(sizes, dtype.itemsize))
    return Tensor(tape, sizes, dtype, storage, contiguous(tuple(map(tape.hint, sizes))))


def caches(module: nn.Module) -> list[Tensor]:
    """What layers in eval keep of their weights, whoever made it: a hook may have made a weight."""
    kept = [each.__dict__.get("_cache") for each in module.modules()]
    return [tensor for tensor in tree_leaves(kept) if type(tensor) is Tensor] if any(kept) else []


def mark(category: str, tensors: Iterable[Tensor]) -> set[Storage]:
    """Say what tensors are; their storages."""
    storages = {tensor.memory for tensor in tensors}
    for storage in storages:
        storage.category = category
    return storages


def _built(build: Callable[[Tape], nn.Module], tape: Tape) -> nn.Module:
    module = build(tape)
    mark_transforms(module)
    return module


def _dtype(module: nn.Module) -> DType:
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
