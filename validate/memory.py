"""Memory of one layer, measured: the storages that autograd keeps and the peaks of live bytes, seen in two ways."""

from __future__ import annotations

import os
import weakref
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import takewhile
from typing import Any

import torch
from torch import Tensor, nn
from torch.profiler import ProfilerActivity, profile, record_function
from torch.utils._pytree import tree_leaves

from ._live import Event, LiveStorage, Mode, prompt_frees, warmed_up

# Else the profiler writes a line to stderr whenever it starts and stops. It reads this at its first start.
os.environ.setdefault("KINETO_LOG_LEVEL", "99")

MEASURED = "lipcost: the measured call"
WRAPPED_SCALAR_BYTES = 16  # one complex128, the largest Python scalar that torch wraps in a tensor


@dataclass(frozen=True)
class MemoryMeasurement:
    """Bytes of one call of a layer, as :func:`measure_memory` defines them.

    Attributes:
        parameter_bytes: distinct storages of the parameters.
        buffer_bytes: those of the buffers, persistent or not, that are no parameter's.
        cache_bytes: those of the weights kept in eval mode that are neither; 0 in training.
        saved_bytes: those that autograd keeps for backward, without x, parameters, buffers and cache; 0 in inference.
        tracker_peak_bytes: most live bytes, the base included, under :class:`LiveStorage`. An active dispatch mode
            makes autograd accumulate gradients out of place, so this may exceed plain eager's.
        profiler_peak_bytes: most live bytes, the base included, in plain eager by the allocator's events, without
            operator-internal scratch and without wrapped Python scalars.
        scratch_bytes: how much higher the peak is with operator-internal scratch; the convolution backend's choice.
        host_scalar_bytes: most live bytes of Python scalars wrapped as 0-dim CPU tensors, in no other figure here.
    """

    parameter_bytes: int
    buffer_bytes: int
    cache_bytes: int
    saved_bytes: int
    tracker_peak_bytes: int
    profiler_peak_bytes: int
    scratch_bytes: int
    host_scalar_bytes: int


def measure_memory(layer: nn.Module, x: Tensor, mode: Mode = "train") -> MemoryMeasurement:
    """Measure the memory of one call on the CPU, in bytes, by three means that know nothing of any formula.

    A copy of ``layer`` is called once to warm up (lazy buffers, the eval cache), then measured three times:

    * saved tensors, by ``torch.autograd.graph.saved_tensors_hooks``: the distinct storages still packed when the
      forward has ended. A packed tensor counts only if an operator returned its storage (:class:`LiveStorage`
      knows them), which leaves out Python scalars that autograd wraps in 0-dim tensors, whatever their dtype, and
      keeps genuine 0-dim results such as a norm;
    * live storages, by :class:`LiveStorage`;
    * the allocator's events, by ``torch.profiler``. An *operator* is what a dispatch mode sees as a unit:
      composite-implicit ones (matmul, conv2d, ...) are transparent, and the copy of a lazily conjugated input is one
      of its own. What one call of an operator allocates and frees is scratch; up to 16 bytes allocated while no
      operator runs are a wrapped Python scalar.

    In "train" the call is ``y = layer(x); torch.autograd.grad(y, [x, *parameters], g)`` in plain eager, and the base of
    the peaks is x, g (contiguous, shaped as y), parameters and buffers. In "inference" it is ``layer(x)`` without
    gradients and with cached weights, and the base is x, parameters, buffers and cache, as the call before left them:
    what the call itself replaces (a buffer of another size, the cache of one) is freed then. Peaks end when the call
    returns. The sizes of lazy buffers are the layer's own: one never trained keeps its initial ones in inference.

    Args:
        layer: any module of one input and one output; it is copied and left as it is.
        x: its input, floating-point or complex, on the CPU.
        mode: "train" or "inference".

    Returns:
        The measurement.

    Raises:
        ValueError: if ``mode`` is another, or x is integer or not on the CPU.
        RuntimeError: in "train", from autograd, if a parameter that requires grad does not reach the output.

    Source: the protocol of docs/conventions.md; event trees: torch.profiler's memory timeline.

    Example:
        >>> import torch
        >>> from lipcost.validate import measure_memory
        >>> m = measure_memory(torch.nn.ReLU(), torch.ones(8))  # 32 bytes each: x, g, y (saved), the gradient of x
        >>> m.saved_bytes, m.tracker_peak_bytes, m.profiler_peak_bytes
        (32, 128, 128)
    """
    call = _LayerCall(layer, x, mode)
    return MemoryMeasurement(**call.figures())


