"""The layers that others wrote, behind one interface: orthogonium where installed, the reference by path.

The reference is the public code of Prach et al., "1-Lipschitz layers compared", CVPR 2024:
github.com/berndprach/1LipschitzLayersCompared.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from torch import nn

from lipcost.layers import LAYERS, MaxMin, conv_net

NETWORK = "ConvNetXS"
IMAGE = (3, 32, 32)
REFERENCE = {
    "standard": "StandardConv2d",
    "aol": "AOLConv2d",
    "bcop": "BCOP",
    "cayley": "CayleyConv",
    "cpl": "CPLConv2d",
    "lot": "LOT",
    "sll": "SLLConv2d",
    "soc": "SOC",
}

Layer = Callable[[int, int, int], nn.Module]


@dataclass(frozen=True)
class Peer:
    """Somebody's layer of one method.

    Attributes:
        name: whose: "lipcost", "published" (lipcost's copy of the published algorithm), "orthogonium" or "reference".
        method: key of LAYERS without a slash, whose counterpart the layer is.
        layer: from (c_in, c_out, k) to the layer. Some create parameters in their first call, on its device.
        net: builds a ConvNetXS of such layers; None where there is none.
    """

    name: str
    method: str
    layer: Layer
    net: Callable[[], nn.Module] | None


def contestants(method: str, reference: Path | None = None) -> list[Peer]:
    """All who have a layer of ``method``: lipcost, the published algorithm, then the :func:`peers`."""
    own = [
        Peer(name, method, LAYERS[key], partial(conv_net, NETWORK, key))
        for name, key in (("lipcost", method), ("published", f"{method}/published"))
        if key in LAYERS
    ]
    return [*own, *(peer for peer in peers(reference) if peer.method == method)]


def peers(reference: Path | None = None) -> list[Peer]:
    """The layers of others: orthogonium's, if it can be imported, and the reference's.

    Args:
        reference: a checkout of the reference implementation.

    Raises:
        FileNotFoundError: if there is none at that path.
    """
    return [*_orthogonium(), *([] if reference is None else _reference(reference))]


def _reference(path: Path) -> list[Peer]:
    if not (path / "models" / "model_layer_combinations.py").is_file():
        raise FileNotFoundError(f"{path} is no checkout of 1LipschitzLayersCompared: it has no models/")
    if str(path) not in sys.path:
        sys.path.insert(0, str(path))
    from models import layers  # noqa: PLC0415
    from models.model_layer_combinations import get_model  # noqa: PLC0415

    return [
        Peer("reference", method, getattr(layers, name), partial(get_model, NETWORK, name))
        for method, name in REFERENCE.items()
    ]


def _orthogonium() -> list[Peer]:
    if importlib.util.find_spec("orthogonium") is None:
        return []
    from orthogonium.layers import MaxMin as TheirMaxMin  # noqa: PLC0415
    from orthogonium.layers.conv.adaptiveSOC import AdaptiveSOCConv2d  # noqa: PLC0415
    from orthogonium.layers.conv.adaptiveSOC.fast_skew_ortho_conv import ExpParams  # noqa: PLC0415
    from orthogonium.layers.conv.AOC import AdaptiveOrthoConv2d  # noqa: PLC0415
    from orthogonium.layers.conv.AOL import AOLConv2D  # noqa: PLC0415
    from orthogonium.layers.conv.SLL import SDPBasedLipschitzResBlock  # noqa: PLC0415

    def aol(c_in: int, c_out: int, k: int) -> nn.Module:
        return AOLConv2D(c_in, c_out, k, padding=k // 2, padding_mode="circular")

    def sll(c_in: int, c_out: int, k: int) -> nn.Module:
        if c_in != c_out:
            raise ValueError(f"orthogonium's SLL block needs c_in == c_out, got {c_in} and {c_out}")
        block = SDPBasedLipschitzResBlock(c_in, 1, kernel_size=k)
        block.q.requires_grad_(False)  # it is not used
        return block

    def soc(c_in: int, c_out: int, k: int) -> nn.Module:
        # It applies the whole exponential as one larger kernel, but pads for the kernel size that it was told.
        return AdaptiveSOCConv2d(c_in, c_out, k, padding=ExpParams().exp_niter * (k // 2))

    layers: dict[str, Layer] = {"aol": aol, "bcop": AdaptiveOrthoConv2d, "sll": sll, "soc": soc}
    return [
        Peer("orthogonium", method, layer, partial(_convnet_xs, layer, TheirMaxMin)) for method, layer in layers.items()
    ]


def _convnet_xs(layer: Layer, activation: Callable[[], nn.Module]) -> nn.Module:
    """The ConvNetXS of ``lipcost.layers.conv_net`` of other layers."""
    template = conv_net(NETWORK, "standard")
    net = nn.Sequential()
    for name, module in template.named_children():
        net.add_module(name, _substitute(module, layer, activation))
    return net


def _substitute(module: Any, layer: Layer, activation: Callable[[], nn.Module]) -> nn.Module:
    if isinstance(module, LAYERS["standard"]):
        return layer(module.in_channels, module.out_channels, module.kernel_size)
    return activation() if isinstance(module, MaxMin) else module
