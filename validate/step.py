"""A training step of a whole network, measured: memory and operation counts by the instruments that measure a layer."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from lipcost.layers import MarginCrossEntropy

from ._fvcore import fvcore_macs
from ._live import Event, check_input
from .flops import DispatchCounter
from .memory import Call, storage_bytes

OPTIMIZERS: dict[str, Callable[..., torch.optim.Optimizer]] = {
    "sgd": torch.optim.SGD,
    "sgd-momentum": partial(torch.optim.SGD, momentum=0.9),
    "adam": torch.optim.Adam,
    "adamw": torch.optim.AdamW,
}
STEP_COUNTER = "step"  # its key in Adam's state: a 0-dim tensor on the host for each parameter


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
    optimizer: str = "sgd-momentum",
    *,
    weight_decay: bool = False,
    foreach: bool = False,
    first: bool = False,
) -> StepMeasurement:
    """Measure one training step on the CPU, by means that know nothing of any formula.

    A copy of ``net``, each of its modules in the mode that it is in, takes steps to warm up (lazy buffers, caches, the
    optimizer's state). Every measurement then starts without gradients and is of

        loss = criterion(net(x), labels); loss.backward(); optimizer.step()

    in plain eager, with ``lipcost.layers.MarginCrossEntropy()``; the gradients are kept, and where x requires grad its
    own too, which is in no figure but the peaks. A parameter that the loss does not reach, or that requires no grad,
    has neither gradient nor state. The base of the peaks is x, labels, parameters, buffers, caches and the optimizer's
    state. Adam's step counters, 0-dim tensors on the host, and their updates are in no figure. The instruments are
    those of
    :func:`lipcost.validate.measure_memory` and :func:`lipcost.validate.measure_flops`; the latter's run under a
    dispatch mode, where gradients that meet are added out of place.

    Args:
        net: gives scores (b, classes); it is copied and left as it is, and so is its mode.
        x: its input (b, …), floating-point or complex, on the CPU.
        labels: the right classes (b,), int64, on the CPU.
        optimizer: "sgd", "sgd-momentum", "adam" or "adamw", of torch.optim.
        weight_decay: whether it has one.
        foreach: whether it treats all parameters by one operator, as it does on a GPU by default.
        first: whether to measure the first step of ``net`` as it is: nothing warms up, and each measurement is of
            another copy. The optimizer's state is then made in the step.

    Returns:
        The measurement.

    Raises:
        ValueError: if the optimizer is another, x or the labels are of another type or not on the CPU, the network has
            no parameter, or an operator has no rule.
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
    step = (_FirstStep if first else _Step)(net, x, labels, optimizer, weight_decay=weight_decay, foreach=foreach)
    return StepMeasurement(
        **step.figures(),
        **step.counts(),
        gradient_bytes=storage_bytes(p.grad for p in step.parameters if p.grad is not None),
        optimizer_bytes=storage_bytes(step.state),
        fvcore_macs=step.fvcore_macs(),
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
        >>> from lipcost.validate.step import trace_step_events
        >>> trace_step_events(torch.nn.Linear(4, 3), torch.ones(2, 4), torch.tensor([0, 2]))[0]
        ('aten.addmm.default', 24)
    """
    return _Step(net, x, labels, optimizer, weight_decay=weight_decay, foreach=foreach).track()[1]


class _Step(Call):
    """One training step of a copy of ``net``, after others."""

    def __init__(
        self, net: nn.Module, x: Tensor, labels: Tensor, optimizer: str, *, weight_decay: bool, foreach: bool
    ) -> None:
        if optimizer not in OPTIMIZERS:
            raise ValueError(f"optimizer must be one of {', '.join(OPTIMIZERS)}, got {optimizer!r}")
        check_input(x)
        if labels.dtype != torch.int64 or labels.shape != x.shape[:1] or labels.device.type != "cpu":
            got = f"{labels.dtype} of shape {tuple(labels.shape)} on {labels.device}"
            raise ValueError(f"labels must be torch.int64 of shape {tuple(x.shape[:1])} on the CPU, got {got}")
        self.x, self.labels = x.detach().clone().requires_grad_(x.requires_grad), labels.clone()
        self.criterion = MarginCrossEntropy()
        # Without a learning rate the steps launch the same operators, and start from the same parameters.
        self.optimize = partial(
            OPTIMIZERS[optimizer], lr=0.0, weight_decay=0.01 if weight_decay else 0.0, foreach=foreach, fused=False
        )
        self.start(net)

    def start(self, net: nn.Module) -> None:
        """Take the steps before."""
        self.module = copy.deepcopy(net)
        self.optimizer = self.optimize(self.module.parameters())
        self.run()
        super().__init__(self.module, [self.x, self.labels], self.state, self.counters)

    @property
    def state(self) -> list[Tensor]:
        """The optimizer's, but for the step counters."""
        states = self.optimizer.state.values()
        return [tensor for state in states for name, tensor in state.items() if name != STEP_COUNTER]

    @property
    def counters(self) -> list[Tensor]:
        """Its step counters."""
        return [state[STEP_COUNTER] for state in self.optimizer.state.values() if STEP_COUNTER in state]

    def forward(self) -> Tensor:
        loss: Tensor = self.criterion(self.module(self.x), self.labels)
        return loss

    def reset(self) -> None:
        super().reset()
        self.x.grad = None

    def run(self) -> object:
        loss = self.forward()
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        return loss

    def fvcore_macs(self) -> int:
        """The forward MACs of the network, by fvcore."""
        self.reset()
        return sum(fvcore_macs(self.module, self.x).values())

    def counts(self) -> dict[str, Any]:
        """The dispatcher's counts by figure and phase."""
        self.reset()
        forward, backward, optimizer = DispatchCounter(), DispatchCounter(), DispatchCounter(self.uncounted)
        with forward:
            loss = self.forward()
        with backward:
            loss.backward()  # type: ignore[no-untyped-call]
        with optimizer:
            self.optimizer.step()
        phases = {"forward": forward, "backward": backward, "optimizer": optimizer}
        figures = ("macs", "flops", "launches", "bytes_moved")
        return {f"{figure}_{name}": getattr(phase, figure) for figure in figures for name, phase in phases.items()}


class _FirstStep(_Step):
    """The first step of a copy of ``net``; each measurement takes another one."""

    def start(self, net: nn.Module) -> None:
        """Keep the network as it is."""
        self.net = net
        Call.__init__(self, net, [self.x, self.labels], [])

    def reset(self) -> None:
        self.x.grad = None
        self.module = copy.deepcopy(self.net)
        self.module.zero_grad(set_to_none=True)
        self.optimizer = self.optimize(self.module.parameters())
        if isinstance(self.optimizer, torch.optim.Adam):
            for p in self.module.parameters():
                self.optimizer.state[p] = _Counted({STEP_COUNTER: torch.zeros(())})
        self.uncounted = self.counters


class _Counted(dict[str, Tensor]):
    """The state of a parameter before its first step, but that the counter, which is in no figure, is there already."""

    def __len__(self) -> int:
        return super().__len__() - 1  # torch makes the state of a parameter that has none

    def __setitem__(self, name: str, tensor: Tensor) -> None:
        if name != STEP_COUNTER:
            super().__setitem__(name, tensor)
