"""Activations that keep the Lipschitz constant at 1."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class PublishedMaxMin(nn.Module):
    """Channel pairs (x, y) ↦ (max, min), in order; an odd last channel passes through. It preserves gradient norms.

    Source: Anil, Lucas & Grosse, "Sorting out Lipschitz function approximation", ICML 2019 (GroupSort with groups of
    two). As in the published comparison, maximum and minimum each save the index of the channel that they took: 8 bytes
    per output element, whatever the dtype.

    Example:
        >>> import torch
        >>> from lipcost.layers.published.activations import PublishedMaxMin
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
