"""The layers: seven 1-Lipschitz convolutions and the plain one, by the names that the cost model uses, and their nets.

>>> from lipcost.layers import LAYERS
>>> [name for name in LAYERS if not name.endswith("/published")]
['standard', 'aol', 'bcop', 'cayley', 'cpl', 'lot', 'sll', 'soc']
"""

from ._base import LipschitzConv2d as LipschitzConv2d
from ._layers import LAYERS as LAYERS
from .activations import MaxMin as MaxMin
from .aol import AOLConv2d as AOLConv2d
from .bcop import BCOPConv2d as BCOPConv2d
from .cayley import CayleyConv2d as CayleyConv2d
from .cpl import CPLConv2d as CPLConv2d
from .linear import LINEARS as LINEARS
from .linear import AOLLinear as AOLLinear
from .linear import BCOPLinear as BCOPLinear
from .linear import CayleyLinear as CayleyLinear
from .linear import CPLLinear as CPLLinear
from .linear import LOTLinear as LOTLinear
from .linear import SLLLinear as SLLLinear
from .linear import SOCLinear as SOCLinear
from .linear import StandardLinear as StandardLinear
from .losses import MarginCrossEntropy as MarginCrossEntropy
from .lot import LOTConv2d as LOTConv2d
from .networks import CONV_NETS as CONV_NETS
from .networks import conv_net as conv_net
from .reshaping import FirstChannels as FirstChannels
from .reshaping import ZeroChannelPad as ZeroChannelPad
from .sll import SLLConv2d as SLLConv2d
from .soc import SOCConv2d as SOCConv2d
from .standard import StandardConv2d as StandardConv2d
