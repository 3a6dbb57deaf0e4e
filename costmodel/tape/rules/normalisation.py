"""Rules of normalisations: one pointwise kernel each, which keeps the statistics for its gradient.

With letters: b batch, c channels, g groups. Statistics that are not kept have no elements.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import torch

from .. import layout
from ..errors import Mismatch
from ..graph import attach
from ..sizes import fit, multiple, quotient
from ..table import rule
from ..tape import Shape, Size
from ..tensor import Tensor
from ..versions import since
from .copies import contiguous, to
from .indexing import written
from .kernels import image_strides, in_place, moved, reduced
from .padding import constant_pad
from .pooling import avg_pool2d, avg_pool3d
from .reductions import mean
from .views import expand_as, transpose, view

Parameter = Tensor | None


def _normalised(
    name: str, x: Tensor, parameters: Sequence[Parameter], read: Sequence[Tensor], statistics: Sequence[Tensor],
    kept: Sequence[Parameter], channels_last: bool = True,
) -> Tensor:  # fmt: skip
    """The kernel and its gradient.

    Args:
        name: of the kernel.
        x: its input.
        parameters: weight and bias.
        read: what else it reads.
        statistics: what it writes beside the output, for the backward.
        kept: what else the backward reads, beside x.
        channels_last: whether the output has its channels innermost where x has.
    """
    tape = x.tape
    present = [each for each in parameters if each is not None]
    out = x.new(x.sizes, strides=image_strides(x, x.sizes) if channels_last else None)
    tape.kernel(name, "pointwise", [x, *present, *read, out, *statistics], flops=out.elements)
    inputs = [x, *present]
    needs = [each.is_followed for each in inputs]
    shapes = [each.sizes for each in inputs]
    dtypes = [each.dtype for each in inputs]

    def backward(saved: Sequence[Parameter], g: Tensor) -> list[Parameter]:
        own = saved[0]
        assert own is not None
        like_x = image_strides(own, own.sizes) if channels_last else None
        if name == "native_group_norm" and not since(2, 14):
            g = contiguous(g, memory_format=layout.format_of(own.hints, own.strides))
        gradients = [
            g.new(shape, dtype) if need else None for shape, dtype, need in zip(shapes, dtypes, needs, strict=True)
        ]
        if gradients[0] is not None:
            gradients[0]._strides = like_x
        there = [each for each in saved if each is not None]
        written = [each for each in gradients if each is not None]
        tape.kernel(f"{name}_backward", "pointwise", [g, *there, *written], flops=written[0].elements)
        return gradients

    attach([out], inputs, [x, *kept, *statistics], backward)
    return out


def _check(sizes: Shape, *parameters: Parameter) -> None:
    for parameter in parameters:
        for have, want in zip(parameter.sizes if parameter is not None else sizes, sizes, strict=True):
            fit(have, want, "parameters of a normalisation")


def _several(x: Tensor, values: Size) -> None:
    """Raise Mismatch where each channel has one value, of which there is no variance."""
    if values != 0 and not x.tape.holds(values > 1):
        raise Mismatch(f"a normalisation takes more than one value per channel, got shape {x.sizes}")


@rule("torch.nn.functional.batch_norm")
def batch_norm(
    x: Tensor, running_mean: Parameter, running_var: Parameter, weight: Parameter = None, bias: Parameter = None,
    training: bool = False, momentum: float = 0.1, eps: float = 1e-5,
) -> Tensor:  # fmt: skip
    """x (b, c, …); in training its kernel writes mean and scale (c) for the backward, and moves the running ones."""
    running = [each for each in (running_mean, running_var) if each is not None]
    _check((x.sizes[1],), weight, bias, *running)
    sizes: Shape = (x.sizes[1],) if training else (0,)
    dtype = next((each.dtype for each in (weight, bias, *running) if each is not None), x.dtype)
    statistics = [x.new(sizes, dtype) for _ in range(2)]
    if training:
        _several(x, x.sizes[0] * prod(x.sizes[2:]))
        for each in running:
            each.memory.version += 1
    return _normalised("native_batch_norm", x, [weight, bias], running, statistics, [weight, *running])


@rule("torch.batch_norm")
def torch_batch_norm(
    x: Tensor, weight: Parameter, bias: Parameter, running_mean: Parameter, running_var: Parameter, training: bool,
    momentum: float, eps: float, cudnn_enabled: bool,
) -> Tensor:  # fmt: skip
    return batch_norm(x, running_mean, running_var, weight, bias, training, momentum, eps)


@rule("torch.nn.functional.instance_norm")
def instance_norm(
    input: Tensor, running_mean: Parameter = None, running_var: Parameter = None, weight: Parameter = None,
    bias: Parameter = None, use_input_stats: bool = True, momentum: float = 0.1, eps: float = 1e-5,
) -> Tensor:  # fmt: skip
    """x (b, c, …) as one sample of b·c channels; the running statistics move to the means over the batch."""
    b, c, *sides = input.sizes
    running = (running_mean, running_var)
    _check((c,), weight, bias, *running)
    weight, bias, of_mean, of_var = (None if each is None else _repeated(each, b) for each in (weight, bias, *running))
    channels = view(contiguous(input), (1, b * c, *sides))
    out = batch_norm(channels, of_mean, of_var, weight, bias, use_input_stats, momentum, eps)
    for own, repeated in zip(running, (of_mean, of_var), strict=True):
        if use_input_stats and own is not None and repeated is not None:
            written(own, mean(view(repeated, (b, c)), 0))
    return view(out, input.sizes)


def _repeated(x: Tensor, times: Size) -> Tensor:
    """x (c) for each of a batch."""
    (channels,) = x.sizes
    out = moved("repeat", [x], (times * channels,))
    attach([out], [x], [], lambda _, g: [view(g, (times, channels)).sum(0)])
    return out


@rule("torch.instance_norm")
def torch_instance_norm(
    input: Tensor, weight: Parameter, bias: Parameter, running_mean: Parameter, running_var: Parameter,
    use_input_stats: bool, momentum: float, eps: float, cudnn_enabled: bool,
) -> Tensor:  # fmt: skip
    return instance_norm(input, running_mean, running_var, weight, bias, use_input_stats, momentum, eps)


@rule("torch.nn.functional.layer_norm", "torch.layer_norm")
def layer_norm(
    x: Tensor, normalized_shape: Any, weight: Parameter = None, bias: Parameter = None, eps: float = 1e-5,
    cudnn_enable: bool = True,
) -> Tensor:  # fmt: skip
    """x over its last axes; one mean and one scale per sample."""
    lead = x.rank - len(normalized_shape)
    _check(x.sizes[lead:], weight, bias)
    for have, want in zip(x.sizes[lead:], normalized_shape, strict=True):
        fit(have, want, "the normalised axes of an input")
    kept, _ = reduced(x.sizes, range(lead, x.rank), True)
    statistics = [x.new(kept, None if weight is None else weight.dtype) for _ in range(2)]
    return _normalised("native_layer_norm", x, [weight, bias], [], statistics, [weight, bias], channels_last=False)


@rule("torch.nn.functional.group_norm", "torch.group_norm")
def group_norm(
    x: Tensor, num_groups: int, weight: Parameter = None, bias: Parameter = None, eps: float = 1e-5,
    cudnn_enabled: bool = True,
) -> Tensor:  # fmt: skip
    """x (b, c, …) over groups of channels: means and scales (b, g)."""
    multiple(x.sizes[1], num_groups, "channels of group_norm")
    _several(x, quotient(x.elements, num_groups))
    _check((x.sizes[1],), weight, bias)
    if image_strides(x, x.sizes) is None and not since(2, 14):
        x = contiguous(x)
    sizes = (x.sizes[0], num_groups)
    statistics = [x.new(sizes, None if weight is None else weight.dtype) for _ in range(2)]
    return _normalised("native_group_norm", x, [weight, bias], [], statistics, [weight])


@rule("torch.nn.functional.rms_norm", "torch.rms_norm")
def rms_norm(input: Tensor, normalized_shape: Any, weight: Parameter = None, eps: float | None = None) -> Tensor:
    """x over the root of its mean square over its last axes; of halves in float32. A composition."""
    lead = input.rank - len(normalized_shape)
    _check(input.sizes[lead:], weight)
    for have, want in zip(input.sizes[lead:], normalized_shape, strict=True):
        fit(have, want, "the normalised axes of an input")
    out, root = _by_root(input, tuple(range(lead, input.rank)), weight)
    out = to(out, input.dtype)
    del root
    return out


def _by_root(input: Tensor, axes: tuple[int, ...], weight: Parameter) -> tuple[Tensor, Tensor]:
    """x over the root of its mean square, times a weight; and the root's inverse."""
    x: Any = to(input, torch.float32) if input.dtype in (torch.bfloat16, torch.float16) else input
    root = _inverse_root(x, axes)
    out = x * root
    if weight is not None:
        out = out * weight
    channels_last = layout.is_channels_last(input.hints, input.strides)
    return (out if channels_last else contiguous(out)), root


