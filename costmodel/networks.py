"""The networks of the published comparison: the mirror of ``lipcost.layers.conv_net``."""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

from ._checks import lookup, positive, resolve_options
from .modules import (
    AdaptiveMaxPool2d,
    Factory,
    FirstChannels,
    Flatten,
    MaxMin,
    PixelUnshuffle,
    PublishedMaxMin,
    Sequential,
    ZeroChannelPad,
    convolution,
    dense,
)
from .published.heads import HEADS

CONVOLUTIONS_PER_BLOCK = 5
KERNEL_SIZE = 3
HEAD_OPTIONS = {"bcop": {"iterations": 4}}


class ConvNet(NamedTuple):
    """A network's width, number of blocks, and the images it was made for."""

    width: int
    blocks: int
    classes: int
    image: int


CONV_NETS = {
    "ConvNetXS": ConvNet(width=16, blocks=5, classes=10, image=32),
    "ConvNetS": ConvNet(width=32, blocks=5, classes=10, image=32),
    "ConvNetM": ConvNet(width=64, blocks=5, classes=10, image=32),
    "ConvNetL": ConvNet(width=128, blocks=5, classes=10, image=32),
    "TConvNetXS": ConvNet(width=8, blocks=6, classes=200, image=64),
    "TConvNetS": ConvNet(width=16, blocks=6, classes=200, image=64),
    "TConvNetM": ConvNet(width=32, blocks=6, classes=200, image=64),
    "TConvNetL": ConvNet(width=64, blocks=6, classes=200, image=64),
}


def find_network(size: str) -> str:
    """The network's full name: "ConvNetM" for itself and for "M"."""
    name = next((name for name in (size, f"ConvNet{size}") if name in CONV_NETS), None)
    if name is None:
        raise ValueError(f"unknown network {size!r}; networks: {', '.join(CONV_NETS)}")
    return name


def conv_net(
    size: str, method: str, *, classes: int | None = None, width: int | None = None, **options: int
) -> Factory:
    """A ConvNet of one method's layers; arguments and errors as of ``lipcost.layers.conv_net``."""
    net = CONV_NETS[find_network(size)]
    resolve_options(lookup(method), {name: value for name, value in options.items() if name != "bias"})
    w = net.width if width is None else width
    positive("width", w)
    if w % 2:
        raise ValueError(f"width must be even, as each block halves its channels, got {w}")
    activation = PublishedMaxMin if method.endswith("/published") else MaxMin
    modules: list[Factory] = [partial(ZeroChannelPad, channels=w), convolution(method, w, w, 1, **options), activation]
    for block in range(net.blocks):
        c = w * 2**block
        k = 1 if block == net.blocks - 1 else KERNEL_SIZE
        modules += CONVOLUTIONS_PER_BLOCK * [convolution(method, c, c, k, **options), activation]
        modules += [partial(FirstChannels, channels=c // 2), partial(PixelUnshuffle, factor=2)]
    c = w * 2**net.blocks
    modules.append(AdaptiveMaxPool2d)
    if method in HEADS:
        modules += [Flatten, dense(method, c, c)]
    else:
        modules += [convolution(method, c, c, 1, **options | HEAD_OPTIONS.get(method, {})), Flatten]
    scores = net.classes if classes is None else classes
    positive("classes", scores)
    modules.append(partial(FirstChannels, channels=scores))
    return partial(Sequential, factories=modules)
