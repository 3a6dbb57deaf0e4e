"""Truths in bits come back as they were."""

from __future__ import annotations

import math

import torch
from hypothesis import given
from hypothesis import strategies as st

from lipcost.layers.methods.parts.bits import pack, unpack


@given(
    st.lists(st.lists(st.booleans(), min_size=1, max_size=40), min_size=1, max_size=3),
)
def test_bits(rows: list[list[bool]]) -> None:
    width = min(map(len, rows))
    mask = torch.tensor([row[:width] for row in rows])
    packed = pack(mask)
    assert packed.shape == (len(rows), math.ceil(width / 8))
    assert torch.equal(unpack(packed, mask.shape), mask)
