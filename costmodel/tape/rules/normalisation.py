"""Rules of normalisations: one pointwise kernel each, which keeps the statistics for its gradient.

With letters: b batch, c channels, g groups. Statistics that are not kept have no elements.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..errors import Mismatch, refused
from ..graph import attach
from ..sizes import fit, multiple
from ..table import rule
from ..tape import Shape, Size
from ..tensor import Tensor
from .copies import contiguous
from .kernels import image_strides, in_place, reduced
from .norms import norm
from .pointwise import clamp_min, div
from .views import expand_as, view

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
    needs = [each.requires_grad for each in inputs]
    shapes = [each.sizes for each in inputs]
    dtypes = [each.dtype for each in inputs]

    def backward(saved: Sequence[Parameter], g: Tensor) -> list[Parameter]:
        own = saved[0]
        assert own is not None
        like_x = image_strides(own, own.sizes) if channels_last else None
        if name == "native_group_norm":
            g = contiguous(g, memory_format="contiguous" if like_x is None else "channels_last")
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


def _several(x: Tensor, channels: Size) -> None:
    """Raise Mismatch where each channel has one value, of which there is no variance."""
    if x.elements == channels:
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
    statistics = [x.new(sizes) for _ in range(2)]
    if training:
        _several(x, x.sizes[1])
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
    x: Tensor, running_mean: Parameter = None, running_var: Parameter = None, weight: Parameter = None,
    bias: Parameter = None, use_input_stats: bool = True, momentum: float = 0.1, eps: float = 1e-5,
) -> Tensor:  # fmt: skip
    """x (b, c, …) as one sample of b·c channels."""
    if any(each is not None for each in (running_mean, running_var, weight, bias)):
        raise refused("instance_norm with parameters or running statistics")
    b, c, *sides = x.sizes
    return view(batch_norm(view(contiguous(x), (1, b * c, *sides)), None, None, training=use_input_stats), x.sizes)


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


@rule("torch.nn.functional.group_norm")
def group_norm(
    x: Tensor, num_groups: int, weight: Parameter = None, bias: Parameter = None, eps: float = 1e-5
) -> Tensor:
    """x (b, c, …) over groups of channels: means and scales (b, g)."""
    multiple(x.sizes[1], num_groups, "channels of group_norm")
    _several(x, num_groups)
    _check((x.sizes[1],), weight, bias)
    if image_strides(x, x.sizes) is None:
        x = contiguous(x)
    sizes = (x.sizes[0], num_groups)
    statistics = [x.new(sizes, None if weight is None else weight.dtype) for _ in range(2)]
    return _normalised("native_group_norm", x, [weight, bias], [], statistics, [weight])


@rule("torch.nn.functional.normalize")
def normalize(x: Tensor, p: float = 2.0, dim: Any = 1, eps: float = 1e-12, out: Parameter = None) -> Tensor:
    """x over its norm along an axis."""
    if out is None:
        length = expand_as(clamp_min(norm(x, p, dim, keepdim=True), eps), x)
        return div(x, length)
    length = expand_as(in_place("clamp_min_", norm(x, p, dim, keepdim=True)), x)
    x.tape.kernel("div", "pointwise", [x, length, out], flops=out.elements)
    out.memory.version += 1
    return out


@rule("torch._weight_norm")
def weight_norm(v: Tensor, g: Tensor, dim: int = 0) -> Tensor:
    """v times g over its norm along all axes but one."""
    v, g = contiguous(v), contiguous(g)
    if dim not in (0, v.rank - 1):
        raise refused("_weight_norm but along the first or the last axis")
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
    return out
