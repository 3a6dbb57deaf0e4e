"""The loss of the published comparison."""

from __future__ import annotations

import math

from torch import Tensor, nn


class MarginCrossEntropy(nn.Module):
    r"""Cross-entropy that asks for a margin: τ · CE((f(x) - m·1_y) / τ, y), with offset m and temperature τ.

    Source: Prach, Brau, Buttazzo & Lampert, "1-Lipschitz layers compared", CVPR 2024, appendix: m = 2√2·ε for
    ε = 36/255, τ = 0.25.

    Args:
        offset: m, taken from the score of the right class.
        temperature: τ, positive.

    Raises:
        ValueError: if ``temperature`` is not positive.

    Example:
        >>> import torch
        >>> from lipcost.layers import MarginCrossEntropy
        >>> loss = MarginCrossEntropy(offset=0.0, temperature=1.0)
        >>> scores, labels = torch.tensor([[2.0, 1.0], [0.0, 3.0]]), torch.tensor([0, 1])
        >>> torch.isclose(loss(scores, labels), torch.nn.functional.cross_entropy(scores, labels))
        tensor(True)
    """

    def __init__(self, offset: float = 2 * math.sqrt(2) * 36 / 255, temperature: float = 0.25) -> None:
        super().__init__()
        if not temperature > 0:
            raise ValueError(f"temperature must be positive, got {temperature!r}")
        self.offset, self.temperature = offset, temperature

    def forward(self, scores: Tensor, labels: Tensor) -> Tensor:
        """The mean loss of ``scores`` (b, classes) for ``labels`` (b,) of type int64."""
        offsets = scores.new_full((scores.shape[0], 1), -self.offset)
        logits = scores.scatter_add(1, labels[:, None], offsets) / self.temperature
        return nn.functional.cross_entropy(logits, labels) * self.temperature

    def extra_repr(self) -> str:
        return f"offset={self.offset:.4f}, temperature={self.temperature}"
