"""AOL's rescaling is the double sum of its paper, term by term."""

from __future__ import annotations

from itertools import product

import pytest
import torch
from torch import Tensor

from lipcost.layers import AOLConv2d
from lipcost.validate import singular_values


def correlation(p: Tensor, i: int, j: int, dy: int, dx: int) -> float:
    """Σ_o Σ_{y,x} P[o,i,y,x] P[o,j,y+dy,x+dx], entries outside the kernel zero."""
    c_out, _, k, _ = p.shape
    total = 0.0
    for o, y, x in product(range(c_out), range(k), range(k)):
        if 0 <= y + dy < k and 0 <= x + dx < k:
            total += float(p[o, i, y, x] * p[o, j, y + dy, x + dx])
    return total


@pytest.mark.parametrize(("c_in", "c_out", "k"), [(2, 3, 3), (3, 2, 3), (3, 3, 1), (1, 1, 5)])
def test_rescaling_is_the_formula(c_in: int, c_out: int, k: int) -> None:
    layer = AOLConv2d(c_in, c_out, k, dtype=torch.float64)
    torch.nn.init.normal_(layer.weight)
    p, shifts = layer.weight.detach(), range(1 - k, k)
    (kernel,) = layer.parameter_transform((8, 8))
    for j in range(c_in):
        bound = sum(abs(correlation(p, i, j, dy, dx)) for i in range(c_in) for dy in shifts for dx in shifts)
        torch.testing.assert_close(kernel[:, j], p[:, j] * (bound + 1e-6) ** -0.5)


@pytest.mark.parametrize("channels", [(4, 4), (2, 4), (4, 2)])
def test_starts_at_the_identity(channels: tuple[int, int]) -> None:
    c_in, c_out = channels
    layer, x = AOLConv2d(c_in, c_out, 3, dtype=torch.float64), torch.randn(2, c_in, 5, 5, dtype=torch.float64)
    n = min(channels)
    y = layer(x)
    torch.testing.assert_close(y[:, :n], x[:, :n], atol=1e-5, rtol=0)
    assert not y[:, n:].any()


@pytest.mark.parametrize("factor", [0.0, 1e-20, 1e20])
def test_scale_of_the_weight_does_no_harm(factor: float) -> None:
    layer = AOLConv2d(3, 3, 3, dtype=torch.float64)
    torch.nn.init.normal_(layer.weight, std=factor)
    assert singular_values(layer, (3, 5, 5))[0] <= 1 + 1e-9
