"""Prediction beside measurement."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from lipcost.costmodel import predict_network
from lipcost.layers import LAYERS
from lipcost.validate import measure_flops, measure_memory, measure_step
from lipcost.validate.measure.flops import CLASSES

from .kinds import KINDS, Maker

MODES = ("train", "first step", "inference")  # a step like others, the first of a network never called, a call
BATCH = 3
COUNTS = {"macs": "macs", "flops": "flops", "traffic": "bytes_moved", "launches": "launches"}  # predicted, measured
PHASES = ("forward", "backward", "optimizer")
BYTES = {
    True: ("parameter", "buffer", "gradient", "optimizer", "cache", "saved"),
    False: ("parameter", "buffer", "cache"),
}  # of a step or a call


@dataclass(frozen=True)
class Variant:
    """A network of one kind and method, in one mode."""

    kind: str
    method: str
    mode: str = "train"

    def net(self) -> nn.Module:
        """It, with seeded weights; called once without gradients unless the kind says otherwise."""
        settings = KINDS[self.kind]
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            net = settings.build(Maker(self.method))
            if settings.called and self.mode != "first step":
                with torch.no_grad():
                    net(self.images(net))
        return net

    def images(self, net: nn.Module) -> Tensor:
        """Seeded ones, of the type of the parameters."""
        settings = KINDS[self.kind]
        x = torch.randn(BATCH, *settings.shape, generator=torch.Generator().manual_seed(0))
        return x.to(next(net.parameters()).dtype).requires_grad_(settings.input_gradient and self.mode != "inference")

    def __str__(self) -> str:
        return f"{self.kind} {self.method} {self.mode}"


def variants(methods: tuple[str, ...] = tuple(LAYERS)) -> Iterator[Variant]:
    """All of them."""
    for name, settings in KINDS.items():
        for method in methods:
            if method in settings.methods:
                yield from (Variant(name, method, mode) for mode in MODES)


def some() -> Iterator[Variant]:
    """Each kind once, the methods in turn."""
    for i, (name, settings) in enumerate(KINDS.items()):
        method = settings.methods[i % len(settings.methods)]
        yield from (Variant(name, method, mode) for mode in MODES)


@dataclass(frozen=True)
class Measured:
    """A step or a call, by name as a NetworkPrediction has it, and the peak under a dispatch mode."""

    figures: dict[str, int]
    by_class: dict[str, int]
    out_of_place_peak: int


def measure(net: nn.Module, x: Tensor, mode: str, optimizer: str = "sgd-momentum", **how: Any) -> Measured:
    """Measure a training step, or a call in inference."""
    with torch.random.fork_rng(devices=[]):
        if step := mode != "inference":
            labels = torch.zeros(len(x), dtype=torch.int64)
            counts: Any = measure_step(net, x, labels, optimizer, first=mode == "first step", **how)
            memory: Any = counts
        else:
            counts, memory = measure_flops(net, x, "inference"), measure_memory(net, x, "inference")
    phases = PHASES if step else PHASES[:1]
    figures = {f"{name}_bytes": getattr(memory, f"{name}_bytes") for name in BYTES[step]}
    figures["peak_bytes"] = memory.profiler_peak_bytes
    for name, attribute in COUNTS.items():
        for phase in phases:
            value = getattr(counts, f"{attribute}_{phase}")
            figures[f"{name}_{phase}"] = round(sum(value.values())) if name == "flops" else value
    by_class = {cls: round(sum(getattr(counts, f"flops_{phase}")[cls] for phase in phases)) for cls in CLASSES}
    if counts.fvcore_macs * how.get("accumulate", 1) != counts.macs_forward:
        raise AssertionError(f"fvcore counts {counts.fvcore_macs} MACs, the dispatcher {counts.macs_forward}")
    return Measured(figures, by_class, memory.tracker_peak_bytes)


def predict(net: nn.Module, x: Tensor, mode: str, optimizer: str = "sgd-momentum", **how: Any) -> Any:
    """The prediction for inputs of the shape of ``x``."""
    how |= {"shape": tuple(x.shape[1:]), "input_gradient": x.requires_grad, "first_step": mode == "first step"}
    of_network: Any = "inference" if mode == "inference" else "train"
    return predict_network(net, b=len(x), mode=of_network, optimizer=optimizer, **how)


def differences(net: nn.Module, x: Tensor, mode: str, optimizer: str = "sgd-momentum", **how: Any) -> list[str]:
    """What is predicted otherwise than measured; empty if nothing is.

    Args:
        net: the network.
        x: its input.
        mode: one of MODES.
        optimizer: of the step.
        **how: the step is taken, as ``measure_step`` and ``predict_network`` have it.

    Raises:
        ValueError: if the prediction is refused.
    """
    before = describe(net)
    p = predict(net, x, mode, optimizer, **how)
    out_of_place = predict(net, x, mode, optimizer, in_place=False, **how)
    found = [] if describe(net) == before else ["the prediction changes the network"]
    m = measure(net, x, mode, optimizer, **how)
    predicted = {name: getattr(p, name) for name in m.figures}
    compared = {name: (predicted[name], value) for name, value in m.figures.items()}
    compared |= {f"flops of {cls}": (p.by_class[cls], value) for cls, value in m.by_class.items()}
    compared["peak_bytes, out of place"] = out_of_place.peak_bytes, m.out_of_place_peak
    return found + [f"{name}: predicted {a}, measured {b}" for name, (a, b) in compared.items() if a != b]


def describe(net: nn.Module) -> list[object]:
    """What a prediction must leave as it is: each tensor and its contents, each module and its mode."""
    tensors = [*net.named_parameters(remove_duplicate=False), *net.named_buffers(remove_duplicate=False)]
    contents = [(name, id(t), t._version, t.requires_grad, t.grad is None) for name, t in tensors]
    return [*contents, *((name, type(each), each.training) for name, each in net.named_modules())]


def names_something(message: str, net: nn.Module) -> bool:
    """Whether a refusal names a torch function or one of the network's modules."""
    classes = {type(each).__name__ for each in net.modules()}
    return bool(re.search(r"\b(torch|Tensor|F)\.\w+", message)) or any(name in message for name in classes)


def outcome(variant: Variant) -> str:
    """ "exact", or "refused: " and the message.

    Raises:
        AssertionError: for a prediction other than the measurement, or a refusal that names nothing.
    """
    net = variant.net()
    x, optimizer = variant.images(net), KINDS[variant.kind].optimizer
    try:
        found = differences(net, x, variant.mode, optimizer)
    except ValueError as refusal:
        if names_something(str(refusal), net):
            return f"refused: {refusal}"
        raise AssertionError(f"{variant}: refused without a name: {refusal}") from refusal
    if found:
        raise AssertionError(f"{variant}: {'; '.join(found)}")
    return "exact"


def table(methods: tuple[str, ...] = ()) -> str:
    """Every variant's outcome as Markdown."""
    lines = [f"| variant | method | {' | '.join(MODES)} |", "|---" * (2 + len(MODES)) + "|"]
    chosen = variants(methods) if methods else some()
    cells: dict[tuple[str, str], list[str]] = {}
    for variant in chosen:
        try:
            cell = outcome(variant)
        except Exception as error:  # whatever it is, the table shows it
            cell = f"WRONG: {type(error).__name__}: {error}"
        cells.setdefault((variant.kind, variant.method), []).append(cell.replace("|", "\\|").replace("\n", " "))
    lines += [f"| {name.replace('_', ' ')} | {method} | {' | '.join(row)} |" for (name, method), row in cells.items()]
    return "\n".join(lines)
