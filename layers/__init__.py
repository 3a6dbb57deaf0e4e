"""The layers: seven 1-Lipschitz convolutions and the plain one, by the names that the cost model uses.

>>> from lipcost.layers import LAYERS
>>> sorted(LAYERS)
['aol', 'bcop', 'cayley', 'cpl', 'lot', 'sll', 'soc', 'standard']
"""

from ._base import LipschitzConv2d as LipschitzConv2d
from .activations import MaxMin as MaxMin
from .aol import AOLConv2d as AOLConv2d
from .bcop import BCOPConv2d as BCOPConv2d
from .cayley import CayleyConv2d as CayleyConv2d
from .cpl import CPLConv2d as CPLConv2d
from .lot import LOTConv2d as LOTConv2d
from .reshaping import FirstChannels as FirstChannels
from .reshaping import ZeroChannelPad as ZeroChannelPad
from .sll import SLLConv2d as SLLConv2d
from .soc import SOCConv2d as SOCConv2d
from .standard import StandardConv2d as StandardConv2d

LAYERS: dict[str, type[LipschitzConv2d]] = {
    "standard": StandardConv2d,
    "aol": AOLConv2d,
    "bcop": BCOPConv2d,
    "cayley": CayleyConv2d,
    "cpl": CPLConv2d,
    "lot": LOTConv2d,
    "sll": SLLConv2d,
    "soc": SOCConv2d,
}
