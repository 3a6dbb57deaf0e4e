"""What is frozen, and parameters, buffers and constants beside a layer's own."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from .kinds import CHANNELS, Call, Maker, kind, trunk


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
    last.register_buffer("table", first.get_buffer("table"))
    return trunk(first, last)


@kind()
def a_running_mean(make: Maker) -> nn.Module:
    def centred(x: Tensor, part: Any) -> Tensor:
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
