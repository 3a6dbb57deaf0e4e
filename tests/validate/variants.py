"""Networks as users write them, for every method: what is shared, frozen, hooked, wrapped, of other modules.

Each is predicted and measured; the two agree to the integer, or the prediction is refused by a ValueError that names a
function or a module. ``python tests/validate/variants.py [method …]`` prints the table of outcomes as Markdown.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import parametrizations, parametrize, prune
from torch.utils.checkpoint import checkpoint

from lipcost.costmodel import predict_network
from lipcost.layers import LAYERS, LINEARS, FirstChannels, ZeroChannelPad
from lipcost.layers import MaxMin as OwnMaxMin
from lipcost.layers.networks.activations import PublishedMaxMin
from lipcost.layers.networks.conv_nets import HEADS
from lipcost.validate import measure_flops, measure_memory, measure_step
from lipcost.validate.flops import CLASSES

MODES = ("train", "inference")
BATCH = 3
CHANNELS = 8  # of the layers; images have three
SIZE = (8, 8)
COUNTS = {"macs": "macs", "flops": "flops", "traffic": "bytes_moved", "launches": "launches"}  # predicted, measured
PHASES = ("forward", "backward", "optimizer")
BYTES = {
    "train": ("parameter", "buffer", "gradient", "optimizer", "cache", "saved"),
    "inference": ("parameter", "buffer", "cache"),
}
FEW = {  # iterations: the same programs in less time
    "bcop": {"iterations": 2},
    "bcop/published": {"iterations": 2, "power_iterations": 1},
    "cpl": {"iterations": 1, "eval_iterations": 2},
    "cpl/published": {"iterations": 1, "eval_iterations": 2},
    "lot": {"iterations": 2},
    "lot/published": {"iterations": 2},
    "soc": {"terms": 2, "eval_terms": 2},
    "soc/published": {"terms": 2, "eval_terms": 3},
}


class Maker:
    """Makes a method's layers and its activation."""

    def __init__(self, method: str) -> None:
        self.method, self.published = method, method.endswith("/published")

    def __call__(self, c_in: int = CHANNELS, c_out: int | None = None, k: int = 3, **arguments: Any) -> nn.Module:
        """A layer."""
        arguments = FEW.get(self.method, {}) | arguments
        return LAYERS[self.method](c_in, c_in if c_out is None else c_out, k, **arguments)

    def activation(self) -> nn.Module:
        """MaxMin as the method's networks have it."""
        return PublishedMaxMin() if self.published else OwnMaxMin()


Build = Callable[[Maker], nn.Module]


@dataclass(frozen=True)
class Kind:
    """A kind of network.

    Attributes:
        build: makes one of a method's layers.
        shape: of one input.
        optimizer: of the training step.
        called: whether it is called once before, as lazy buffers want.
        input_gradient: whether the input requires grad.
        methods: those it exists for.
    """

    build: Build
    shape: tuple[int, ...] = (3, *SIZE)
    optimizer: str = "sgd-momentum"
    called: bool = True
    input_gradient: bool = False
    methods: tuple[str, ...] = tuple(LAYERS)

    @property
    def name(self) -> str:
        """The builder's."""
        return self.build.__name__


# A second forward of the published SOC overwrites a vector that the first one's backward reads; torch refuses that.
REPEATABLE = tuple(name for name in LAYERS if name != "soc/published")
KINDS: dict[str, Kind] = {}


def kind(**settings: Any) -> Callable[[Build], Build]:
    """Register a builder under its name."""

    def register(build: Build) -> Build:
        KINDS[build.__name__] = Kind(build, **settings)
        return build

    return register


def trunk(*modules: nn.Module) -> nn.Sequential:
    """These modules on eight channels, between the first and the last of a ConvNet."""
    return nn.Sequential(ZeroChannelPad(CHANNELS), *modules, nn.AdaptiveMaxPool2d(1), nn.Flatten())


class Call(nn.Module):
    """A user's class: what ``function`` does with the input and the parts."""

    def __init__(self, function: Callable[..., Tensor], *parts: nn.Module) -> None:
        super().__init__()
        self.function, self.parts = function, nn.ModuleList(parts)

    def forward(self, x: Tensor) -> Tensor:
        """Apply it."""
        return self.function(x, *self.parts)


# Sharing


@kind()
def plain(make: Maker) -> nn.Module:
    return trunk(make(), make.activation(), make(k=1))