def _inverse_root(x: Any, axes: tuple[int, ...]) -> Tensor:
    square = x.pow(2)
    average = square.mean(axes, keepdim=True).add_(1)
    return average.rsqrt()  # type: ignore[no-any-return]


@rule("torch.nn.functional.local_response_norm")
def local_response_norm(input: Any, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0) -> Tensor:
    """x over a power of the mean square of its neighbours in the axis of channels. A composition."""
    if input.rank < 3:
        raise Mismatch(f"local_response_norm takes inputs (b, c, …), got shape {input.sizes}")
    square = input.mul(input)
    before, after = size // 2, (size - 1) // 2
    if input.rank == 3:
        square = square.unsqueeze(1)
        square = constant_pad(square, (0, 0, before, after))
        square = avg_pool2d(square, (size, 1), stride=1).squeeze(1)
    else:
        b, c, h, *rest = input.sizes
        square = view(square, (b, 1, c, h, prod(rest)))
        square = constant_pad(square, (0, 0, 0, 0, before, after))
        square = avg_pool3d(square, (size, 1, 1), stride=1).squeeze(1)
        square = view(square, input.sizes)
    square = square.mul(alpha).add(k).pow(beta)
    return input / square  # type: ignore[no-any-return]


@rule("torch.nn.functional.normalize")
def normalize(x: Any, p: float = 2.0, dim: Any = 1, eps: float = 1e-12, out: Parameter = None) -> Tensor:
    """x over its norm along an axis."""
    if out is None:
        length = x.norm(p, dim, keepdim=True).clamp_min(eps).expand_as(x)
        return x / length  # type: ignore[no-any-return]
    length = expand_as(in_place("clamp_min_", x.norm(p, dim, keepdim=True)), x)
    x.tape.kernel("div", "pointwise", [x, length, out], flops=out.elements)
    out.memory.version += 1
    return out


