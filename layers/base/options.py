"""How layers are called: iteration counts and sizes of a method's own by keyword, and the choice of an algorithm."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from inspect import Parameter
from typing import Any, ClassVar

from torch import nn

from .checks import positive


class _WithAlgorithms(type):
    """Lets ``algorithm`` choose the class that is built: ``LOTConv2d(..., algorithm="published")``."""

    def __call__(cls, *args: Any, algorithm: str | None = None, **arguments: Any) -> Any:
        options: dict[str, type] = {"lipcost": cls, **cls.__dict__.get("algorithms", {})}
        if algorithm is not None and algorithm not in options:
            raise ValueError(f"{cls.__name__} has no algorithm {algorithm!r}; algorithms: {', '.join(options)}")
        chosen = cls if algorithm is None else options[algorithm]
        return type.__call__(chosen, *args, **arguments)

    # A property of the class of the class: instances, which are called with tensors, do not have it.
    @property
    def __signature__(cls) -> inspect.Signature:
        """What :func:`inspect.signature` and :func:`help` show: all keywords, ``**options`` by name."""
        _, *stated = inspect.signature(cls.__init__).parameters.values()  # type: ignore[misc]
        positional = [p for p in stated if p.kind is Parameter.POSITIONAL_OR_KEYWORD]
        keywords = [p for p in stated if p.kind is Parameter.KEYWORD_ONLY]
        counts, sizes = getattr(cls, "counts", {}), getattr(cls, "sizes", {})
        own = [_keyword(name, "int", default) for name, default in counts.items()]
        own += [_keyword(name, "int | None") for name in sizes]
        last = [_keyword("algorithm", "str | None")] if "algorithms" in cls.__dict__ else []
        return inspect.Signature([*positional, *own, *keywords, *last])


def _keyword(name: str, annotation: str, default: Any = None) -> Parameter:
    return Parameter(name, Parameter.KEYWORD_ONLY, default=default, annotation=annotation)


class Configurable(nn.Module, metaclass=_WithAlgorithms):
    """A module with iteration counts and sizes that its class declares, and its constructor takes by keyword.

    Laws, for every subclass:

    * Each name in ``counts`` and ``sizes`` is a keyword of the constructor and an attribute of the layer: a positive
      integer.
    * An ``__init__`` states every keyword but these, which it takes as ``**options`` and hands on. So the class's
      signature names them all.

    Attributes:
        counts: the iteration counts, by keyword, with their defaults: how often a loop runs, in training or in eval.
        sizes: other sizes of the method's own, such as a rank, with their defaults as functions of the channels
            (c_in, c_out) that the method acts on.
    """

    counts: ClassVar[Mapping[str, int]] = {}
    sizes: ClassVar[Mapping[str, Callable[[int, int], int]]] = {}

    @property
    def channels(self) -> tuple[int, int]:
        """(c_in, c_out) that the method itself acts on."""
        raise NotImplementedError

    def _configure(self, given: Mapping[str, Any]) -> None:
        """Set the counts and sizes, as given or by default.

        Raises:
            TypeError: for a keyword that is neither.
            ValueError: for a value that is no positive integer.
        """
        known = [*self.counts, *self.sizes]
        for name in given:
            if name not in known:
                own = f"its own are {', '.join(known)}" if known else "it has none of its own"
                raise TypeError(f"{type(self).__name__} got an unexpected keyword argument {name!r}; {own}")
        for name, count in self.counts.items():
            setattr(self, name, positive(name, given.get(name, count)))
        for name, size in self.sizes.items():
            value = given.get(name)
            setattr(self, name, positive(name, size(*self.channels) if value is None else value))

    def _stated_sizes(self) -> str:
        """The sizes as a repr states them, behind other arguments."""
        return "".join(f", {name}={getattr(self, name)}" for name in self.sizes)
