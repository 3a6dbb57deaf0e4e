"""The layers: 1-Lipschitz convolutions and the plain one, by the names that the cost model uses, and their nets.

Torch is loaded with the first layer: the names of the methods are there without it.

>>> from lipcost.layers import LAYERS
>>> [name for name in LAYERS if not name.endswith("/published")]  # doctest: +ELLIPSIS
['standard', 'aol', 'bcop', ..., 'lot', 'sll', 'soc']
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from .methods.registry import CLASSES as _CLASSES
from .methods.registry import LAYERS as LAYERS
from .methods.registry import find_layer as find_layer
from .methods.registry import linear_name as _linear_name

if TYPE_CHECKING:  # what is not named here, such as AOLLinear, has no static type
    from .base.conv2d import Conv2d as Conv2d
    from .base.layer import LipschitzConv2d as LipschitzConv2d
    from .methods.aol import AOLConv2d as AOLConv2d
    from .methods.bcop import BCOPConv2d as BCOPConv2d
    from .methods.cayley import CayleyConv2d as CayleyConv2d
    from .methods.cpl import CPLConv2d as CPLConv2d
    from .methods.families.kernel import KernelConv2d as KernelConv2d
    from .methods.linear import LINEARS as LINEARS
    from .methods.lot import LOTConv2d as LOTConv2d
    from .methods.sll import SLLConv2d as SLLConv2d
    from .methods.soc import SOCConv2d as SOCConv2d
    from .methods.standard import StandardConv2d as StandardConv2d
    from .networks.activations import MaxMin as MaxMin
    from .networks.conv_nets import conv_net as conv_net
    from .networks.losses import MarginCrossEntropy as MarginCrossEntropy
    from .networks.reshaping import FirstChannels as FirstChannels
    from .networks.reshaping import ZeroChannelPad as ZeroChannelPad
    from .networks.table import CONV_NETS as CONV_NETS

# Loaded at first use. The methods' classes need no line: they are known from the registry.
_MODULES = {
    "Conv2d": "base.conv2d",
    "LipschitzConv2d": "base.layer",
    "KernelConv2d": "methods.families.kernel",
    "LINEARS": "methods.linear",
    "MaxMin": "networks.activations",
    "CONV_NETS": "networks.table",
    "conv_net": "networks.conv_nets",
    "MarginCrossEntropy": "networks.losses",
    "FirstChannels": "networks.reshaping",
    "ZeroChannelPad": "networks.reshaping",
}


def _modules() -> dict[str, str]:
    convolutions = {classes[0]: f"methods.{method}" for method, classes in _CLASSES.items()}
    return {**_MODULES, **convolutions, **{_linear_name(name): "methods.linear" for name in convolutions}}


def __getattr__(name: str) -> Any:
    module = _modules().get(name)
    if module is not None:
        return getattr(import_module(f".{module}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_modules()})
