"""The cost model: FLOPs, memory, traffic and launches of 1-Lipschitz convolutions, in closed form. Needs no torch.

``METHODS`` names the methods; ``predict`` gives numbers for one configuration; ``formula`` gives the expression in b,
s, c, k and the iteration counts; ``evaluate`` applies it to arrays; ``leading_order`` gives its O(·).
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from ._checks import lookup as lookup
from ._methods import METHODS as METHODS
from ._record import QUANTITIES as QUANTITIES
from .predict import Prediction as Prediction
from .predict import predict as predict

if TYPE_CHECKING:
    from .asymptotics import leading_order as leading_order
    from .formulas import evaluate as evaluate
    from .formulas import formula as formula

__all__ = ["METHODS", "QUANTITIES", "Prediction", "evaluate", "formula", "leading_order", "lookup", "predict"]

# Loaded at first use: they need SymPy, for which a prediction must not wait.
_SYMBOLIC = {"evaluate": "formulas", "formula": "formulas", "leading_order": "asymptotics"}


def __getattr__(name: str) -> Any:
    if name in _SYMBOLIC:
        return getattr(import_module(f".{_SYMBOLIC[name]}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
