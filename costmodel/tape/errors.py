"""What a recording refuses, and where the program was when it did."""

from __future__ import annotations

import sys
from types import FrameType
from typing import Any

HERE = __name__.rpartition(".")[0].removesuffix(".tape")


class UnruledFunction(ValueError):
    """A torch function that has no rule, or a use of one that its rule does not cover, was met in a recording."""


class Mismatch(ValueError):
    """Sizes or types that do not fit each other; torch would raise too. Says where in the network that is."""

    def __init__(self, what: str) -> None:
        super().__init__(what + whereabouts())


class NeedsNumber(ValueError):
    """A program loops over a size, or computes with its value, and the size is a symbol."""


def unruled(name: str) -> UnruledFunction:
    """The error for a function without a rule: its name, the module and the line that called it."""
    return UnruledFunction(f"no rule for {name}{whereabouts()}; add one with lipcost.costmodel.RULES.register")


def refused(what: str) -> UnruledFunction:
    """The error for a use of a function that its rule does not cover."""
    return UnruledFunction(f"no rule for {what}{whereabouts()}")


def whereabouts() -> str:
    """The module of the network and the line of code that are running, for an error's message."""
    import torch  # noqa: PLC0415  (an error of a recording, which has it)

    modules: list[Any] = []
    line = ""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        package = frame.f_globals.get("__name__", "")
        own = package.startswith((HERE, "torch.", "contextlib")) or package == "torch"
        if not line and not own:
            line = f"{frame.f_code.co_filename}:{frame.f_lineno}"
        subject = frame.f_locals.get("self")
        if isinstance(subject, torch.nn.Module) and not any(subject is each for each in modules):
            modules.append(subject)
        frame = frame.f_back
    where = ""
    if modules:
        root, innermost = modules[-1], modules[0]
        path = next((name for name, each in root.named_modules() if each is innermost), "")
        where = f" in {type(innermost).__name__}" + (f" ({path})" if path else "")
    return where + (f" at {line}" if line else "")