def trace_events(layer: nn.Module, x: Tensor, mode: Mode = "train") -> list[Event]:
    """The allocations and frees of one call, in order, as :class:`LiveStorage` sees them.

    Args:
        layer: the layer; a copy is measured.
        x: its input.
        mode: "train" (forward and backward) or "inference" (forward, cached weights), as in :func:`measure_memory`.

    Returns:
        (operator, +bytes) and ("free", -bytes). In "train" the output is freed at the end and the gradients are not; in
        "inference" the output is not.

    Example:
        >>> import torch
        >>> from lipcost.validate.memory import trace_events
        >>> trace_events(torch.nn.ReLU(), torch.ones(8), "inference")
        [('aten.relu.default', 32)]
    """
    return _LayerCall(layer, x, mode).track()[1]


class Call(ABC):
    """A call that can be measured again and again, each time from the same state.

    Attributes:
        module: what is called.
        inputs, others: what else exists before the call and counts.
        uncounted: what exists before it and is in no figure.
    """

    def __init__(
        self, module: nn.Module, inputs: Sequence[Tensor], others: Sequence[Tensor], uncounted: Sequence[Tensor] = ()
    ) -> None:
        self.module, self.inputs, self.others, self.uncounted = module, inputs, others, uncounted
        self.reset()
        base = self.base
        with self._tracker():
            self.run()  # an operator's first call under a dispatch mode may hold on to its arguments for a while
        self._replaces = storage_bytes(base) != storage_bytes([*base, *self.base])

    @property
    def parameters(self) -> list[Tensor]:
        """The module's."""
        return list(self.module.parameters())

    @property
    def fixed(self) -> list[Tensor]:
        """Its parameters and buffers; asked anew each time, as a call may replace them."""
        return [*self.module.parameters(), *self.module.buffers()]

    @property
    def cache(self) -> list[Tensor]:
        """The transformed weights that its layers keep in eval mode."""
        kept = tree_leaves([getattr(each, "_cache", None) for each in self.module.modules()])
        return [leaf for leaf in kept if isinstance(leaf, Tensor)]

    @property
    def cache_bytes(self) -> int:
        """Those of the cache that are no parameter's and no buffer's."""
        return storage_bytes([*self.fixed, *self.cache]) - storage_bytes(self.fixed)

    @property
    def base(self) -> list[Tensor]:
        """All that exists before the call and counts. Whoever keeps the list keeps what the call would free."""
        return [*self.inputs, *self.fixed, *self.cache, *self.others]

    @abstractmethod
    def forward(self) -> Tensor:
        """The forward pass."""

    @abstractmethod
    def run(self) -> object:
        """The call itself; what it returns must be kept alive while measuring."""

    def reset(self) -> None:
        """Go back to the state that a call starts from: remove the gradients that the last one left."""
        self.module.zero_grad(set_to_none=True)

    def figures(self) -> dict[str, Any]:
        """What :class:`MemoryMeasurement` says of every call, by name."""
        tensors, scalars, everything = self.profile()
        parameters, fixed, cache = storage_bytes(self.parameters), storage_bytes(self.fixed), self.cache_bytes
        self.reset()
        return {
            "parameter_bytes": parameters,
            "buffer_bytes": fixed - parameters,
            "cache_bytes": cache,
            "profiler_peak_bytes": storage_bytes(self.base) + tensors,
            "tracker_peak_bytes": self.track()[0],
            "saved_bytes": self.saved_bytes(),
            "scratch_bytes": everything - tensors,
            "host_scalar_bytes": scalars,
        }

    def track(self) -> tuple[int, list[Event]]:
        """Peak and events under :class:`LiveStorage`."""
        self.reset()
        tracker = self._tracker()
        with prompt_frees(), tracker:
            result = self.run()
        events = list(tracker.events)  # a copy, before the result is freed
        del result
        return tracker.peak - storage_bytes(self.uncounted), events

    def saved_bytes(self) -> int:
        """Bytes that autograd keeps at the end of the forward."""
        self.reset()
        tracker = self._tracker()
        kept: weakref.WeakSet[_Saved] = weakref.WeakSet()  # weak: a graph may die during the forward

        def pack(tensor: Tensor) -> _Saved:
            saved = _Saved(tensor.detach())
            if tracker.knows(tensor):
                kept.add(saved)
            return saved

        with prompt_frees(), tracker:
            with torch.autograd.graph.saved_tensors_hooks(pack, lambda saved: saved.tensor):
                y = self.forward()
            fixed = [*self.inputs, *self.fixed, *self.cache]
            total = storage_bytes([*fixed, *(saved.tensor for saved in kept)]) - storage_bytes(fixed)
        del y
        return total

    def profile(self) -> tuple[int, int, int]:
        """Most bytes beyond the base: in tensors, in wrapped scalars, in tensors and scratch."""
        self.reset()
        with prompt_frees(), profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
            if self._replaces:  # the profiler knows the frees of what was allocated while it ran
                self.run()
                self.reset()
            before = {storage.data_ptr() for storage in _storages(self.base)}
            with record_function(MEASURED):
                result = self.run()
        del result
        kineto = profiler.profiler and profiler.profiler.kineto_results
        events = [event for event in kineto.experimental_event_tree() if event.name == MEASURED]
        return _peaks(_allocations(events), before)

    def _tracker(self) -> LiveStorage:
        return LiveStorage([*self.base, *self.uncounted])


