"""Whole networks beside their measurements, as :mod:`lipcost.validate.compare.layers` has single layers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn

from lipcost.costmodel import CONV_NETS, PUBLISHED, NetworkPrediction, predict_network
from lipcost.layers import conv_net

from ..measure.flops import CLASSES, FlopMeasurement, measure_flops
from ..measure.memory import MemoryMeasurement, measure_memory
from ..measure.protocol import Mode
from ..measure.step import StepMeasurement, measure_step
from .cases import MODES, seeded
from .rows import DISPATCH, FVCORE, HOOKS, PROFILER, STORAGES, TRACKER, Row, failed

NETWORK = "ConvNetXS"
BATCHES = (2, 5)
WIDTHS = {"lot/published": 4}  # of the methods whose network of full width takes minutes to measure
QUICK_BATCHES = (2,)
QUICK_WIDTH = 4
CHANNELS = 3  # of the images

PHASES: dict[Mode, tuple[str, ...]] = {"train": ("forward", "backward", "optimizer"), "inference": ("forward",)}
COUNTED = {
    "macs": "macs",
    "flops": "flops",
    "traffic": "bytes_moved",
    "launches": "launches",
}  # as a measurement has it
BYTES: dict[Mode, dict[str, str]] = {
    "train": dict.fromkeys(("parameter_bytes", "buffer_bytes", "gradient_bytes", "optimizer_bytes"), STORAGES)
    | {"saved_bytes": HOOKS},
    "inference": dict.fromkeys(("parameter_bytes", "buffer_bytes", "cache_bytes"), STORAGES),
}


@dataclass(frozen=True)
class NetworkCase:
    """One step of a network: a training step by SGD with momentum, or a call in inference.

    Attributes:
        method: key of METHODS and LAYERS.
        b: batch size.
        width: of the network.
        mode: "train" or "inference".
        network: one of CONV_NETS, on images of its own size.
        seed: of weights, images and labels; no cost depends on it.

    Example:
        >>> from lipcost.validate.compare.networks import NetworkCase
        >>> str(NetworkCase("soc", b=2, width=4))
        'ConvNetXS soc b=2 width=4 train'
    """

    method: str
    b: int
    width: int = CONV_NETS[NETWORK].width
    mode: Mode = "train"
    network: str = NETWORK
    seed: int = 0

    def net(self, device: str = "cpu") -> nn.Module:
        """The network with seeded weights, in training mode, called once: CPL's power vectors then have their size."""
        with seeded(self.seed, device):
            net = conv_net(self.network, self.method, width=self.width, device=device)
        with torch.no_grad():
            net(self.images(device))
        return net

    def images(self, device: str = "cpu") -> Tensor:
        """Seeded ones."""
        side = CONV_NETS[self.network].image
        generator = torch.Generator().manual_seed(self.seed)
        return torch.randn(self.b, CHANNELS, side, side, generator=generator).to(device)

    def labels(self, device: str = "cpu") -> Tensor:
        """Seeded ones."""
        generator = torch.Generator().manual_seed(self.seed)
        return torch.randint(CONV_NETS[self.network].classes, (self.b,), generator=generator).to(device)

    def predict(self, **how: Any) -> NetworkPrediction:
        """The cost model's figures; ``how`` is what else ``predict_network`` takes."""
        return predict_network(self.network, self.method, b=self.b, width=self.width, mode=self.mode, **how)

    def to_dict(self) -> dict[str, Any]:
        """All of it, ready for JSON."""
        return asdict(self)

    def __str__(self) -> str:
        return f"{self.network} {self.method} b={self.b} width={self.width} {self.mode}"


def network_grid(methods: Sequence[str], seed: int = 0, quick: bool = False) -> list[NetworkCase]:
    """The networks to measure, method by method.

    Args:
        methods: keys of METHODS.
        seed: of weights, images and labels.
        quick: whether to take narrow ones, at one batch size.

    Example:
        >>> [str(case) for case in network_grid(["lot"], quick=True)]
        ['ConvNetXS lot b=2 width=4 train', 'ConvNetXS lot b=2 width=4 inference']
    """
    return [
        NetworkCase(method, b, _width(method, quick), mode, seed=seed)
        for method in dict.fromkeys(methods)
        for b in (QUICK_BATCHES if quick or method.endswith(PUBLISHED) else BATCHES)
        for mode in MODES
    ]


def _width(method: str, quick: bool) -> int:
    return QUICK_WIDTH if quick else WIDTHS.get(method, CONV_NETS[NETWORK].width)


def compare_network(case: NetworkCase) -> list[Row[NetworkCase]]:
    """Predict and measure one step of a network.

    Args:
        case: the configuration.

    Returns:
        A row per quantity and means of measurement. If anything raises, one row that does not match and carries the
        error.

    Example:
        >>> from lipcost.validate.compare.networks import NetworkCase, compare_network
        >>> rows = compare_network(NetworkCase("standard", b=2, width=4))
        >>> [(row.predicted, row.measured) for row in rows if row.quantity == "gradient_bytes"]
        [(395328, 395328)]
    """
    try:
        net, x, predicted = case.net(), case.images(), case.predict()
        if case.mode == "train":
            step = measure_step(net, x, case.labels())
            return [*_counts(case, predicted, step), *_bytes(case, predicted, step)]
        counts, memory = measure_flops(net, x, case.mode), measure_memory(net, x, case.mode)
        return [*_counts(case, predicted, counts), *_bytes(case, predicted, memory)]
    except Exception as error:  # whatever it is, it is shown, and the run goes on
        return [failed(case, error)]


def _counts(
    case: NetworkCase, predicted: NetworkPrediction, measured: StepMeasurement | FlopMeasurement
) -> Iterator[Row[NetworkCase]]:
    phases = PHASES[case.mode]
    yield Row(case, "macs_forward", predicted.macs_forward, measured.fvcore_macs, FVCORE)
    for phase in phases:
        for name, attribute in COUNTED.items():
            figure = getattr(measured, f"{attribute}_{phase}")
            exact = round(sum(figure.values())) if name == "flops" else figure
            yield Row(case, f"{name}_{phase}", getattr(predicted, f"{name}_{phase}"), exact, DISPATCH)
    for cls in CLASSES:
        figure = round(sum(getattr(measured, f"flops_{phase}")[cls] for phase in phases))
        yield Row(case, f"flops_{cls}", predicted.by_class[cls], figure, DISPATCH)


def _bytes(
    case: NetworkCase, predicted: NetworkPrediction, measured: StepMeasurement | MemoryMeasurement
) -> Iterator[Row[NetworkCase]]:
    for quantity, by in BYTES[case.mode].items():
        yield Row(case, quantity, getattr(predicted, quantity), getattr(measured, quantity), by)
    beside = {"scratch_bytes": measured.scratch_bytes, "host_scalar_bytes": measured.host_scalar_bytes}
    peak, live = measured.profiler_peak_bytes, predicted.by_category
    yield Row(case, "peak_bytes", predicted.peak_bytes, peak, PROFILER, beside, by_category=live)
    # Under a dispatch mode autograd sums gradients out of place, which may need more memory.
    out_of_place = case.predict(in_place=False).peak_bytes
    yield Row(case, "peak_bytes", out_of_place, measured.tracker_peak_bytes, TRACKER)
