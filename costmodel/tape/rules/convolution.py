"""Rules of convolutions, of any number of sides, stride, padding, dilation and groups.

With letters: b batch, c_in and c_out channels, g groups, K the product of the kernel's sides and P of the output's.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any, NamedTuple

import torch

from .. import layout
from ..errors import Mismatch, refused
from ..graph import attach
from ..sizes import fit, halved, multiple, quotient
from ..table import active, rule
from ..tape import Shape, Size
from ..tensor import Tensor
from .kernels import alike
from .padding import constant_pad
from .views import squeeze, unsqueeze

Sides = tuple[Size, ...]
# By which torch chooses oneDNN for a convolution in float32 on a CPU.
LARGE_KERNEL, LARGE_INPUT, MANY = 3, 20480, 16


class Geometry(NamedTuple):
    """How a convolution's kernel goes over an image: a number for each side, but for the groups."""

    stride: Sides
    padding: Sides
    dilation: Sides
    transposed: bool
    output_padding: Sides
    groups: Size


def _each(value: Any, count: int) -> Sides:
    values = tuple(value) if isinstance(value, (tuple, list)) else (value,)
    return values * count if len(values) == 1 else values


def _geometry(
    count: int,
    stride: Any,
    padding: Any,
    dilation: Any,
    groups: Size,
    output_padding: Any = 0,
    transposed: bool = False,
) -> Geometry:
    stride, padding, dilation, extra = (_each(value, count) for value in (stride, padding, dilation, output_padding))
    return Geometry(stride, padding, dilation, transposed, extra, groups)


def _functions(count: int) -> None:
    """The functions of ``count`` sides."""

    @rule(f"torch.conv{count}d", f"torch.nn.functional.conv{count}d")
    def conv(
        input: Tensor, weight: Tensor, bias: Tensor | None = None, stride: Any = 1, padding: Any = 0, dilation: Any = 1,
        groups: Size = 1,
    ) -> Tensor:  # fmt: skip
        """x (b, c_in, …) with weight (c_out, c_in/g, …): (b, c_out, …) in b·P·c_out·K·c_in/g MACs."""
        if input.rank == count + 1:
            return squeeze(conv(unsqueeze(input, 0), weight, bias, stride, padding, dilation, groups), 0)
        if isinstance(padding, str):
            input, padding = _by_name(count, padding, input, weight, _each(stride, count), _each(dilation, count))
        return _convolution(input, weight, bias, _geometry(count, stride, padding, dilation, groups))

    @rule(f"torch.conv_transpose{count}d", f"torch.nn.functional.conv_transpose{count}d")
    def conv_transpose(
        input: Tensor, weight: Tensor, bias: Tensor | None = None, stride: Any = 1, padding: Any = 0,
        output_padding: Any = 0, groups: Size = 1, dilation: Any = 1,
    ) -> Tensor:  # fmt: skip
        """x (b, c_out, …) with weight (c_out, c_in/g, …): (b, c_in, …) in b·P·c_out·K·c_in/g MACs, P of its input."""
        if input.rank == count + 1:
            one = unsqueeze(input, 0)
            return squeeze(conv_transpose(one, weight, bias, stride, padding, output_padding, groups, dilation), 0)
        geometry = _geometry(count, stride, padding, dilation, groups, output_padding, transposed=True)
        return _convolution(input, weight, bias, geometry)


for _count in (1, 2, 3):
    _functions(_count)


@rule("torch.convolution")
def convolution(
    input: Tensor, weight: Tensor, bias: Tensor | None, stride: Any, padding: Any, dilation: Any, transposed: bool,
    output_padding: Any, groups: Size,
) -> Tensor:  # fmt: skip
    count = weight.rank - 2
    return _convolution(
        input, weight, bias, _geometry(count, stride, padding, dilation, groups, output_padding, transposed)
    )


def _by_name(count: int, padding: str, x: Tensor, weight: Tensor, stride: Sides, dilation: Sides) -> tuple[Tensor, Any]:
    """What "same" and "valid" are in numbers; where the sides are unlike, x is padded by the one column more."""
    if padding == "valid":
        return x, 0
    if any(n != 1 for n in stride):
        raise Mismatch("padding='same' takes a stride of 1")
    spans = [d * (k - 1) for d, k in zip(dilation, weight.sizes[2:], strict=True)]
    odd = [x.tape.holds(_odd(span)) for span in spans]
    if any(odd):
        x = constant_pad(x, [width for more in reversed(odd) for width in (0, int(more))])
    return x, tuple(halved(span) for span in spans)


def _odd(span: Size) -> Any:
    if isinstance(span, int):
        return span % 2 == 1
    import sympy  # noqa: PLC0415

    return sympy.Eq(sympy.Mod(span, 2), 1)


