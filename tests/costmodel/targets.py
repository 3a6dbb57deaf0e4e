"""What losses are compared with, and a network that ends in one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from one_function import ROWS, Case
from torch import Tensor, nn

REDUCTIONS = ("none", "mean", "sum")
LABELS = torch.tensor([1, 0, 3])
WEIGHTS = torch.ones(6)
OTHERS: dict[tuple[int, ...], Tensor] = {
    shape: torch.rand(shape, generator=torch.Generator().manual_seed(2)) for shape in (ROWS, (3,), (3, 1), (3, 6, 4, 5))
}


def other(shape: tuple[int, ...] = ROWS) -> Tensor:
    """Something that lies beside x."""
    return OTHERS[shape]


def reduced(name: str, case: Callable[[str], Any], shape: tuple[int, ...] = ROWS) -> Iterator[tuple[str, Case]]:
    """A loss reduced in every way."""
    for reduction in REDUCTIONS:
        yield f"{name} {reduction}", Case(case(reduction), shape, layouts="plain t" if reduction == "none" else "plain")


class Loss(nn.Module):
    """A network that ends in a loss."""

    def __init__(self, criterion: nn.Module, target: Tensor) -> None:
        super().__init__()
        self.net, self.criterion, self.target = nn.Conv2d(4, 4, 1), criterion, target

    def forward(self, x: Tensor) -> Tensor:
        scores = self.net(x).sigmoid()
        return self.criterion(scores, self.target)
