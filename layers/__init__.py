"""The layers: seven 1-Lipschitz convolutions and the plain one, by the names that the cost model uses, and their nets.

>>> from lipcost.layers import LAYERS
>>> sorted(LAYERS)
['aol', 'bcop', 'cayley', 'cpl', 'lot', 'sll', 'soc', 'standard']
"""

from ._base import LipschitzConv2d as LipschitzConv2d
from ._layers import LAYERS as LAYERS
from .activations import MaxMin as MaxMin
from .aol import AOLConv2d as AOLConv2d
from .losses import MarginCrossEntropy as MarginCrossEntropy
from .networks import CONV_NETS as CONV_NETS
from .networks import conv_net as conv_net
from .reshaping import FirstChannels as FirstChannels
from .reshaping import ZeroChannelPad as ZeroChannelPad
from .standard import StandardConv2d as StandardConv2d
