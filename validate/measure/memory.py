"""Memory of one layer, measured: the storages that autograd keeps and the peaks of live bytes, seen in two ways."""

from __future__ import annotations

import weakref
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from .live import Event, LiveStorage, prompt_frees, storage_bytes
from .profiler import profiled_peaks
from .protocol import Call, LayerCall, Mode


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

    In "train" the call is ``y = layer(x); torch.autograd.grad(y, [x, *parameters], g)`` in plain eager, where what y
    does not reach gets no gradient, and the base of the peaks is x, g (contiguous, shaped as y), parameters and
    buffers. In "inference" it is ``layer(x)`` without gradients and with cached weights, and the base is x,
    parameters, buffers and cache, as the call before left them: what the call itself replaces (a buffer of another
    size, the cache of one) is freed then. Peaks end when the call returns. The sizes of lazy buffers are the layer's
    own: one never trained keeps its initial ones in inference.

    Args:
        layer: any module of one input and one output; it is copied and left as it is.
        x: its input, on the CPU; of integers it gets no gradient.
        mode: "train" or "inference".

    Returns:
        The measurement.

    Raises:
        ValueError: if ``mode`` is another, or x is not on the CPU; in "train", if nothing in the output asks for a
            gradient.

    Source: the protocol of docs/conventions.md; event trees: torch.profiler's memory timeline.

    Example:
        >>> import torch
        >>> from lipcost.validate import measure_memory
        >>> m = measure_memory(torch.nn.ReLU(), torch.ones(8))  # 32 bytes each: x, g, y (saved), the gradient of x
        >>> m.saved_bytes, m.tracker_peak_bytes, m.profiler_peak_bytes
        (32, 128, 128)
    """
    check_cpu(x)
    return MemoryMeasurement(**Memory(LayerCall.of_copy(layer, x, mode)).figures())


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
        >>> from lipcost.validate.measure.memory import trace_events
        >>> trace_events(torch.nn.ReLU(), torch.ones(8), "inference")
        [('aten.relu.default', 32)]
    """
    check_cpu(x)
    return Memory(LayerCall.of_copy(layer, x, mode)).track()[1]


def check_cpu(x: Tensor) -> None:
    """Raise a ValueError unless ``x`` is on the CPU, whose memory the instruments see.

    Example:
        >>> import torch
        >>> from lipcost.validate.measure.memory import check_cpu
        >>> check_cpu(torch.ones(2))
    """
    if x.device.type != "cpu":
        raise ValueError(f"x must be a tensor on the CPU, got {x.dtype} on {x.device}")


class Memory:
    """The instruments of a call's memory on the CPU.

    Args:
        call: what is measured. It runs once here: an operator's first call under a dispatch mode may hold on to its
            arguments for a while.

    Example:
        >>> import torch
        >>> from lipcost.validate.measure.memory import Memory
        >>> from lipcost.validate.measure.protocol import LayerCall
        >>> Memory(LayerCall(torch.nn.ReLU(), torch.ones(8), "inference")).track()
        (64, [('aten.relu.default', 32)])
    """

    def __init__(self, call: Call) -> None:
        self.call = call
        call.reset()
        held = [*call.fixed, *call.cache]
        with self._tracker():
            call.run()
        self._replaces = storage_bytes(held) != storage_bytes([*held, *call.fixed, *call.cache])

    def figures(self) -> dict[str, Any]:
        """What :class:`MemoryMeasurement` says of every call, by name."""
        call = self.call
        peaks = profiled_peaks(call, self._replaces)
        parameters, fixed, cache = storage_bytes(call.parameters), storage_bytes(call.fixed), call.cache_bytes
        call.reset()
        return {
            "parameter_bytes": parameters,
            "buffer_bytes": fixed - parameters,
            "cache_bytes": cache,
            "profiler_peak_bytes": storage_bytes(call.base) + peaks.tensors,
            "tracker_peak_bytes": self.track()[0],
            "saved_bytes": self.saved_bytes(),
            "scratch_bytes": peaks.everything - peaks.tensors,
            "host_scalar_bytes": peaks.scalars,
        }

    def track(self) -> tuple[int, list[Event]]:
        """Peak and events under :class:`LiveStorage`."""
        call = self.call
        call.reset()
        tracker = self._tracker()
        with prompt_frees(), tracker:
            result = call.run()
        events = list(tracker.events)  # a copy, before the result is freed
        del result
        return tracker.peak - storage_bytes(call.uncounted), events

    def saved_bytes(self) -> int:
        """Bytes that autograd keeps at the end of the forward."""
        call = self.call
        call.reset()
        tracker = self._tracker()
        kept: weakref.WeakSet[_Saved] = weakref.WeakSet()  # weak: a graph may die during the forward

        def pack(tensor: Tensor) -> _Saved:
            saved = _Saved(tensor.detach())
            if tracker.knows(tensor):
                kept.add(saved)
            return saved

        with prompt_frees(), tracker:
            with torch.autograd.graph.saved_tensors_hooks(pack, lambda saved: saved.tensor):
                y = call.forward()
            fixed = [*call.inputs, *call.fixed, *call.cache]
            total = storage_bytes([*fixed, *(saved.tensor for saved in kept)]) - storage_bytes(fixed)
        del y
        return total

    def _tracker(self) -> LiveStorage:
        return LiveStorage([*self.call.base, *self.call.uncounted])


class _Saved:
    """What a saved-tensor hook returns: holds the storage without the graph, which would be a cycle."""

    def __init__(self, tensor: Tensor) -> None:
        self.tensor = tensor
