"""Rules of the family arrangement beside torch itself."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from one_function import ROWS, STACK, Case, Of, check, parametrized, predicted
from torch import nn

from lipcost.costmodel.tape.errors import UnruledFunction

EVERY = "plain cl t step wide"

CASES: dict[str, Case] = {
    "repeat": Case(lambda x: x.repeat(1, 2, 1, 3), layouts=EVERY),
    "repeat along new axes": Case(lambda x: x.repeat(2, 1, 3), ROWS, layouts=EVERY),
    "repeat once": Case(lambda x: x.repeat((1, 1)), ROWS),
    "repeat a number": Case(lambda x: x[0, 0].repeat(3), ROWS, layouts="plain"),
    "tile": Case(lambda x: x.tile(2, 2), layouts=EVERY),
    "tile by name": Case(lambda x: torch.tile(x, dims=(2, 1, 1)), ROWS),
    "repeat_interleave": Case(lambda x: x.repeat_interleave(2, 1), layouts=EVERY),
    "repeat_interleave of all": Case(lambda x: torch.repeat_interleave(x, 2), layouts="plain"),
    "repeat_interleave of a row": Case(lambda x: x.repeat_interleave(3, dim=0), (6,)),
    "roll": Case(lambda x: x.roll(1, 2), layouts=EVERY),
    "roll by two": Case(lambda x: torch.roll(x, (1, -2), (1, 3)), layouts=EVERY),
    "roll all": Case(lambda x: x.roll(2), layouts=EVERY),
    "roll by nothing": Case(lambda x: x.roll(0, 1), layouts=EVERY),
    "quarter turn": Case(lambda x: x.rot90(1, (2, 3)), layouts=EVERY),
    "half turn": Case(lambda x: torch.rot90(x, 2, (2, 3)), layouts=EVERY),
    "back": Case(lambda x: x.rot90(-1, (1, 0)), STACK, layouts=EVERY),
    "full turn": Case(lambda x: x.rot90(4), ROWS, layouts=EVERY),
    "flip": Case(lambda x: x.flip(2), layouts=EVERY),
    "flip by name": Case(lambda x: torch.flip(x, dims=(0, 1)), layouts=EVERY),
    "fliplr": Case(lambda x: x.fliplr(), layouts=EVERY),
    "flipud": Case(torch.flipud, layouts=EVERY),
}  # fmt: skip


@parametrized(CASES)
def test_a_rule_is_what_torch_does(make: Callable[[], nn.Module] | None, case: Case, layout: str) -> None:
    check(make, case, layout)


def test_repeats_in_a_tensor_are_refused() -> None:
    repeated = Of(lambda x: x.repeat_interleave(torch.tensor([1, 2, 3]), 0), dtype=torch.float32)
    with pytest.raises(UnruledFunction, match="repeat_interleave by a tensor"):
        predicted(repeated, ROWS, "train")
