"""Rules of convolutions, of any number of sides, stride, padding, dilation and groups.

With letters: b batch, c_in and c_out channels, g groups, K the product of the kernel's sides and P of the output's.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

from .. import layout
from ..errors import Mismatch
from ..graph import attach
from ..sizes import fit, halved
from ..table import rule
from ..tape import Shape, Size
from ..tensor import Tensor
from .kernels import alike
from .padding import constant_pad

Sides = tuple[Size, ...]


def _each(value: Any, count: int) -> Sides:
    values = tuple(value) if isinstance(value, (tuple, list)) else (value,)
    return values * count if len(values) == 1 else values


def _convolve(
    count: int, x: Tensor, weight: Tensor, bias: Tensor | None, stride: Any, padding: Any, dilation: Any, groups: int
) -> Tensor:
    """x (b, c_in, …) with weight (c_out, c_in/g, …): (b, c_out, …) in b·P·c_out·K·c_in/g MACs."""
    if x.rank != count + 2:
        raise Mismatch(f"a convolution over {count} axes takes inputs of rank {count + 2}, got shape {x.sizes}")
    alike(x, weight, "input and kernel of a convolution")
    fit(x.sizes[1], weight.sizes[1] * groups, "channels of a convolution's input and kernel")
    kernel = weight.sizes[2:]
    strides, dilations = _each(stride, count), _each(dilation, count)
    if isinstance(padding, str):
        spans = [d * (k - 1) for d, k in zip(dilations, kernel, strict=True)]
        if padding == "same" and any(x.tape.holds(_odd(span)) for span in spans):
            widths = [w for span in reversed(spans) for w in (halved(span), span - halved(span))]
            x, spans = constant_pad(x, widths), [0] * count
        padding = tuple(halved(span) for span in spans) if padding == "same" else 0
    out_sides = tuple(
        (n + 2 * p - d * (k - 1) - 1) // s + 1
        for n, p, d, k, s in zip(x.sizes[2:], _each(padding, count), dilations, kernel, strides, strict=True)
    )
    if any(isinstance(side, int) and side < 1 for side in out_sides):
        raise Mismatch(f"a kernel of {kernel} is larger than the padded image {x.sizes[2:]}")
    sizes = (x.sizes[0], weight.sizes[0], *out_sides)
    return _convolution(x, weight, bias, sizes, macs=prod(sizes) * prod(weight.sizes[1:]))


def _odd(span: Size) -> Any:
    if isinstance(span, int):
        return span % 2 == 1
    import sympy  # noqa: PLC0415

    return sympy.Eq(sympy.Mod(span, 2), 1)


@rule("torch.conv1d", "torch.nn.functional.conv1d")
def conv1d(
    x: Any, w: Any, bias: Any = None, stride: Any = 1, padding: Any = 0, dilation: Any = 1, groups: Any = 1
) -> Any:
    return _convolve(1, x, w, bias, stride, padding, dilation, groups)


@rule("torch.conv2d", "torch.nn.functional.conv2d")
def conv2d(
    x: Any, w: Any, bias: Any = None, stride: Any = 1, padding: Any = 0, dilation: Any = 1, groups: Any = 1
) -> Any:
    return _convolve(2, x, w, bias, stride, padding, dilation, groups)


@rule("torch.conv3d", "torch.nn.functional.conv3d")
def conv3d(
    x: Any, w: Any, bias: Any = None, stride: Any = 1, padding: Any = 0, dilation: Any = 1, groups: Any = 1
) -> Any:
    return _convolve(3, x, w, bias, stride, padding, dilation, groups)


@rule("torch.conv_transpose2d", "torch.nn.functional.conv_transpose2d")
def conv_transpose2d(
    x: Tensor, weight: Tensor, bias: Tensor | None = None, stride: Any = 1, padding: Any = 0, output_padding: Any = 0,
    groups: int = 1, dilation: Any = 1,
) -> Tensor:  # fmt: skip
    """x (b, c_out, …) with weight (c_out, c_in/g, …): (b, c_in, …) in b·P·c_out·K·c_in/g MACs, P of its input."""
    sides = tuple(
        (n - 1) * s - 2 * p + d * (k - 1) + extra + 1
        for n, s, p, d, k, extra in zip(
            x.sizes[2:], _each(stride, 2), _each(padding, 2), _each(dilation, 2), weight.sizes[2:],
            _each(output_padding, 2), strict=True,
        )
    )  # fmt: skip
    alike(x, weight, "input and kernel of a convolution")
    fit(x.sizes[1], weight.sizes[0], "channels of a transposed convolution's input and kernel")
    sizes = (x.sizes[0], weight.sizes[1] * groups, *sides)
    return _convolution(x, weight, bias, sizes, macs=prod(x.sizes) * prod(weight.sizes[1:]))


def _convolution(x: Tensor, weight: Tensor, bias: Tensor | None, sizes: Shape, macs: Size) -> Tensor:
    """Each of the gradients of input and weight takes as many MACs as the forward; the bias's is a sum."""
    tape = x.tape
    out = x.new(sizes, strides=_strides(x, weight, sizes))
    inputs = [x, weight] if bias is None else [x, weight, bias]
    variant = variant_of(sizes)
    tape.kernel("convolution", "conv", [*inputs, out], macs=macs, variant=variant)
    needs = [tensor.requires_grad for tensor in inputs]
    channels = sizes[1]

    def backward(saved: Sequence[Tensor], g: Tensor) -> list[Tensor | None]:
        shapes = [saved[0].sizes, saved[1].sizes, (channels,)]
        gradients = [g.new(shape) if need else None for shape, need in zip(shapes, needs, strict=False)]
        for gradient in gradients[:2]:
            if gradient is not None:
                gradient._strides = _strides(saved[0], saved[1], gradient.sizes)
        written = [gradient for gradient in gradients if gradient is not None]
        count = macs * (needs[0] + needs[1])
        tape.kernel("convolution_backward", "conv", [g, *saved, *written], macs=count, variant=variant)
        return gradients

    attach([out], inputs, [x, weight], backward)
    return out