class _LayerCall(Call):
    """One call of a warmed-up copy of ``layer``."""

    def __init__(self, layer: nn.Module, x: Tensor, mode: Mode) -> None:
        layer, self.x, gradient = warmed_up(layer, x, mode)
        self.training = mode == "train"
        self.gradient = [gradient] if self.training else []
        super().__init__(layer, [self.x], self.gradient)

    def forward(self) -> Tensor:
        with torch.set_grad_enabled(self.training):
            y: Tensor = self.module(self.x)
            return y

    def run(self) -> object:
        y = self.forward()
        if not self.training:
            return y
        return torch.autograd.grad(y, [self.x, *(p for p in self.parameters if p.requires_grad)], self.gradient)


class _Saved:
    """What a saved-tensor hook returns: holds the storage without the graph, which would be a cycle."""

    def __init__(self, tensor: Tensor) -> None:
        self.tensor = tensor


Allocation = tuple[int, int, int | None]  # address, bytes (negative: freed), the operator call that was running


def _allocations(events: Iterable[Any], operator: int | None = None) -> Iterator[Allocation]:
    """The allocator's events below ``events``, in time order."""
    for event in events:
        if event.tag.name == "Allocation":
            yield event.extra_fields.ptr, event.extra_fields.alloc_size, operator
        elif operator is None and _is_operator(event.name) and not _calls_itself(event):
            # An operator that knows no lazy conjugation or negation first gets copies of such inputs, made above a
            # dispatch mode, which sees them as operators of their own.
            copies = list(takewhile(lambda child: child.name == "aten::clone", event.children))
            yield from _allocations(copies)
            yield from _allocations(event.children[len(copies) :], event.id)
        else:
            yield from _allocations(event.children, operator)


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
    """For each ATen operator, whether its overloads, out variants apart, are composite-implicit."""
    found: dict[str, list[bool]] = {}
    for full in torch._C._dispatch_get_all_op_names():
        name, _, overload = full.partition(".")
        if name.startswith("aten::") and not overload.endswith("out"):
            implicit = torch._C._dispatch_has_kernel_for_dispatch_key(full, "CompositeImplicitAutograd")
            found.setdefault(name, []).append(implicit)
    return found


def _peaks(allocations: Iterable[Allocation], before: Iterable[int] = ()) -> tuple[int, int, int]:
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
    return tensors, scalars, everything


def storage_bytes(tensors: Iterable[Tensor]) -> int:
    """Bytes of the distinct storages of ``tensors``.

    Example:
        >>> import torch
        >>> from lipcost.validate.memory import storage_bytes
        >>> x = torch.ones(8)
        >>> storage_bytes([x, x[:4]])
        32
    """
    return sum(storage.nbytes() for storage in _storages(tensors))


def _storages(tensors: Iterable[Tensor]) -> list[torch.UntypedStorage]:
    storages = (tensor.untyped_storage() for tensor in tensors)
    return list({storage._cdata: storage for storage in storages}.values())
