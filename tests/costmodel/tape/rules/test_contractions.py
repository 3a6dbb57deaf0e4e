"""Rules of the family contractions beside torch itself."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest
import torch
from one_function import IMAGES, ROWS, STACK, Case, Of, check, parametrized, predicted
from torch import nn

einsum, multi_dot, matrix_power = torch.einsum, torch.linalg.multi_dot, torch.linalg.matrix_power

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
    "tensordot": Case(torch.tensordot, IMAGES, ((6, 6, 5),)),
    "tensordot of one axis": Case(lambda x, w: torch.tensordot(x, w, 1), STACK, ((6, 5),)),
    "tensordot of named axes": Case(lambda x, w: torch.tensordot(x, w, ([1, 3], [2, 0])), IMAGES, ((6, 5, 4),)),
    "tensordot of an axis of one": Case(lambda x, w: torch.tensordot(x, w, ([1], [0])), (3, 1), ((5, 2),)),
    "tensordot with an axis of one": Case(lambda x, w: torch.tensordot(x, w, ([1], [0])), ROWS, ((1, 2),)),
    "tensordot of no axis": Case(lambda x, w: torch.tensordot(x, w, 0), ROWS, ((5,),)),
    "tensordot to one number": Case(torch.tensordot, (4, 3), ((4, 3),), layouts="plain"),
    "tensordot of rows to one": Case(lambda x, w: torch.tensordot(x, w, 1), (1, 4), ((4, 1),), layouts="plain"),
    "a chain of two": Case(lambda x, w: multi_dot([x, w]), ROWS, ((6, 5),)),
    "a chain of three": Case(lambda x, v, w: multi_dot([x, v, w]), ROWS, ((6, 5), (5, 2))),
    "a chain of three, the last first": Case(lambda x, v, w: multi_dot([x, v, w]), (5, 6), ((6, 4), (4, 1))),
    "a chain of four": Case(lambda x, u, v, w: multi_dot([x, u, v, w]), ROWS, ((6, 5), (5, 2), (2, 4))),
    "a chain of five": Case(
        lambda x, t, u, v, w: multi_dot([x, t, u, v, w]), (5, 2), ((2, 6), (6, 3), (3, 6), (6, 2))
    ),
    "a chain of vectors": Case(lambda x, v, w: multi_dot([v, x, w]), ROWS, ((3,), (6,))),
    "a chain of complex": Case(lambda x, v, w: multi_dot([x, v, w.mH]), ROWS, ((6, 5), (2, 5)), dtype=torch.complex64),
    "chain_matmul": Case(torch.chain_matmul, ROWS, ((6, 5), (5, 2))),
    **{f"power {n}": Case(partial(matrix_power, n=n), (3, 4, 4)) for n in (1, 2, 3, 5, 6, -1, -2)},
    "kron": Case(torch.kron, ROWS, ((2, 4),), layouts="plain step"),
    "kron of other ranks": Case(torch.kron, STACK, ((2, 3),), layouts="plain step"),
    "kron of complex": Case(lambda x, w: torch.kron(x.conj(), w), ROWS, ((2, 4),), "plain", torch.complex64),
    "cross": Case(torch.linalg.cross, (4, 3), ((4, 3),), "plain t step"),
    "cross of another axis": Case(lambda x, w: torch.linalg.cross(x, w, dim=0), (3, 4), ((3, 1),), "plain t step"),
    "cross of the first axis of three": Case(torch.cross, (2, 3, 4), ((2, 3, 1),)),
    "cross of complex": Case(torch.linalg.cross, (4, 3), ((4, 3),), "plain t", torch.complex64),
    "cross with a constant": Case(lambda x: torch.linalg.cross(x, torch.ones(1, 3)), (4, 3)),
}  # fmt: skip


def test_the_power_zero_is_refused() -> None:
    with pytest.raises(ValueError, match="with the power 0"):
        predicted(Of(partial(matrix_power, n=0), dtype=torch.float32), (3, 4, 4), "train")


@parametrized(CASES)
def test_a_rule_is_what_torch_does(make: Callable[[], nn.Module] | None, case: Case, layout: str) -> None:
    check(make, case, layout)
