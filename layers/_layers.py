"""The registry of the layers, by the names that the cost model uses."""

from __future__ import annotations

from ._base import LipschitzConv2d
from .aol import AOLConv2d
from .bcop import BCOPConv2d
from .cayley import CayleyConv2d
from .cpl import CPLConv2d
from .lot import LOTConv2d
from .published.aol import PublishedAOLConv2d
from .published.bcop import PublishedBCOPConv2d
from .published.cayley import PublishedCayleyConv2d
from .published.cpl import PublishedCPLConv2d
from .published.lot import PublishedLOTConv2d
from .published.sll import PublishedSLLConv2d
from .published.soc import PublishedSOCConv2d
from .published.standard import PublishedStandardConv2d
from .sll import SLLConv2d
from .soc import SOCConv2d
from .standard import StandardConv2d

LAYERS: dict[str, type[LipschitzConv2d]] = {
    "standard": StandardConv2d,
    "aol": AOLConv2d,
    "bcop": BCOPConv2d,
    "cayley": CayleyConv2d,
    "cpl": CPLConv2d,
    "lot": LOTConv2d,
    "sll": SLLConv2d,
    "soc": SOCConv2d,
    "standard/published": PublishedStandardConv2d,
    "aol/published": PublishedAOLConv2d,
    "bcop/published": PublishedBCOPConv2d,
    "cayley/published": PublishedCayleyConv2d,
    "cpl/published": PublishedCPLConv2d,
    "lot/published": PublishedLOTConv2d,
    "sll/published": PublishedSLLConv2d,
    "soc/published": PublishedSOCConv2d,
}
