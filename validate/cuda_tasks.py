"""What is measured on a GPU: layers and networks, each as the cost model sees it and as torch runs it there."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from lipcost.costmodel import CONV_NETS, METHODS, lookup, max_batch
from lipcost.costmodel.checks import resolve_counts
from lipcost.costmodel.devices.device import Device
from lipcost.costmodel.layer_cost import builder
from lipcost.costmodel.networks.workload import workload
from lipcost.costmodel.tape import Tape
from lipcost.costmodel.tape.program import Program, record_call
from lipcost.costmodel.tape.recording import Recording
from lipcost.layers import MarginCrossEntropy, conv_net

from ._live import Mode
from .calibrate import Inputs
from .cases import MODES, Case, example
from .flops import DispatchCounter
from .networks import CHANNELS, NetworkCase
from .step import OPTIMIZERS

BATCH = 256
OPTIMIZER = "sgd-momentum"
HOW: dict[str, Any] = {"optimizer": OPTIMIZER, "foreach": True}  # all parameters at once, as torch does on a GPU
NETWORKS = ("ConvNetXS", "ConvNetS", "ConvNetM", "ConvNetL")
SHAPES: tuple[dict[str, Any], ...] = (  # beside the worked example
    {"b": 7, "s": 9, "c_in": 20, "c_out": 20, "k": 5},
    {"b": 64, "s": 8, "c_in": 256, "c_out": 256},
    {"b": BATCH, "s": 32, "c_in": 64, "c_out": 64},
)


class Task(ABC):
    """A call on tensors of a device, that can be run again and again from the same state.

    Attributes:
        base: what exists before the call and counts as its memory, as in docs/conventions.md.
    """

    base: list[Tensor]

    @abstractmethod
    def forward(self) -> Tensor:
        """The forward pass."""

    def backward(self, y: Tensor) -> object:
        """The backward pass from the forward's result, if there is one; what it returns is kept during the call."""
        return None

    def optimize(self) -> object:
        """The optimizer's step, if there is one."""
        return None

    def reset(self) -> None:
        """Remove what a call left."""
        return

    def run(self) -> object:
        """The call itself; what it returns must be kept alive while measuring."""
        y = self.forward()
        return y, self.backward(y), self.optimize()

    def counts(self) -> dict[str, int]:
        """MACs, FLOPs, bytes and launches of each phase at the dispatcher, which does not ask where tensors are."""
        self.reset()
        forward, backward, optimizer = DispatchCounter(), DispatchCounter(), DispatchCounter()
        with forward:
            y = self.forward()
        with backward:
            kept = self.backward(y)
        with optimizer:
            self.optimize()
        del y, kept
        found = {}
        for phase, counter in {"forward": forward, "backward": backward, "optimizer": optimizer}.items():
            found[f"macs_{phase}"] = counter.macs
            found[f"flops_{phase}"] = round(sum(counter.flops.values()))
            found[f"traffic_{phase}"] = counter.bytes_moved
            found[f"launches_{phase}"] = counter.launches
        return found


class ModuleCall(Task):
    """``grad(module(x), [x, *parameters], g)``, or ``module(x)`` with cached weights."""

    def __init__(self, module: nn.Module, x: Tensor, mode: Mode) -> None:
        self.module, self.x, self.trains = module, x.requires_grad_(mode == "train"), mode == "train"
        with torch.no_grad():
            y = module.train()(x)  # lazy buffers get the size that the image asks for
            if not self.trains:
                module.eval()(x)  # fills the caches
        caches = tree_leaves([getattr(each, "_cache", None) for each in module.modules()])
        self.gradient = [torch.ones_like(y, memory_format=torch.contiguous_format)] if self.trains else []
        held = [*self.gradient, *(tensor for tensor in caches if isinstance(tensor, Tensor))]
        self.base = [x, *module.parameters(), *module.buffers(), *held]

    def forward(self) -> Tensor:
        """The module's output."""
        with torch.set_grad_enabled(self.trains):
            y: Tensor = self.module(self.x)
            return y

    def backward(self, y: Tensor) -> object:
        """The gradients."""
        return torch.autograd.grad(y, [self.x, *self.module.parameters()], self.gradient) if self.trains else None


class TrainingStep(Task):
    """``criterion(net(x), labels).backward(); optimizer.step()``, as :func:`lipcost.validate.measure_step` has it."""

    def __init__(self, net: nn.Module, x: Tensor, labels: Tensor) -> None:
        self.net, self.x, self.labels, self.criterion = net.train(), x, labels, MarginCrossEntropy()
        # Without a learning rate every step starts from the same parameters.
        self.optimizer = OPTIMIZERS[OPTIMIZER](net.parameters(), lr=0.0, foreach=True)
        self.run()  # the optimizer's state, and lazy buffers
        state = [tensor for each in self.optimizer.state.values() for tensor in each.values()]
        self.base = [x, labels, *net.parameters(), *net.buffers(), *state]

    def forward(self) -> Tensor:
        """The loss."""
        loss: Tensor = self.criterion(self.net(self.x), self.labels)
        return loss

    def backward(self, y: Tensor) -> object:
        """Into the parameters' gradients."""
        y.backward()  # type: ignore[no-untyped-call]
        return None

    def optimize(self) -> object:
        """By momentum."""
        self.optimizer.step()
        return None

    def reset(self) -> None:
        """Remove the gradients."""
        self.net.zero_grad(set_to_none=True)


