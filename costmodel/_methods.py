"""The registry, apart from the package's front page so that its other modules can import it."""

from ._method import Method
from .aol import AOL
from .published.aol import PublishedAOL
from .published.bcop import PublishedBCOP
from .published.cayley import PublishedCayley
from .published.cpl import PublishedCPL
from .published.lot import PublishedLOT
from .published.sll import PublishedSLL
from .published.soc import PublishedSOC
from .published.standard import PublishedStandard
from .standard import Standard

METHODS: dict[str, type[Method]] = {
    "standard": Standard,
    "aol": AOL,
    "standard/published": PublishedStandard,
    "aol/published": PublishedAOL,
    "bcop/published": PublishedBCOP,
    "cayley/published": PublishedCayley,
    "cpl/published": PublishedCPL,
    "lot/published": PublishedLOT,
    "sll/published": PublishedSLL,
    "soc/published": PublishedSOC,
}
