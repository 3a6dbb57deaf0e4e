"""The cost model: FLOPs, memory, traffic and launches of 1-Lipschitz convolutions, in closed form. Needs no torch.

``METHODS`` names the methods, as the library computes them ("lot") and as published ("lot/published"); ``predict``
gives numbers for one configuration; ``formula`` gives the expression in b, s, c, k and the iteration counts;
``evaluate`` applies it to arrays; ``leading_order`` gives its O(·). ``predict_network`` gives numbers for a whole
training step, on a ``Device`` also its time; ``plan``, ``max_batch``, ``largest_width`` and ``epochs_within`` answer
what fits.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from ._checks import lookup as lookup
from ._methods import DEFAULTS as DEFAULTS
from ._methods import METHODS as METHODS
from ._methods import PUBLISHED as PUBLISHED
from ._record import QUANTITIES as QUANTITIES
from .devices import DEVICES as DEVICES
from .devices import Device as Device
from .devices import find_device as find_device
from .networks import CONV_NETS as CONV_NETS
from .optimizers import OPTIMIZERS as OPTIMIZERS
from .planner import Plan as Plan
from .planner import epochs_within as epochs_within
from .planner import largest_width as largest_width
from .planner import max_batch as max_batch
from .planner import plan as plan
from .predict import Prediction as Prediction
from .predict import predict as predict
from .predict_network import NetworkPrediction as NetworkPrediction
from .predict_network import predict_network as predict_network

if TYPE_CHECKING:
    from .asymptotics import leading_order as leading_order
    from .formulas import evaluate as evaluate
    from .formulas import formula as formula

__all__ = [
    "CONV_NETS",
    "DEFAULTS",
    "DEVICES",
    "METHODS",
    "OPTIMIZERS",
    "PUBLISHED",
    "QUANTITIES",
    "Device",
    "NetworkPrediction",
    "Plan",
    "Prediction",
    "epochs_within",
    "evaluate",
    "find_device",
    "formula",
    "largest_width",
    "leading_order",
    "lookup",
    "max_batch",
    "plan",
    "predict",
    "predict_network",
]

# Loaded at first use: they need SymPy, for which a prediction must not wait.
_SYMBOLIC = {"evaluate": "formulas", "formula": "formulas", "leading_order": "asymptotics"}


def __getattr__(name: str) -> Any:
    if name in _SYMBOLIC:
        return getattr(import_module(f".{_SYMBOLIC[name]}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
