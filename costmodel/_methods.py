"""The registry, apart from the package's front page so that its other modules can import it."""

from ._method import Method
from .aol import AOL
from .bcop import BCOP
from .cayley import Cayley
from .cpl import CPL
from .lot import LOT
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
}
