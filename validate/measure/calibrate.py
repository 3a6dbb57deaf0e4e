"""The figures of the machine at hand, which turn the cost model's counts into its times: microbenchmarks of seconds."""

from __future__ import annotations

import math
import os
import platform
from collections.abc import Callable
from itertools import pairwise
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils import collect_env
from torch.utils.benchmark import Timer

from lipcost.costmodel.devices.device import Device, Figure, Kind

Progress = Callable[[str, int, int], None]
Stage = tuple[int, int, int]  # (b, c, s)

# The first four blocks of ConvNetXS on a CPU; those of ConvNetM, at a larger batch, for a GPU to have work enough.
STAGES: dict[Kind, tuple[Stage, ...]] = {
    "cpu": ((64, 16, 32), (64, 32, 16), (64, 64, 8), (64, 128, 4)),
    "cuda": ((256, 64, 32), (256, 128, 16), (256, 256, 8), (256, 512, 4)),
}
KERNEL_SIZE = 3
LAYERS = 25  # of a ConvNet
SECONDS = 0.3  # that a benchmark takes at least


class Work(NamedTuple):
    """Something to time.

    Attributes:
        what: in words.
        amount: the FLOPs or bytes, as docs/conventions.md counts them, or the operations of one call.
        call: does it.
    """

    what: str
    amount: float
    call: Callable[[], object]


class Inputs:
    """Normal random tensors, without a touch on the global random state."""

    def __init__(self, device: str) -> None:
        self.device = torch.device(device)
        self._generator = torch.Generator(self.device).manual_seed(0)

    def __call__(self, *shape: int, dtype: torch.dtype = torch.float32, grad: bool = False) -> Tensor:
        """One of that shape."""
        x = torch.randn(shape, dtype=dtype, device=self.device, generator=self._generator)
        return x.requires_grad_(grad)


class Timing(NamedTuple):
    """Some work, what it amounts to, and how long it takes."""

    what: str
    amount: float
    seconds: float


def calibrate(device: str = "cpu", *, quick: bool = False, progress: Progress | None = None) -> Device:
    """Measure the figures of this machine, in well under a minute.

    Each rate is that of a few layers' work together, the amount of all over the time of all, as a network's step adds
    them up; a peak is the best rate of any one. The settings are torch's current ones: threads, TF32. The machine
    should be idle: threads wait for each other, so that one busy core makes all of them many times slower. The load
    before is part of the profile.

    Args:
        device: "cpu", or "cuda" for torch's current CUDA device.
        quick: fewer shapes, shorter runs: to try it out, not to rely on.
        progress: called with what is being done, steps done, steps in all.

    Returns:
        A profile of all figures, with the versions and settings that they hold for. Loading is not measured: 0.

    Raises:
        ValueError: for another device, or "cuda" where torch has none.

    Example:
        >>> from lipcost.validate.measure.calibrate import calibrate
        >>> here = calibrate(quick=True)
        >>> here.kind, here.figures["conv"].basis, here["conv"] > 0
        ('cpu', 'measured', True)
    """
    kind = _check(device)
    load = os.getloadavg()[0]
    inputs, stages = Inputs(kind), STAGES[kind][: 2 if quick else None]
    report = progress or (lambda what, done, total: None)
    steps = len(RATES) + 1
    timings: dict[str, list[Timing]] = {}
    with torch.enable_grad():
        for i, (name, work) in enumerate(RATES.items()):
            report(f"measuring {name}", i, steps)
            timings[name] = [_time(work(inputs, *stage), quick) for stage in stages]
        report("measuring launch", steps - 1, steps)
        launch = _time(_additions(inputs), quick)
        steps_of = stages[0][1]  # small matrices, few of them: little but steps
        step = _time(Work(f"2 inverses of order {steps_of}", steps_of, _inversion(inputs, 2, steps_of)), quick)
    report("done", steps, steps)
    shapes = f"(b, c, s) = {', '.join(map(str, stages))}"
    figures = _memory(kind) | {  # read last: the benchmarks load libraries, which take memory too
        "launch": Figure(launch.seconds / launch.amount, "measured", launch.what),
        "inverse_step": Figure(step.seconds / step.amount, "measured", f"{step.what}, per step"),
        "loading": Figure(0, "estimated", "not measured: a matter of the data set"),
    }
    timings["inverse"] = [
        t._replace(seconds=t.seconds - min(t.seconds / 2, c * figures["inverse_step"].value))
        for t, (_, c, _) in zip(timings["inverse"], stages, strict=True)
    ]
    for name, each in timings.items():
        rate = sum(t.amount for t in each) / sum(t.seconds for t in each)
        figures[name] = Figure(rate, "measured", f"{each[0].what}; all of {shapes}")
    for peak, names in PEAKS.items():
        rate = max(t.amount / t.seconds for name in names for t in timings[name])
        figures[peak] = Figure(rate, "measured", f"the best of {' and '.join(names)} at any of {shapes}")
    return Device(_name(kind), kind, figures, circumstances(kind, load))


