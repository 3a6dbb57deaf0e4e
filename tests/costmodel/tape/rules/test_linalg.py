"""Rules of the family linalg beside torch itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from one_function import IMAGES, MODES, ROWS, STACK, Case, Of, check, parametrized
from torch import Tensor, nn

from lipcost.costmodel.tape import Tape
from lipcost.costmodel.tape.program import Program, record_call
from lipcost.validate import measure_memory


class Twice(nn.Module):
    """A module of two inputs, of x twice."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x, x)  # type: ignore[no-any-return]


L = "plain cl t step wide"  # every layout
N = "plain t step"  # whatever the first axis is

C64 = torch.complex64
ones = torch.ones

CASES: dict[str, Case] = {
    "mm": Case(lambda x, w: x @ w, ROWS, ((6, 5),)),
    "mm of a constant": Case(lambda x: torch.mm(ones(5, 3), x), ROWS),
    "mm by a constant": Case(lambda x: torch.mm(x, ones(6, 5)), ROWS),
    "mm of a transposed": Case(lambda x, w: x @ w.mT, ROWS, ((5, 6),)),
    "mm of a complex": Case(lambda x, w: x @ w.mH, ROWS, ((5, 6),), dtype=C64),
    "mm of a conjugate": Case(lambda x, w: x.conj() @ w, ROWS, ((6, 5),), dtype=C64),
    "mm of a bfloat16": Case(torch.mm, ROWS, ((6, 5),), dtype=torch.bfloat16),
    "addmm": Case(lambda x, b, w: torch.addmm(b, x, w), ROWS, ((5,), (6, 5))),
    "addmm of a matrix": Case(lambda x, b, w: torch.addmm(b, x, w), ROWS, ((3, 5), (6, 5))),
    "addmm with factors": Case(lambda x, b, w: torch.addmm(b, x, w, beta=2, alpha=3), ROWS, ((5,), (6, 5))),
    "addmm with one factor": Case(lambda x, b, w: torch.addmm(b, x, w, alpha=3), ROWS, ((1, 5), (6, 5))),
    "addmm of a constant": Case(lambda x, b: torch.addmm(b, x, ones(6, 5), alpha=3), ROWS, ((5,),)),
    "addmm to a constant": Case(lambda x, w: torch.addmm(ones(5), x, w, beta=3), ROWS, ((6, 5),)),
    "addmm of a complex": Case(
        lambda x, b, w: torch.addmm(b, x, w.mH, beta=2, alpha=3j), ROWS, ((5,), (5, 6)), dtype=C64
    ),
    "linear": Case(F.linear, ROWS, ((5, 6), (5,)), layouts=L),
    "linear of a stack": Case(F.linear, STACK, ((5, 6), (5,)), layouts=L),
    "linear of images": Case(F.linear, IMAGES, ((5, 6), (5,)), layouts=L),
    "linear of a vector": Case(F.linear, (6,), ((5, 6), (5,)), layouts=N),
    "linear of a vector without bias": Case(F.linear, (6,), ((5, 6),), layouts=N),
    "linear without bias": Case(F.linear, IMAGES, ((5, 6),), layouts=L),
    "linear of a stack without bias": Case(F.linear, STACK, ((5, 6),), layouts=L),
    "linear with a constant weight": Case(lambda x, b: F.linear(x, ones(5, 6), b), STACK, ((5,),), layouts=L),
    "linear with a constant weight, no bias": Case(lambda x: F.linear(x, ones(5, 6)), STACK, layouts=L),
    "linear with a constant bias": Case(lambda x, w: F.linear(x, w, ones(5)), STACK, ((5, 6),), layouts=L),
    "linear of a constant": Case(lambda x, b: F.linear(ones(2, 3, 6), x, b), ROWS, ((3,),), layouts=N),
    "linear to one": Case(F.linear, STACK, ((1, 6), (1,)), layouts=L),
    "linear with a vector": Case(F.linear, STACK, ((6,),), layouts=L),
    "linear of a complex": Case(F.linear, STACK, ((5, 6), (5,)), layouts=L, dtype=C64),
    "linear of a bfloat16": Case(F.linear, STACK, ((5, 6), (5,)), layouts=L, dtype=torch.bfloat16),
    "mv": Case(torch.mv, ROWS, ((6,),)),
    "mv of a complex": Case(lambda x, v: torch.mv(x.conj(), v), ROWS, ((6,),), dtype=C64),
    "addmv": Case(lambda x, b, v: torch.addmv(b, x, v), ROWS, ((3,), (6,))),
    "addmv with factors": Case(lambda x, b, v: torch.addmv(b, x, v, beta=2, alpha=3), ROWS, ((1,), (6,))),
    "addmv of constants": Case(lambda x: torch.addmv(ones(3), x, ones(6), alpha=3), ROWS),
    "addmv of a complex": Case(lambda x, b, v: torch.addmv(b, x, v, alpha=3), ROWS, ((3,), (6,)), dtype=C64),
    "addr": Case(torch.addr, ROWS, ((3,), (6,))),
    "addr with factors": Case(lambda x, u, v: torch.addr(x, u, v, beta=2, alpha=3), ROWS, ((3,), (6,))),
    "addr of constants": Case(lambda x: torch.addr(ones(3, 6), ones(3), x, alpha=3), (6,)),
    "addr of a complex": Case(torch.addr, ROWS, ((3,), (6,)), dtype=C64),
    "addr to a vector": Case(torch.addr, (6,), ((3,), (6,))),
    "outer": Case(torch.outer, (3,), ((6,),), layouts=L),
    "ger": Case(torch.ger, (3,), ((6,),), layouts=L),
    "outer of a complex": Case(lambda x, v: torch.outer(x.conj(), v), (3,), ((6,),), layouts=L, dtype=C64),
    "inner of vectors": Case(torch.inner, (6,), ((6,),)),
    "inner of a stack": Case(torch.inner, STACK, ((5, 6),)),
    "inner by a vector": Case(torch.inner, STACK, ((6,),)),
    "inner with a number": Case(lambda x, v: torch.inner(x, v[0]), STACK, ((6,),)),
    "vector": Case(lambda x, v: x @ v, IMAGES, ((6,),), layouts=L),
    "vector first": Case(lambda x, v: v @ x, ROWS, ((3,),)),
    "vector before a stack": Case(lambda x, v: v @ x, STACK, ((4,),), layouts=L),
    "vector before images": Case(lambda x, v: v @ x, IMAGES, ((6,),), layouts=L),
    "a constant vector": Case(lambda x: x @ x[0, 0, 0].detach(), IMAGES, layouts=L),
    "a constant vector first": Case(lambda x: x[0, 0, 0].detach() @ x, IMAGES, layouts=L),
    "dot": Case(torch.dot, (6,), ((6,),), layouts=N),
    "dot of a complex": Case(torch.dot, (6,), ((6,),), layouts=N, dtype=C64),
    "dot of a constant": Case(lambda x: torch.dot(ones(6), x), (6,), layouts=N),
    "vdot": Case(torch.vdot, (6,), ((6,),), layouts=N),
    "vdot of a complex": Case(torch.vdot, (6,), ((6,),), layouts=N, dtype=C64),
    "vdot of constants": Case(lambda x: torch.vdot(x, torch.ones(6, dtype=C64)), (6,), dtype=C64),
    "dot of itself": Case(lambda x: x @ x, (6,)),
    "matrix before a stack": Case(lambda x, w: w @ x, STACK, ((5, 4),), layouts=L),
    "matrix before images": Case(lambda x, w: w @ x, IMAGES, ((5, 6),), layouts=L),
    "matrix behind images": Case(lambda x, w: x @ w, IMAGES, ((6, 5),), layouts=L),
    "constant matrix before a stack": Case(lambda x: x[0].detach().mT @ x, STACK, layouts=L),
    "constant matrix behind a stack": Case(lambda x: x @ x[0].detach().mT, STACK, layouts=L),
    "a constant stack behind a matrix": Case(lambda x: x @ ones(2, 6, 4), ROWS, layouts=L),
    "bmm": Case(lambda x: torch.bmm(x, x.mT), STACK),
    "bmm of a constant": Case(lambda x: torch.bmm(x, ones(3, 6, 5)), STACK),
    "bmm of a complex": Case(lambda x, w: torch.bmm(x, w.mH), STACK, ((3, 5, 6),), dtype=C64),
    "addbmm": Case(lambda x, b, w: torch.addbmm(b, x, w), STACK, ((4, 5), (3, 6, 5))),
    "addbmm with factors": Case(
        lambda x, b, w: torch.addbmm(b, x, w, beta=2, alpha=3), STACK, ((5,), (3, 6, 5))
    ),
    "addbmm of constants": Case(
        lambda x: torch.addbmm(ones(4, 5), x, ones(3, 6, 5), alpha=3), STACK
    ),
    "addbmm of a complex": Case(lambda x, b, w: torch.addbmm(b, x, w), STACK, ((4, 5), (3, 6, 5)), dtype=C64),
    "baddbmm": Case(lambda x, b, w: torch.baddbmm(b, x, w), STACK, ((3, 4, 5), (3, 6, 5))),
    "baddbmm with factors": Case(
        lambda x, b, w: torch.baddbmm(b, x, w, beta=2, alpha=3), STACK, ((3, 1, 5), (3, 6, 5))
    ),
    "baddbmm of constants": Case(
        lambda x: torch.baddbmm(ones(3, 1, 6), ones(3, 5, 4), x, alpha=3), STACK
    ),
    "stacks": Case(lambda x: x @ x.mT, IMAGES, layouts=L),
    "stacks of a complex": Case(lambda x: x @ x.mH, IMAGES, layouts=L, dtype=C64),
    "broadcast stacks": Case(lambda x, w: x @ w, IMAGES, ((3, 1, 6, 5),), layouts=N),
    "broadcast stacks both ways": Case(lambda x, w: x[:, :1] @ w, IMAGES, ((4, 6, 5),), layouts=L),
    "stacks of other ranks": Case(lambda x, w: x @ w, STACK, ((2, 3, 6, 5),), layouts=N),
    "a stack before a vector": Case(lambda x, w: w @ x, (6,), ((3, 4, 6),), layouts=N),
    "a stack behind a vector": Case(lambda x, w: x @ w, (6,), ((3, 6, 4),), layouts=N),
    "a stack behind a matrix": Case(lambda x, w: x @ w, ROWS, ((3, 6, 4),), layouts=L),
    # Not "step" in inference: of operands without gradients torch takes another way under the mode that measures.
    "a stack of one": Case(lambda x, w: x @ w, STACK, ((1, 6, 5),), layouts=L.replace(" step", "")),
    "a stack of one, with gaps": Case(lambda x, w: x @ w, STACK, ((1, 6, 5),), layouts="step", modes=("train",)),
    "a stack of one first": Case(lambda x, w: w @ x, STACK, ((1, 5, 4),), layouts=L),
    "one column": Case(lambda x, w: x @ w, ROWS, ((6, 1),)),
    "one row": Case(lambda x, w: x[:1] @ w, ROWS, ((6, 5),)),
    "vecdot": Case(torch.linalg.vecdot, STACK, ((6,),)),
    "vecdot of another axis": Case(lambda x, v: torch.linalg.vecdot(x, v, dim=1), STACK, ((4, 1),)),
    "vecdot of a complex": Case(torch.linalg.vecdot, STACK, ((6,),), dtype=C64),
    "linalg.matmul": Case(torch.linalg.matmul, STACK, ((6, 5),)),
}  # fmt: skip

MODULES = {
    "Linear": lambda: nn.Linear(6, 5),
    "Linear without bias": lambda: nn.Linear(6, 5, bias=False),
    "Bilinear": lambda: Twice(nn.Bilinear(6, 6, 5)),
}


@pytest.mark.parametrize("mode", MODES)
def test_a_constant_stack_of_one(mode: Any) -> None:
    """Torch folds it under a dispatch mode alone, so that only the memory is compared."""
    net, x, train = Of(lambda x: x @ ones(1, 6, 5), dtype=torch.float32), torch.rand(STACK), mode == "train"
    memory = measure_memory(net, x, mode)
    in_place, out_of_place = (
        record_call(Program(net, STACK, torch.float32, train, train), Tape(in_place=each))[0] for each in (True, False)
    )
    assert (in_place.peak(), out_of_place.peak()) == (memory.profiler_peak_bytes, memory.tracker_peak_bytes)


@parametrized(CASES, MODULES)
def test_a_rule_is_what_torch_does(make: Callable[[], nn.Module] | None, case: Case, layout: str) -> None:
    check(make, case, layout)
