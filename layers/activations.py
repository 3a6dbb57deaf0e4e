"""Activations that keep the Lipschitz constant at 1."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class MaxMin(nn.Module):
    """Channel pairs (x, y) ↦ (max, min), in order; an odd last channel passes through. It preserves gradient norms.

    Source: Anil, Lucas & Grosse, "Sorting out Lipschitz function approximation", ICML 2019 (GroupSort with groups of
    two).

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
        c = x.shape[1]
        if c % 2:
            x = torch.cat((x, torch.full_like(x[:, :1], -torch.inf)), dim=1)
        first, second = x[:, 0::2], x[:, 1::2]
        pairs = torch.stack((torch.maximum(first, second), torch.minimum(first, second)), dim=2)
        return pairs.flatten(1, 2)[:, :c]
