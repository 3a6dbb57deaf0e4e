"""The networks by name: what they are made of and made for. Reading it needs no torch."""

from __future__ import annotations

from difflib import get_close_matches
from typing import NamedTuple

CIFAR_IMAGES = 50_000
BATCH = 256


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
    """The network's full name: "ConvNetM" for itself and for "M".

    Example:
        >>> from lipcost.layers.networks.table import find_network
        >>> find_network("M")
        'ConvNetM'
    """
    name = next((name for name in (size, f"ConvNet{size}") if name in CONV_NETS), None)
    if name is None:
        near = get_close_matches(str(size), CONV_NETS, n=1)
        hint = f" (did you mean {near[0]!r}?)" if near else ""
        raise ValueError(f"unknown network {size!r}{hint}; networks: {', '.join(CONV_NETS)}")
    return name
