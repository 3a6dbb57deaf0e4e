"""Hooks and parametrisations."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations, parametrize, prune

from .kinds import CHANNELS, Call, Maker, convolution, kind, trunk


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
    layer: Any = make()
    layer.register_full_backward_hook(lambda module, to, of: (to[0] * 0.5,))
    return trunk(make(), layer)


@kind()
def a_hook_before_the_backward(make: Maker) -> nn.Module:
    layer: Any = make()
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
