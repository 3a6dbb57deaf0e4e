"""What is measured on a GPU: layers and networks, each as the cost model sees it and as torch runs it there."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from lipcost.costmodel import CONV_NETS, METHODS, lookup, max_batch
from lipcost.costmodel.checks import resolve_counts
from lipcost.costmodel.devices.device import Device
from lipcost.costmodel.layer_cost import builder
from lipcost.costmodel.networks.workload import workload
from lipcost.costmodel.tape import Tape
from lipcost.costmodel.tape.program import Program, record_call
from lipcost.costmodel.tape.recording import Recording

from ..compare.cases import MODES, Case, example
from ..compare.networks import NetworkCase
from ..measure.protocol import Call, LayerCall, TrainingStep

BATCH = 256
OPTIMIZER = "sgd-momentum"
HOW: dict[str, Any] = {"optimizer": OPTIMIZER, "foreach": True}  # all parameters at once, as torch does on a GPU
NETWORKS = ("ConvNetXS", "ConvNetS", "ConvNetM", "ConvNetL")
SHAPES: tuple[dict[str, Any], ...] = (  # beside the worked example
    {"b": 7, "s": 9, "c_in": 20, "c_out": 20, "k": 5},
    {"b": 64, "s": 8, "c_in": 256, "c_out": 256},
    {"b": BATCH, "s": 32, "c_in": 64, "c_out": 64},
)


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
    def call(self, device: str) -> Call:
        """Torch's, set up on a device. Nobody else may hold what it holds, or its memory could not be given back."""

    def max_batch(self, device: Device) -> int | None:
        """The largest batch that fits, if the planner answers that."""
        return None


@dataclass(frozen=True)
class Layer(Subject):
    """One layer.

    Example:
        >>> from lipcost.validate.compare.cases import example
        >>> from lipcost.validate.cuda.subjects import Layer
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

    def call(self, device: str) -> Call:
        """One call of the layer in torch."""
        return LayerCall(self.case.layer(device), self.case.input(device), self.case.mode)


@dataclass(frozen=True)
class Network(Subject):
    """A ConvNet: a training step with momentum, or a call in inference.

    Example:
        >>> from lipcost.validate.cuda.subjects import Network
        >>> from lipcost.validate.measure.flops import count_phases
        >>> from lipcost.validate.compare.networks import NetworkCase
        >>> network = Network(NetworkCase("aol", b=2, width=4))
        >>> count_phases(network.call("cpu"))["forward"].macs == network.case.predict().macs_forward
        True
    """

    case: NetworkCase

    def record(self) -> Recording:
        """One step on the tape."""
        case = self.case
        how: dict[str, Any] = {"mode": case.mode, "width": case.width, **HOW}
        return workload(case.network, case.method, **how).record(case.b)

    def call(self, device: str) -> Call:
        """One step in torch."""
        net, x = self.case.net(device), self.case.images(device)
        if self.case.mode == "inference":
            return LayerCall(net, x, self.case.mode)
        return TrainingStep(net, x, self.case.labels(device), OPTIMIZER, form="foreach")

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
        >>> from lipcost.validate.cuda.subjects import subjects
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
