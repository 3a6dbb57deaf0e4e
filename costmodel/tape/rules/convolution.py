"""Rules of convolutions, of any number of sides, stride, padding, dilation and groups.

With letters: b batch, c_in and c_out channels, g groups, K the product of the kernel's sides and P of the output's.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import torch

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
# By which torch chooses oneDNN for a convolution in float32 on a CPU.
LARGE_KERNEL, LARGE_INPUT, MANY = 3, 20480, 16


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
    spread = any(n != 1 for n in (*strides, *dilations))
    return _convolution(x, weight, bias, sizes, prod(sizes) * prod(weight.sizes[1:]), spread, groups)


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
    spread = any(n != 1 for n in (*_each(stride, 2), *_each(dilation, 2)))
    return _convolution(x, weight, bias, sizes, prod(x.sizes) * prod(weight.sizes[1:]), spread, groups)


def _convolution(
    x: Tensor, weight: Tensor, bias: Tensor | None, sizes: Shape, macs: Size, spread: bool, groups: int
) -> Tensor:
    """Each of the gradients of input and weight takes as many MACs as the forward; the bias's is a sum.

    ``spread``: whether it has a stride or a dilation.
    """
    tape = x.tape
    out = x.new(sizes, strides=_strides(x, weight, sizes))
    inputs = [x, weight] if bias is None else [x, weight, bias]
    variant = variant_of(sizes)
    tape.kernel("convolution", "conv", [*inputs, out], macs=macs, variant=variant)
    needs = [tensor.requires_grad for tensor in inputs]

    def backward(saved: Sequence[Tensor], g: Tensor) -> list[Tensor | None]:
        x, weight = saved
        gradients, spare = _gradients(g, x, weight, needs), _spare(x, weight, needs, spread, groups)
        written = [gradient for gradient in gradients if gradient is not None]
        count = macs * (needs[0] + needs[1])
        tape.kernel("convolution_backward", "conv", [g, *saved, *written], macs=count, variant=variant)
        del spare
        return gradients

    attach([out], inputs, [x, weight], backward)
    return out


def _gradients(g: Tensor, x: Tensor, weight: Tensor, needs: Sequence[bool]) -> list[Tensor | None]:
    """New tensors for those of input, weight and bias that are needed."""
    shapes = (x.sizes, weight.sizes, (g.sizes[1],))
    strides = (_strides(x, weight, x.sizes), _strides(x, weight, weight.sizes), None)
    each = zip(needs, shapes, strides, strict=False)
    return [g.new(sizes, strides=order) if need else None for need, sizes, order in each]


def _spare(x: Tensor, weight: Tensor, needs: Sequence[bool], spread: bool, groups: int) -> Tensor | None:
    """A gradient of the weight that nobody needs: oneDNN computes it together with the bias's.

    Source: use_mkldnn and convolution_backward in aten/src/ATen/native/Convolution.cpp.
    """
    of_weight, of_bias = (*needs, False)[1:3]
    if of_weight or not of_bias:
        return None
    if x.dtype is torch.bfloat16:
        return weight.new(weight.sizes) if torch.ops.mkldnn._is_mkldnn_bf16_supported() else None
    if x.dtype is not torch.float32:
        return None
    batch, *kernel = x.sizes[0], *weight.sizes[2:]
    holds = x.tape.holds
    pays = (
        groups > 1
        or all(holds(k > LARGE_KERNEL) for k in kernel[-2:])
        or holds(batch > 1)
        or holds(x.elements > LARGE_INPUT)
    )
    threads = spread or torch.get_num_threads() > 1 or holds(batch >= MANY) or any(holds(k > 1) for k in kernel[-2:])
    return weight.new(weight.sizes) if pays and threads else None


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
    outs = _gradients(g, x, weight, (of_x, of_weight, of_bias))
    swept = x if transposed else g
    macs = swept.sizes[0] * prod(swept.sizes[2:]) * weight.elements * (of_x + of_weight)
    written = [out for out in outs if out is not None]
    g.tape.kernel("convolution_backward", "conv", [g, x, weight, *written], macs=macs, variant=variant_of(g.sizes))
    return outs
