"""MaxMin sorts channel pairs, and so permutes: every singular value of its Jacobian is 1 away from ties."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from lipcost.layers import MaxMin
from lipcost.layers.networks.activations import PublishedMaxMin
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
    assert (singular_values(MaxMin(), (x.shape[1], 4, 5), at=x[0]) == 1).all()


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
    assert x.grad is not None and torch.equal(x.grad, torch.ones_like(x))


def test_saves_a_bit_per_pair() -> None:
    x, saved = torch.randn(3, 6, 5, 5, requires_grad=True), []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: saved.append(t) or t, lambda t: t):
        MaxMin()(x)
    assert [t.nbytes for t in saved] == [3 * math.ceil(3 * 5 * 5 / 8)]


def test_gradient_is_the_published_one_away_from_ties(x: Tensor) -> None:
    g, x = torch.randn_like(x), x.requires_grad_()
    ours, published = (torch.autograd.grad(module(x), x, g)[0] for module in (MaxMin(), PublishedMaxMin()))
    assert torch.equal(ours, published)


def test_gradient_of_a_tie_passes_through() -> None:
    x, g = torch.ones(1, 2, 1, 1, requires_grad=True), torch.tensor([3.0, 5.0]).reshape(1, 2, 1, 1)
    assert torch.equal(torch.autograd.grad(MaxMin()(x), x, g)[0], g)


@pytest.mark.parametrize("layout", ["channels_last", "transposed"])
def test_any_layout(layout: str) -> None:
    x = torch.randn(2, 4, 3, 5)
    other = x.contiguous(memory_format=torch.channels_last) if layout == "channels_last" else x.mT.contiguous().mT
    assert torch.equal(MaxMin()(other), MaxMin()(x))


def test_gradient_can_be_differentiated(x: Tensor) -> None:
    assert torch.autograd.gradgradcheck(lambda x: MaxMin()(x).square(), (x.requires_grad_(),))
