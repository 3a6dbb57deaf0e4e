"""Torch functions that are Python: as torch wrote them, on the tape."""

from __future__ import annotations

from types import FunctionType
from typing import Any

from .table import Rule, rule


def as_written(*names: str) -> None:
    """Let torch's own Python be the rule of torch functions: what it calls has rules.

    Args:
        names: of functions: "torch.nn.functional.multi_head_attention_forward" and the like.
    """
    for name in names:
        rule(name)(_of(name))


def _of(name: str) -> Rule:
    found: list[Any] = []

    def run(*args: Any, **kwargs: Any) -> Any:
        from .run import Door  # noqa: PLC0415  (it reads the rules)

        if not found:
            found.append(_unasked(name))
        with Door():  # what makes tensors of sizes meets no tensor
            return found[0](*args, **kwargs)

    return run


def _unasked(name: str) -> Any:
    """A copy of a function that does not ask whether its tensors have functions of their own."""
    import torch  # noqa: PLC0415

    function: Any = torch
    for part in name.removeprefix("torch.").split("."):
        function = getattr(function, part)
    asked = [each for each in function.__code__.co_names if each.startswith("has_torch_function")]
    world = function.__globals__ | dict.fromkeys(asked, lambda *_: False)
    copy = FunctionType(function.__code__, world, function.__name__, function.__defaults__, function.__closure__)
    copy.__kwdefaults__ = function.__kwdefaults__
    return copy
