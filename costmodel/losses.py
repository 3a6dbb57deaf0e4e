"""The loss: cost of ``lipcost.layers.MarginCrossEntropy``."""

from __future__ import annotations

from ._ops import cross_entropy, filled, scatter_add
from ._tensor import Tensor


def margin_cross_entropy(scores: Tensor, labels: Tensor) -> Tensor:
    """τ · CE((f(x) - m·1_y) / τ, y) of scores (b, classes) for labels (b,)."""
    b = scores.shape[0]
    offsets = filled("new_full", scores.tape, (b, 1))
    logits = scatter_add(scores, labels.reshape(b, 1), offsets) / 0.25
    return cross_entropy(logits, labels) * 0.25
