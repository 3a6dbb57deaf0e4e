"""A training step of a whole network, measured: memory and operation counts by the instruments that measure a layer."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from lipcost.costmodel.networks.optimizers import Make

from .flops import by_figure, count_phases, traced_macs
from .live import Event, storage_bytes
from .memory import Memory, check_cpu
from .protocol import FirstStep, TrainingStep


@dataclass(frozen=True)
class StepMeasurement:
    """One training step, as :func:`measure_step` defines it.

    Attributes:
        parameter_bytes: distinct storages of the parameters.
        buffer_bytes: those of the buffers, persistent or not, that are no parameter's.
        gradient_bytes: those of the parameters' gradients, after the step.
        optimizer_bytes: those of the optimizer's state, step counters apart.
        cache_bytes: those of the weights that layers in eval mode keep where no parameter of theirs requires grad.
        saved_bytes: those that autograd keeps when the forward, the loss included, has ended, without x, labels,
            parameters, buffers and cache.
        tracker_peak_bytes, profiler_peak_bytes, scratch_bytes, host_scalar_bytes: as in
            :class:`lipcost.validate.MemoryMeasurement`.
        fvcore_macs: forward MACs of the network, without the loss, by fvcore.
        macs_*: MACs of convolutions and matrix products at the dispatcher, in the forward (network and loss), the
            backward and the optimizer.
        flops_*: FLOPs by class: conv, matmul, fft, inverse, pointwise.
        launches_*: operators dispatched, views and other metadata apart.
        bytes_moved_*: bytes of the tensors that they read and write.
    """

    parameter_bytes: int
    buffer_bytes: int
    gradient_bytes: int
    optimizer_bytes: int
    cache_bytes: int
    saved_bytes: int
    tracker_peak_bytes: int
    profiler_peak_bytes: int
    scratch_bytes: int
    host_scalar_bytes: int
    fvcore_macs: int
    macs_forward: int
    macs_backward: int
    macs_optimizer: int
    flops_forward: dict[str, float]
    flops_backward: dict[str, float]
    flops_optimizer: dict[str, float]
    launches_forward: int
    launches_backward: int
    launches_optimizer: int
    bytes_moved_forward: int
    bytes_moved_backward: int
    bytes_moved_optimizer: int


def measure_step(
    net: nn.Module,
    x: Tensor,
    labels: Tensor,
    optimizer: str | Make = "sgd-momentum",
    *,
    weight_decay: bool = False,
    foreach: bool = False,
    fused: bool = False,
    accumulate: int = 1,
    autocast: str | None = None,
    first: bool = False,
) -> StepMeasurement:
    """Measure one training step on the CPU, by means that know nothing of any formula.

    A copy of ``net``, each of its modules in the mode that it is in, takes steps to warm up (lazy buffers, caches, the
    optimizer's state). Every measurement then starts without gradients and is of

        loss = criterion(net(x), labels); loss.backward(); optimizer.step()

    in plain eager, the first two ``accumulate`` times, of a loss divided by that, with
    ``lipcost.layers.MarginCrossEntropy()``; the gradients are kept, and where x requires grad its own too, which is in
    no figure but the peaks. A parameter that the loss does not reach, or that requires no grad, has neither gradient
    nor state. The base of the peaks is x, labels, parameters, buffers, caches and the optimizer's state. What is on
    the host is in no figure: an optimizer's step counters and the like, tensors without axes, with their updates, and
    the states of random generators, which checkpoints keep. The instruments are those of
    :func:`lipcost.validate.measure_memory` and :func:`lipcost.validate.measure_flops`; the latter's run under a
    dispatch mode, where gradients that meet are added out of place.

    Args:
        net: gives scores (b, classes); it is copied and left as it is, and so is its mode.
        x: its input (b, …), on the CPU.
        labels: the right classes (b,), int64, on the CPU.
        optimizer: one of lipcost.costmodel.OPTIMIZERS, or what makes one of the parameters.
        weight_decay: whether a named one has one.
        foreach: whether a named one treats all parameters by one operator, as it does on a GPU by default.
        fused: whether it does so by a single operator.
        accumulate: how many batches are taken before the optimizer's step.
        autocast: the type in which forward and loss compute under torch.autocast, "bfloat16" or "float16"; None for
            full precision.
        first: whether to measure the first step of ``net`` as it is: nothing warms up, and each measurement is of
            another copy. The optimizer's state is then made in the step.

    Returns:
        The measurement.

    Raises:
        ValueError: if the optimizer is another, the labels are of another type, x or they are not on the CPU, the
            network has no parameter, or an operator has no rule.
        RuntimeError: from autograd, if no parameter that requires grad reaches the loss.

    Source: the protocol of docs/conventions.md.

    Example:
        >>> import torch
        >>> from lipcost.validate import measure_step
        >>> m = measure_step(torch.nn.Linear(4, 3), torch.ones(2, 4), torch.tensor([0, 2]))
        >>> m.parameter_bytes, m.gradient_bytes, m.optimizer_bytes  # 3·4 weights, 3 biases, 4 bytes each
        (60, 60, 60)
        >>> m.macs_forward, m.macs_backward, m.macs_optimizer  # x requires no grad
        (24, 24, 0)
    """
    make = FirstStep if first else TrainingStep
    form = "fused" if fused else "foreach" if foreach else "single"
    how: dict[str, Any] = {"form": form, "accumulate": accumulate}
    if autocast is not None:
        how["autocast"] = getattr(torch, autocast)
    step = make(*_copies(net, x, labels), optimizer, weight_decay=weight_decay, **how)
    memory, counts = Memory(step).figures(), by_figure(count_phases(step))
    return StepMeasurement(
        **memory,
        **counts,
        gradient_bytes=storage_bytes(p.grad for p in step.parameters if p.grad is not None),
        optimizer_bytes=storage_bytes(step.state),
        fvcore_macs=sum(traced_macs(step).values()),
    )


def trace_step_events(
    net: nn.Module,
    x: Tensor,
    labels: Tensor,
    optimizer: str = "sgd-momentum",
    *,
    weight_decay: bool = False,
    foreach: bool = False,
) -> list[Event]:
    """The allocations and frees of one training step, in order, as :class:`LiveStorage` sees them.

    Args and errors: those of :func:`measure_step`.

    Returns:
        (operator, +bytes) and ("free", -bytes). The loss and the gradients are not freed.

    Example:
        >>> import torch
        >>> from lipcost.validate.measure.step import trace_step_events
        >>> trace_step_events(torch.nn.Linear(4, 3), torch.ones(2, 4), torch.tensor([0, 2]))[0]
        ('aten.addmm.default', 24)
    """
    form = "foreach" if foreach else "single"
    step = TrainingStep(*_copies(net, x, labels), optimizer, weight_decay=weight_decay, form=form)
    return Memory(step).track()[1]


def _copies(net: nn.Module, x: Tensor, labels: Tensor) -> tuple[nn.Module, Tensor, Tensor]:
    check_cpu(x)
    return copy.deepcopy(net), x.detach().clone().requires_grad_(x.requires_grad), labels.clone()