def _time(work: Work, quick: bool) -> Timing:
    """The time of one call: the best of many, for what else a machine does only adds to it."""
    timer = Timer("call()", globals={"call": work.call}, num_threads=torch.get_num_threads())  # it synchronises CUDA
    return Timing(
        work.what, work.amount, min(timer.blocked_autorange(min_run_time=SECONDS / (10 if quick else 1)).times)
    )


def _bandwidth(inputs: Inputs, b: int, c: int, s: int) -> Work:
    x = inputs(b, c, s, s)
    # Written beforehand: on a CPU, memory new to the process costs several times its use, if malloc asks for it at all.
    kept = [x, *(torch.zeros_like(x) for _ in range(LAYERS))]

    def call() -> object:
        for before, after in pairwise(kept):
            torch.add(before, x, out=after)
        return kept

    return Work(f"{LAYERS} sums of b·c·s² elements in a row, each kept", LAYERS * 3 * 4 * x.numel(), call)


def _conv(inputs: Inputs, b: int, c: int, s: int) -> Work:
    k = KERNEL_SIZE
    x, weight, g = inputs(b, c, s, s, grad=True), inputs(c, c, k, k, grad=True), inputs(b, c, s, s)

    def call() -> object:
        return torch.autograd.grad(F.conv2d(x, weight, padding=k // 2), (x, weight), g)

    return Work(f"{k}×{k} convolution, forward and backward", 3 * 2 * b * s**2 * c**2 * k**2, call)


def _weight_conv(inputs: Inputs, b: int, c: int, s: int) -> Work:
    n = 4 * c  # such kernels are those of a network's last block and of its head, the widest
    weight, g = inputs(n, n, 1, 1, grad=True), inputs(n, n, 1, 1)

    def call() -> object:
        return torch.autograd.grad(F.conv2d(weight, weight), weight, g)

    return Work("4c×4c kernels of 1×1, with themselves, forward and backward", 3 * 2 * n**3, call)


def _matmul(inputs: Inputs, b: int, c: int, s: int) -> Work:
    n = 2 * KERNEL_SIZE - 1
    left, right = inputs(n, c, c), inputs(n, c, c)
    return Work(f"({n}, c, c) @ ({n}, c, c)", 2 * n * c**3, lambda: left @ right)


def _complex_matmul(inputs: Inputs, b: int, c: int, s: int) -> Work:
    n = _frequencies(s)
    left, right = inputs(n, c, c, dtype=torch.complex64), inputs(n, c, b, dtype=torch.complex64)
    return Work("complex (n, c, c) @ (n, c, b), n = s·(s/2+1)", 8 * n * c**2 * b, lambda: left @ right)


def _fft(inputs: Inputs, b: int, c: int, s: int) -> Work:
    real, points = inputs(b, c, s, s), inputs(b, c, s, s, dtype=torch.complex64)
    flops = (2.5 + 5) * b * c * s**2 * math.log2(s**2)
    return Work("rfft2 and fft2 of (b, c, s, s)", flops, lambda: (torch.fft.rfft2(real), torch.fft.fft2(points)))


def _inverse(inputs: Inputs, b: int, c: int, s: int) -> Work:
    n = _frequencies(s)
    call = _inversion(inputs, n, c)
    return Work("inverses of complex (n, c, c), n = s·(s/2+1), but for their steps", 2 * 8 * n * c**2, call)


def _inversion(inputs: Inputs, n: int, c: int) -> Callable[[], object]:
    w = inputs(n, c, c, dtype=torch.complex64)
    a = torch.eye(c, device=inputs.device) + w - w.mH  # no singular value below 1
    return lambda: torch.linalg.inv(a)


def _frequencies(s: int) -> int:
    """How many of a real s×s image's are not others' conjugates."""
    return s * (s // 2 + 1)


def _additions(inputs: Inputs) -> Work:
    x, g = inputs(1, grad=True), inputs(1)

    def call() -> object:
        y = x
        for _ in range(LAYERS):
            y = y + x
        return torch.autograd.grad(y, x, g)

    # Backward sums what every addition passes to x.
    return Work(f"{LAYERS} additions of 1 element in a row, forward and backward", 2 * LAYERS, call)


RATES: dict[str, Callable[[Inputs, int, int, int], Work]] = {
    "bandwidth": _bandwidth,
    "conv": _conv,
    "weight_conv": _weight_conv,
    "matmul": _matmul,
    "complex_matmul": _complex_matmul,
    "fft": _fft,
    "inverse": _inverse,
}
PEAKS = {
    "peak_bandwidth": ("bandwidth",),
    "peak_conv": ("conv",),
    "peak_matmul": ("matmul", "complex_matmul", "fft"),
}


def _check(device: str) -> Kind:
    devices = ("cpu", "cuda") if torch.cuda.is_available() else ("cpu",)
    if device not in devices:
        raise ValueError(f"no device {device!r} that torch can use here; devices: {', '.join(devices)}")
    return cast(Kind, device)


def _memory(kind: Kind) -> dict[str, Figure]:
    """Memory, what of it no tensor gets, and the allocator's rounding."""
    if kind == "cpu":
        total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
        return {
            "memory": Figure(total, "measured", "physical memory by sysconf; a container may be allowed less"),
            "reserved": Figure(0, "estimated", "not measured: other processes come and go"),
            "rounding": Figure(1, "estimated", "none assumed: what malloc adds is not counted"),
        }
    free, total = torch.cuda.mem_get_info()
    reserved = max(0, total - free - torch.cuda.memory_reserved())
    before = torch.cuda.memory_allocated()
    byte = torch.empty(1, dtype=torch.uint8, device=kind)
    rounding = torch.cuda.memory_allocated() - before
    del byte
    return {
        "memory": Figure(total, "measured", "total by torch.cuda.mem_get_info"),
        "reserved": Figure(reserved, "measured", "neither free nor PyTorch's: driver, context, other processes"),
        "rounding": Figure(rounding, "measured", "what an allocation of 1 byte takes"),
    }


def _name(kind: Kind) -> str:
    return "cpu" if kind == "cpu" else torch.cuda.get_device_name()


def circumstances(kind: Kind, load: float) -> dict[str, str]:
    """What the figures of this machine depend on: versions, driver, threads, and the load before the measurements."""
    cudnn: Any = torch.backends.cudnn  # these two publish no types
    system: Any = collect_env
    found = {
        "torch": torch.__version__,
        "threads": str(torch.get_num_threads()),
        "load before": f"{load:.2f}",
    }
    if kind == "cpu":
        processor = platform.processor() or platform.machine()
        return found | {"processor": f"{processor} {torch.backends.cpu.get_cpu_capability()}"}
    return found | {
        "cuda": str(torch.version.cuda),
        "cudnn": str(cudnn.version()),
        "driver": str(system.get_nvidia_driver_version(system.run)),
        "conv precision": cudnn.conv.fp32_precision,
        "matmul precision": torch.backends.cuda.matmul.fp32_precision,
    }
