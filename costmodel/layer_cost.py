"""Numbers for one layer, in one configuration."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

from .checks import (
    PARTS,
    all_positive,
    channels,
    check_layer,
    check_mode,
    lookup,
    placement,
    positive,
    resolve_counts,
    sides,
    torch_dtype,
)
from .tape import Tape
from .tape.sizes import as_torch

if TYPE_CHECKING:
    from lipcost.layers import LipschitzConv2d

Mode = Literal["train", "inference"]
PHASES = ("forward", "backward")


@dataclass(frozen=True)
class Prediction:
    """The exact cost of one layer, by the protocol of docs/conventions.md; every number is an int.

    Attributes:
        method, mode, dtype, b, h, w, c_in, c_out, k, stride, padding_mode, bias, options: the configuration; options
            are the iteration counts and the method's own sizes.
        s: the side of the images, None where they are not square.
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
    s: int | None
    h: int
    w: int
    c_in: int
    c_out: int
    k: int
    stride: int
    padding_mode: str | None
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
    method: str | LipschitzConv2d,
    *,
    b: int,
    s: int | None = None,
    h: int | None = None,
    w: int | None = None,
    c: int | None = None,
    c_in: int | None = None,
    c_out: int | None = None,
    k: int | None = None,
    stride: int | None = None,
    padding_mode: str | None = None,
    mode: Mode = "train",
    dtype: str | None = None,
    bias: bool | None = None,
    in_place: bool = True,
    **options: int,
) -> Prediction:
    """What one layer costs: the layer runs, on tensors without values.

    Args:
        method: one of METHODS; or a layer, which has its own channels, kernel, stride, padding, type and counts.
        b: batch size.
        s: side of square images; or give both of the following.
        h: their height.
        w: their width.
        c: channels, c_in = c_out; or give both of the following.
        c_in: input channels (c by default).
        c_out: output channels (c by default).
        k: kernel size, 3 by default; even where the layer takes it.
        stride: of the library's own algorithms, 1 by default.
        padding_mode: of these, "circular" or "zeros"; default: the method's.
        mode: "train" (forward and backward) or "inference" (forward, the parameter transformation cached).
        dtype: "float32" (the default), "float64" or, where the method allows it, "bfloat16".
        bias: whether the layer has one, as by default.
        in_place: whether autograd sums gradients in place; False is what it does under a TorchDispatchMode.
        **options: the method's own iteration counts and sizes, by name (``METHODS[method].counts``, ``.sizes``).

    Raises:
        ValueError: for any value that the layer would refuse, naming the rule, the value and the options.

    Example:
        >>> from lipcost.costmodel import predict
        >>> p = predict("soc/published", b=256, s=32, c=64)
        >>> p.macs_forward == 5 * 256 * 32**2 * 64**2 * 3**2
        True
        >>> p.peak_bytes
        604578332
        >>> predict("aol", b=1, h=8, w=6, c_in=3, c_out=8, k=4, stride=2, padding_mode="zeros").macs_forward
        921600
    """
    from .tape.program import Program, record_call  # noqa: PLC0415  (it needs torch, for which a refusal must not wait)

    b = positive("b", b)
    if hasattr(method, "in_features"):  # a dense layer's input is an image of one pixel
        s = 1 if s is None else s
    h, w = sides(*all_positive(s=s, h=h, w=w))
    train = check_mode(mode) == "train"
    if isinstance(method, str):
        cls = lookup(method)
        c_in, c_out = channels(*all_positive(c=c, c_in=c_in, c_out=c_out))
        options = resolve_counts(cls, options)
        stride, dtype = 1 if stride is None else stride, "float32" if dtype is None else dtype
        how = stride, padding_mode, bias is not False, dtype
        build = builder(cls, c_in, c_out, positive("k", 3 if k is None else k), *how, options)
        program = Program(build, (b, c_in, h, w), None, train, train)
    else:
        given = {"c": c, "c_in": c_in, "c_out": c_out, "k": k, "stride": stride, "padding_mode": padding_mode}
        check_layer(method, given | {"dtype": dtype, "bias": bias} | options)
        sizes = (b, method.in_channels) if hasattr(method, "in_features") else (b, method.in_channels, h, w)
        program = Program(method, sizes, None, train, train)
    tape = Tape(in_place=in_place)
    recording, layer = record_call(program, tape)
    return Prediction(
        method=layer.name,
        mode=mode,
        dtype=str(layer.weight.dtype).removeprefix("torch."),
        b=b,
        s=h if h == w else None,
        h=h,
        w=w,
        c_in=layer.in_channels,
        c_out=layer.out_channels,
        k=layer.kernel_size,
        stride=getattr(layer, "stride", 1),
        padding_mode=getattr(layer, "padding_mode", None),
        bias=layer.bias is not None,
        options={name: getattr(layer, name) for name in (*layer.counts, *layer.sizes)},
        **recording.counts(PHASES),
        **{name: recording.quantity(name) for name in ("parameter_bytes", "buffer_bytes", "saved_bytes")},
        cache_bytes=0 if train else recording.quantity("cache_bytes"),
        peak_bytes=recording.peak(),
        by_class=recording.flops_by_class(),
        parts={part: recording.counts(PHASES, part) for part in PARTS},
    )


def builder(  # noqa: PLR0917  (a layer's own arguments, in their order)
    cls: type[LipschitzConv2d],
    c_in: Any,
    c_out: Any,
    k: Any,
    stride: int,
    padding_mode: str | None,
    bias: bool,
    dtype: str,
    options: dict[str, Any],
) -> Callable[[Tape], LipschitzConv2d]:
    """What builds the layer on a tape; sizes may be symbols."""
    extra = placement(cls, stride, padding_mode)

    def build(tape: Tape) -> LipschitzConv2d:
        given: list[Any] = [as_torch(size, tape) for size in (c_in, c_out, k)]
        counts = {name: as_torch(value, tape) for name, value in options.items()}
        return cls(given[0], given[1], given[2], bias=bias, dtype=torch_dtype(dtype), **extra, **counts)

    return build