def variant_of(sizes: Shape) -> str:
    """What tells convolutions apart that run at another rate: "1x1" for an output of one pixel."""
    return "1x1" if sizes[2:] == (1, 1) else ""


def _strides(x: Tensor, weight: Tensor, sizes: Shape) -> layout.Strides | None:
    """Channels lie innermost in the output if they do in the input or the weight."""
    if len(sizes) != len(layout.CHANNELS_LAST) or (x._strides is None and weight._strides is None):
        return None
    last = any(t._strides is not None and layout.is_channels_last(t.hints, t.strides) for t in (x, weight))
    return layout.contiguous(tuple(map(x.tape.hint, sizes)), layout.CHANNELS_LAST) if last else None


@rule("torch.ops.aten.convolution_backward", "torch.ops.aten.convolution_backward.default")
def convolution_backward(
    g: Tensor, x: Tensor, weight: Tensor, _bias: Any, _stride: Any, _padding: Any, _dilation: Any, transposed: bool,
    _output_padding: Any, _groups: int, mask: Sequence[bool],
) -> list[Tensor | None]:  # fmt: skip
    """The gradients of input and weight that ``mask`` asks for, one convolution each."""
    of_x, of_weight, of_bias = mask
    outs = [x.new(x.sizes) if of_x else None, weight.new(weight.sizes) if of_weight else None]
    outs.append(g.new((g.sizes[1],)) if of_bias else None)
    swept = x if transposed else g
    macs = swept.sizes[0] * prod(swept.sizes[2:]) * weight.elements * (of_x + of_weight)
    written = [out for out in outs if out is not None]
    g.tape.kernel("convolution_backward", "conv", [g, x, weight, *written], macs=macs, variant=variant_of(g.sizes))
    return outs
