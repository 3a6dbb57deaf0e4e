"""Numbers for a whole network: a training step, or a call in inference."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from .checks import positive
from .devices.device import Device, as_device
from .devices.roofline import Seconds, seconds, tally
from .layer_cost import Mode
from .networks.optimizers import Make
from .networks.workload import workload
from .tape.recording import Recording

IMAGE_RANK = 3  # channels and two sides
PHASES = ("forward", "backward", "optimizer")


@dataclass(frozen=True)
class NetworkPrediction:
    """The exact cost of a step, by the protocol of docs/conventions.md; every number but the seconds is an int.

    Attributes:
        network, method, mode, dtype, b, shape, optimizer: the configuration; the network is the class's name if a
            module was given, and has no method then; shape is that of one input.
        c_in, h, w: of images; h and w are None where the inputs are none.
        s: the side of the images, None where they are not square.
        macs_*, flops_*, traffic_*, launches_*: multiply–accumulates, FLOPs, bytes moved and kernels of the forward pass
            with the loss, the backward pass and the optimizer.
        parameter_bytes, buffer_bytes, gradient_bytes, optimizer_bytes, cache_bytes: what is kept between steps;
            gradients and optimizer state in training, cached weights in inference.
        saved_bytes: kept by autograd for the backward pass, without the input, the labels and the network's tensors.
        peak_bytes: most live bytes, everything included.
        by_category: the bytes live at the peak, which they add up to.
        by_class: FLOPs by class of operation, all phases together.
        time: the step's time on the device, None if none was given.
    """

    network: str
    method: str | None
    mode: Mode
    dtype: str
    b: int
    c_in: int
    s: int | None
    h: int | None
    w: int | None
    shape: tuple[int, ...]
    optimizer: str | None
    macs_forward: int
    macs_backward: int
    macs_optimizer: int
    flops_forward: int
    flops_backward: int
    flops_optimizer: int
    traffic_forward: int
    traffic_backward: int
    traffic_optimizer: int
    launches_forward: int
    launches_backward: int
    launches_optimizer: int
    parameter_bytes: int
    buffer_bytes: int
    gradient_bytes: int
    optimizer_bytes: int
    cache_bytes: int
    saved_bytes: int
    peak_bytes: int
    by_category: dict[str, int]
    by_class: dict[str, int]
    time: Seconds | None

    @property
    def seconds(self) -> float | None:
        """Of the step, on the device that was given."""
        return None if self.time is None else self.time.total

    def to_dict(self) -> dict[str, Any]:
        """All of it, ready for JSON."""
        return asdict(self) | {"seconds": self.seconds}


def predict_network(
    network: Any,
    method: str | None = None,
    *,
    b: int,
    mode: Mode = "train",
    optimizer: str | Make = "sgd-momentum",
    weight_decay: bool = False,
    s: int | None = None,
    h: int | None = None,
    w: int | None = None,
    c_in: int = 3,
    shape: Sequence[int] | None = None,
    classes: int | None = None,
    width: int | None = None,
    dtype: str | None = None,
    device: Device | str | None = None,
    in_place: bool = True,
    foreach: bool | None = None,
    fused: bool = False,
    accumulate: int = 1,
    autocast: str | None = None,
    input_gradient: bool = False,
    first_step: bool = False,
    **options: int,
) -> NetworkPrediction:
    """What a whole network costs: a training step with its loss and optimizer, or a call in inference.

    The network's own forward runs, on tensors without values: what it does with shared, frozen or unused parameters,
    parts in eval mode, hooks and skip connections is in the numbers. A step is one of many: buffers that get their
    size in the first one have it, and the optimizer has its state, unless the first one is asked for.

    Args:
        network: a name in CONV_NETS, "ConvNetM" or "M" for short; or any torch module of functions that RULES covers.
        method: of a named network, one of METHODS.
        b: batch size.
        mode: "train" (forward, loss, backward, optimizer step; each part of a module in the mode that it is in) or
            "inference" (forward, transformed weights cached).
        optimizer: one of OPTIMIZERS, of torch.optim; or what makes your own of the parameters, with its settings.
        weight_decay: whether a named optimizer has one.
        s: side of the images; default: that of the named network's data set. Or give both of the following.
        h: their height.
        w: their width.
        c_in: channels of the images.
        shape: of one input, in place of c_in and the sides: (c, h, w), or of any other rank.
        classes: of a named network, if others than its data set's.
        width: of a named network, if another than its own.
        dtype: "float32" (the default of a named network), "float64" or, where all layers allow it, "bfloat16"; a module
            has its own.
        device: for the time; a Device, or the name of one.
        in_place: whether autograd sums gradients in place; False is what it does under a TorchDispatchMode.
        foreach: whether an optimizer's kernel treats all parameters at once, as torch does on a GPU; default: whether
            the device is one.
        fused: whether a named optimizer treats all parameters by a single kernel.
        accumulate: how many batches are taken, one after the other, before the optimizer's step.
        autocast: the type in which forward and loss compute under torch.autocast, "bfloat16" or "float16"; None for
            full precision.
        input_gradient: whether the images want a gradient too.
        first_step: whether the step is the first: the optimizer makes its state, the module is as it was given.
        **options: of a named network, the method's own iteration counts.

    Raises:
        ValueError: for any value that the network or its layers would refuse; for a function that no rule covers,
            which it names, with the module and the line.

    Example:
        >>> from lipcost.costmodel import predict_network
        >>> p = predict_network("ConvNetM", "aol", b=256)
        >>> p.peak_bytes == sum(p.by_category.values())
        True
        >>> p.parameter_bytes, p.optimizer_bytes
        (100482048, 100482048)
    """
    b, on = positive("b", b), as_device(device)
    task = workload(
        network,
        method,
        mode=mode,
        optimizer=optimizer,
        weight_decay=weight_decay,
        s=s,
        h=h,
        w=w,
        c_in=c_in,
        shape=shape,
        classes=classes,
        width=width,
        dtype=dtype,
        in_place=in_place,
        foreach=on_gpu(on) if foreach is None else foreach,
        fused=fused,
        accumulate=accumulate,
        autocast=autocast,
        input_gradient=input_gradient,
        first_step=first_step,
        **options,
    )
    recording = task.record(b)
    h, w = task.shape[1:] if len(task.shape) == IMAGE_RANK else (None, None)
    live, held = recording.at_peak(), recording.bytes_of
    return NetworkPrediction(
        network=task.name,
        method=method,
        mode=mode,
        dtype=task.dtype,
        b=b,
        c_in=task.shape[0],
        s=h if h == w else None,
        h=h,
        w=w,
        shape=task.shape,
        optimizer=_name(optimizer) if mode == "train" else None,
        **recording.counts(PHASES),
        parameter_bytes=held["parameters"],
        buffer_bytes=held["buffers"],
        gradient_bytes=held["gradients"],
        optimizer_bytes=held["optimizer"],
        cache_bytes=held["cache"],
        saved_bytes=recording.saved_bytes,
        peak_bytes=sum(live.values()),
        by_category=live,
        by_class=recording.flops_by_class(),
        time=None if on is None else step_time(recording, on, b),
    )


def on_gpu(device: Device | None) -> bool:
    """Whether an optimizer treats all parameters at once there."""
    return device is not None and device.kind == "cuda"


def step_time(recording: Recording, device: Device, b: int) -> Seconds:
    """The time of a recorded step; only training loads images."""
    return seconds(tally(recording.operations), device, images=0 if recording.once else b)


def _name(optimizer: str | Make) -> str:
    return optimizer if isinstance(optimizer, str) else getattr(optimizer, "__name__", type(optimizer).__name__)
