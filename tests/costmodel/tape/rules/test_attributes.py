"""What torch code asks a tensor about itself: the answers on the tape are those of torch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from one_function import ROWS, Case, check_refused, refusals

from lipcost.costmodel.tape import Tape, running
from lipcost.costmodel.tape.rules.attributes import KINDS
from lipcost.costmodel.tape.tensor import Tensor

SIZES = (2, 3, 4, 5)
ATTRIBUTES = (
    "shape", "ndim", "dtype", "device", "layout", "itemsize", "nbytes", "requires_grad", "is_leaf", "retains_grad",
    "name", "is_cpu", *(f"is_{kind}" for kind in KINDS),
)  # fmt: skip
METHODS = (
    "dim", "ndimension", "size", "numel", "nelement", "stride", "element_size", "is_complex", "is_floating_point",
    "is_conj", "is_neg", "is_signed", "is_contiguous", "is_inference", "get_device", "dim_order", "type", "__len__",
    "is_shared",
)  # fmt: skip
FORMATS = torch.channels_last, torch.contiguous_format
MADE: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "as it comes": lambda x: x,
    "leaf": lambda x: x.requires_grad_(),
    "made": lambda x: x.requires_grad_() * 2,
    "detached": lambda x: (x.requires_grad_() * 2).detach(),
    "transposed": lambda x: x.requires_grad_().transpose(1, 2),
    "channels last": lambda x: x.contiguous(memory_format=torch.channels_last),
    "double": lambda x: x.double(),
    "integers": lambda x: x.long(),
    "complex": lambda x: x.to(torch.complex64).conj(),
    "truths": lambda x: x > 0,
}


def _answers(x: torch.Tensor) -> dict[str, Any]:
    answers = {name: getattr(x, name) for name in ATTRIBUTES}
    answers.update({f"{name}()": getattr(x, name)() for name in METHODS})
    answers["of an axis"] = x.size(1), x.size(-1), x.stride(2), x.shape[1:]
    answers["formats"] = [x.is_contiguous(memory_format=each) for each in FORMATS]
    answers["torch"] = torch.numel(x), torch.is_complex(x), torch.is_floating_point(x), torch.is_tensor(x)
    answers["others"] = x.is_same_size(x), isinstance(x, torch.Tensor), x.grad_fn is None, x._version
    return answers


@pytest.mark.parametrize("name", MADE)
def test_answers_are_those_of_torch(name: str) -> None:
    expected = _answers(MADE[name](torch.ones(SIZES)))
    tape = Tape()
    with running(tape):
        found = _answers(MADE[name](Tensor(tape, SIZES, torch.float32)))
    assert found == expected


REFUSED: dict[str, list[Case]] = {
    "place of a view": [Case(lambda x: x[1:].storage_offset(), ROWS)],
    "torch.Tensor.register_hook: hooks": [Case(lambda x: x.register_hook(print), ROWS)],
    "torch.Tensor.retain_grad": [Case(lambda x: x.retain_grad(), ROWS)],
    "torch.autograd.grad": [Case(lambda x: torch.autograd.grad(x.sum(), x), ROWS)],
    "the value of a tensor": [Case(lambda x: x.sum().item(), ROWS), Case(lambda x: x.tolist(), ROWS)],
    "the truth of a tensor": [Case(lambda x: x if x.sum() > 0 else -x, ROWS)],
    "torch.equal: values decide": [Case(lambda x: x if torch.equal(x, x) else -x, ROWS)],
    "__contains__: a value": [Case(lambda x: x if 1.0 in x else -x, ROWS)],
}


@refusals(REFUSED)
def test_what_a_recording_cannot_know_is_refused(message: str, case: Case) -> None:
    check_refused(message, case)


def test_a_tensor_is_detached_in_place() -> None:
    tape = Tape()
    with running(tape):
        x: Any = Tensor(tape, SIZES, torch.float32).require_grad()
        y = x * 2
        y.detach_()
        assert (y.requires_grad, y.is_leaf) == (False, True)
        with pytest.raises(RuntimeError, match="view"):
            (x * 2)[0].detach_()
