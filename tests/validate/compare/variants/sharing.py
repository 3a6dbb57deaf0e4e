"""What is shared: layers, parameters, storages."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from .kinds import REPEATABLE, Call, Maker, kind, trunk


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
    net: Any = trunk(make(), make.activation(), make())  # the type stubs want a fourth argument beside
    return net.to(memory_format=torch.channels_last)
