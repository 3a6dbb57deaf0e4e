"""Classes of the user's: skip connections, branches, subclasses, autograd Functions, lists of modules."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from lipcost.layers import FirstChannels

from .kinds import CHANNELS, Call, Maker, kind, trunk


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
