"""The allocator's events in plain eager, by ``torch.profiler``: what was for tensors, for scalars, for scratch."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from itertools import takewhile
from typing import Any, NamedTuple

import torch
from torch.profiler import ProfilerActivity, profile, record_function

from .live import prompt_frees, storages
from .protocol import Call

# Else the profiler writes a line to stderr whenever it starts and stops. It reads this at its first start.
os.environ.setdefault("KINETO_LOG_LEVEL", "99")

MEASURED = "lipcost: the measured call"
GENERATOR = "lipcost: a random generator's state"  # on the host: a checkpoint keeps it, no figure has it
WRAPPED_SCALAR_BYTES = 16  # one complex128, the largest Python scalar that torch wraps in a tensor


class Peaks(NamedTuple):
    """Most bytes beyond what was there before: in tensors, in wrapped scalars, in tensors and scratch."""

    tensors: int
    scalars: int
    everything: int


def profiled_peaks(call: Call, replaces: bool = True) -> Peaks:
    """The peaks of one run, on the CPU.

    Args:
        call: what runs.
        replaces: whether a run replaces buffers or the cache.

    Example:
        >>> import torch
        >>> from lipcost.validate.measure.profiler import profiled_peaks
        >>> from lipcost.validate.measure.protocol import LayerCall
        >>> profiled_peaks(LayerCall(torch.nn.ReLU(), torch.ones(8), "inference")).tensors
        32
    """
    call.reset()
    with prompt_frees(), profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        if replaces:  # the profiler knows the frees of what was allocated while it ran
            call.run()
            call.reset()
        before = {storage.data_ptr() for storage in storages(call.base)}
        with record_function(MEASURED), _generators_marked():
            result = call.run()
    del result
    kineto = profiler.profiler and profiler.profiler.kineto_results
    events = [event for event in kineto.experimental_event_tree() if event.name == MEASURED]
    return _peaks(allocations(events), before)


@contextmanager
def _generators_marked() -> Iterator[None]:
    original = torch.get_rng_state

    def marked() -> torch.Tensor:
        with record_function(GENERATOR):
            return original()

    torch.get_rng_state = marked
    try:
        yield
    finally:
        torch.get_rng_state = original


Allocation = tuple[int, int, int | None]  # address, bytes (negative: freed), the operator call that was running


def allocations(events: Iterable[Any], operator: int | None = None) -> Iterator[Allocation]:
    """The allocator's events below ``events``, in time order."""
    for event in events:
        if event.name == GENERATOR:
            continue
        if event.tag.name == "Allocation":
            yield event.extra_fields.ptr, event.extra_fields.alloc_size, operator
        elif operator is None and _is_operator(event.name) and not _calls_itself(event):
            # An operator that knows no lazy conjugation or negation first gets copies of such inputs, made above a
            # dispatch mode, which sees them as operators of their own.
            copies = list(takewhile(lambda child: child.name == "aten::clone", event.children))
            yield from allocations(copies)
            yield from allocations(event.children[len(copies) :], event.id)
        else:
            yield from allocations(event.children, operator)


def _calls_itself(event: Any) -> bool:
    """Whether it is a composite overload where others are none, as torch.where with a number: it calls those."""
    mixed = any(_composite_overloads().get(event.name, ()))
    return mixed and any(child.name == event.name for child in event.children)


@cache
def _is_operator(name: str) -> bool:
    """Whether a dispatch mode would see the profiled range ``name`` as one operator (``name`` lacks the overload)."""
    return not all(_composite_overloads().get(name, (True,)))


@cache
def _composite_overloads() -> dict[str, list[bool]]:
    """For each ATen operator, whether its overloads are composite-implicit.

    Variants with out are apart, and those of named axes, which torch has before 2.13.
    """
    found: dict[str, list[bool]] = {}
    for full in torch._C._dispatch_get_all_op_names():
        name, _, overload = full.partition(".")
        if name.startswith("aten::") and not overload.endswith("out") and "name" not in overload.lower():
            implicit = torch._C._dispatch_has_kernel_for_dispatch_key(full, "CompositeImplicitAutograd")
            found.setdefault(name, []).append(implicit)
    return found


def _peaks(allocations: Iterable[Allocation], before: Iterable[int] = ()) -> Peaks:
    """Of tensors, scalars, and tensors with scratch, by what is allocated; frees of the addresses ``before`` count."""
    events = list(allocations)
    held = set(before)
    kinds: dict[int, str] = {}  # index of the event -> "tensor", "scratch" or "scalar"
    born: dict[int, int] = {}  # address -> index of its allocation
    for i, (address, size, operator) in enumerate(events):
        if size > 0:
            born[address] = i
            kinds[i] = "scalar" if operator is None and size <= WRAPPED_SCALAR_BYTES else "tensor"
        elif address in born:
            start = born.pop(address)
            if operator is not None and operator == events[start][2]:
                kinds[start] = "scratch"
            kinds[i] = kinds[start]
        elif address in held:
            held.remove(address)
            kinds[i] = "tensor"
    live = dict.fromkeys(("tensor", "scratch", "scalar"), 0)
    tensors = scalars = everything = 0
    for i, kind in sorted(kinds.items()):
        live[kind] += events[i][1]
        tensors, scalars = max(tensors, live["tensor"]), max(scalars, live["scalar"])
        everything = max(everything, live["tensor"] + live["scratch"])
    return Peaks(tensors, scalars, everything)
