"""The networks of the published comparison."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

import torch
from torch import nn

from ..base.checks import positive
from ..base.layer import LipschitzConv2d, LipschitzLinear
from ..methods.registry import find_layer
from .activations import MaxMin, PublishedMaxMin
from .heads import PublishedBjorckLinear, PublishedCayleyLinear
from .reshaping import FirstChannels, ZeroChannelPad
from .table import CONV_NETS, find_network

CONVOLUTIONS_PER_BLOCK = 5
KERNEL_SIZE = 3
HEADS: dict[str, type[LipschitzLinear]] = {
    "bcop/published": PublishedBjorckLinear,
    "cayley/published": PublishedCayleyLinear,
}  # the others end in a 1×1 convolution
# The largest matrix is the head's. As published, it gets fewer iterations than the convolutions in training.
HEAD_OPTIONS = {"bcop": {"iterations": 4}}


def conv_net(
    size: str,
    method: str,
    *,
    classes: int | None = None,
    width: int | None = None,
    device: torch.device | str | None = None,
    dtype: torch.dtype | None = None,
    **options: int,
) -> nn.Sequential:
    """A ConvNet of one method's layers.

    Zero channels up to width w, a 1×1 layer and MaxMin; blocks of five layers (3×3 but 1×1 in the last block), each
    with MaxMin, then the first half of the channels and a pixel unshuffle by 2, so that channels double and sides
    halve; the maximum over the image, a head of one layer (dense for BCOP and Cayley, 1×1 for the others), and the
    first channels as class scores.

    Source: Prach, Brau, Buttazzo & Lampert, "1-Lipschitz layers compared", CVPR 2024.

    Args:
        size: one of CONV_NETS, "ConvNetM" or "M" for short; those with a T are for Tiny ImageNet, 64×64 pixels.
        method: one of LAYERS.
        classes: of the data set; default: that of CIFAR-10 or Tiny ImageNet.
        width: w, even, if another than the size's.
        device: where the parameters are created.
        dtype: their type.
        **options: what else the method's layers take, iteration counts for instance, for every convolution.

    Returns:
        A flat module that takes images (b, c, s, s), c ≤ w, and gives scores (b, classes). s is a multiple of 2^blocks.

    Raises:
        ValueError: for an unknown size or method, or what the layer refuses.

    Example:
        >>> import torch
        >>> from lipcost.layers import conv_net
        >>> conv_net("ConvNetXS", "aol")(torch.zeros(2, 3, 32, 32)).shape
        torch.Size([2, 10])
    """
    net = CONV_NETS[find_network(size)]
    cls = find_layer(method)
    w = net.width if width is None else positive("width", width)
    if w % 2:
        raise ValueError(f"width must be even, as each block halves its channels, got {w}")
    factory: dict[str, Any] = {"device": device, "dtype": dtype}
    arguments = factory | options
    activation = PublishedMaxMin if method.endswith("/published") else MaxMin

    def layer(c_in: int, c_out: int, k: int) -> LipschitzConv2d:
        return cls(c_in, c_out, k, **arguments)

    modules: dict[str, nn.Module] = {"pad": ZeroChannelPad(w), "first": layer(w, w, 1)}
    modules["first_activation"] = activation()
    for block in range(net.blocks):
        c = w * 2**block
        k = 1 if block == net.blocks - 1 else KERNEL_SIZE
        for i in range(CONVOLUTIONS_PER_BLOCK):
            modules[f"block{block}_layer{i}"] = layer(c, c, k)
            modules[f"block{block}_activation{i}"] = activation()
        modules[f"block{block}_channels"] = FirstChannels(c // 2)
        modules[f"block{block}_unshuffle"] = nn.PixelUnshuffle(2)
    c = w * 2**net.blocks
    modules["pool"] = nn.AdaptiveMaxPool2d(1)
    if method in HEADS:
        modules |= {"flatten": nn.Flatten(), "head": HEADS[method](c, c, **factory)}
    else:
        head = cls(c, c, 1, **arguments | HEAD_OPTIONS.get(method, {}))
        modules |= {"head": head, "flatten": nn.Flatten()}
    modules["scores"] = FirstChannels(net.classes if classes is None else positive("classes", classes))
    return nn.Sequential(OrderedDict(modules))
