"""The registry, apart from the package's front page so that its other modules can import it."""

from ._method import Method
from .aol import AOL
from .bcop import BCOP
from .cayley import Cayley
from .cpl import CPL
from .lot import LOT
from .published.aol import PublishedAOL
from .published.bcop import PublishedBCOP
from .published.cayley import PublishedCayley
from .published.cpl import PublishedCPL
from .published.lot import PublishedLOT
from .published.sll import PublishedSLL
from .published.soc import PublishedSOC
from .published.standard import PublishedStandard
from .sll import SLL
from .soc import SOC
from .standard import Standard

METHODS: dict[str, type[Method]] = {
    "standard": Standard,
    "aol": AOL,
    "bcop": BCOP,
    "cayley": Cayley,
    "cpl": CPL,
    "lot": LOT,
    "sll": SLL,
    "soc": SOC,
    "standard/published": PublishedStandard,
    "aol/published": PublishedAOL,
    "bcop/published": PublishedBCOP,
    "cayley/published": PublishedCayley,
    "cpl/published": PublishedCPL,
    "lot/published": PublishedLOT,
    "sll/published": PublishedSLL,
    "soc/published": PublishedSOC,
}
PUBLISHED = "/published"
# The library's own algorithms: what is shown where nothing is asked for.
DEFAULTS = tuple(name for name in METHODS if not name.endswith(PUBLISHED))