@kind(methods=REPEATABLE)
def a_layer_used_twice(make: Maker) -> nn.Module:
    layer = make()
    return trunk(layer, make.activation(), layer)


@kind(methods=REPEATABLE)
def a_block_five_times(make: Maker) -> nn.Module:
    return trunk(*[nn.Sequential(make(), make.activation())] * 5)


@kind(optimizer="adam")
def tied_weights(make: Maker) -> nn.Module:
    first, second = make(), make()
    second.weight = first.weight
    return trunk(first, make.activation(), second)


@kind()
def tied_weights_and_bias(make: Maker) -> nn.Module:
    first, second = make(), make()
    second.weight, second.bias = first.weight, first.bias
    return trunk(first, second)


@kind(methods=REPEATABLE)
def a_layer_at_two_image_sizes(make: Maker) -> nn.Module:
    layer = make()
    return trunk(layer, nn.MaxPool2d(2), layer)


@kind()
def a_layer_at_two_image_sizes_in_eval(make: Maker) -> nn.Module:
    layer = make().eval()
    return trunk(layer, nn.MaxPool2d(2), layer)


@kind()
def a_weight_used_elsewhere(make: Maker) -> nn.Module:
    layer = make()
    return trunk(layer, Call(lambda x, part: x * part.weight.square().sum(), layer))


@kind()
def parameters_in_one_storage(make: Maker) -> nn.Module:
    net = trunk(make(), make())
    flat = torch.cat([p.detach().flatten() for p in net.parameters()])
    for p in net.parameters():
        p.data, flat = flat[: p.numel()].view(p.shape), flat[p.numel() :]
    return net


@kind()
def parameters_in_channels_last(make: Maker) -> nn.Module:
    return trunk(make(), make.activation(), make()).to(memory_format=torch.channels_last)


# Frozen, extra


def freeze(*modules: nn.Module) -> None:
    for module in modules:
        module.requires_grad_(False)


@kind()
def frozen_first(make: Maker) -> nn.Module:
    first, last = make(), make()
    freeze(first)
    return trunk(first, make.activation(), last)


@kind(optimizer="adamw")
def frozen_last(make: Maker) -> nn.Module:
    first, last = make(), make()
    freeze(last)
    return trunk(first, make.activation(), last)


@kind()
def frozen_but_one(make: Maker) -> nn.Module:
    layers = [make() for _ in range(4)]
    freeze(layers[0], layers[2], layers[3])
    return trunk(*layers)


@kind()
def frozen_bias(make: Maker) -> nn.Module:
    first, last = make(), make()
    first.bias.requires_grad_(False)
    return trunk(first, make.activation(), last)


@kind()
def frozen_weight(make: Maker) -> nn.Module:
    first, last = make(), make()
    last.weight.requires_grad_(False)
    return trunk(first, make.activation(), last)


@kind()
def frozen_and_in_eval(make: Maker) -> nn.Module:
    first, last = make().eval(), make()
    freeze(first)
    return trunk(first, make.activation(), last)


@kind()
def frozen_and_in_eval_at_the_end(make: Maker) -> nn.Module:
    first, last = make(), make().eval()
    freeze(last)
    return trunk(first, make.activation(), last)


@kind(optimizer="adam")
def an_unused_parameter(make: Maker) -> nn.Module:
    net = trunk(make(), make())
    net.register_parameter("unused", nn.Parameter(torch.ones(5, 7)))
    return net


@kind()
def an_unused_layer(make: Maker) -> nn.Module:
    return trunk(make(), Call(lambda x, used, unused: used(x), make(), make()))


@kind()
def a_parameter_used(make: Maker) -> nn.Module:
    scaled = Call(lambda x, layer: layer(x) * layer.scale[:, None, None], make())
    scaled.parts[0].register_parameter("scale", nn.Parameter(torch.ones(CHANNELS)))
    return trunk(make(), scaled)


@kind()
def a_parameter_list(make: Maker) -> nn.Module:
    scales = nn.ParameterList([nn.Parameter(torch.ones(())) for _ in range(2)])
    return trunk(Call(lambda x, layer, scales: layer(x * scales[0]) + scales[1], make(), scales))


@kind()
def an_unused_buffer(make: Maker) -> nn.Module:
    net = trunk(make(), make())
    net.register_buffer("table", torch.zeros(3072))
    return net


@kind()
def a_buffer_used(make: Maker) -> nn.Module:
    mean = Call(lambda x, layer: layer(x - layer.mean), make())
    mean.parts[0].register_buffer("mean", torch.ones(CHANNELS, 1, 1))
    return trunk(mean)


