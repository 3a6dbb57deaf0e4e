"""Torch's own modules beside the layers."""

from __future__ import annotations

from torch import nn

from lipcost.layers import ZeroChannelPad

from .kinds import CHANNELS, SIZE, Maker, convolution, kind, trunk


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
