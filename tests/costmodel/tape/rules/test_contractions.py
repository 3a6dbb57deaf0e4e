"""Rules of the family contractions beside torch itself."""

from __future__ import annotations

from collections.abc import Callable

import torch
from one_function import IMAGES, ROWS, STACK, Case, check, parametrized
from torch import nn

einsum = torch.einsum

CASES: dict[str, Case] = {
    "einsum": Case(lambda x, w: einsum("oc,bchw->bohw", w, x), parameters=((5, 4),)),
    "einsum of channels": Case(lambda x: einsum("bchw,bdhw->bcd", x, 2 * x)),
    "einsum without a sum": Case(lambda x, w: einsum("bchw,c->bchw", x, w), parameters=((4,),)),
    "einsum of a lone axis": Case(lambda x, w: einsum("bchw,co->bo", x, w), parameters=((4, 5),)),
    "einsum of lone axes": Case(lambda x, w: einsum("bchw,cod->bo", x, w), parameters=((4, 5, 2),)),
    "einsum of rows": Case(lambda x, w: einsum("bi,ij->bj", x, w), ROWS, ((6, 5),)),
    "einsum outer": Case(lambda x, w: einsum("bi,j->bij", x, w), ROWS, ((5,),)),
    "einsum heads": Case(lambda x, w: einsum("bchw,hcv->bchv", x, w), parameters=((6, 4, 5),)),
    "einsum of one": Case(lambda x: einsum("bchw->bhc", x), IMAGES),
    "einsum of one, turned": Case(lambda x: einsum("bchw->wbhc", x), IMAGES),
    "einsum of one, implicit": Case(lambda x: einsum("bca", x), STACK),
    "einsum of a diagonal": Case(lambda x: einsum("bchh->bh", x), IMAGES),
    "einsum of a diagonal, summed": Case(lambda x: einsum("bchh->bc", x), IMAGES),
    "einsum of diagonals": Case(lambda x, w: einsum("bchh,cc->bc", x, w), IMAGES, ((4, 4),)),
    "einsum to a number": Case(lambda x, w: einsum("ij,ij->", x, w), ROWS, ((3, 6),)),
    "einsum, implicit": Case(lambda x, w: einsum("ij,jk", x, w), ROWS, ((6, 5),)),
    "einsum, implicit in another order": Case(lambda x, w: einsum("jb,ja", x, w), ROWS, ((3, 5),)),
    "einsum with an ellipsis": Case(lambda x, w: einsum("...i,ij->...j", x, w), IMAGES, ((6, 5),)),
    "einsum with an ellipsis, implicit": Case(lambda x, w: einsum("...i,i", x, w), IMAGES, ((6,),)),
    "einsum with two ellipses": Case(lambda x, w: einsum("...ij,...jk->...ik", x, w), IMAGES, ((4, 6, 5),)),
    "einsum that sums an ellipsis": Case(lambda x, w: einsum("...i,ij->j", x, w), STACK, ((6, 5),)),
    "einsum with an ellipsis last": Case(lambda x, w: einsum("bc...,dc->bd...", x, w), IMAGES, ((5, 4),)),
    "einsum of an axis of one": Case(lambda x, w: einsum("ij,jk->ik", x, w), (3, 1), ((6, 5),)),
    "einsum of two axes of one": Case(lambda x, w: einsum("ij,jk->ik", x, w), (3, 1), ((1, 5),)),
    "einsum of three": Case(lambda x, v, w: einsum("bi,ij,jk->bk", x, v, w), ROWS, ((6, 5), (5, 4))),
    "einsum of three with one label": Case(lambda x, v, w: einsum("bi,i,i->b", x, v, w), ROWS, ((6,), (6,))),
    "einsum of four": Case(lambda x, u, v, w: einsum("bchw,c,hk,wl->bkl", x, u, v, w), IMAGES, ((4,), (6, 2), (6, 3))),
    "einsum of a list": Case(lambda x, w: einsum("bi,ij->bj", [x, w]), ROWS, ((6, 5),)),
    "einsum of numbers": Case(lambda x, w: einsum(x, [0, 1], w, [1, 2], [0, 2]), ROWS, ((6, 5),)),
    "einsum of numbers and an ellipsis": Case(lambda x, w: einsum(x, [..., 30], w, [30, 2]), STACK, ((6, 5),)),
    "einsum of constants": Case(lambda x: einsum("bchw,bcvw->bchv", x, x.detach()), IMAGES),
    "einsum of a complex": Case(
        lambda x, w: einsum("ij,jk->ik", x, w.conj()), ROWS, ((6, 5),), dtype=torch.complex64
    ),
    "tensordot": Case(lambda x, w: torch.tensordot(x, w), IMAGES, ((6, 6, 5),)),
    "tensordot of one axis": Case(lambda x, w: torch.tensordot(x, w, 1), STACK, ((6, 5),)),
    "tensordot of named axes": Case(lambda x, w: torch.tensordot(x, w, ([1, 3], [2, 0])), IMAGES, ((6, 5, 4),)),
    "tensordot of an axis of one": Case(lambda x, w: torch.tensordot(x, w, ([1], [0])), (3, 1), ((5, 2),)),
    "tensordot with an axis of one": Case(lambda x, w: torch.tensordot(x, w, ([1], [0])), ROWS, ((1, 2),)),
    "tensordot of no axis": Case(lambda x, w: torch.tensordot(x, w, 0), ROWS, ((5,),)),
}  # fmt: skip


@parametrized(CASES)
def test_a_rule_is_what_torch_does(make: Callable[[], nn.Module] | None, case: Case, layout: str) -> None:
    check(make, case, layout)