@rule("torch._weight_norm")
def weight_norm(v: Any, g: Any, dim: int = 0) -> Tensor:
    """v times g over its norm along all axes but one; one kernel where that is the first or the last."""
    v, g = contiguous(v), contiguous(g)
    if dim not in (0, v.rank - 1):
        length = norm_except_dim(v, 2, dim)
        factor = g / length
        return v * factor  # type: ignore[no-any-return]
    tape = v.tape
    out, norms = v.new(v.sizes), v.new(g.sizes)
    tape.kernel("_weight_norm_interface", "pointwise", [v, g, out, norms], flops=out.elements)

    def backward(saved: Sequence[Tensor], gradient: Tensor) -> list[Tensor]:
        gradient = contiguous(gradient)
        of_v, of_g = gradient.new(saved[0].sizes), gradient.new(saved[1].sizes)
        tensors = [gradient, *saved, of_v, of_g]
        tape.kernel("_weight_norm_interface_backward", "pointwise", tensors, flops=of_v.elements)
        return [of_v, of_g]

    attach([out], [v, g], [v, g, norms], backward)
    return out  # type: ignore[no-any-return]


@rule("torch.norm_except_dim")
def norm_except_dim(v: Any, pow: int = 2, dim: int = 0) -> Tensor:
    """The norm along all axes but one, which is kept as it is; -1 for all."""
    if dim == -1:
        return v.norm(pow)  # type: ignore[no-any-return]
    if dim not in (0, v.rank - 1):
        return transpose(norm_except_dim(transpose(v, 0, dim), pow, 0), 0, dim)
    kept = tuple(size if axis == dim else 1 for axis, size in enumerate(v.sizes))
    rows = (v.sizes[0], -1) if dim == 0 else (-1, v.sizes[dim])
    matrix: Any = view(contiguous(v), rows)
    return view(matrix.norm(pow, 1 if dim == 0 else 0), kept)
