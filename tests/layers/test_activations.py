"""MaxMin sorts channel pairs, and so permutes: every singular value of its Jacobian is 1 away from ties."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from lipcost.layers import MaxMin
from lipcost.validate import pair_ratio, singular_values


@pytest.fixture(params=[1, 2, 5, 6])
def x(request: pytest.FixtureRequest) -> Tensor:
    return torch.randn(3, request.param, 4, 5, dtype=torch.float64)


def test_pairs_are_sorted(x: Tensor) -> None:
    y = MaxMin()(x)
    assert y.shape == x.shape
    for i in range(0, x.shape[1] - 1, 2):
        assert torch.equal(y[:, i : i + 2], x[:, i : i + 2].sort(dim=1, descending=True).values)
    if x.shape[1] % 2:
        assert torch.equal(y[:, -1], x[:, -1])


def test_permutes_the_entries(x: Tensor) -> None:
    assert (singular_values(MaxMin(), tuple(x.shape[1:]), at=x[0]) == 1).all()


def test_is_1_lipschitz(x: Tensor) -> None:
    assert pair_ratio(MaxMin(), x, x.flip(0) + 1) <= 1 + 1e-12


def test_is_idempotent(x: Tensor) -> None:
    y = MaxMin()(x)
    assert torch.equal(MaxMin()(y), y)


@pytest.mark.parametrize("shape", [(2, 3), (2, 4, 5), (2, 3, 4, 5, 6)])
def test_any_number_of_axes(shape: tuple[int, ...]) -> None:
    assert MaxMin()(torch.randn(shape)).shape == shape


def test_gradient_at_an_odd_channel_is_finite() -> None:
    x = torch.randn(2, 3, 4, 4, requires_grad=True)
    MaxMin()(x).sum().backward()
    assert torch.equal(x.grad, torch.ones_like(x))
