"""The engine: torch programs run on tensors without values, and what they allocate, compute and keep is recorded.

``Tape`` holds a recording, ``Tensor`` stands for torch.Tensor, ``RULES`` says what each torch function does, and
``running`` lets a torch module run on a tape. It knows no method, and imports torch when the first of these is asked
for.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from .errors import UnruledFunction as UnruledFunction
from .table import RULES as RULES
from .tape import Operation as Operation
from .tape import Storage as Storage
from .tape import Tape as Tape

if TYPE_CHECKING:
    from .graph import run_backward as run_backward
    from .graph import saved_storages as saved_storages
    from .run import running as running
    from .tensor import Tensor as Tensor

_MODULES = {"Tensor": "tensor", "run_backward": "graph", "running": "run", "saved_storages": "graph"}


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return getattr(import_module(f".{_MODULES[name]}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
