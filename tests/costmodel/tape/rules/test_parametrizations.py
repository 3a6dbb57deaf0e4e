"""Torch's own parametrizations of weights, which are made of ruled functions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from one_function import MODES, measured, predicted
from torch import Tensor, nn
from torch.nn.utils.parametrizations import orthogonal, spectral_norm, weight_norm

from lipcost.costmodel.tape import Tape
from lipcost.costmodel.tape.program import Program, record_call
from lipcost.validate import measure_memory

IMAGES = (2, 3, 5, 5)
LAYERS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "square": (lambda: nn.Linear(4, 4), (3, 4)),
    "tall": (lambda: nn.Linear(4, 6), (3, 4)),
    "wide": (lambda: nn.Linear(6, 4), (3, 6)),
    "images": (lambda: nn.Conv2d(3, 4, 3), IMAGES),
    "images, transposed": (lambda: nn.ConvTranspose2d(3, 4, 3), IMAGES),
    "signals": (lambda: nn.Conv1d(3, 4, 3), (2, 3, 5)),
}

MAPS = ("matrix_exp", "cayley", "householder")
PARAMETRIZED: dict[str, Callable[[nn.Module], nn.Module]] = {
    "spectral norm": spectral_norm,
    "spectral norm, evaluated": lambda layer: spectral_norm(layer).eval(),
    "spectral norm by three iterations": lambda layer: spectral_norm(layer, n_power_iterations=3),
    "spectral norm of another axis": lambda layer: spectral_norm(layer, dim=1),
    "spectral norm of the bias": lambda layer: spectral_norm(layer, "bias", dim=0),
    "weight norm": weight_norm,
}
for _map in MAPS:
    PARAMETRIZED[f"orthogonal by {_map}"] = lambda layer, _map=_map: orthogonal(layer, orthogonal_map=_map)
    PARAMETRIZED[f"orthogonal by {_map}, from zero"] = lambda layer, _map=_map: orthogonal(
        layer, orthogonal_map=_map, use_trivialization=False
    )


@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.parametrize("name", PARAMETRIZED)
def test_a_parametrization_is_recorded_as_torch_runs_it(name: str, layer: str) -> None:
    make, shape = LAYERS[layer]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        net, x = PARAMETRIZED[name](make()), torch.rand(shape)
    for mode in MODES:
        assert {"mode": mode, **predicted(net, shape, mode)} == {"mode": mode, **measured(net, x, mode)}


class Twice(nn.Module):
    """A layer that is applied twice, its weight computed once."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: Tensor) -> Tensor:
        with nn.utils.parametrize.cached():
            return self.layer(self.layer(x))  # type: ignore[no-any-return]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("parametrization", [orthogonal, spectral_norm])
def test_a_cached_weight_is_computed_once(parametrization: Any, mode: Any) -> None:
    """Of the memory alone: fvcore traces no cached parametrization."""
    net, x, train = Twice(parametrization(nn.Linear(4, 4))), torch.rand(3, 4), mode == "train"
    memory = measure_memory(net, x, mode)
    in_place, out_of_place = (
        record_call(Program(net, (3, 4), torch.float32, train, train), Tape(in_place=each))[0] for each in (True, False)
    )
    found = in_place.peak(), out_of_place.peak(), in_place.saved_bytes
    assert found == (memory.profiler_peak_bytes, memory.tracker_peak_bytes, memory.saved_bytes)
