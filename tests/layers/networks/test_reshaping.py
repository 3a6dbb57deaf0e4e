"""ZeroChannelPad is an isometry; FirstChannels is its adjoint."""

from __future__ import annotations

import pytest
import torch

from lipcost.layers import FirstChannels, ZeroChannelPad
from lipcost.validate import singular_values


@pytest.mark.parametrize(("c", "channels"), [(1, 1), (3, 3), (3, 8)])
def test_zero_channel_pad(c: int, channels: int) -> None:
    x = torch.randn(2, c, 4, 5)
    y = ZeroChannelPad(channels)(x)
    assert y.shape == (2, channels, 4, 5)
    assert torch.equal(y[:, :c], x)
    assert not y[:, c:].any()
    assert (singular_values(ZeroChannelPad(channels), (c, 4, 5)) == 1).all()


@pytest.mark.parametrize("shape", [(2, 5), (2, 5, 3), (2, 5, 4, 3)])
def test_first_channels(shape: tuple[int, ...]) -> None:
    x = torch.randn(shape)
    assert torch.equal(FirstChannels(3)(x), x[:, :3])
    assert torch.equal(FirstChannels(5)(x), x)


def test_first_channels_is_1_lipschitz() -> None:
    assert (singular_values(FirstChannels(3), (5, 2, 2)) == 1).all()


def test_first_channels_undoes_the_padding() -> None:
    x = torch.randn(2, 3, 4, 4)
    assert torch.equal(FirstChannels(3)(ZeroChannelPad(8)(x)), x)


def test_layers_hold_no_state() -> None:
    assert not ZeroChannelPad(8).state_dict()
    assert not FirstChannels(3).state_dict()
