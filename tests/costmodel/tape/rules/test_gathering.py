"""Rules of the family gathering beside torch itself."""

from __future__ import annotations

from collections.abc import Callable

import torch
from one_function import ROWS, Case, check, check_refused, parametrized, refusals
from torch import nn
from torch.nn import functional as F

EVERY = "plain cl t step wide"
WITH_GAPS = "plain t step"
BARE = ("inference",)  # of what has no gradient
PAIR, PLACES = torch.tensor([0, 2]), torch.tensor([[0, 2], [1, 1], [2, 0]])
ROW = torch.tensor([[0], [1], [2]])

CASES: dict[str, Case] = {
    "gather": Case(lambda x: x.gather(1, PLACES), ROWS, layouts=WITH_GAPS),
    "gather of a result": Case(lambda x: (2 * x).gather(1, PLACES), ROWS),
    "complex gather": Case(lambda x: torch.gather(x.conj(), 1, PLACES), ROWS, dtype=torch.complex64),
    "take": Case(lambda x: x.take(PLACES), layouts=EVERY),
    "take_along_dim": Case(lambda x: torch.take_along_dim(x, ROW, 1), ROWS, layouts=WITH_GAPS),
    "take_along_dim of all": Case(lambda x: torch.take_along_dim(x, PAIR), ROWS, layouts="plain"),
    "index_select": Case(lambda x: x.index_select(1, PAIR), layouts=EVERY),
    "index_select of one": Case(lambda x: torch.index_select(x, -1, torch.ones((), dtype=torch.long)), ROWS),
    "scatter": Case(lambda x: x.scatter(1, PLACES, x[:, :2]), ROWS, layouts=WITH_GAPS),
    "scatter a number": Case(lambda x: torch.scatter(x, 1, PLACES, 2.0), ROWS),
    "scatter a number by name": Case(lambda x: x.scatter(1, PLACES, value=2.0), ROWS),
    "scatter into zeros": Case(lambda x: torch.zeros(3, 6).scatter(1, PLACES, x[:, :2]), ROWS),
    "scatter_": Case(lambda x: (x * 2).scatter_(1, PLACES, x[:, :2]), ROWS, layouts=WITH_GAPS),
    "scatter_ a number": Case(lambda x: torch.zeros(3, 6).scatter_(1, PLACES, 1.0) * x, ROWS),
    "scatter_ into a view": Case(lambda x: (x * 2)[:, :3].scatter_(1, PLACES, 1.0), ROWS, layouts=WITH_GAPS),
    "scatter_add": Case(lambda x: x.scatter_add(1, PLACES, x[:, :2]), ROWS, layouts=WITH_GAPS),
    "scatter_add_": Case(lambda x: torch.zeros(3, 6).scatter_add_(1, PLACES, x[:, :2]), ROWS),
    "index_add": Case(lambda x: x.index_add(1, PAIR, x[:, :2]), layouts=EVERY),
    "index_add of a multiple": Case(lambda x: torch.index_add(x, 1, PAIR, x[:, :2], alpha=2), layouts=EVERY),
    "index_add_": Case(lambda x: (x * 2).index_add_(0, PAIR, x[:2])),
    "index_copy": Case(lambda x: x.index_copy(1, PAIR, x[:, :2]), layouts=EVERY),
    "index_copy_": Case(lambda x: (x * 2).index_copy_(1, PAIR, x[:, :2])),
    "index_fill": Case(lambda x: x.index_fill(1, PAIR, 3.0), layouts=EVERY),
    "index_fill_": Case(lambda x: (x * 2).index_fill_(1, PAIR, 3.0)),
    "index_fill by a tensor": Case(lambda x: x.index_fill(1, PAIR, torch.ones(()))),
    "put": Case(lambda x: x.put(PAIR, x[0, :2]), ROWS, layouts=WITH_GAPS),
    "put adds": Case(lambda x: x.put(PAIR, x[0, :2], accumulate=True), ROWS),
    "put_": Case(lambda x: (x * 2).put_(PAIR, x[0, :2]), ROWS),
    "scatter_reduce by sums": Case(lambda x: x.scatter_reduce(1, PLACES, x[:, :2], "sum"), ROWS, layouts=WITH_GAPS),
    "scatter_reduce by means": Case(lambda x: x.scatter_reduce(1, PLACES, x[:, :2], "mean"), ROWS, layouts=WITH_GAPS),
    "scatter_reduce by means of others": Case(
        lambda x: x.scatter_reduce(1, PLACES, x[:, :2], "mean", include_self=False), ROWS
    ),
    "scatter_reduce by maxima": Case(lambda x: x.scatter_reduce(1, PLACES, x[:, :2], "amax"), ROWS, layouts=WITH_GAPS),
    "scatter_reduce by minima of others": Case(
        lambda x: torch.scatter_reduce(x, 1, PLACES, x[:, :2], "amin", include_self=False), ROWS
    ),
    "scatter_reduce by products": Case(lambda x: x.scatter_reduce(1, PLACES, x[:, :2], "prod"), ROWS, modes=BARE),
    "embedding": Case(lambda x: F.embedding(PLACES, x), ROWS, layouts=WITH_GAPS),
    "embedding of a parameter": Case(lambda x, w: x * F.embedding(PLACES[:, 0], w, padding_idx=1), ROWS, ((4, 6),)),
    "torch.embedding": Case(lambda x: torch.embedding(x, PLACES), ROWS),
    "one_hot": Case(lambda x: x[:, :4] * F.one_hot(PLACES[:, 0], 4), ROWS),
    "bucketize": Case(lambda x: x * torch.bucketize(x, torch.arange(3.0)), layouts=EVERY),
    "searchsorted": Case(lambda x: x * torch.searchsorted(torch.arange(3.0), x, out_int32=True)),
    "bfloat16": Case(lambda x: x.gather(1, PLACES) * x.index_select(1, PAIR), ROWS, dtype=torch.bfloat16),
}  # fmt: skip

REFUSED: dict[str, list[Case]] = {
    "one_hot without": [Case(lambda x: F.one_hot(x.long()), ROWS)],
    "nonzero: values decide": [Case(lambda x: x.nonzero(), ROWS)],
    "masked_select: values decide": [Case(lambda x: torch.masked_select(x, x > 0), ROWS)],
    "unique: values decide": [Case(lambda x: x.unique(), ROWS)],
    "combinations: values decide": [Case(lambda x: torch.combinations(x[0]), ROWS)],
    "masked_scatter: values decide": [Case(lambda x: x.masked_scatter(x > 0, x), ROWS)],
    "by products": [Case(lambda x: x.scatter_reduce(1, PLACES, x[:, :2], "prod"), ROWS)],
    "index_fill": [Case(lambda x: x.index_fill(1, PAIR, x.sum()), ROWS)],
    "sparse": [Case(lambda x: F.embedding(PLACES, x, sparse=True), ROWS)],
}


class Rows(nn.Module):
    """Rows of a table by a buffer of numbers, beside x."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(5, 6, padding_idx=0)
        self.register_buffer("places", PAIR.clone())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """x and the rows."""
        return x + self.table(self.places).sum(0)  # type: ignore[no-any-return]


@parametrized(CASES, {"nn.Embedding": Rows})
def test_a_rule_is_what_torch_does(make: Callable[[], nn.Module] | None, case: Case, layout: str) -> None:
    check(make, case, layout)


@refusals(REFUSED)
def test_what_a_value_decides_is_refused(message: str, case: Case) -> None:
    check_refused(message, case)
