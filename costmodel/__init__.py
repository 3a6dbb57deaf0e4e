"""The cost model: FLOPs, memory, traffic and launches of 1-Lipschitz convolutions, in closed form. Needs no torch.

``METHODS`` names the methods, as the library computes them ("lot") and as published ("lot/published"); ``predict``
gives numbers for one configuration; ``formula`` gives the expression in b, s, c, k and the iteration counts;
``evaluate`` applies it to arrays; ``leading_order`` gives its O(·). ``cost`` gives all of that of any torch module,
``predict_network`` numbers for a whole training step, on a ``Device`` also its time; ``plan``, ``max_batch``,
``largest_width`` and ``epochs_within`` answer what fits.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from lipcost.layers.methods.registry import DEFAULTS as DEFAULTS
from lipcost.layers.methods.registry import PUBLISHED as PUBLISHED
from lipcost.layers.networks.table import CONV_NETS as CONV_NETS

from .checks import METHODS as METHODS
from .checks import lookup as lookup
from .devices.device import DEVICES as DEVICES
from .devices.device import Device as Device
from .devices.device import find_device as find_device
from .layer_cost import Prediction as Prediction
from .layer_cost import predict as predict
from .module_cost import Cost as Cost
from .module_cost import cost as cost
from .network_cost import NetworkPrediction as NetworkPrediction
from .network_cost import predict_network as predict_network
from .networks.optimizers import OPTIMIZERS as OPTIMIZERS
from .planning.planner import Plan as Plan
from .planning.planner import epochs_within as epochs_within
from .planning.planner import largest_width as largest_width
from .planning.planner import max_batch as max_batch
from .planning.planner import plan as plan
from .tape import RULES as RULES
from .tape import UnruledFunction as UnruledFunction
from .tape.recording import QUANTITIES as QUANTITIES

if TYPE_CHECKING:
    from .formulas.asymptotics import leading_order as leading_order
    from .formulas.readable import evaluate as evaluate
    from .formulas.readable import formula as formula

__all__ = [
    "CONV_NETS",
    "DEFAULTS",
    "DEVICES",
    "METHODS",
    "OPTIMIZERS",
    "PUBLISHED",
    "QUANTITIES",
    "RULES",
    "Cost",
    "Device",
    "NetworkPrediction",
    "Plan",
    "Prediction",
    "UnruledFunction",
    "cost",
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
_SYMBOLIC = {"evaluate": "readable", "formula": "readable", "leading_order": "asymptotics"}


def __getattr__(name: str) -> Any:
    if name in _SYMBOLIC:
        return getattr(import_module(f".formulas.{_SYMBOLIC[name]}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
