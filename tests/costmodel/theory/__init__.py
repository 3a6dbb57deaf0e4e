"""Each method's cost, derived by hand from its paper and its equations.

The functions know nothing of the program that is recorded: they count the convolutions and products that a method's
equations ask for, and the arrays that its gradient needs. docs/methods says the same in words. Sizes and iteration
counts are numbers or symbols.
"""

from __future__ import annotations

from collections.abc import Callable
from inspect import getmembers, isfunction
from types import ModuleType

from . import own, published
from .parts import Layer as Layer
from .parts import Pair as Pair
from .parts import Theory as Theory


def _derived(room: ModuleType, suffix: str = "") -> dict[str, Callable[..., Theory]]:
    return {name + suffix: each for name, each in getmembers(room, isfunction) if each.__module__ == room.__name__}


THEORY = _derived(own) | _derived(published, "/published")