class Subject(ABC):
    """A configuration to predict and to measure.

    Attributes:
        case: what it is.
    """

    case: Any

    def __str__(self) -> str:
        return str(self.case)

    @abstractmethod
    def record(self) -> Recording:
        """The cost model's."""

    @abstractmethod
    def task(self, device: str) -> Task:
        """Torch's, set up on a device. Nobody else may hold what it holds, or its memory could not be given back."""

    def max_batch(self, device: Device) -> int | None:
        """The largest batch that fits, if the planner answers that."""
        return None


@dataclass(frozen=True)
class Layer(Subject):
    """One layer.

    Example:
        >>> from lipcost.validate.cases import example
        >>> from lipcost.validate.cuda_tasks import Layer
        >>> layer = Layer(example("soc", quick=True))
        >>> layer.record().peak() == layer.case.predict().peak_bytes
        True
    """

    case: Case

    def record(self) -> Recording:
        """One call of the layer on the tape."""
        case, cls = self.case, lookup(self.case.method)
        options, train = resolve_counts(cls, dict(case.options)), case.mode == "train"
        build = builder(
            cls, case.c_in, case.c_out, case.k, case.stride, case.padding_mode, case.bias, case.dtype, options
        )
        return record_call(Program(build, (case.b, case.c_in, *case.image), None, train, train), Tape())[0]

    def task(self, device: str) -> Task:
        """One call of the layer in torch."""
        case = self.case
        with _seeded(device):
            layer = case.build(device)
        x = Inputs(device)(case.b, case.c_in, *case.image, dtype=layer.weight.dtype)
        return ModuleCall(layer, x, case.mode)


@dataclass(frozen=True)
class Network(Subject):
    """A ConvNet: a training step with momentum, or a call in inference.

    Example:
        >>> from lipcost.validate.cuda_tasks import Network
        >>> from lipcost.validate.networks import NetworkCase
        >>> network = Network(NetworkCase("aol", b=2, width=4))
        >>> network.task("cpu").counts()["macs_forward"] == network.case.predict().macs_forward
        True
    """

    case: NetworkCase

    def record(self) -> Recording:
        """One step on the tape."""
        case = self.case
        how: dict[str, Any] = {"mode": case.mode, "width": case.width, **HOW}
        return workload(case.network, case.method, **how).record(case.b)

    def task(self, device: str) -> Task:
        """One step in torch."""
        case, size = self.case, CONV_NETS[self.case.network]
        with _seeded(device):
            net = conv_net(case.network, case.method, width=case.width, device=device)
        x = Inputs(device)(case.b, CHANNELS, size.image, size.image)
        if case.mode == "inference":
            return ModuleCall(net, x, case.mode)
        return TrainingStep(net, x, torch.arange(case.b, device=device) % size.classes)

    def max_batch(self, device: Device) -> int:
        """The largest batch that fits."""
        case = self.case
        how: dict[str, Any] = {"mode": case.mode, "width": case.width, **HOW}
        return max_batch(case.network, case.method, device=device, **how)


def subjects(methods: Sequence[str] = tuple(METHODS), quick: bool = False) -> list[Subject]:
    """All that is measured, layers first and small networks before large ones, so that what lacks time is large.

    Args:
        methods: keys of METHODS.
        quick: whether to take the worked example and the smallest network only.

    Raises:
        ValueError: for an unknown method.

    Example:
        >>> from lipcost.validate.cuda_tasks import subjects
        >>> [str(subject) for subject in subjects(["aol"], quick=True)][::2]
        ['aol b=16 s=16 c=64 k=3 train float32', 'ConvNetXS aol b=256 width=16 train']
    """
    names = list(dict.fromkeys(methods))
    for name in names:
        lookup(name)
    examples = [example(name) for name in names]
    cases = [Case(name, **shape) for shape in (() if quick else SHAPES) for name in names]
    layers = [Layer(replace(case, mode=mode)) for case in (*examples, *cases) for mode in MODES]
    networks = [
        Network(NetworkCase(name, BATCH, CONV_NETS[size].width, mode, size))
        for size in NETWORKS[: 1 if quick else None]
        for name in names
        for mode in MODES
    ]
    return [*layers, *networks]


@contextmanager
def _seeded(device: str) -> Iterator[None]:
    """The same weights at every run, without a touch on the global random state."""
    with torch.random.fork_rng(devices=[torch.cuda.current_device()] if device == "cuda" else []):
        torch.manual_seed(0)
        yield
