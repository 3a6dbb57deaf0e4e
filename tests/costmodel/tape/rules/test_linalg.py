"""Rules of the family linalg beside torch itself."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from one_function import IMAGES, ROWS, STACK, Case, check, parametrized
from torch import nn

CASES: dict[str, Case] = {
    "mm": Case(lambda x, w: x @ w, ROWS, ((6, 5),)),
    "linear": Case(F.linear, ROWS, ((5, 6), (5,))),
    "linear of a stack": Case(F.linear, STACK, ((5, 6), (5,))),
    "linear without bias": Case(F.linear, IMAGES, ((5, 6),)),
    "mv": Case(torch.mv, ROWS, ((6,),)),
    "vector": Case(lambda x, v: x @ v, IMAGES, ((6,),)),
    "vector first": Case(lambda x, v: v @ x, ROWS, ((3,),)),
    "vector before a stack": Case(lambda x, v: v @ x, STACK, ((4,),)),
    "a constant vector": Case(lambda x: x @ x[0, 0, 0].detach(), IMAGES),
    "a constant vector first": Case(lambda x: x[0, 0, 0].detach() @ x, IMAGES),
    "dot": Case(torch.dot, (6,), ((6,),)),
    "vdot": Case(torch.vdot, (6,), ((6,),)),
    "dot of itself": Case(lambda x: x @ x, (6,)),
    "matrix before a stack": Case(lambda x, w: w @ x, STACK, ((5, 4),)),
    "constant matrix before a stack": Case(lambda x: x[0].detach().mT @ x, STACK),
    "constant matrix behind a stack": Case(lambda x: x @ x[0].detach().mT, STACK),
    "bmm": Case(lambda x: torch.bmm(x, x.mT), STACK),
    "stacks": Case(lambda x: x @ x.mT, IMAGES),
    "a stack of one": Case(lambda x, w: x @ w, STACK, ((1, 6, 5),)),
    "a stack of one first": Case(lambda x, w: w @ x, STACK, ((1, 5, 4),)),
    "einsum": Case(lambda x, w: torch.einsum("oc,bchw->bohw", w, x), parameters=((5, 4),)),
    "einsum of channels": Case(lambda x: torch.einsum("bchw,bdhw->bcd", x, 2 * x)),
    "einsum without a sum": Case(lambda x, w: torch.einsum("bchw,c->bchw", x, w), parameters=((4,),)),
    "einsum of a lone axis": Case(lambda x, w: torch.einsum("bchw,co->bo", x, w), parameters=((4, 5),)),
    "einsum of rows": Case(lambda x, w: torch.einsum("bi,ij->bj", x, w), ROWS, ((6, 5),)),
    "einsum outer": Case(lambda x, w: torch.einsum("bi,j->bij", x, w), ROWS, ((5,),)),
    "einsum heads": Case(lambda x, w: torch.einsum("bchw,hcv->bchv", x, w), parameters=((6, 4, 5),)),
}  # fmt: skip


@parametrized(CASES)
def test_a_rule_is_what_torch_does(make: Callable[[], nn.Module] | None, case: Case, layout: str) -> None:
    check(make, case, layout)
