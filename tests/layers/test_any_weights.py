"""1-Lipschitz in eval, with finite gradients, whatever the weights: every method, held to what the exact norm is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from lipcost.layers import LAYERS
from lipcost.layers.base.layer import NONE
from lipcost.layers.methods.registry import DEFAULTS
from lipcost.validate import lipschitz_upper_bound, singular_values
from lipcost.validate.compare.weights import SGD, WEIGHTS

METHODS = [name for name in DEFAULTS if LAYERS[name].promise != NONE]
KINDS: dict[str, Callable[[Tensor], Tensor]] = {**WEIGHTS, "× 1e-30": lambda w: w * 1e-30}
TOLERANCES = {torch.float32: 1e-4, torch.float64: 1e-7}


def holds(layer: Any, x: Tensor) -> None:
    """In eval the layer's own bound is above its exact norm and at most 1."""
    _, *sides = x.shape
    shape, tolerance = (sides[0], sides[1], sides[2]), TOLERANCES[x.dtype]
    bound = layer.eval().lipschitz_upper_bound(shape)
    assert singular_values(layer, shape, at=x[0].detach())[0] - tolerance <= bound <= 1 + tolerance
    assert lipschitz_upper_bound(layer, shape) <= 1 + tolerance


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != SGD])
@pytest.mark.parametrize("mode", ["zeros", "circular"])
@pytest.mark.parametrize("sizes", [(3, 3, 3), (2, 4, 3), (4, 2, 1), (2, 2, 5)])
@pytest.mark.parametrize("dtype", TOLERANCES)
@pytest.mark.parametrize("method", METHODS)
def test_1_lipschitz_for_any_weights(
    method: str, dtype: torch.dtype, sizes: tuple[int, int, int], mode: str, kind: str
) -> None:
    cls: Any = LAYERS[method]
    layer = cls(*sizes, padding_mode=mode, dtype=dtype)
    with torch.no_grad():
        layer.weight.copy_(KINDS[kind](layer.weight))
    for training in (True, False):
        x = torch.randn(2, sizes[0], 5, 6, dtype=dtype, requires_grad=True)
        layer.train(training).zero_grad()
        layer(x).square().sum().backward()
        assert all(t.grad is not None and t.grad.isfinite().all() for t in (x, *layer.parameters()))
    holds(layer, x)


@pytest.mark.parametrize("method", METHODS)
def test_1_lipschitz_after_large_steps(method: str) -> None:
    layer, x = LAYERS[method](3, 3, 3), torch.randn(2, 3, 5, 6)
    optimizer = torch.optim.SGD(layer.parameters(), lr=10)
    for _ in range(5):
        optimizer.zero_grad()
        layer(torch.randn_like(x)).square().mean().backward()
        optimizer.step()
    holds(layer, x)