@kind()
def a_buffer_not_persistent(make: Maker) -> nn.Module:
    net = trunk(make())
    net.register_buffer("table", torch.zeros(40, dtype=torch.int64), persistent=False)
    return net


@kind()
def a_buffer_in_two_modules(make: Maker) -> nn.Module:
    first, last = make(), make()
    first.register_buffer("table", torch.zeros(40))
    last.register_buffer("table", first.table)
    return trunk(first, last)


@kind()
def a_running_mean(make: Maker) -> nn.Module:
    def centred(x: Tensor, part: nn.Module) -> Tensor:
        with torch.no_grad():
            part.mean.mul_(0.9).add_(x.mean((0, 2, 3)), alpha=0.1)
        return x - part.mean[:, None, None]

    layer = make()
    layer.register_buffer("mean", torch.zeros(CHANNELS))
    return trunk(layer, Call(centred, layer))


@kind()
def a_constant_that_is_no_buffer(make: Maker) -> nn.Module:
    table = torch.ones(CHANNELS, 1, 1)
    return trunk(Call(lambda x, layer: layer(x * table), make()))


# Modes


@kind()
def one_layer_in_eval(make: Maker) -> nn.Module:
    return trunk(make().eval(), make.activation(), make())


@kind()
def every_layer_in_eval(make: Maker) -> nn.Module:
    return trunk(make().eval(), make.activation(), make().eval())


@kind()
def the_network_in_eval(make: Maker) -> nn.Module:
    return trunk(make(), make.activation(), make()).eval()


