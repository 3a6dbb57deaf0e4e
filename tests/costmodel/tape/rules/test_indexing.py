"""Rules of the family indexing beside torch itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from one_function import ROWS, Case, check, check_refused, parametrized, refusals
from torch import nn

EVERY = "plain cl t step wide"
BARE = ("inference",)  # of what has no gradient
PAIR, PAIRS = torch.tensor([1, 0]), torch.tensor([[0, 2], [1, 1], [2, 0]])


def _set(index: Any, value: Any = None, base: Callable[[torch.Tensor], torch.Tensor] = lambda x: x * 2) -> Any:
    """Of writing into a part of a tensor made of x; the value is one, or made of x."""

    def function(x: torch.Tensor, *_: torch.Tensor) -> torch.Tensor:
        y = base(x)
        y[index] = value(x) if callable(value) else value
        return y * y

    return function


def _zeros(x: torch.Tensor) -> torch.Tensor:
    return torch.zeros(x.shape)


def _view_after(x: torch.Tensor) -> torch.Tensor:
    y = x * 2
    before = y[0]
    y[:, 1] = x[:, 0]
    return before * y


def _written_view(x: torch.Tensor) -> torch.Tensor:
    y = x * 2
    part = y[:, 1:3]
    part[0] = x[0, :2]
    return part * 3


CASES: dict[str, Case] = {
    "slice": Case(lambda x: x[:, 1:, ::2] * 2, layouts=EVERY),
    "slice of all": Case(lambda x: x[:] * x[:9] * x[:, :], layouts=EVERY),
    "slice of all from the end": Case(lambda x: (2 * x)[:1, -4:], layouts=EVERY),
    "slice from before the start": Case(lambda x: (2 * x)[:1, -9:], layouts=EVERY),
    "select": Case(lambda x: x[1] * 2, layouts=EVERY),
    "new axes": Case(lambda x: x[None, ..., None, 1:2] * 2, layouts=EVERY),
    "from behind": Case(lambda x: x[-1, ..., -2:] * 2),
    "from before the start": Case(lambda x: x[:, -9:] * x[:, -9:, -9:-6].sum(), layouts=EVERY),
    "beyond the end": Case(lambda x: torch.cat([x[:9, 2:1], x[:9, :-1]], 1)),
    "ellipsis": Case(lambda x: x[...] * 2),
    "index": Case(lambda x: x[PAIR], layouts=EVERY),
    "list": Case(lambda x: x[:, [0, 2]], layouts=EVERY),
    "indices that meet": Case(lambda x: x[PAIR, PAIR], layouts=EVERY),
    "indices apart": Case(lambda x: x[PAIR, :, PAIR], layouts=EVERY),
    "indices that broadcast": Case(lambda x: x[:, PAIRS, PAIR], layouts=EVERY),
    "an index and a number": Case(lambda x: x[1, :, PAIR], layouts=EVERY),
    "an index and new axes": Case(lambda x: x[None, :, PAIR, ..., None, 1:], layouts=EVERY),
    "indices behind an ellipsis": Case(lambda x: x[..., PAIRS], layouts=EVERY),
    "an index of a product": Case(lambda x: (x * 2)[:, PAIR] * x[:, PAIR]),
    "complex": Case(lambda x: x[:, PAIR].conj() * x[:, 1:3], ROWS, dtype=torch.complex64),
    "a buffer's index": Case(lambda x: x[:, PAIRS.t().contiguous()[0]], ROWS),
    "rows of a parameter": Case(lambda x, w: w[PAIR][:, None] * x[:, :2, :2, :2], parameters=((3,),), layouts="plain"),
    "set a number": Case(_set((slice(None), 0), 5.0), layouts=EVERY),
    "set one element": Case(_set((0, 0, 0, 0), 5)),
    "set numbers outside": Case(_set((slice(None), 0), 5.0, _zeros), modes=BARE),
    "set a tensor": Case(_set((slice(None), 0), lambda x: x[:, 1]), layouts=EVERY),
    "set a tensor of another type": Case(_set((slice(None), 0), lambda x: x[:, 1].double()), ROWS),
    "set one row to all": Case(_set((slice(None), slice(0, 2)), lambda x: x[:1, :1]), layouts=EVERY),
    "set a sum": Case(_set((slice(None), slice(0, 2)), lambda x: x.sum())),
    "set into zeros": Case(_set((slice(None), slice(0, 2)), lambda x: x[:, :2], _zeros), layouts=EVERY),
    "set all of zeros": Case(_set(slice(None), lambda x: x[:1], _zeros)),
    "set a constant": Case(_set(0, torch.ones(6)), ROWS),
    "set twice": Case(lambda x: _set(0, 1.0)(_set(1, 2.0)(x))),
    "set an index": Case(_set(PAIR, lambda x: x[:2]), layouts=EVERY),
    "set a number at an index": Case(_set((slice(None), PAIR), 3), layouts=EVERY),
    "set at indices of a slice": Case(_set((slice(1, 3), PAIR), lambda x: x[1:, :2])),
    "set at a list": Case(_set((slice(None), [0, 2]), lambda x: x[:1, :2], _zeros)),
    "set where a mask says": Case(_set((slice(None), torch.tensor([True, False, True, True])), 0.0), layouts=EVERY),
    "set where x is positive": Case(lambda x: _set(x > 0, 0.0)(x), ROWS),
    "a view from before": Case(_view_after, layouts=EVERY),
    "a view that is written": Case(_written_view, layouts=EVERY),
    "index_put": Case(lambda x: x.index_put((PAIR,), x[:2]), layouts=EVERY),
    "index_put adds": Case(lambda x: torch.index_put(x, (PAIR, PAIR), x[0, :2], accumulate=True)),
    "index_put_": Case(lambda x: (x * 2).index_put_((PAIR,), x[:2], True)),
    "copy_": Case(lambda x: torch.zeros(x.shape).copy_(x[:1])),
    "copy_ over": Case(lambda x: (x * 2).copy_(x) * 3),
    "copy_ of complex into real": Case(lambda x: torch.zeros(x.shape).copy_(x), ROWS, dtype=torch.complex64),
}  # fmt: skip

REFUSED: dict[str, list[Case]] = {
    "a mask": [
        Case(lambda x: x[x > 0], ROWS),
        Case(lambda x: x[:, torch.ones(6, dtype=torch.bool)], ROWS),
        Case(lambda x: _set(x > 0, lambda x: x.sum())(x), ROWS),
    ],
    "a truth": [Case(lambda x: x[True], ROWS)],
    "one number": [Case(lambda x: x[x.argmax()], ROWS)],
}


@parametrized(CASES)
def test_a_rule_is_what_torch_does(make: Callable[[], nn.Module] | None, case: Case, layout: str) -> None:
    check(make, case, layout)


@refusals(REFUSED)
def test_what_a_value_decides_is_refused(message: str, case: Case) -> None:
    check_refused(message, case)
