"""SLL's scale is the sum of its paper, term by term; the layer is that formula with dense matrices."""

from __future__ import annotations

from itertools import product

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from lipcost.layers import SLLConv2d
from lipcost.validate import lipschitz_upper_bound


def correlation(w: Tensor, i: int, j: int, dy: int, dx: int) -> float:
    """(WWᵀ)_{ij} at one displacement: Σ_n Σ_{y,x} W[i,n,y+dy,x+dx] W[j,n,y,x]."""
    _, c, k, _ = w.shape
    total = 0.0
    for n, y, x in product(range(c), range(k), range(k)):
        if 0 <= y + dy < k and 0 <= x + dx < k:
            total += float(w[i, n, y + dy, x + dx] * w[j, n, y, x])
    return total


@pytest.mark.parametrize(("c", "k"), [(1, 1), (3, 1), (2, 3), (3, 3), (1, 5)])
def test_scale_is_the_formula(c: int, k: int) -> None:
    layer = SLLConv2d(c, c, k, dtype=torch.float64)
    scale = layer.parameter_transform((8, 8))[0].detach()
    w, q, shifts = layer.weight.detach(), layer.q.detach().abs() + 1e-6, range(1 - k, k)
    for i in range(c):
        t = sum(
            abs(correlation(w, i, j, dy, dx)) * float(q[j] / q[i]) for j in range(c) for dy in shifts for dx in shifts
        )
        torch.testing.assert_close(float(scale[i]), 2 / (t + 1e-6))


@pytest.mark.parametrize("size", [(5, 5), (4, 7)])
def test_output_is_the_formula(size: tuple[int, int]) -> None:
    layer = SLLConv2d(3, 3, 3, dtype=torch.float64)
    pixels = size[0] * size[1]
    basis = torch.eye(3 * pixels, dtype=torch.float64).reshape(-1, 3, *size)
    w = F.conv2d(basis, layer.weight, padding=1).flatten(1).T
    (scale,) = layer.parameter_transform(size)
    x = torch.randn(2, 3, *size, dtype=torch.float64)
    inner = F.relu(x.flatten(1) @ w.T + layer.bias.repeat_interleave(pixels))
    expected = x.flatten(1) - (scale.repeat_interleave(pixels) * inner) @ w
    torch.testing.assert_close(layer(x).flatten(1), expected)


def test_scale_of_q_does_not_matter() -> None:
    layer, x = SLLConv2d(3, 3, 3, dtype=torch.float64), torch.randn(2, 3, 5, 5, dtype=torch.float64)
    y = layer(x)
    with torch.no_grad():
        layer.q.mul_(-2)
    torch.testing.assert_close(layer(x), y, atol=1e-4, rtol=0)  # ε is not scaled along


@pytest.mark.parametrize("std", [0.0, 1e-10, 1e10])
def test_scale_of_the_weight_does_no_harm(std: float) -> None:
    layer = SLLConv2d(3, 3, 3, dtype=torch.float64)
    torch.nn.init.normal_(layer.weight, std=std)
    torch.nn.init.zeros_(layer.q)
    assert lipschitz_upper_bound(layer, (3, 5, 5)) <= 1 + 1e-9