@kind()
def a_branch_on_the_mode(make: Maker) -> nn.Module:
    class Branch(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = make(), make(k=1)

        def forward(self, x: Tensor) -> Tensor:
            return self.b(self.a(x)) if self.training else self.a(x)

    return trunk(Branch())


@kind(called=False)
def a_first_step_that_differs(make: Maker) -> nn.Module:
    return trunk(make(), make.activation(), make())


@kind()
def a_part_without_gradients(make: Maker) -> nn.Module:
    return trunk(Call(torch.no_grad()(lambda x, layer: layer(x)), make()), make())


@kind()
def a_detached_input(make: Maker) -> nn.Module:
    return trunk(make(), Call(lambda x, layer: layer(x.detach()), make()))


@kind(input_gradient=True)
def an_input_with_a_gradient(make: Maker) -> nn.Module:
    return trunk(make(), make())


@kind()
def an_input_that_requires_grad(make: Maker) -> nn.Module:
    return nn.Sequential(Call(lambda x: x.requires_grad_(torch.is_grad_enabled())), trunk(make(), make()))


# A user's classes


@kind()
def a_skip_connection(make: Maker) -> nn.Module:
    return trunk(Call(lambda x, f: x + f(x), nn.Sequential(make(), make.activation(), make())))


@kind()
def two_skip_connections(make: Maker) -> nn.Module:
    skips = [Call(lambda x, f: 0.5 * x + 0.5 * f(x), make()) for _ in range(2)]
    return trunk(*skips)


@kind()
def a_skip_in_place(make: Maker) -> nn.Module:
    def add(x: Tensor, f: nn.Module) -> Tensor:
        y = 2 * f(x)  # what an autograd function returns may be a view, and torch refuses to change that in place
        y += x
        return y

    return trunk(make(), Call(add, make()))


@kind()
def a_concatenation(make: Maker) -> nn.Module:
    return trunk(Call(lambda x, f, g: torch.cat([f(x), g(x)], 1), make(), make()), FirstChannels(10))


@kind()
def two_branches_of_half_the_channels(make: Maker) -> nn.Module:
    def split(x: Tensor, f: nn.Module, g: nn.Module) -> Tensor:
        a, b = x.chunk(2, 1)
        return torch.cat([f(a), g(b)], 1)

    return trunk(Call(split, make(CHANNELS // 2), make(CHANNELS // 2)))


@kind()
def a_learned_mixture(make: Maker) -> nn.Module:
    class Mixture(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.f, self.g, self.weight = make(), make(k=1), nn.Parameter(torch.zeros(()))

        def forward(self, x: Tensor) -> Tensor:
            a = torch.sigmoid(self.weight)
            return a * self.f(x) + (1 - a) * self.g(x)

    return trunk(Mixture())


class MaxMin(nn.Module):
    """A user's own, which pairs the halves of the channels."""

    def forward(self, x: Tensor) -> Tensor:
        """Apply it."""
        a, b = x.chunk(2, 1)
        return torch.cat([torch.maximum(a, b), torch.minimum(a, b)], 1)


@kind()
def a_class_named_max_min(make: Maker) -> nn.Module:
    return trunk(make(), MaxMin(), make())


@kind()
def a_subclass_with_another_forward(make: Maker) -> nn.Module:
    base = type(make())

    class Halved(base):  # type: ignore[misc, valid-type]
        def forward(self, x: Tensor) -> Tensor:
            return 0.5 * super().forward(x) + 0.5 * x

    layer = make()
    layer.__class__ = Halved
    return trunk(layer, make.activation(), make())


@kind()
def a_function_of_the_users(make: Maker) -> nn.Module:
    class Square(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Tensor) -> Tensor:
            ctx.save_for_backward(x)
            return x * x

        @staticmethod
        def backward(ctx: Any, g: Tensor) -> Tensor:
            (x,) = ctx.saved_tensors
            return 2 * g * x

    def square(x: Tensor) -> Any:
        return Square.apply(x)

    return trunk(make(), Call(square), make())


def again(x: Tensor, f: nn.Module, **how: Any) -> Any:
    return checkpoint(f, x, **how)


@kind()
def a_checkpoint(make: Maker) -> nn.Module:
    block = nn.Sequential(make(), make.activation(), make())
    # Without the random state, 5,056 bytes that a dispatch mode does not see.
    return trunk(Call(partial(again, use_reentrant=False, preserve_rng_state=False), block))


@kind()
def a_module_list(make: Maker) -> nn.Module:
    def forward(x: Tensor, *layers: nn.Module) -> Tensor:
        for layer in layers:
            x = layer(x).abs()
        return x

    return trunk(Call(forward, make(), make(), make(k=1)))


@kind()
def a_module_dict(make: Maker) -> nn.Module:
    table = nn.ModuleDict({"a": make(), "b": make()})
    return trunk(Call(lambda x, parts: parts["b"](parts["a"](x)), table))


@kind()
def nested_sequentials(make: Maker) -> nn.Module:
    inner = nn.Sequential(nn.Sequential(make(), make.activation()), nn.Sequential(nn.Sequential(make())))
    return trunk(nn.Sequential(inner, make.activation()), nn.Sequential())


# Hooks and parametrisations


@kind()
def a_hook_that_computes(make: Maker) -> nn.Module:
    layer = make()
    layer.register_forward_hook(lambda module, args, y: y * 2)
    return trunk(layer, make())


@kind()
def a_hook_that_keeps_the_output(make: Maker) -> nn.Module:
    kept: dict[str, Tensor] = {}
    layer = make()
    layer.register_forward_hook(lambda module, args, y: kept.update(y=y.detach()))
    return trunk(layer, make.activation(), make())


@kind()
def a_hook_before(make: Maker) -> nn.Module:
    layer = make()
    layer.register_forward_pre_hook(lambda module, args: (args[0] - 1,))
    return trunk(layer, make())


@kind()
def a_backward_hook(make: Maker) -> nn.Module:
    layer = make()
    layer.register_full_backward_hook(lambda module, to, of: None)
    return trunk(make(), layer)


@kind()
def a_backward_hook_that_computes(make: Maker) -> nn.Module:
    layer = make()
    layer.register_full_backward_hook(lambda module, to, of: (to[0] * 0.5,))
    return trunk(make(), layer)


@kind()
def a_hook_before_the_backward(make: Maker) -> nn.Module:
    layer = make()
    layer.register_full_backward_pre_hook(lambda module, of: (of[0] * 0.5,))
    return trunk(make(), layer)


@kind()
def a_hook_of_a_tensor(make: Maker) -> nn.Module:
    def hooked(x: Tensor) -> Tensor:
        if x.requires_grad:
            x.register_hook(lambda g: g.clamp(-1, 1))
        return x

    return trunk(make(), Call(hooked), make())


class Doubled(nn.Module):
    """A parametrisation."""

    def forward(self, w: Tensor) -> Tensor:
        """Twice w."""
        return 2 * w


class Symmetric(nn.Module):
    """Another, whose result is no pointwise function."""

    def forward(self, w: Tensor) -> Tensor:
        """The mean of w and its mirror image."""
        return (w + w.flip(-1)) / 2


def convolution(**arguments: Any) -> nn.Conv2d:
    return nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1, **arguments)


@kind()
def a_parametrised_convolution(make: Maker) -> nn.Module:
    conv = convolution()
    parametrize.register_parametrization(conv, "weight", Symmetric())
    return trunk(make(), conv)


@kind()
def a_parametrised_layer(make: Maker) -> nn.Module:
    layer = make()
    parametrize.register_parametrization(layer, "weight", Doubled())
    return trunk(layer, make.activation(), make())


@kind()
def two_parametrisations(make: Maker) -> nn.Module:
    layer = make()
    parametrize.register_parametrization(layer, "weight", Symmetric())
    parametrize.register_parametrization(layer, "weight", Doubled())
    parametrize.register_parametrization(layer, "bias", Doubled())
    return trunk(layer)


@kind()
def weight_norm(make: Maker) -> nn.Module:
    return trunk(make(), parametrizations.weight_norm(convolution()))


@kind()
def spectral_norm(make: Maker) -> nn.Module:
    return trunk(make(), parametrizations.spectral_norm(convolution()))


@kind()
def spectral_norm_of_a_dense_layer(make: Maker) -> nn.Module:
    return nn.Sequential(trunk(make()), parametrizations.spectral_norm(nn.Linear(CHANNELS, 6)))


@kind()
def pruned(make: Maker) -> nn.Module:
    layer = make()
    with torch.no_grad():
        prune.l1_unstructured(layer, "weight", 0.5)
    return trunk(layer, make())


# Torch's own modules


@kind()
def convolutions_between(make: Maker) -> nn.Module:
    strided = nn.Conv2d(CHANNELS, CHANNELS, 3, stride=2, padding=1, bias=False)
    return trunk(make(), convolution(), make(), convolution(groups=4), strided)


@kind()
def a_convolution_with_circular_padding(make: Maker) -> nn.Module:
    return trunk(convolution(padding_mode="circular"), make(), convolution(padding_mode="reflect"))


@kind()
def a_dilated_convolution(make: Maker) -> nn.Module:
    return trunk(make(), nn.Conv2d(CHANNELS, CHANNELS, 3, padding="same", dilation=2))


@kind()
def a_transposed_convolution(make: Maker) -> nn.Module:
    return trunk(make(), nn.ConvTranspose2d(CHANNELS, CHANNELS, 2, stride=2), make())


@kind()
def dense_layers(make: Maker) -> nn.Module:
    dense = nn.Linear(CHANNELS * 16, 12), nn.ReLU(), nn.Linear(12, 5, bias=False)
    return nn.Sequential(ZeroChannelPad(CHANNELS), make(), nn.MaxPool2d(2), nn.Flatten(), *dense)


@kind()
def relus(make: Maker) -> nn.Module:
    return trunk(make(), nn.ReLU(), make(), nn.ReLU())


@kind()
def a_relu_in_place_behind_a_convolution(make: Maker) -> nn.Module:
    return trunk(make(), convolution(), nn.ReLU(inplace=True))


@kind()
def activations(make: Maker) -> nn.Module:
    between = nn.GELU(), nn.SiLU(), nn.Sigmoid(), nn.Tanh(), nn.LeakyReLU(0.1), nn.Softplus(), nn.ELU(), nn.Hardtanh()
    return trunk(make(), *between, make())


@kind()
def a_learned_relu(make: Maker) -> nn.Module:
    return trunk(make(), nn.PReLU(), make())


@kind()
def batch_norm(make: Maker) -> nn.Module:
    return trunk(make(), nn.BatchNorm2d(CHANNELS), make.activation(), make())


@kind()
def batch_norm_in_eval(make: Maker) -> nn.Module:
    return trunk(make(), nn.BatchNorm2d(CHANNELS).eval(), make())


@kind()
def other_norms(make: Maker) -> nn.Module:
    return trunk(make(), nn.GroupNorm(2, CHANNELS), nn.LayerNorm(SIZE), nn.InstanceNorm2d(CHANNELS), make())


@kind()
def dropout(make: Maker) -> nn.Module:
    return trunk(make(), nn.Dropout(0.3), make(), nn.Dropout2d(0.3))


@kind()
def average_pooling(make: Maker) -> nn.Module:
    return nn.Sequential(ZeroChannelPad(CHANNELS), make(), nn.AvgPool2d(2), nn.AdaptiveAvgPool2d(1), nn.Flatten())


@kind()
def max_pooling(make: Maker) -> nn.Module:
    return trunk(make(), nn.MaxPool2d(3, stride=2, padding=1), make(k=1))


@kind()
def adaptive_pooling(make: Maker) -> nn.Module:
    pools = nn.AdaptiveAvgPool2d((4, 2)), nn.AdaptiveMaxPool2d((2, 1)), nn.Flatten()
    return nn.Sequential(ZeroChannelPad(CHANNELS), make(), *pools)


@kind()
def upsampling(make: Maker) -> nn.Module:
    return trunk(make(), nn.MaxPool2d(2), nn.Upsample(scale_factor=2), make())


@kind()
def pixel_shuffling(make: Maker) -> nn.Module:
    return trunk(make(), nn.PixelUnshuffle(2), make(4 * CHANNELS), nn.PixelShuffle(2), make())


@kind()
def identities(make: Maker) -> nn.Module:
    return trunk(nn.Identity(), make(), nn.Identity(), make.activation(), nn.Dropout(0.0))


@kind()
def unflattened(make: Maker) -> nn.Module:
    return trunk(make(), nn.Flatten(2), nn.Unflatten(2, (4, 16)), make())


@kind()
def a_softmax(make: Maker) -> nn.Module:
    return nn.Sequential(trunk(make()), nn.LogSoftmax(1), nn.Softmax(1))


# Functions and layouts


@kind()
def a_mean_over_the_image(make: Maker) -> nn.Module:
    return nn.Sequential(ZeroChannelPad(CHANNELS), make(), Call(lambda x: x.mean((2, 3))))


@kind()
def normalised_features(make: Maker) -> nn.Module:
    def unit(x: Tensor) -> Tensor:
        return x / x.norm(dim=1, keepdim=True).clamp_min(1e-6)

    return nn.Sequential(trunk(make()), Call(unit), Call(partial(F.normalize, dim=1)), Call(lambda x: x / x.norm()))


@kind()
def noise(make: Maker) -> nn.Module:
    return trunk(Call(lambda x, f: f(x + 0.1 * torch.randn_like(x)), make()))


@kind()
def a_mask(make: Maker) -> nn.Module:
    return trunk(Call(lambda x, f: torch.where(x > 0, f(x), 0.0), make()), Call(lambda x: x.masked_fill(x < 0, 0.0)))


@kind()
def a_spectrum(make: Maker) -> nn.Module:
    def low(x: Tensor) -> Tensor:
        return torch.fft.irfft2(torch.fft.rfft2(x)[..., :3], x.shape[-2:])

    return trunk(make(), Call(low), make())


@kind()
def an_einsum(make: Maker) -> nn.Module:
    class Mix(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.matrix = nn.Parameter(torch.eye(CHANNELS))

        def forward(self, x: Tensor) -> Tensor:
            return torch.einsum("oc,bchw->bohw", self.matrix, x)

    return trunk(make(), Mix())


@kind()
def transposed_images(make: Maker) -> nn.Module:
    return trunk(Call(lambda x, f: f(x.mT).mT, make()), Call(lambda x, f: f(x.flip(3)), make()))


@kind()
def cropped_images(make: Maker) -> nn.Module:
    return trunk(make(), Call(lambda x, f: f(x[:, :, 1:-1, 2:]), make()), make.activation())


@kind()
def an_expanded_input(make: Maker) -> nn.Module:
    return trunk(Call(lambda x, f: f(x[:, :1].expand(-1, CHANNELS, -1, -1)), make()))


@kind()
def channels_last(make: Maker) -> nn.Module:
    def last(x: Tensor) -> Tensor:
        return x.contiguous(memory_format=torch.channels_last)

    return trunk(Call(last), make(), make.activation(), make())


@kind()
def a_flatten_of_channels_last(make: Maker) -> nn.Module:
    def last(x: Tensor) -> Tensor:
        return x.contiguous(memory_format=torch.channels_last)

    return nn.Sequential(make(3), Call(last), nn.Flatten())


@kind()
def a_flatten_of_the_layer(make: Maker) -> nn.Module:
    return nn.Sequential(make(3), nn.Flatten())


@kind()
def the_others_max_min(make: Maker) -> nn.Module:
    activation = OwnMaxMin() if make.published else PublishedMaxMin()
    return trunk(make(), activation, make(), activation)


@kind()
def max_min_without_a_layer_before(make: Maker) -> nn.Module:
    return trunk(make.activation(), nn.MaxPool2d(2), make.activation(), make())


@kind()
def no_channels_to_pad(make: Maker) -> nn.Module:
    return nn.Sequential(make(3), ZeroChannelPad(3), nn.Flatten())


@kind(shape=(3, 7, 7))
def images_of_7_by_7(make: Maker) -> nn.Module:
    return trunk(make(), make.activation(), make())


@kind(shape=(3, 6, 10))
def images_of_6_by_10(make: Maker) -> nn.Module:
    return trunk(make(), make.activation(), make())


@kind(shape=(3, 5, 3))
def images_of_5_by_3(make: Maker) -> nn.Module:
    return trunk(make(), make.activation(), make())


@kind()
def an_odd_channel(make: Maker) -> nn.Module:
    return nn.Sequential(make(3), make.activation(), make(3), nn.AdaptiveMaxPool2d(1), nn.Flatten())


@kind()
def double_precision(make: Maker) -> nn.Module:
    return trunk(make(), make.activation(), make()).double()


@kind(methods=tuple(name for name, cls in LAYERS.items() if torch.bfloat16 in cls.dtypes))
def bfloat16(make: Maker) -> nn.Module:
    return trunk(make(), make.activation(), make()).bfloat16()


@kind()
def a_part_in_double_precision(make: Maker) -> nn.Module:
    return trunk(make(), Call(lambda x, f: f(x.double()).float(), make().double()))


OWN = tuple(name for name in LAYERS if name in LINEARS)


@kind(methods=OWN)
def strides_and_paddings(make: Maker) -> nn.Module:
    return trunk(make(stride=2, padding_mode="circular"), make.activation(), make(padding_mode="zeros"))


@kind(methods=OWN)
def channels_that_differ(make: Maker) -> nn.Module:
    return nn.Sequential(make(3, 10), make.activation(), make(10, 6), nn.AdaptiveMaxPool2d(1), nn.Flatten())


@kind(methods=OWN, shape=(20,))
def dense_layers_of_the_method(make: Maker) -> nn.Module:
    few = FEW.get(make.method, {})
    return nn.Sequential(LINEARS[make.method](20, 20, **few), make.activation(), LINEARS[make.method](20, 6, **few))


@kind(methods=OWN)
def a_dense_head(make: Maker) -> nn.Module:
    return nn.Sequential(trunk(make()), LINEARS[make.method](CHANNELS, 5, **FEW.get(make.method, {})))


@kind(methods=tuple(HEADS))
def a_published_head(make: Maker) -> nn.Module:
    return nn.Sequential(trunk(make()), HEADS[make.method](CHANNELS, CHANNELS))


# Prediction beside measurement


@dataclass(frozen=True)
class Variant:
    """A network of one kind and method, in one mode."""

    kind: str
    method: str
    mode: str = "train"

    def net(self) -> nn.Module:
        """It, with seeded weights; called once without gradients unless the kind says otherwise."""
        settings = KINDS[self.kind]
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            net = settings.build(Maker(self.method))
            if settings.called:
                with torch.no_grad():
                    net(self.images(net))
        return net

    def images(self, net: nn.Module) -> Tensor:
        """Seeded ones, of the type of the parameters."""
        settings = KINDS[self.kind]
        x = torch.randn(BATCH, *settings.shape, generator=torch.Generator().manual_seed(0))
        return x.to(next(net.parameters()).dtype).requires_grad_(settings.input_gradient and self.mode == "train")

    def __str__(self) -> str:
        return f"{self.kind} {self.method} {self.mode}"


def variants(methods: tuple[str, ...] = tuple(LAYERS)) -> Iterator[Variant]:
    """All of them."""
    for name, settings in KINDS.items():
        for method in methods:
            if method in settings.methods:
                yield from (Variant(name, method, mode) for mode in MODES)


def some() -> Iterator[Variant]:
    """Each kind once, the methods in turn."""
    for i, (name, settings) in enumerate(KINDS.items()):
        method = settings.methods[i % len(settings.methods)]
        yield from (Variant(name, method, mode) for mode in MODES)


@dataclass(frozen=True)
class Measured:
    """A step or a call, by name as a NetworkPrediction has it, and the peak under a dispatch mode."""

    figures: dict[str, int]
    by_class: dict[str, int]
    out_of_place_peak: int


def measure(net: nn.Module, x: Tensor, mode: str, optimizer: str = "sgd-momentum") -> Measured:
    """Measure a training step, or a call in inference."""
    with torch.random.fork_rng(devices=[]):
        if mode == "train":
            counts: Any = measure_step(net, x, torch.zeros(len(x), dtype=torch.int64), optimizer)
            memory, phases = counts, PHASES
        else:
            counts, memory = measure_flops(net, x, "inference"), measure_memory(net, x, "inference")
            phases = PHASES[:1]
    figures = {f"{name}_bytes": getattr(memory, f"{name}_bytes") for name in BYTES[mode]}
    figures["peak_bytes"] = memory.profiler_peak_bytes
    for name, attribute in COUNTS.items():
        for phase in phases:
            value = getattr(counts, f"{attribute}_{phase}")
            figures[f"{name}_{phase}"] = round(sum(value.values())) if name == "flops" else value
    by_class = {cls: round(sum(getattr(counts, f"flops_{phase}")[cls] for phase in phases)) for cls in CLASSES}
    if counts.fvcore_macs != counts.macs_forward:
        raise AssertionError(f"fvcore counts {counts.fvcore_macs} MACs, the dispatcher {counts.macs_forward}")
    return Measured(figures, by_class, memory.tracker_peak_bytes)


def predict(net: nn.Module, x: Tensor, mode: str, optimizer: str = "sgd-momentum", **how: Any) -> Any:
    """The prediction for inputs of the shape of ``x``."""
    how |= {"shape": tuple(x.shape[1:]), "input_gradient": x.requires_grad}
    return predict_network(net, b=len(x), mode=mode, optimizer=optimizer, **how)


def differences(net: nn.Module, x: Tensor, mode: str, optimizer: str = "sgd-momentum") -> list[str]:
    """What is predicted otherwise than measured; empty if nothing is.

    Raises:
        ValueError: if the prediction is refused.
    """
    before = describe(net)
    p = predict(net, x, mode, optimizer)
    out_of_place = predict(net, x, mode, optimizer, in_place=False)
    found = [] if describe(net) == before else ["the prediction changes the network"]
    m = measure(net, x, mode, optimizer)
    predicted = {name: getattr(p, name) for name in m.figures}
    compared = {name: (predicted[name], value) for name, value in m.figures.items()}
    compared |= {f"flops of {cls}": (p.by_class[cls], value) for cls, value in m.by_class.items()}
    compared["peak_bytes, out of place"] = out_of_place.peak_bytes, m.out_of_place_peak
    return found + [f"{name}: predicted {a}, measured {b}" for name, (a, b) in compared.items() if a != b]


def describe(net: nn.Module) -> list[object]:
    """What a prediction must leave as it is: each tensor and its contents, each module and its mode."""
    tensors = [*net.named_parameters(remove_duplicate=False), *net.named_buffers(remove_duplicate=False)]
    contents = [(name, id(t), t._version, t.requires_grad, t.grad is None) for name, t in tensors]
    return [*contents, *((name, type(each), each.training) for name, each in net.named_modules())]


def names_something(message: str, net: nn.Module) -> bool:
    """Whether a refusal names a torch function or one of the network's modules."""
    classes = {type(each).__name__ for each in net.modules()}
    return bool(re.search(r"\b(torch|Tensor|F)\.\w+", message)) or any(name in message for name in classes)


def outcome(variant: Variant) -> str:
    """ "exact", or "refused: " and the message.

    Raises:
        AssertionError: for a prediction other than the measurement, or a refusal that names nothing.
    """
    net = variant.net()
    x, optimizer = variant.images(net), KINDS[variant.kind].optimizer
    try:
        found = differences(net, x, variant.mode, optimizer)
    except ValueError as refusal:
        if names_something(str(refusal), net):
            return f"refused: {refusal}"
        raise AssertionError(f"{variant}: refused without a name: {refusal}") from refusal
    if found:
        raise AssertionError(f"{variant}: {'; '.join(found)}")
    return "exact"


def table(methods: tuple[str, ...] = ()) -> str:
    """Every variant's outcome as Markdown."""
    lines = ["| variant | method | train | inference |", "|---|---|---|---|"]
    chosen = variants(methods) if methods else some()
    cells: dict[tuple[str, str], list[str]] = {}
    for variant in chosen:
        try:
            cell = outcome(variant)
        except Exception as error:  # whatever it is, the table shows it
            cell = f"WRONG: {type(error).__name__}: {error}"
        cells.setdefault((variant.kind, variant.method), []).append(cell.replace("|", "\\|").replace("\n", " "))
    lines += [f"| {name.replace('_', ' ')} | {method} | {' | '.join(row)} |" for (name, method), row in cells.items()]
    return "\n".join(lines)


if __name__ == "__main__":
    print(table(tuple(sys.argv[1:])))
