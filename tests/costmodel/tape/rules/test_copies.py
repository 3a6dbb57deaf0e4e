"""Rules of the family copies beside torch itself."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from one_function import ROWS, Case, Of, check, parametrized, predicted
from torch import nn

from lipcost.costmodel.tape.errors import UnruledFunction

EVERY = "plain cl t step wide"
LAST = torch.channels_last
TYPES = ("half", "bfloat16", "double", "cfloat", "cdouble")
INTEGERS = ("byte", "char", "short", "int", "long", "bool")


def _as(name: str) -> Callable[[torch.Tensor], torch.Tensor]:
    return lambda x: getattr(x, name)() * 2


def _beside(name: str) -> Callable[[torch.Tensor], torch.Tensor]:
    return lambda x: x * getattr(x, name)()


CASES: dict[str, Case] = {
    **{name: Case(_as(name), ROWS, layouts="plain t") for name in TYPES},
    **{name: Case(_beside(name), ROWS, layouts="plain t") for name in INTEGERS},
    "clone": Case(lambda x: x.clone(), layouts=EVERY),
    "clone in a row": Case(lambda x: torch.clone(x, memory_format=torch.contiguous_format) * 2, layouts=EVERY),
    "clone channels last": Case(lambda x: x.clone(memory_format=LAST) * 2, layouts=EVERY),
    "clone of a conjugate": Case(lambda x: x.conj().clone() * x, ROWS, dtype=torch.complex64),
    "flip": Case(lambda x: x.flip(2), layouts=EVERY),
    "contiguous": Case(lambda x: x.contiguous() * 2, layouts=EVERY),
    "contiguous conjugate": Case(lambda x: x.conj().contiguous() * 2, ROWS, dtype=torch.complex64),
    "channels last": Case(lambda x: x.contiguous(memory_format=LAST) * 2, layouts=EVERY),
    "to channels last": Case(lambda x: x.to(memory_format=LAST) * 2, layouts=EVERY),
    "to channels last in double": Case(lambda x: x.to(torch.float64, memory_format=LAST) * 2, layouts=EVERY),
    "to a row": Case(lambda x: x.to(memory_format=torch.contiguous_format) * 2, layouts=EVERY),
    "to its own": Case(lambda x: x.to(torch.float32) * x.to(x) * x.to("cpu") * x.cpu() * x.float(), ROWS),
    "to double": Case(lambda x: x.to(torch.double) * 2, layouts=EVERY),
    "to double by name": Case(lambda x: x.to(dtype=torch.double, non_blocking=True, copy=False) * 2, ROWS),
    "to a copy": Case(lambda x: x.to(torch.float32, copy=True) * 2, layouts=EVERY),
    "to a copy by place": Case(lambda x: x.to("cpu", torch.float32, False, True) * 2, ROWS),
    "to another's type": Case(lambda x, w: x.to(w.double()) * x.type_as(w) * w, ROWS, (ROWS,)),
    "to a device and a type": Case(lambda x: x.to(torch.device("cpu"), torch.half) * 2, ROWS),
    "type": Case(lambda x: x.type(torch.float64) * x.type(torch.float32), ROWS),
    "type by name": Case(lambda x: x.type("torch.DoubleTensor") * 2 if x.type() else x, ROWS),
    "double": Case(lambda x: x.double() * 2),
    "back and forth": Case(lambda x: x.double().float() * 2, layouts=EVERY),
    "to complex": Case(lambda x: x.to(torch.complex64) * x, ROWS),
    "from a conjugate": Case(lambda x: x.conj().to(torch.complex128) * 2, ROWS, dtype=torch.complex64),
    "conj_physical": Case(lambda x: x.conj_physical() * x, ROWS, dtype=torch.complex64),
    "resolved": Case(lambda x: x.conj().resolve_conj() * x.resolve_conj().resolve_neg(), ROWS, dtype=torch.complex64),
}  # fmt: skip


@parametrized(CASES)
def test_a_rule_is_what_torch_does(make: Callable[[], nn.Module] | None, case: Case, layout: str) -> None:
    check(make, case, layout)


@pytest.mark.parametrize("move", [lambda x: x.cuda(), lambda x: x.to("cuda:0"), lambda x: x.to(device="meta")])
def test_another_device_is_refused(move: Callable[[torch.Tensor], torch.Tensor]) -> None:
    with pytest.raises(UnruledFunction, match="one device"):
        predicted(Of(move, dtype=torch.float32), ROWS, "train")