def _convolved_sizes(x: Tensor, weight: Tensor, geometry: Geometry) -> Shape:
    """The output's shape."""
    groups, kernel = geometry.groups, weight.sizes[2:]
    if x.rank != weight.rank or x.rank < 3:
        raise Mismatch(f"a convolution by a kernel of shape {weight.sizes} takes inputs of its rank, got {x.sizes}")
    alike(x, weight, "input and kernel of a convolution")
    if x.dtype.is_complex:
        raise refused("a convolution of complex numbers")
    each = zip(x.sizes[2:], *geometry[:3], kernel, geometry.output_padding, strict=True)
    multiple(weight.sizes[0], groups, "channels of a convolution's kernel and its groups")
    if geometry.transposed:
        fit(x.sizes[1], weight.sizes[0], "channels of a transposed convolution's input and kernel")
        sides = tuple((n - 1) * s - 2 * p + d * (k - 1) + extra + 1 for n, s, p, d, k, extra in each)
        channels = weight.sizes[1] * groups
    else:
        fit(x.sizes[1], weight.sizes[1] * groups, "channels of a convolution's input and kernel")
        sides = tuple((n + 2 * p - d * (k - 1) - 1) // s + 1 for n, s, p, d, k, _ in each)
        channels = weight.sizes[0]
    if not all(x.tape.holds(side >= 1) for side in sides):
        raise Mismatch(f"a kernel of {kernel} is larger than the padded image {x.sizes[2:]}")
    return (x.sizes[0], channels, *sides)


def _convolution(x: Tensor, weight: Tensor, bias: Tensor | None, geometry: Geometry) -> Tensor:
    """Each of the gradients of input and weight takes as many MACs as the forward; the bias's is a sum."""
    tape = x.tape
    sizes = _convolved_sizes(x, weight, geometry)
    out = x.new(sizes, strides=_strides(x, weight, sizes, geometry))
    inputs = [x, weight] if bias is None else [x, weight, bias]
    variant = variant_of(sizes)
    macs = _macs(x.sizes if geometry.transposed else sizes, weight)
    tape.kernel("convolution", "conv", [*inputs, out], macs=macs, variant=variant)
    needs = [tensor.is_followed for tensor in inputs]

    def backward(saved: Sequence[Tensor], g: Tensor) -> list[Tensor | None]:
        x, weight = saved
        gradients, spare = _gradients(g, x, weight, needs, geometry), _spare(x, weight, needs, geometry)
        written = [gradient for gradient in gradients if gradient is not None]
        count = macs * (needs[0] + needs[1])
        tape.kernel("convolution_backward", "conv", [g, *saved, *written], macs=count, variant=variant)
        del spare
        return gradients

    attach([out], inputs, [x, weight], backward)
    return out


def _macs(swept: Shape, weight: Tensor) -> Size:
    """Each position of what is swept, the output or the input of a transposed one, meets the whole weight."""
    return swept[0] * prod(swept[2:]) * weight.elements


def _gradients(g: Tensor, x: Tensor, weight: Tensor, needs: Sequence[bool], geometry: Geometry) -> list[Tensor | None]:
    """New tensors for those of input, weight and bias that are needed."""
    shapes = (x.sizes, weight.sizes, (g.sizes[1],))
    strides = (_strides(x, weight, x.sizes, geometry), _strides(x, weight, weight.sizes, geometry), None)
    each = zip(needs, shapes, strides, strict=False)
    return [g.new(sizes, strides=order) if need else None for need, sizes, order in each]


def _spare(x: Tensor, weight: Tensor, needs: Sequence[bool], geometry: Geometry) -> Tensor | None:
    """A gradient of the weight that nobody needs: oneDNN computes it together with the bias's."""
    of_weight, of_bias = (*needs, False)[1:3]
    if of_weight or not of_bias or not _by_one_dnn(x, weight, geometry):
        return None
    return weight.new(weight.sizes)


def _by_one_dnn(x: Tensor, weight: Tensor, geometry: Geometry) -> bool:
    """Whether torch leaves a convolution to oneDNN.

    Source: use_mkldnn and convolution_backward in aten/src/ATen/native/Convolution.cpp.
    """
    stride, _, dilation, transposed, extra, groups = geometry
    if not (torch.backends.mkldnn.is_available() and torch.backends.mkldnn.enabled):  # type: ignore[no-untyped-call]
        return False
    if transposed and any(more >= step for more, step in zip(extra, stride, strict=True)):
        return False
    if x.dtype in _SUPPORTED:
        return bool(_SUPPORTED[x.dtype]())
    if x.dtype is not torch.float32:
        return False
    batch, kernel = x.sizes[0], (1, *weight.sizes[2:])[-2:]
    holds = x.tape.holds
    spread = any(n != 1 for n in (*stride, *dilation))
    pays = (
        groups > 1
        or all(holds(k > LARGE_KERNEL) for k in kernel)
        or holds(batch > 1)
        or holds(prod(x.sizes[:4]) > LARGE_INPUT)
    )
    threads = spread or torch.get_num_threads() > 1 or holds(batch >= MANY) or any(holds(k > 1) for k in kernel)
    return pays and threads


_SUPPORTED: Any = {
    torch.bfloat16: torch.ops.mkldnn._is_mkldnn_bf16_supported,
    torch.float16: torch.ops.mkldnn._is_mkldnn_fp16_supported,
}


def variant_of(sizes: Shape) -> str:
    """What tells convolutions apart that run at another rate: "1x1" for an output of one pixel."""
    return "1x1" if sizes[2:] == (1, 1) else ""


def _strides(x: Tensor, weight: Tensor, sizes: Shape, geometry: Geometry) -> layout.Strides | None:
    """Channels lie innermost in the output if they do in the input or the weight; in volumes only oneDNN does it."""
    if x._strides is None and weight._strides is None:
        return None
    if not any(t._strides is not None and layout.is_channels_last(t.hints, t.strides) for t in (x, weight)):
        return None
    if len(sizes) == len(layout.CHANNELS_LAST_3D) and not _by_one_dnn(x, weight, geometry):
        return None
    return layout.channels_last(tuple(map(x.tape.hint, sizes)))


@rule("torch.ops.aten.convolution_backward", "torch.ops.aten.convolution_backward.default")
def convolution_backward(
    g: Tensor, x: Tensor, weight: Tensor, _bias: Any, stride: Any, padding: Any, dilation: Any, transposed: bool,
    output_padding: Any, groups: Size, mask: Sequence[bool],
) -> list[Tensor | None]:  # fmt: skip
    """The gradients of input and weight that ``mask`` asks for, one convolution each."""
    geometry = _geometry(weight.rank - 2, stride, padding, dilation, groups, output_padding, transposed)
    outs = _gradients(g, x, weight, mask, geometry)
    macs = _macs((x if transposed else g).sizes, weight) * sum(mask[:2])
    written = [out for out in outs if out is not None]
    g.tape.kernel("convolution_backward", "conv", [g, x, weight, *written], macs=macs, variant=variant_of(g.sizes))
    return outs


# A convolution's patches as columns, and back.


@rule("torch.nn.functional.unfold")
def unfold(input: Tensor, kernel_size: Any, dilation: Any = 1, padding: Any = 0, stride: Any = 1) -> Tensor:
    """x (b, c, h, w): its patches, b × c·K × P; a copy."""
    if input.rank not in (3, 4):
        raise Mismatch(f"unfold takes images (b, c, h, w) or (c, h, w), got shape {input.sizes}")
    *lead, c, h, w = input.sizes
    kernel = _each(kernel_size, 2)
    patches = _positions((h, w), kernel, dilation, padding, stride)
    before = input.sizes
    out = _resized(input, (*lead, c * prod(kernel), patches))
    input.tape.kernel("im2col", "pointwise", [input, out], flops=0)
    attach([out], [input], [], lambda _, g: [_summed(g, before)])
    return out


@rule("torch.nn.functional.fold")
def fold(
    input: Tensor, output_size: Any, kernel_size: Any, dilation: Any = 1, padding: Any = 0, stride: Any = 1
) -> Tensor:
    """Patches b × c·K × P into images (b, c, h, w): where they overlap, they are summed."""
    if input.rank not in (2, 3):
        raise Mismatch(f"fold takes patches (b, c·K, P) or (c·K, P), got shape {input.sizes}")
    *lead, rows, columns = input.sizes
    kernel, sides = _each(kernel_size, 2), _each(output_size, 2)
    fit(columns, _positions(sides, kernel, dilation, padding, stride), "patches and what they are folded to")
    multiple(rows, prod(kernel), "rows of patches")
    out = _summed(input, (*lead, quotient(rows, prod(kernel)), *sides))
    before = input.sizes

    def backward(_: object, g: Tensor) -> list[Tensor]:
        gradient = _resized(g, before)
        g.tape.kernel("im2col", "pointwise", [g, gradient], flops=0)
        return [gradient]

    attach([out], [input], [], backward)
    return out


def _positions(sides: Sides, kernel: Sides, dilation: Any, padding: Any, stride: Any) -> Size:
    """How many patches an image has."""
    each = zip(sides, kernel, _each(dilation, 2), _each(padding, 2), _each(stride, 2), strict=True)
    counts = [(n + 2 * p - d * (k - 1) - 1) // s + 1 for n, k, d, p, s in each]
    if not all(active().holds(count >= 1) for count in counts):
        raise Mismatch(f"patches of {kernel} are larger than an image of {sides}")
    return prod(counts)


def _summed(columns: Tensor, sizes: Shape) -> Tensor:
    """Images out of columns."""
    out = _resized(columns, sizes)
    columns.tape.kernel("col2im", "pointwise", [columns, out], flops=columns.elements)
    return out


def _resized(x: Tensor, sizes: Shape) -> Tensor:
    """What torch writes into: a tensor like x, resized, whose memory never gets smaller."""
    larger = x.sizes if x.tape.holds(x.elements > prod(sizes)) else sizes
    return Tensor(x.tape, sizes, x.dtype, x.tape.allocate(x.tape.nbytes(larger, x.dtype.itemsize)))
