"""Eight truths in a byte."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

# A word of eight bytes, each 0 or 1, times GATHER has these bits in its highest byte: bit i is byte i.
GATHER = 0x0102040810204080
# A byte times SPREAD is that byte eight times; CHOOSE keeps bit i of the i-th (written as a signed integer).
SPREAD = 0x0101010101010101
CHOOSE = 0x8040201008040201 - 2**64


def pack(mask: Tensor) -> Tensor:
    """The truths (b, …) as bytes (b, ⌈n/8⌉), n for each of the b.

    Example:
        >>> import torch
        >>> from lipcost.layers.methods.parts.bits import pack, unpack
        >>> mask = torch.tensor([[True, False, True], [False, False, True]])
        >>> pack(mask), torch.equal(unpack(pack(mask), mask.shape), mask)
        (tensor([[5],
                [4]], dtype=torch.uint8), True)
    """
    flat = mask.flatten(1).view(torch.uint8)
    missing = -flat.shape[1] % 8
    if missing:
        flat = F.pad(flat, (0, missing))
    return (flat.view(torch.int64) * GATHER >> 56).to(torch.uint8)


def unpack(packed: Tensor, shape: torch.Size) -> Tensor:
    """The truths, of ``shape``, that :func:`pack` made ``packed`` from."""
    flat = (packed.to(torch.int64) * SPREAD & CHOOSE).view(torch.uint8) != 0
    return flat[:, : math.prod(shape[1:])].reshape(shape)
