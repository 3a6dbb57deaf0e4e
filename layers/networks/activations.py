"""Activations that keep the Lipschitz constant at 1."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from ..base.function import Function
from ..methods.parts.bits import pack, unpack

INTEGERS = {2: torch.int16, 4: torch.int32, 8: torch.int64}


class MaxMin(nn.Module):
    """Channel pairs (x, y) ↦ (max, min), in order; an odd last channel passes through. It preserves gradient norms.

    Source: Anil, Lucas & Grosse, "Sorting out Lipschitz function approximation", ICML 2019 (GroupSort with groups of
    two). It saves one bit per pair, whether they were swapped; the bits of each image start in a byte of their own.
    Where x = y the gradient passes straight through, unlike in the published networks, whose max and min both send
    theirs to x: both are limits of gradients nearby, and ours keeps the norm.

    Example:
        >>> import torch
        >>> from lipcost.layers import MaxMin
        >>> MaxMin()(torch.tensor([1.0, 2.0, -3.0]).reshape(1, 3, 1, 1)).flatten()
        tensor([ 2.,  1., -3.])
    """

    def forward(self, x: Tensor) -> Tensor:
        """Apply to ``x`` of shape (b, c, …); returns the same shape."""
        if x.dim() < 2:
            raise ValueError(f"MaxMin takes inputs of shape (b, c, ...), got {tuple(x.shape)}")
        return x if x.shape[1] == 1 else SortPairs.of(x)


class PublishedMaxMin(nn.Module):
    """Channel pairs (x, y) ↦ (max, min), in order; an odd last channel passes through. It preserves gradient norms.

    Source: Anil, Lucas & Grosse, "Sorting out Lipschitz function approximation", ICML 2019 (GroupSort with groups of
    two). As in the published comparison, maximum and minimum each save the index of the channel that they took: 8 bytes
    per output element, whatever the dtype.

    Example:
        >>> import torch
        >>> from lipcost.layers.networks.activations import PublishedMaxMin
        >>> PublishedMaxMin()(torch.tensor([1.0, 2.0, -3.0]).reshape(1, 3, 1, 1)).flatten()
        tensor([ 2.,  1., -3.])
    """

    def forward(self, x: Tensor) -> Tensor:
        """Apply to ``x`` of shape (b, c, …); returns the same shape."""
        if x.dim() < 2:
            raise ValueError(f"MaxMin takes inputs of shape (b, c, ...), got {tuple(x.shape)}")
        if x.shape[1] == 1:
            return x
        paired = x.shape[1] // 2 * 2
        pairs = x[:, :paired].reshape(x.shape[0], paired // 2, 2, *x.shape[2:])
        y = torch.cat((pairs.max(2, keepdim=True)[0], pairs.min(2, keepdim=True)[0]), dim=2).flatten(1, 2)
        return y if paired == x.shape[1] else torch.cat((y, x[:, paired:]), dim=1)


class SortPairs(Function):
    """MaxMin of x (b, c, …), c > 1."""

    @staticmethod
    def forward(x: Tensor) -> Tensor:
        y = x.clone(memory_format=torch.contiguous_format)
        (first, second), (larger, smaller) = _pairs(x), _pairs(y)
        larger.clamp_min_(second)
        smaller.clamp_max_(first)
        return y

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor], output: Tensor) -> None:
        first, second = _pairs(inputs[0])
        ctx.save_for_backward(pack(second > first))

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Tensor:
        return SwapPairs.of(g, ctx.saved_tensors[0])


class SwapPairs(Function):
    """g (b, c, …) with those channel pairs swapped that ``packed`` says; its own gradient."""

    @staticmethod
    def forward(g: Tensor, packed: Tensor) -> Tensor:
        out = g.clone(memory_format=torch.contiguous_format)
        first, second = _pairs(out.view(INTEGERS[out.element_size()]))
        # By their bits, which CPUs swap four times as fast as torch.where.
        change = unpack(packed, first.shape).to(first.dtype).neg_()
        change.bitwise_and_(first ^ second)
        first.bitwise_xor_(change)
        second.bitwise_xor_(change)
        return out

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor], output: Tensor) -> None:
        ctx.save_for_backward(inputs[1])

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor, None]:
        return SwapPairs.of(g, ctx.saved_tensors[0]), None


def _pairs(x: Tensor) -> tuple[Tensor, Tensor]:
    """Views of the first and the second of each channel pair, both (b, ⌊c/2⌋, …)."""
    even = x.shape[1] // 2 * 2
    return x[:, 0:even:2], x[:, 1:even:2]
