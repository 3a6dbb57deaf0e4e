"""What the benchmark of layers measures of a layer or a network: bytes of a training step, and times, in turns."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from time import perf_counter, process_time
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from lipcost.validate import measure_memory
from lipcost.validate.cuda.meter import CudaMeter
from lipcost.validate.cuda.run import WARM_UPS
from lipcost.validate.measure.live import storage_bytes
from lipcost.validate.measure.profiler import profiled_peaks
from lipcost.validate.measure.protocol import Call, LayerCall, TrainingStep

from .peers import IMAGE, Peer

CLASSES = 10
CLOCKS = {"wall": perf_counter, "cpu": process_time}
ROUNDING = 512  # bytes, of CUDA's caching allocator


class Task(Protocol):
    """What is timed."""

    def reset(self) -> None:
        """Remove what the last run left."""

    def run(self) -> object:
        """Do it; what it returns is freed after the time is taken."""


@dataclass(frozen=True)
class Clock:
    """What times tasks.

    Attributes:
        device: where they run.
        rounds: how often.
        kind: "wall"; or "cpu", the process's own time, which other load touches less, for one thread.
    """

    device: str
    rounds: int
    kind: str = "wall"

    def in_turns(self, tasks: Sequence[Task]) -> list[list[float]]:
        """Seconds of each task's runs. All run once, then all again, so that other load hits all."""
        for task in tasks:
            self.seconds(task)
        times = [[self.seconds(task) for task in tasks] for _ in range(self.rounds)]
        return [list(of_task) for of_task in zip(*times, strict=True)]

    def seconds(self, task: Task) -> float:
        """Of one run, the GPU's work included."""
        now = CLOCKS[self.kind]
        task.reset()
        self._wait()
        start = now()
        kept = task.run()
        self._wait()
        end = now()
        del kept
        return end - start

    def _wait(self) -> None:
        if self.device == "cuda":
            torch.cuda.synchronize()


@dataclass(frozen=True)
class Row:
    """What one contestant takes. Times are in seconds, one per round.

    Attributes:
        method, by: whose layer of which method.
        saved: bytes kept for the backward pass; None where not measured.
        peak: most live bytes in a training step, parameters and the like included.
        train: of the forward and backward pass; of a network with the loss and the optimizer's step.
        cached: of the forward pass in eval mode without gradients, after others.
    """

    method: str
    by: str
    saved: int | None
    peak: int
    train: list[float]
    cached: list[float]

    def figure(self, name: str) -> float | None:
        """The one number: bytes, or the shortest time, which other load on the machine touches least."""
        value = getattr(self, name)
        return min(value) if isinstance(value, list) else value


@dataclass(frozen=True)
class Layers:
    """One layer on images of ``c`` channels and side ``s``."""

    device: str
    b: int = 16
    c: int = 64
    s: int = 16
    k: int = 3

    def build(self, peer: Peer) -> nn.Module:
        """The layer, the same for all but for its weights, after the call in which some create parameters."""
        torch.manual_seed(0)
        layer = peer.layer(self.c, self.c, self.k).to(self.device).train()
        with torch.no_grad():
            layer(self.images())
        return layer

    def images(self) -> Tensor:
        """The input."""
        return torch.randn(self.b, self.c, self.s, self.s, device=self.device)

    def training(self, peer: Peer) -> Call:
        """Forward and backward."""
        return LayerCall(self.build(peer), self.images(), "train")

    def cached(self, peer: Peer) -> Call:
        """Forward in eval mode."""
        return LayerCall(self.build(peer), self.images(), "inference")

    def memory(self, peer: Peer) -> tuple[int | None, int]:
        """Saved and peak bytes."""
        if self.device == "cuda":
            return None, cuda_peak(lambda: self.training(peer))
        memory = measure_memory(self.build(peer), self.images())
        return memory.saved_bytes, memory.profiler_peak_bytes


@dataclass(frozen=True)
class Networks:
    """ConvNetXS on CIFAR-10's images."""

    device: str
    b: int = 64

    def build(self, peer: Peer) -> nn.Module:
        """The network, the same for all but for its layers, after the call in which some create parameters."""
        assert peer.net is not None
        torch.manual_seed(0)
        net = peer.net().to(self.device).train()
        with torch.no_grad():
            net(self.images()[:2])
        return net

    def images(self) -> Tensor:
        """The input."""
        return torch.randn(self.b, *IMAGE, device=self.device)

    def labels(self) -> Tensor:
        """The right classes."""
        return torch.randint(CLASSES, (self.b,), device=self.device)

    def training(self, peer: Peer) -> Call:
        """Forward, margin cross-entropy, backward, SGD with momentum."""
        form = "foreach" if self.device == "cuda" else "single"  # as torch chooses
        return TrainingStep(self.build(peer), self.images(), self.labels(), form=form)

    def cached(self, peer: Peer) -> Call:
        """Forward in eval mode."""
        return LayerCall(self.build(peer), self.images(), "inference")

    def memory(self, peer: Peer) -> tuple[int | None, int]:
        """Peak bytes; saved bytes are not asked for."""
        if self.device == "cuda":
            return None, cuda_peak(lambda: self.training(peer))
        step = TrainingStep(self.build(peer), self.images(), self.labels())
        return None, storage_bytes(step.base) + profiled_peaks(step).tensors


def measure(subject: Layers | Networks, contestants: Sequence[Peer], clock: Clock) -> list[Row]:
    """The contestants' figures.

    Args:
        subject: what they build.
        contestants: at least one.
        clock: of the times.
    """
    memory = [subject.memory(peer) for peer in contestants]
    train = clock.in_turns([subject.training(peer) for peer in contestants])
    calls = [subject.cached(peer) for peer in contestants]
    with parametrize.cached():  # how orthogonium keeps its weights; the others have caches of their own
        cached = clock.in_turns(calls)
    found = zip(contestants, memory, train, cached, strict=True)
    return [Row(peer.method, peer.name, *of_peer, *times) for peer, of_peer, *times in found]


def cuda_peak(build: Callable[[], Call]) -> int:
    """The peak of one run by the caching allocator, libraries' workspaces included, and what existed before it."""
    meter, task = CudaMeter(), build()
    for _ in range(WARM_UPS):
        task.reset()
        task.run()
    peak = meter.peaks(task).allocated + storage_bytes(task.base, ROUNDING)
    del task
    meter.release()
    return peak
