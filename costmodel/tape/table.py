"""The table of rules: what each torch function does on the tape.

A rule has the signature of its torch function and takes tensors without values: it allocates what the function
allocates, records the kernels that it runs and what its backward keeps and runs, and returns what it returns. A
function without a rule is an error that names it, the module and the line, never zero.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from importlib import import_module
from inspect import signature
from typing import TYPE_CHECKING, Any, TypeVar

from .autocast import treated
from .errors import refused, unruled

if TYPE_CHECKING:
    from .tape import Tape

Rule = Callable[..., Any]
Declared = TypeVar("Declared", bound=Rule)

FAMILIES = (
    "activations", "arithmetic", "arrangement", "attention", "attributes", "autograd", "classification",
    "comparisons", "complex_numbers", "contractions", "convolution", "copies", "cumulative", "decompositions",
    "distances", "elementary", "extrema", "factories", "factorisations", "foreach", "fourier", "gathering",
    "indexing", "inplace", "joining", "linalg", "losses", "matrices", "normalisation", "norms", "padding",
    "parts", "pointwise", "pooling", "random", "recurrent", "reductions", "sampling", "spectra", "strided",
    "upsampling", "views",
)  # fmt: skip


# What torch calls by an operator's name has the rule of the method.
OPERATORS = {
    "add": "add", "radd": "add", "iadd": "add_", "sub": "sub", "isub": "sub_", "mul": "mul", "rmul": "mul",
    "imul": "mul_", "truediv": "div", "itruediv": "div_", "div": "div", "idiv": "div_", "floordiv": "floor_divide",
    "ifloordiv": "floor_divide_", "mod": "remainder", "imod": "remainder_", "pow": "pow", "ipow": "pow_", "neg": "neg",
    "pos": "positive", "abs": "abs", "lt": "lt", "le": "le", "gt": "gt", "ge": "ge", "eq": "eq", "ne": "ne",
    "and": "bitwise_and", "iand": "bitwise_and_", "or": "bitwise_or", "ior": "bitwise_or_", "xor": "bitwise_xor",
    "ixor": "bitwise_xor_", "invert": "bitwise_not",
}  # fmt: skip


class Rules(Mapping[Any, Rule]):
    """The rules by torch function; they are read at first use, as torch is."""

    def __init__(self) -> None:
        self._named: dict[str, Rule] = {}
        self._attributes: set[str] = set()
        self.factories: set[Rule] = set()
        self._index: dict[Any, Rule] | None = None

    def declare(self, *names: str, attribute: bool = False, factory: bool = False) -> Callable[[Declared], Declared]:
        """Make the decorated function the rule of torch functions.

        Args:
            names: "torch.relu" and the like; "Tensor.relu" for a method of torch.Tensor.
            attribute: whether the names are attributes of torch.Tensor, not methods.
            factory: whether the function makes tensors of nothing but sizes.
        """

        def add(declared: Declared) -> Declared:
            rule: Any = treated(declared, names)
            for name in names:
                if name in self._named:
                    raise ValueError(f"{name} has a rule already")
                self._named[name] = rule
                if attribute:
                    self._attributes.add(name)
            if factory:
                self.factories.add(rule)
            return rule  # type: ignore[no-any-return]

        return add

    def register(self, function: Any, rule: Rule) -> None:
        """Add a rule of your own, or put it in place of one.

        Args:
            function: a torch function or method: ``torch.sinh``, ``torch.Tensor.sinh``, ``torch.nn.functional.gelu``.
            rule: takes the same arguments, with tensors without values.

        Example:
            >>> import torch
            >>> from lipcost.costmodel import RULES
            >>> from lipcost.costmodel.tape.rules.pointwise import unary
            >>> RULES.register(torch.sinh, lambda x: unary("sinh", x, lambda g, x, y: g * x.cosh()))
            >>> torch.sinh in RULES
            True
        """
        if not callable(function):
            raise ValueError(f"a rule is of a torch function, got {function!r}")
        self._read()[function] = rule

    def named(self, name: str) -> Rule:
        """The rule of a method of torch.Tensor, or else of a function of torch."""
        return self._named.get(f"Tensor.{name}") or self._named[f"torch.{name}"]

    def __getitem__(self, function: Any) -> Rule:
        return self._read()[function]

    def find(self, function: Any) -> Rule | None:
        """The rule of a function, None where there is none."""
        return self._read().get(function)

    def __iter__(self) -> Iterator[Any]:
        return iter(self._read())

    def __len__(self) -> int:
        return len(self._read())

    def _read(self) -> dict[Any, Rule]:
        """The torch functions behind the names; one that this version of torch does not have is left out."""
        if self._index is not None:
            return self._index
        import torch  # noqa: PLC0415

        for family in FAMILIES:
            import_module(f".rules.{family}", __package__)
        index = {}
        for name, rule in self._named.items():
            function: Any = torch
            try:
                for part in name.removeprefix("torch.").split("."):
                    function = getattr(function, part)
            except AttributeError:
                continue
            index[function.__get__ if name in self._attributes else function] = rule
        for operator, name in OPERATORS.items():
            index.setdefault(getattr(torch.Tensor, f"__{operator}__"), self._named[f"Tensor.{name}"])
        self._index = index
        return index


RULES = Rules()
rule = RULES.declare

PLAIN: set[type] = {int, float, bool, complex, type(None), str}  # arguments that rules take as they come


class _Active(threading.local):
    tapes: list[Tape]

    def __init__(self) -> None:
        self.tapes = []


_ACTIVE = _Active()


def active() -> Tape:
    """The tape of the recording that runs."""
    return _ACTIVE.tapes[-1]


def recordings() -> list[Tape]:
    """The tapes of this thread's recordings, the innermost last."""
    return _ACTIVE.tapes


