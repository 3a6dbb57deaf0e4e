"""Every rule beside torch itself: networks of one function, as recorded and as measured.

Of each: MACs, FLOPs, launches, traffic, saved bytes, both peaks and the strides of the output, in training and in
inference; of most also with inputs whose channels lie innermost.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lipcost.costmodel.tape import Tape
from lipcost.costmodel.tape.program import Program, record_call
from lipcost.validate import measure_flops, measure_memory

IMAGES = (3, 4, 6, 6)
ROWS = (3, 6)
STACK = (3, 4, 6)


class Of(nn.Module):
    """A network of one function, which may take parameters; how its output lies is kept."""

    def __init__(self, function: Callable[..., Tensor], *shapes: tuple[int, ...]) -> None:
        super().__init__()
        self.function = function
        generator = torch.Generator().manual_seed(1)
        self.weights = nn.ParameterList([nn.Parameter(torch.rand(shape, generator=generator)) for shape in shapes])
        self.strides: list[tuple[int, ...]] = []

    def forward(self, x: Tensor) -> Tensor:
        """The function of x and the parameters."""
        y = self.function(x, *self.weights)
        self.strides.append(tuple(y.stride()))
        return y


class Images(nn.Module):
    """A network behind a change of how its input lies."""

    def __init__(self, layer: nn.Module, change: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.layer, self.change = layer, change

    def forward(self, x: Tensor) -> Tensor:
        """The network of the changed x."""
        return self.layer(self.change(x))  # type: ignore[no-any-return]


class Case(NamedTuple):
    """A function, its input and its parameters; "cl" of images whose channels lie innermost, "t" of transposed ones."""

    function: Callable[..., Any]
    shape: tuple[int, ...] = IMAGES
    parameters: tuple[tuple[int, ...], ...] = ()
    layouts: str = "plain cl t"


POINTWISE: dict[str, Callable[..., Any]] = {
    "relu": F.relu, "sigmoid": torch.sigmoid, "tanh": torch.tanh, "gelu": F.gelu, "silu": F.silu, "elu": F.elu,
    "leaky_relu": F.leaky_relu, "hardtanh": F.hardtanh, "relu6": F.relu6, "selu": F.selu, "celu": F.celu,
    "mish": F.mish,
    "softplus": F.softplus, "hardswish": F.hardswish, "hardsigmoid": F.hardsigmoid, "softshrink": F.softshrink,
    "hardshrink": F.hardshrink, "threshold": lambda x: F.threshold(x, 0.1, 0.0), "logsigmoid": F.logsigmoid,
    "glu": lambda x: F.glu(x, 1), "softsign": F.softsign, "tanhshrink": F.tanhshrink, "neg": torch.neg,
    "exp": torch.exp, "sqrt": lambda x: x.sqrt(), "abs": torch.abs, "sin": torch.sin, "cos": torch.cos,
    "log": torch.log, "square": torch.square, "pow": lambda x: x**3, "reciprocal": torch.reciprocal,
    "rsqrt": torch.rsqrt, "clamp": lambda x: x.clamp(-1, 1), "clamp_min": lambda x: x.clamp_min(0.1),
    "numbers": lambda x: 1 - 2 * x / 3 + 4, "over": lambda x: 2 / x, "where": lambda x: torch.where(x > 0, x, 0.0),
    "masked_fill": lambda x: x.masked_fill(x < 0, 1.0), "softmax": lambda x: x.softmax(1),
    "log_softmax": lambda x: F.log_softmax(x, dim=-1), "maximum": lambda x: torch.maximum(x, 2 * x),
    "with itself": lambda x: x * x + x, "normalize": F.normalize, "of rows": lambda x: F.normalize(x, dim=-1),
}  # fmt: skip

IN_PLACE: dict[str, Callable[..., Any]] = {
    "relu_": lambda x: F.relu(2 * x, inplace=True), "relu_ of torch": lambda x: torch.relu_(2 * x),
    "method relu_": lambda x: (2 * x).relu_(), "leaky_relu_": lambda x: F.leaky_relu(2 * x, 0.2, inplace=True),
    "elu_": lambda x: F.elu(2 * x, inplace=True), "hardtanh_": lambda x: F.hardtanh(2 * x, inplace=True),
    "relu6_": lambda x: F.relu6(2 * x, inplace=True), "celu_": lambda x: F.celu(2 * x, inplace=True),
    "silu_": lambda x: F.silu(2 * x, inplace=True), "mish_": lambda x: F.mish(2 * x, inplace=True),
    "hardswish_": lambda x: F.hardswish(2 * x, inplace=True),
    "sigmoid_": lambda x: (2 * x).sigmoid_(), "tanh_": lambda x: (2 * x).tanh_(),
    "add_": lambda x: (2 * x).add_(x),
    "sub_": lambda x: (2 * x).sub_(x), "mul_": lambda x: (2 * x).mul_(3), "div_": lambda x: (2 * x).div_(3),
    "dropout_": lambda x: F.dropout(2 * x, 0.3, inplace=True),
}  # fmt: skip

IMAGE: dict[str, Callable[..., Any]] = {
    "max_pool2d": lambda x: F.max_pool2d(x, 2), "avg_pool2d": lambda x: F.avg_pool2d(x, 2),
    "max_pool2d 3/2/1": lambda x: F.max_pool2d(x, 3, stride=2, padding=1),
    "max_pool2d ceil": lambda x: F.max_pool2d(x, (4, 3), stride=(3, 2), ceil_mode=True),
    "max_pool2d dilated": lambda x: F.max_pool2d(x, 2, dilation=2),
    "max_pool2d with indices": lambda x: F.max_pool2d(x, 2, return_indices=True)[0],
    "avg_pool2d 3/2/1": lambda x: F.avg_pool2d(x, 3, stride=2, padding=1, count_include_pad=False),
    "avg_pool2d ceil": lambda x: F.avg_pool2d(x, 4, stride=3, ceil_mode=True),
    "adaptive_avg_pool2d": lambda x: F.adaptive_avg_pool2d(x, (3, 2)),
    "adaptive_avg_pool2d to 1": lambda x: F.adaptive_avg_pool2d(x, 1),
    "adaptive_avg_pool2d one side": lambda x: F.adaptive_avg_pool2d(x, (None, 2)),
    "adaptive_max_pool2d": lambda x: F.adaptive_max_pool2d(x, 2),
    "adaptive_max_pool2d to 1": lambda x: F.adaptive_max_pool2d(x, 1),
    "interpolate": lambda x: F.interpolate(x, scale_factor=2), "interpolate to": lambda x: F.interpolate(x, (7, 9)),
    "interpolate 1.5": lambda x: F.interpolate(x, scale_factor=(1.5, 0.5)),
    "pad": lambda x: F.pad(x, (1, 2, 3, 4)), "reflect": lambda x: F.pad(x, (1, 2, 3, 4), mode="reflect"),
    "replicate": lambda x: F.pad(x, (1, 2, 3, 4), mode="replicate"),
    "circular": lambda x: F.pad(x, (1, 2, 3, 4), mode="circular"),
    "batch_norm": lambda x: F.batch_norm(x, None, None, training=True),
    "instance_norm": F.instance_norm, "group_norm": lambda x: F.group_norm(x, 2),
    "layer_norm": lambda x: F.layer_norm(x, (6, 6)), "dropout2d": lambda x: F.dropout2d(x, 0.3),
    "dropout": lambda x: F.dropout(x, 0.3), "no dropout": lambda x: F.dropout(x, 0.3, training=False) * 2,
    "pixel_unshuffle": lambda x: F.pixel_unshuffle(x, 2), "pixel_shuffle": lambda x: F.pixel_shuffle(x, 2),
    "mean": lambda x: x.mean((2, 3)), "sum": lambda x: x.sum(1), "mean of all": lambda x: x.mean(),
    "amax": lambda x: x.amax((2, 3)), "max": lambda x: x.max(1)[0], "norm": lambda x: x / x.norm(),
    "flip": lambda x: x.flip(2), "cat": lambda x: torch.cat([x, 2 * x], 1), "stack": lambda x: torch.stack([x, x * 2]),
    "chunk": lambda x: torch.mul(*x.chunk(2, 1)), "slice": lambda x: x[:, 1:, ::2] * 2, "select": lambda x: x[1] * 2,
    "flatten": lambda x: x.flatten(1) * 2, "mT": lambda x: x.mT * x, "permute": lambda x: x.permute(0, 2, 3, 1) * 2,
    "expand": lambda x: x[:, :1].expand(-1, 3, -1, -1) + 1, "contiguous": lambda x: x.contiguous() * 2,
    "channels last": lambda x: x.contiguous(memory_format=torch.channels_last) * 2, "double": lambda x: x.double() * 2,
    "unbind": lambda x: x.unbind(1)[0] * 2, "split": lambda x: x.split(2, 1)[0] * 2,
    "stack behind": lambda x: torch.stack([x, x * 2], 1), "stack inside": lambda x: torch.stack([x, x * 2], -1),
    "a view of a sum": lambda x: x.flatten(1) * 3 + (x * 2).flatten(1),
    "a sum of views": lambda x: (x * 2).flatten(1) + x.flatten(1) * 3, "twice": lambda x: x + x.mT + x,
    "broadcast": lambda x: x * x.mean((2, 3), keepdim=True),
    "diagonal": lambda x: x.diagonal(dim1=2, dim2=3) * 2, "transform": lambda x: torch.fft.rfft2(x).real * 2,
}  # fmt: skip

CASES: dict[str, Case] = {
    **{name: Case(function) for name, function in (POINTWISE | IN_PLACE | IMAGE).items()},
    "prelu": Case(F.prelu, parameters=((4,),)),
    "prelu of one": Case(F.prelu, parameters=((1,),)),
    "prelu of rows": Case(F.prelu, ROWS, ((6,),)),
    "scaled": Case(lambda x, w: x * w, parameters=((4, 1, 1),)),
    "shifted": Case(lambda x, w: x + w, parameters=((4, 1, 1),)),
    "over a scale": Case(lambda x, w: x / w, parameters=((4, 1, 1),)),
    "layer_norm with weights": Case(lambda x, w, b: F.layer_norm(x, (6,), w, b), parameters=((6,), (6,))),
    "group_norm with weights": Case(lambda x, w, b: F.group_norm(x, 2, w, b), parameters=((4,), (4,))),
    "group_norm of rows": Case(lambda x, w, b: F.group_norm(x, 3, w, b), ROWS, ((6,), (6,))),
    "batch_norm of rows": Case(lambda x, w: F.batch_norm(x, None, None, w, training=True), ROWS, ((6,),)),
    "weight_norm": Case(lambda x, v, g: F.linear(x, torch._weight_norm(v, g, 0)), ROWS, ((5, 6), (5, 1))),
    "mm": Case(lambda x, w: x @ w, ROWS, ((6, 5),)),
    "linear": Case(F.linear, ROWS, ((5, 6), (5,))),
    "linear of a stack": Case(F.linear, STACK, ((5, 6), (5,))),
    "linear without bias": Case(F.linear, IMAGES, ((5, 6),)),
    "mv": Case(torch.mv, ROWS, ((6,),)),
    "vector": Case(lambda x, v: x @ v, IMAGES, ((6,),)),
    "vector first": Case(lambda x, v: v @ x, ROWS, ((3,),)),
    "vector before a stack": Case(lambda x, v: v @ x, STACK, ((4,),)),
    "a constant vector": Case(lambda x: x @ x[0, 0, 0].detach(), IMAGES),
    "a constant vector first": Case(lambda x: x[0, 0, 0].detach() @ x, IMAGES),
    "dot": Case(torch.dot, (6,), ((6,),)),
    "vdot": Case(torch.vdot, (6,), ((6,),)),
    "dot of itself": Case(lambda x: x @ x, (6,)),
    "matrix before a stack": Case(lambda x, w: w @ x, STACK, ((5, 4),)),
    "constant matrix before a stack": Case(lambda x: x[0].detach().mT @ x, STACK),
    "constant matrix behind a stack": Case(lambda x: x @ x[0].detach().mT, STACK),
    "bmm": Case(lambda x: torch.bmm(x, x.mT), STACK),
    "stacks": Case(lambda x: x @ x.mT, IMAGES),
    "a stack of one": Case(lambda x, w: x @ w, STACK, ((1, 6, 5),)),
    "a stack of one first": Case(lambda x, w: w @ x, STACK, ((1, 5, 4),)),
    "einsum": Case(lambda x, w: torch.einsum("oc,bchw->bohw", w, x), parameters=((5, 4),)),
    "einsum of channels": Case(lambda x: torch.einsum("bchw,bdhw->bcd", x, 2 * x)),
    "einsum without a sum": Case(lambda x, w: torch.einsum("bchw,c->bchw", x, w), parameters=((4,),)),
    "einsum of a lone axis": Case(lambda x, w: torch.einsum("bchw,co->bo", x, w), parameters=((4, 5),)),
    "einsum of rows": Case(lambda x, w: torch.einsum("bi,ij->bj", x, w), ROWS, ((6, 5),)),
    "einsum outer": Case(lambda x, w: torch.einsum("bi,j->bij", x, w), ROWS, ((5,),)),
    "einsum heads": Case(lambda x, w: torch.einsum("bchw,hcv->bchv", x, w), parameters=((6, 4, 5),)),
    "conv2d": Case(F.conv2d, parameters=((5, 4, 3, 3), (5,))),
    "conv2d with groups": Case(lambda x, w: F.conv2d(x, w, groups=2, padding=1), parameters=((6, 2, 3, 3),)),
    "conv_transpose2d": Case(F.conv_transpose2d, parameters=((4, 5, 3, 3), (5,))),
}

MODULES: dict[str, Callable[[], nn.Module]] = {
    "BatchNorm2d": lambda: nn.BatchNorm2d(4), "BatchNorm2d frozen": lambda: nn.BatchNorm2d(4).requires_grad_(False),
    "BatchNorm2d without statistics": lambda: nn.BatchNorm2d(4, track_running_stats=False),
    "BatchNorm2d without weights": lambda: nn.BatchNorm2d(4, affine=False), "GroupNorm": lambda: nn.GroupNorm(2, 4),
    "LayerNorm": lambda: nn.LayerNorm((6, 6)), "LayerNorm without bias": lambda: nn.LayerNorm(6, bias=False),
    "InstanceNorm2d": lambda: nn.InstanceNorm2d(4), "Dropout": nn.Dropout, "Dropout2d": nn.Dropout2d,
    "Conv2d reflect": lambda: nn.Conv2d(4, 5, 3, padding=1, padding_mode="reflect"),
    "Conv2d replicate": lambda: nn.Conv2d(4, 5, 3, padding=1, padding_mode="replicate"),
    "weight_norm": lambda: nn.utils.parametrizations.weight_norm(nn.Conv2d(4, 5, 3)),
    "spectral_norm": lambda: nn.utils.parametrizations.spectral_norm(nn.Conv2d(4, 5, 3)),
    "Upsample": lambda: nn.Upsample(scale_factor=3), "MaxPool2d": lambda: nn.MaxPool2d(3, 2, 1),
    "ReLU behind a convolution": lambda: nn.Sequential(nn.Conv2d(4, 5, 3), nn.ReLU(inplace=True)),
}  # fmt: skip

CHANGES: dict[str, Callable[[Tensor], Tensor]] = {
    "cl": lambda x: x.to(memory_format=torch.channels_last),
    "t": lambda x: x.mT,
}


def cases() -> Iterator[Any]:
    """Each with its layouts, and its square images transposed."""
    for name, (function, shape, parameters, layouts) in CASES.items():
        for each in layouts.split():
            if each == "plain" or len(shape) == len(IMAGES):
                yield pytest.param(lambda f=function, p=parameters: Of(f, *p), shape, each, id=f"{name}-{each}")
    for name, make in MODULES.items():
        for each in ("plain", "cl"):
            yield pytest.param(make, IMAGES, each, id=f"{name}-{each}")


def predicted(net: nn.Module, shape: tuple[int, ...], train: bool) -> dict[str, Any]:
    """As recorded."""
    figures: dict[str, Any] = {}
    for peak, in_place in (("tracker_peak", False), ("profiler_peak", True)):
        recording, _ = record_call(Program(net, shape, torch.float32, train, train), Tape(in_place=in_place))
        figures[peak] = recording.peak()
    figures["saved"] = recording.saved_bytes
    for phase in ("forward", "backward"):
        for name in ("macs", "flops", "launches", "traffic"):
            figures[f"{name}_{phase}"] = round(recording.count(name, phase))
    return figures


def measured(net: nn.Module, x: Tensor, mode: Any) -> dict[str, Any]:
    """As measured."""
    memory, flops = measure_memory(net, x, mode), measure_flops(net, x, mode)
    figures: dict[str, Any] = {
        "tracker_peak": memory.tracker_peak_bytes,
        "profiler_peak": memory.profiler_peak_bytes,
        "saved": memory.saved_bytes,
    }
    for phase in ("forward", "backward"):
        figures[f"macs_{phase}"] = getattr(flops, f"macs_{phase}")
        figures[f"flops_{phase}"] = round(sum(getattr(flops, f"flops_{phase}").values()))
        figures[f"launches_{phase}"] = getattr(flops, f"launches_{phase}")
        figures[f"traffic_{phase}"] = getattr(flops, f"bytes_moved_{phase}")
    return figures


@pytest.mark.parametrize(("make", "shape", "layout"), list(cases()))
def test_a_rule_is_what_torch_does(make: Callable[[], nn.Module], shape: tuple[int, ...], layout: str) -> None:
    layer = make()
    net = Images(layer, CHANGES[layout]) if layout in CHANGES else layer
    for mode in ("train", "inference"):
        with torch.random.fork_rng(devices=[]):
            x = torch.rand(shape) + 0.1
            expected = measured(net, x, mode)
            if isinstance(layer, Of):
                layer.strides.clear()
                net(x)
        found = predicted(net, shape, mode == "train")
        assert {"mode": mode, **found} == {"mode": mode, **expected}
        if isinstance(layer, Of):
            of_torch, *recorded = layer.strides
            assert set(recorded) == {of_torch}
