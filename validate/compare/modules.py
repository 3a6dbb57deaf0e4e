"""Any module's cost beside its measurement, in every quantity and both peaks."""

from __future__ import annotations

from torch import Tensor, nn

from lipcost.costmodel import cost
from lipcost.costmodel.tape.recording import QUANTITIES

from ..measure.flops import measure_flops
from ..measure.memory import measure_memory
from ..measure.protocol import Mode

TRACKER = "peak_bytes out of place"  # the peak where gradients that meet are added out of place


def measured_cost(module: nn.Module, x: Tensor, mode: Mode = "train") -> dict[str, int]:
    """What :func:`lipcost.costmodel.cost` predicts, measured: each of QUANTITIES, and TRACKER.

    Args:
        module: of one input and one output; it is left as it is.
        x: its input, on the CPU.
        mode: "train" or "inference".

    Example:
        >>> import torch
        >>> from lipcost.validate.compare.modules import measured_cost
        >>> measured_cost(torch.nn.Linear(3, 4), torch.ones(2, 3))["macs_forward"]
        24
    """
    memory, flops = measure_memory(module, x, mode), measure_flops(module, x, mode)
    found = {name: getattr(memory, name) for name in ("parameter_bytes", "buffer_bytes", "saved_bytes", "cache_bytes")}
    found |= {"peak_bytes": memory.profiler_peak_bytes, TRACKER: memory.tracker_peak_bytes}
    for phase in ("forward", "backward"):
        found |= {f"{name}_{phase}": getattr(flops, f"{name}_{phase}") for name in ("macs", "launches")}
        found[f"flops_{phase}"] = round(sum(getattr(flops, f"flops_{phase}").values()))
        found[f"traffic_{phase}"] = getattr(flops, f"bytes_moved_{phase}")
    return found


def predicted_cost(module: nn.Module, x: Tensor, mode: Mode = "train") -> dict[str, int]:
    """The same, predicted from the shape and the type of x.

    Raises:
        ValueError: for a function that no rule covers.

    Example:
        >>> import torch
        >>> from lipcost.validate.compare.modules import measured_cost, predicted_cost
        >>> net, x = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.GELU()), torch.ones(2, 3)
        >>> predicted_cost(net, x) == measured_cost(net, x)
        True
    """
    found = cost(module, x.shape, mode, dtype=x.dtype)
    tracked = cost(module, x.shape, mode, dtype=x.dtype, in_place=False)
    return {name: getattr(found, name) for name in QUANTITIES} | {TRACKER: tracked.peak_bytes}