def call(function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Do on the tape what torch code asked of a torch function."""
    of_function = RULES.find(function)
    if of_function is None:
        raise unruled(name_of(function))
    return apply(of_function, args, kwargs)


def apply(of_function: Rule, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Apply a rule to what torch code passed."""
    for value in args:
        if type(value) not in PLAIN:
            args = tuple([value if type(value) in PLAIN else admitted(value) for value in args])
            break
    if kwargs:
        args, kwargs = _named(of_function, args, kwargs)
    return of_function(*args, **kwargs)


NUMPYS = {"axis": "dim", "keepdims": "keepdim"}  # names that torch takes as well


def _named(of_function: Rule, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Named arguments as rules take them: the first one by its place, ``out`` where they know it."""
    named = {
        NUMPYS.get(name, name): value if type(value) in PLAIN else admitted(value) for name, value in kwargs.items()
    }
    if named.get("out") is None:
        named.pop("out", None)
    elif not _takes_out(of_function):
        raise refused("an argument out, into which the result is written")
    if not args and "input" in named:
        args = (named.pop("input"),)
    return args, named


@lru_cache(maxsize=2048)
def _takes_out(of_function: Rule) -> bool:
    parameters = signature(of_function).parameters.values()
    return any(each.name in ("out", "how") for each in parameters)


def admitted(value: Any) -> Any:
    """An argument as rules take it: symbolic sizes as expressions, real tensors as constants of the recording."""
    kind = type(value)
    if kind in PLAIN:
        return value
    if isinstance(value, (tuple, list)):
        plain = all(type(each) in PLAIN for each in value)
        return value if plain else (list if kind is list else tuple)(map(admitted, value))
    if kind is slice:
        return slice(admitted(value.start), admitted(value.stop), admitted(value.step))
    if kind.__name__ == "SymInt":
        return value.node.expr
    return active().lift(value) if isinstance(value, _torch().Tensor) else value


def _torch() -> Any:
    return sys.modules["torch"]


def name_of(function: Any) -> str:
    """How a torch function is called in code."""
    name = getattr(function, "__name__", None) or str(function)
    for where in ("torch.nn.functional", "torch", "torch.linalg", "torch.fft", "torch.special"):
        if getattr(sys.modules.get(where), name, None) is function:
            return f"{where}.{name}"
    if getattr(_torch().Tensor, name, None) is function:
        return f"torch.Tensor.{name}"
    resolved = str(_torch().overrides.resolve_name(function) or name)
    return f"torch.ops.{resolved}" if hasattr(function, "_schema") else resolved
