"""Numbers for one configuration."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

from ._checks import PARTS, channels, check_configuration, check_mode, lookup, positive, resolve_options, width
from ._method import Config
from ._record import COUNTED, Recording, record

Mode = Literal["train", "inference"]
CLASSES = ("conv", "matmul", "fft", "inverse", "pointwise")


@dataclass(frozen=True)
class Prediction:
    """The exact cost of one layer, by the protocol of docs/conventions.md; every number is an int.

    Attributes:
        method, mode, dtype, b, s, c_in, c_out, k, bias, options: the configuration.
        macs_forward, macs_backward: multiply–accumulates of convolutions and matrix products; a complex one is four.
        flops_forward, flops_backward: 2·MACs and the FLOPs of what has no MAC; rounded where an FFT's count is no
        integer. traffic_forward, traffic_backward: bytes that kernels read and write.
        launches_forward, launches_backward: kernels run.
        parameter_bytes, buffer_bytes: of the layer.
        cache_bytes: of the transformed parameters kept in inference.
        saved_bytes: kept by autograd for the backward pass, the input and the layer's own tensors excluded.
        peak_bytes: most live bytes, with input, incoming gradient (training), parameters, buffers and cache.
        by_class: FLOPs by class of operation, forward and backward together.
        parts: the first eight, split into input and parameter transformation. In inference the latter is paid once,
            for the cache, and is in no total.
    """

    method: str
    mode: Mode
    dtype: str
    b: int
    s: int
    c_in: int
    c_out: int
    k: int
    bias: bool
    options: dict[str, int]
    macs_forward: int
    macs_backward: int
    flops_forward: int
    flops_backward: int
    traffic_forward: int
    traffic_backward: int
    launches_forward: int
    launches_backward: int
    parameter_bytes: int
    buffer_bytes: int
    cache_bytes: int
    saved_bytes: int
    peak_bytes: int
    by_class: dict[str, int]
    parts: dict[str, dict[str, int]]

    def to_dict(self) -> dict[str, Any]:
        """All of it, ready for JSON."""
        return asdict(self)


def predict(
    method: str,
    *,
    b: int,
    s: int,
    c: int | None = None,
    c_in: int | None = None,
    c_out: int | None = None,
    k: int = 3,
    mode: Mode = "train",
    dtype: str = "float32",
    bias: bool = True,
    in_place: bool = True,
    **options: int,
) -> Prediction:
    """What one layer costs.

    Args:
        method: one of METHODS.
        b: batch size.
        s: side of the square image.
        c: channels, c_in = c_out; or give both of the following.
        c_in: input channels (c by default).
        c_out: output channels (c by default).
        k: kernel size, odd.
        mode: "train" (forward and backward) or "inference" (forward, the parameter transformation cached).
        dtype: "float32", "float64" or, where the method allows it, "bfloat16".
        bias: whether the layer has one.
        in_place: whether autograd sums gradients in place; False is what it does under a TorchDispatchMode.
        **options: the method's own iteration counts, by name (``METHODS[method].options``).

    Raises:
        ValueError: for any value that the layer would refuse, naming the rule, the value and the options.

    Example:
        >>> from lipcost.costmodel import predict
        >>> p = predict("soc/published", b=256, s=32, c=64)
        >>> p.macs_forward == 5 * 256 * 32**2 * 64**2 * 3**2
        True
        >>> p.peak_bytes
        604578332
    """
    cls = lookup(method)
    if c is not None:
        positive("c", c)
    c_in, c_out = channels(c, c_in, c_out)
    check_configuration(cls, b=b, s=s, c_in=c_in, c_out=c_out, k=k)
    config = Config(
        b=b,
        s=s,
        c_in=c_in,
        c_out=c_out,
        k=k,
        option=resolve_options(cls, options),
        bias=bias,
        train=check_mode(mode) == "train",
        width=width(cls, dtype),
        in_place=in_place,
    )
    recording = record(cls, config)
    return Prediction(
        method=method,
        mode=mode,
        dtype=dtype,
        b=b,
        s=s,
        c_in=c_in,
        c_out=c_out,
        k=k,
        bias=bias,
        options=config.option,
        **_counts(recording, None),
        parameter_bytes=recording.parameter_bytes,
        buffer_bytes=recording.buffer_bytes,
        cache_bytes=recording.cache_bytes,
        saved_bytes=recording.saved_bytes,
        peak_bytes=recording.peak(),
        by_class={
            cls: round(sum(recording.count("flops", phase, cls=cls) for phase in ("forward", "backward")))
            for cls in CLASSES
        },
        parts={part: _counts(recording, part) for part in PARTS},
    )


def _counts(recording: Recording, part: str | None) -> dict[str, int]:
    return {
        f"{name}_{phase}": round(recording.count(name, phase, part))
        for name in COUNTED
        for phase in ("forward", "backward")
    }
