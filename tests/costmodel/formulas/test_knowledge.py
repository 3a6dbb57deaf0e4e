"""What a way through the branches says of its symbols."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lipcost.costmodel import cost
from lipcost.costmodel.tape.recording import QUANTITIES
from lipcost.validate.compare.modules import measured_cost


class Of(nn.Module):
    """A function of x, times a parameter."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function, self.scale = function, nn.Parameter(torch.ones(1))

    def forward(self, x: Tensor) -> Tensor:
        """The function's value, scaled."""
        return self.function(x) * self.scale


ROWS, IMAGES = ("b", "s"), ("b", 2, "s", "s")
FUNCTIONS: dict[str, tuple[Callable[[Tensor], Tensor], tuple[Any, ...]]] = {
    "view": (lambda x: x.reshape(-1, 4), ROWS),
    "halves": (lambda x: x.view(x.shape[0], x.shape[1] // 2, 2), ROWS),
    "select": (lambda x: x[:, 5], ROWS),
    "select from behind": (lambda x: x.select(1, -3), ROWS),
    "narrow": (lambda x: x.narrow(1, 2, 4), ROWS),
    "slice": (lambda x: x[:, 2:7], ROWS),
    "steps": (lambda x: x[:, 1::3], ROWS),
    "slice from behind": (lambda x: x[:, -4:], ROWS),
    "pool up": (lambda x: F.max_pool2d(x, 3, 2, ceil_mode=True), IMAGES),
    "average up": (lambda x: F.avg_pool2d(x, 2, 2, padding=1, ceil_mode=True), IMAGES),
    "pixels": (lambda x: F.pixel_unshuffle(x, 3), IMAGES),
    "mirrored": (lambda x: F.pad(x, (2, 2, 1, 1), mode="reflect"), IMAGES),
    "wrapped": (lambda x: F.pad(x, (2, 2, 2, 2), mode="circular"), IMAGES),
    "cut": (lambda x: F.pad(x, (-1, -2)), ROWS),
    "broadcast where it fits": (lambda x: x + F.max_pool1d(x, 4), ROWS),
    "broadcast": (lambda x: x[:, :, None] + F.avg_pool1d(x, 4)[:, None, :], ROWS),
    "two alike": (lambda x: x @ x.mT + x, ("b", "s", "t")),
    "patches": (lambda x: F.unfold(x, 3, stride=2), IMAGES),
    "instance norm": (lambda x: F.instance_norm(F.max_pool2d(x, 2)), IMAGES),
    "smaller": (lambda x: F.interpolate(x, size=x.shape[2] // 2, mode="bilinear"), IMAGES),
    "largest": (lambda x: x.topk(3, 1)[0], ROWS),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_formulas_hold_and_know_where(name: str) -> None:
    function, names = FUNCTIONS[name]
    module = Of(function)
    formulas = cost(module, names)
    for b, s, t in [(1, 1, 1), (3, 2, 2), (1, 3, 5), (2, 4, 4), (1, 5, 1), (3, 6, 7), (4, 7, 7), (2, 8, 1), (1, 12, 3)]:
        sizes = {name: size for name, size in zip("bst", (b, s, t), strict=True) if name in names}
        try:
            expected = measured_cost(module, torch.rand([sizes.get(size, size) for size in names]))
        except (RuntimeError, IndexError, ValueError):
            with pytest.raises(ValueError, match="the module takes sizes with"):
                formulas.evaluate("peak_bytes", **sizes)
            continue
        found = {quantity: int(formulas.evaluate(quantity, **sizes)) for quantity in QUANTITIES}
        assert {**sizes, **found} == {**sizes, **{quantity: expected[quantity] for quantity in QUANTITIES}}
