"""Sees, and changes on demand, what each rule does: its allocations, kernels, saved tensors, calls and lifetimes.

A step is a call of a rule, or of the backward that it attached. What happens while a step is the innermost one is its
own. Its place is the chain of lines from the rule's own code to it. Import this before any rule is read.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import wraps
from typing import Any, NamedTuple

import torch

from lipcost.costmodel.tape import graph, layout, table
from lipcost.costmodel.tape.tape import Storage, Tape, pinned
from lipcost.costmodel.tape.tensor import Tensor

from .events import peak, place_after, place_before, top


class Mutant(NamedTuple):
    """A change of one rule.

    Attributes:
        rule: the first of its names.
        phase: forward or backward.
        kind: what is changed.
        place: lines, from the rule's own outwards to the primitive.
        which: of several operands.
    """

    rule: str
    phase: str
    kind: str
    place: str
    which: int = 0


class Step:
    """A call that runs: of a rule or of its backward."""

    __slots__ = ("calls", "kernels", "made", "phase", "rule", "start", "tape")

    def __init__(self, rule: str, phase: str) -> None:
        self.rule, self.phase = rule, phase
        self.tape = table.recordings()[-1] if table.recordings() else None
        self.start = len(self.tape.events) if self.tape else 0
        self.made: list[tuple[Storage, str, bool, int]] = []  # storage, place, whether its own, bytes of an element
        self.calls: list[tuple[str, list[Storage]]] = []
        self.kernels = len(self.tape.operations) if self.tape else 0


WIDER = {
    torch.float32: torch.float64, torch.float64: torch.float32, torch.bfloat16: torch.float32,
    torch.float16: torch.float32, torch.complex64: torch.complex128, torch.complex128: torch.complex64,
    torch.int64: torch.int32, torch.int32: torch.int64, torch.bool: torch.int64, torch.uint8: torch.int64,
}  # fmt: skip

steps: list[Step] = []
mutant: Mutant | None = None  # the one that is done now
sites: dict[Mutant, None] | None = None  # where they are noted
peaks: list[Any] | None = None  # of the steps of the mutant's rule, where they are noted
used: set[str] = set()
declared: dict[str, None] = {}  # every rule, by the first of its names
_targets: dict[Storage, Step] = {}
_late: list[tuple[Tape, Storage, Step]] = []


def start(do: Mutant | None = None, note: bool = False, note_peaks: bool = False) -> None:
    """Do a mutant, or note what there is to mutate, from now on."""
    global mutant, sites, peaks
    mutant, sites, peaks = do, {} if note else None, [] if note_peaks else None
    steps.clear()
    used.clear()
    _targets.clear()
    _late.clear()


def _place(depth: int) -> str:
    frame, lines = sys._getframe(depth), []
    while frame is not None and frame.f_code not in _OWN:
        folder, _, name = frame.f_code.co_filename.rpartition("/")
        if folder.endswith("rules"):
            lines.append(f"{name}:{frame.f_lineno}")
        frame = frame.f_back  # type: ignore[assignment]
    return " ".join(reversed(lines))


def _asked(kind: str, depth: int) -> bool:
    """Whether the active mutant is of this kind and here."""
    if mutant is None or mutant.kind != kind or not steps:
        return False
    step = steps[-1]
    return step.rule == mutant.rule and step.phase == mutant.phase and _place(depth + 1) == mutant.place


def _note(step: Step, kind: str, place: str, which: int = 0) -> None:
    if sites is not None:
        sites[Mutant(step.rule, step.phase, kind, place, which)] = None


def _leaves(value: Any) -> Iterator[Tensor]:
    if type(value) is Tensor:
        yield value
    elif isinstance(value, (tuple, list)):
        for each in value:
            yield from _leaves(each)


# Steps.


def _leave(step: Step, result: Any) -> None:
    """What a step left: to the step around it, and to what is noted."""
    steps.pop()
    results = list(_leaves(result))
    if step.tape is not None:
        if peaks is not None:
            peaks.append(peak(step.tape.events[step.start :]))
        if sites is not None:
            _note_lifetimes(step, results)
        _flush(step)
    if steps and results:
        _hand_over(steps[-1], step, results)


def _hand_over(outer: Step, inner: Step, results: list[Tensor]) -> None:
    fresh = [tensor for tensor in results if _made_in(inner, tensor.memory)]
    if sites is None and not (mutant and mutant.kind in ("earlier", "later")):
        return
    place = _place(4)
    for tensor in fresh:
        outer.made.append((tensor.memory, place, False, tensor.dtype.itemsize))
        if mutant and mutant[:2] == (outer.rule, outer.phase) and mutant.place == place:
            _targets[tensor.memory] = outer
    if sites is not None and inner.tape is not None and len(inner.tape.operations) > inner.kernels:
        outer.calls.append((place, [tensor.memory for tensor in results]))


def _made_in(step: Step, memory: Storage) -> bool:
    return any(memory is each[0] for each in step.made)


def _note_lifetimes(step: Step, results: list[Tensor]) -> None:
    assert step.tape is not None
    events = step.tape.events[step.start :]
    sizes = [sign * storage.nbytes for sign, storage in events]
    before = top(sizes)
    out = {id(tensor.memory) for tensor in results}
    wide = {id(t.memory) for t in results if sum(size > 1 for size in t.hints) > 1}
    for memory, place, own, itemsize in step.made:
        if id(memory) in wide and own:
            _note(step, "strides", place)
        alive = [i for i, (_, storage) in enumerate(events) if storage is memory]
        if len(alive) == 1 and own:
            _note(step, "bytes", place)
        if len(alive) < 2 or not memory.nbytes:
            continue
        first, last = alive[0], alive[-1]
        if own:
            more = [*sizes]
            more[first] += itemsize
            if top(more) != before:
                _note(step, "bytes", place)
        for kind, at in (("earlier", place_before(events, first, last)), ("later", place_after(events, last))):
            if at is not None:
                other = sizes[:last] + sizes[last + 1 :]
                other.insert(at, -memory.nbytes)
                if top(other) != before:
                    _note(step, kind, place)
    for place, memories in step.calls:
        if not all(id(memory) in out for memory in memories):
            _note(step, "called again", place)


def _flush(step: Step | None = None, tape: Tape | None = None) -> None:
    """Let go what is late: of a step that ends, or on a tape that has just allocated."""
    for each in [each for each in _late if each[2] is step or each[0] is tape]:
        _late.remove(each)
        each[0].events.append((-1, each[1]))


def _stepped(rule: Callable[..., Any], name: str) -> Callable[..., Any]:
    def step(*args: Any, **kwargs: Any) -> Any:
        used.add(name)
        if mutant is not None and mutant.rule == name and mutant.kind == "no rule":
            raise ValueError(name)
        again = mutant is not None and mutant.kind == "called again" and _asked("called again", 2)
        for last in (False, True) if again else (True,):
            steps.append(Step(name, "forward"))
            try:
                out = rule(*args, **kwargs)
            except BaseException:
                steps.pop()
                raise
            _leave(steps[-1], out)
            if last:
                return out
            del out
        return None

    _OWN.add(step.__code__)
    return wraps(rule)(step)


_OWN: set[Any] = set()  # the code between steps
_treated = table.treated


def _declared(rule: Callable[..., Any], names: Sequence[str]) -> Callable[..., Any]:
    declared[names[0]] = None
    return _stepped(_treated(rule, names), names[0])


# Primitives.

_new = Tensor.__new__


def _allocated(  # noqa: PLR0917  (as Tensor is made)
    cls: Any, tape: Tape, sizes: Any, dtype: Any, memory: Storage | None = None, strides: Any = None
) -> Tensor:
    if memory is not None or not steps:
        return _new(cls, tape, sizes, dtype, memory, strides)
    step = steps[-1]
    if mutant is not None and (step.rule, step.phase) == mutant[:2]:
        if _asked("type", 2):
            dtype = WIDER.get(dtype, dtype)
        if _asked("strides", 2):
            hints = tuple(map(tape.hint, sizes))
            turned = layout.contiguous(hints, tuple(reversed(range(len(hints)))))
            strides = None if strides == turned else turned
    out = _new(cls, tape, sizes, dtype, None, strides)
    if mutant is not None and (step.rule, step.phase) == mutant[:2]:
        if _asked("bytes", 2):
            out.memory.nbytes += dtype.itemsize
        if mutant.kind in ("earlier", "later") and _place(2) == mutant.place:
            _targets[out.memory] = step
    if sites is not None:
        place = _place(2)
        if out.memory.nbytes:
            _note(step, "type", place)
        step.made.append((out.memory, place, True, dtype.itemsize))
    elif mutant is not None and mutant.kind in ("earlier", "later"):
        step.made.append((out.memory, "", True, dtype.itemsize))
    return out


_allocate, _release, _kernel = Tape.allocate, Tape.release, Tape.kernel


def _allocating(self: Tape, nbytes: Any) -> Storage:
    out = _allocate(self, nbytes)
    if _late:
        _flush(tape=self)
    return out


def _releasing(self: Tape, storage: Storage) -> None:
    step = _targets.pop(storage, None) if _targets else None
    if step is None or step not in steps or step.tape is not self or mutant is None:
        _release(self, storage)
    elif mutant.kind == "later":
        _late.append((self, storage, step))
    else:
        first = next((i for i in range(len(self.events) - 1, -1, -1) if self.events[i][1] is storage), 0)
        at = place_before(self.events, first, len(self.events))
        self.events.insert(len(self.events) if at is None else at, (-1, storage))


def _launched(self: Tape, name: str, cls: str, tensors: Sequence[Any], **how: Any) -> None:
    _kernel(self, name, cls, tensors, **how)
    if not steps:
        return
    step, done = steps[-1], self.operations[-1]
    if sites is not None:
        place = _place(2)
        kinds = ["kernel missing", "kernel again", "flops"]
        kinds += ["class"] if done.flops else []
        kinds += ["macs"] if done.macs else []
        for kind in kinds:
            _note(step, kind, place)
        for i, nbytes in enumerate(done.moved):
            if nbytes:
                _note(step, "operand not moved", place, i)
    if mutant is None or (step.rule, step.phase) != mutant[:2]:
        return
    if _asked("kernel missing", 2):
        self.operations.pop()
    elif _asked("kernel again", 2):
        self.operations.append(done)
    elif _asked("flops", 2):
        self.operations[-1] = done._replace(flops=done.flops + 1)
    elif _asked("macs", 2):
        self.operations[-1] = done._replace(macs=done.macs + 1)
    elif _asked("class", 2):
        self.operations[-1] = done._replace(cls="matmul" if done.cls == "pointwise" else "pointwise")
    elif _asked("operand not moved", 2):
        i = mutant.which
        self.operations[-1] = done._replace(moved=done.moved[:i] + done.moved[i + 1 :])


_attach = graph.attach


def _attached(
    outputs: Sequence[Tensor], inputs: Sequence[Tensor], saved: Sequence[Any], backward: Any, context: Any = None
) -> None:
    if not steps:
        _attach(outputs, inputs, saved, backward, context)
        return
    step, kept = steps[-1], list(saved)
    followed = torch.is_grad_enabled() and any(tensor.is_followed for tensor in inputs)
    if sites is not None and followed:
        place = _place(2)
        own = {id(each) for each in step.tape.base} if step.tape else set()
        there = {id(each.memory) for each in kept if each is not None}
        for i, each in enumerate(kept):
            if each is not None and id(each.memory) not in own and not each.memory.constant and each.memory.nbytes:
                _note(step, "not saved", place, i)
        for kind, tensors in (("input saved", inputs), ("output saved", outputs)):
            for i, each in enumerate(tensors):
                if id(each.memory) not in there and each.memory.nbytes:
                    _note(step, kind, place, i)
    more = 0
    if mutant is not None and followed and (step.rule, step.phase) == mutant[:2]:
        which = mutant.which
        if _asked("not saved", 2) and which < len(kept) and kept[which] is not None:
            kept[which] = _stand_in(kept[which])
        for kind, tensors in (("input saved", inputs), ("output saved", outputs)):
            if _asked(kind, 2) and which < len(tensors):
                kept, more = [*kept, tensors[which]], 1
    _attach(outputs, inputs, kept, _backward_step(step.rule, backward, more), context)


def _stand_in(tensor: Tensor) -> Tensor:
    """The same without memory."""
    out = Tensor(tensor.tape, tensor.sizes, tensor.dtype, pinned(Storage(0)), tensor._strides)
    out.conjugated = tensor.conjugated
    return out


def _backward_step(name: str, backward: Any, more: int) -> Any:
    def step(saved: tuple[Any, ...], *gradients: Any) -> Any:
        steps.append(Step(name, "backward"))
        try:
            out = backward(saved[: len(saved) - more], *gradients)
        except BaseException:
            steps.pop()
            raise
        _leave(steps[-1], out)
        return out

    _OWN.add(step.__code__)
    return step


def install() -> None:
    """Put the hooks in place, before any rule is read."""
    assert "lipcost.costmodel.tape.rules.kernels" not in sys.modules
    table.treated = _declared  # type: ignore[assignment]
    graph.attach = _attached
    Tensor.__new__ = staticmethod(_allocated)  # type: ignore[method-assign]
    Tape.allocate, Tape.release, Tape.kernel = _allocating, _releasing, _launched  # type: ignore[method-assign]
    table.RULES._read()
    from lipcost.costmodel.tape.rules import formulas, kernels  # noqa: PLC0415  (read with the hooks)

    before = kernels.in_place

    def in_place(name: str, x: Tensor, *others: Any) -> Tensor:
        if steps and sites is not None:
            _note(steps[-1], "not in place", _place(2))
        if mutant is not None and _asked("not in place", 2):
            out = x.new(x.sizes, strides=x._strides)
            tensors = [other.resolved() for other in others if type(other) is Tensor]
            x.tape.kernel(name, "pointwise", [x, *tensors, out], flops=x.elements)
            return out
        return before(name, x, *others)

    for module in [each for name, each in sys.modules.items() if name.startswith("lipcost.costmodel.tape.rules")]:
        if getattr(module, "in_place", None) is before:
            module.in_place = in_place  # type: ignore[attr-defined]

    def ordered(names: Iterable[Any], **how: Any) -> list[Any]:
        out = sorted(names, **how)
        if steps and len(out) > 1 and sites is not None:
            _note(steps[-1], "reverse order", _place(2))
        return out[::-1] if mutant is not None and _asked("reverse order", 2) else out

    formulas.sorted = ordered  # type: ignore[attr-defined]
