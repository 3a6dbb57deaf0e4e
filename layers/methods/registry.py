"""The registry of methods: names and classes, which are loaded at first use. Listing the names needs no torch."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from difflib import get_close_matches
from importlib import import_module
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from ..base.layer import LipschitzConv2d

PUBLISHED = "/published"

# Of each method the classes in the module of its name: by the library's own algorithm and, if there is one, by that of
# the published comparison.
CLASSES: dict[str, tuple[str, ...]] = {
    "standard": ("StandardConv2d", "PublishedStandardConv2d"),
    "aol": ("AOLConv2d", "PublishedAOLConv2d"),
    "bcop": ("BCOPConv2d", "PublishedBCOPConv2d"),
    "bro": ("BROConv2d", "PublishedBROConv2d"),
    "cayley": ("CayleyConv2d", "PublishedCayleyConv2d"),
    "cpl": ("CPLConv2d", "PublishedCPLConv2d"),
    "lot": ("LOTConv2d", "PublishedLOTConv2d"),
    "sll": ("SLLConv2d", "PublishedSLLConv2d"),
    "soc": ("SOCConv2d", "PublishedSOCConv2d"),
}
# The library's own algorithms: what is taken where nothing is asked for.
DEFAULTS = tuple(CLASSES)

Class = TypeVar("Class")


class Classes(Mapping[str, Class]):
    """Names and classes, read-only. A class is loaded when it is first looked up.

    Args:
        names: gives all names, in order.
        load: the class of one of them.
    """

    def __init__(self, names: Callable[[], Collection[str]], load: Callable[[str], Class]) -> None:
        self._names, self._load = names, load

    def __getitem__(self, name: str) -> Class:
        if name not in self:
            raise KeyError(name)
        return self._load(name)

    def __contains__(self, name: object) -> bool:
        return name in self._names()

    def __iter__(self) -> Iterator[str]:
        return iter(self._names())

    def __len__(self) -> int:
        return len(self._names())

    def __repr__(self) -> str:
        return f"<classes of {', '.join(self)}>"


def linear_name(convolution: str) -> str:
    """The name of the class that does to vectors what the class ``convolution`` does to images.

    Example:
        >>> from lipcost.layers.methods.registry import linear_name
        >>> linear_name("AOLConv2d")
        'AOLLinear'
    """
    return convolution.removesuffix("Conv2d") + "Linear"


def find_layer(name: str) -> type[LipschitzConv2d]:
    """The class of a method.

    Args:
        name: key of LAYERS.

    Raises:
        ValueError: for any other name.

    Example:
        >>> from lipcost.layers import find_layer
        >>> find_layer("soc").title
        'SOC'
        >>> find_layer("caley")  # doctest: +ELLIPSIS
        Traceback (most recent call last):
            ...
        ValueError: unknown method 'caley' (did you mean 'cayley'?); methods: standard, aol, bcop, ...
    """
    if name not in LAYERS:
        near = get_close_matches(str(name), LAYERS, n=1)
        hint = f" (did you mean {near[0]!r}?)" if near else ""
        raise ValueError(f"unknown method {name!r}{hint}; methods: {', '.join(LAYERS)}")
    return LAYERS[name]


def _load(name: str) -> type[LipschitzConv2d]:
    method, _, published = name.partition("/")
    module = import_module(f"{__package__}.{method}")
    cls: type[LipschitzConv2d] = getattr(module, CLASSES[method][bool(published)])
    return cls


def _names() -> list[str]:
    return [*CLASSES, *(name + PUBLISHED for name, classes in CLASSES.items() if len(classes) > 1)]


LAYERS: Mapping[str, type[LipschitzConv2d]] = Classes(_names, _load)
