"""Torch's functions, layouts, image sizes, types, and the layers' own arguments."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lipcost.layers import LAYERS, LINEARS, ZeroChannelPad
from lipcost.layers import MaxMin as OwnMaxMin
from lipcost.layers.networks.activations import PublishedMaxMin
from lipcost.layers.networks.conv_nets import HEADS

from .kinds import CHANNELS, FEW, Call, Maker, kind, trunk


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
def products_with_views_of_a_weight(make: Maker) -> nn.Module:
    """Stacks that lie in no order to be one matrix: torch copies them where the view's weight needs a gradient."""

    class Mix(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.eye(CHANNELS))

        def forward(self, x: Tensor) -> Tensor:
            pixels = x.flatten(2).mT
            return (pixels @ self.weight.t() + pixels @ self.weight.detach().t()).mT.reshape(x.shape)

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
