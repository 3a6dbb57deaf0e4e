"""Rules of the family decompositions beside torch itself."""

from __future__ import annotations

from collections.abc import Callable

import torch
from matrices import COMPLEX, STACK, TALL, WIDE, each_of, product
from one_function import Case, check, check_refused, parametrized, refusals
from torch import Tensor, nn

from lipcost.costmodel.tape.versions import since

LAYOUTS = "plain t step wide"

qr = torch.linalg.qr


reflected = torch.linalg.householder_product

FUNCTIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "Q": lambda x: qr(x)[0] * 2,
    "R": lambda x: qr(x)[1] * 2,
    "Q and R": lambda x: qr(x)[0] @ qr(x)[1],
    "Q with R": lambda x: product(*qr(x)),
}

if not since(2, 14):  # which has it no more
    FUNCTIONS["old Q"] = lambda x: torch.qr(x)[0] * 2


def complete(x: Tensor) -> Tensor:
    return qr(x, mode="complete")[0] * 2


CASES = each_of(FUNCTIONS, {"complete Q": complete})
CASES["complete Q, wide"] = Case(complete, WIDE)
CASES["complete Q, tall"] = Case(complete, TALL, modes=("inference",))
CASES["R alone"] = Case(lambda x: qr(x, mode="r")[1], TALL, modes=("inference",))
for _name, _shape in {"square": STACK, "tall": TALL}.items():
    CASES[f"reflections, {_name}"] = Case(reflected, _shape, ((2, 3),), LAYOUTS)
CASES["reflections of one"] = Case(reflected, (4, 3), ((3,),))
CASES["reflections of complex"] = Case(reflected, STACK, ((2, 3),), dtype=COMPLEX, modes=("inference",))
CASES["fewer reflections"] = Case(reflected, STACK, ((2, 2),), modes=("inference",))


@parametrized(CASES)
def test_a_rule_is_what_torch_does(make: Callable[[], nn.Module] | None, case: Case, layout: str) -> None:
    check(make, case, layout)


REFUSED: dict[str, list[Case]] = {
    "gradient of torch.linalg.qr without Q": [Case(lambda x: qr(x, mode="r")[1], STACK)],
    "more columns of it than there are in R": [Case(lambda x: qr(x, mode="complete")[0], TALL)],
    "complex or of fewer reflections": [Case(lambda x: reflected(x, x[:, 0, :2]), STACK)],
}


@refusals(REFUSED)
def test_what_has_no_rule_is_refused(message: str, case: Case) -> None:
    check_refused(message, case)
