"""Rules of the family extrema beside torch itself."""

from __future__ import annotations

from collections.abc import Callable

import torch
from one_function import MODES, ROWS, Case, check, parametrized
from torch import nn

from lipcost.costmodel.tape.versions import since

EVERY = "plain cl t step wide"
TRAINED = ("train",)  # alone, the profiler takes the copy inside the operator for a tensor
AMINMAX = MODES if since(2, 13) else ("inference",)  # torch had no gradient of it
BARE = ("inference",)  # of what has no gradient

CASES: dict[str, Case] = {
    "amax": Case(lambda x: x.amax((2, 3)), layouts=EVERY),
    "amin of all": Case(lambda x: x.amin()),
    "aminmax": Case(lambda x: torch.mul(*x.aminmax(dim=1)), layouts=EVERY, modes=AMINMAX),
    "aminmax of all": Case(lambda x: torch.mul(*torch.aminmax(x)), layouts=EVERY, modes=AMINMAX),
    "min of aminmax": Case(lambda x: torch.aminmax(x, dim=1, keepdim=True).min * 2, modes=AMINMAX),
    "max": Case(lambda x: x.max(1)[0], layouts=EVERY),
    "max with the axis": Case(lambda x: torch.max(x, 1, keepdim=True).values),
    "max of all": Case(lambda x: x.max(), layouts=EVERY),
    "min of all": Case(lambda x: x * torch.min(x)),
    "max of two": Case(lambda x: torch.max(x, 2 * x)),
    "min of two by name": Case(lambda x: torch.min(x, other=2 * x)),
    "indices": Case(lambda x: x.min(1).indices, modes=BARE),
    "argmax": Case(lambda x: x.argmax(1), layouts=EVERY, modes=BARE),
    "argmin": Case(lambda x: torch.argmin(x, 1, keepdim=True), modes=BARE),
    "argmax of all": Case(lambda x: x.argmax(), modes=BARE),
    "argmax of all, axes kept": Case(lambda x: x.argmax(keepdim=True), modes=BARE),
    "median": Case(lambda x: x.median(1).values, layouts=EVERY),
    "median of all": Case(lambda x: x.median(), layouts=EVERY, modes=TRAINED),
    "nanmedian": Case(lambda x: x.nanmedian(1, keepdim=True)[0]),
    "nanmedian of all": Case(lambda x: x.nanmedian(), modes=TRAINED),
    "mode": Case(lambda x: x.mode().values),
    "kthvalue": Case(lambda x: x.kthvalue(2, 1).values, layouts=EVERY),
    "topk": Case(lambda x: x.topk(2, 1).values, layouts=EVERY),
    "topk of the last axis": Case(lambda x: torch.topk(x, 3, largest=False, sorted=False)[0]),
    "sort": Case(lambda x: x.sort(1).values, layouts=EVERY),
    "stable sort": Case(lambda x: torch.sort(x, dim=0, stable=True, descending=True)[0]),
    "sort of a number": Case(lambda x: x[0, 0].sort().values * 2, ROWS, layouts="plain"),
    "max of a number": Case(lambda x: x[0, 0].max(0).values * 2, ROWS, layouts="plain"),
    "msort": Case(lambda x: x.msort(), layouts=EVERY),
    "argsort": Case(lambda x: x.argsort(1), layouts=EVERY, modes=BARE),
    "argsort in a graph": Case(lambda x: x * x.argsort(-1, descending=True)),
}  # fmt: skip


@parametrized(CASES)
def test_a_rule_is_what_torch_does(make: Callable[[], nn.Module] | None, case: Case, layout: str) -> None:
    check(make, case, layout)
