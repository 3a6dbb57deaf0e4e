"""Rules of the family factories beside torch itself."""

from __future__ import annotations

from collections.abc import Callable

import torch
from one_function import ROWS, Case, check, check_refused, parametrized, refusals
from torch import nn

EVERY = "plain cl t step wide"
WINDOWS = ("bartlett_window", "blackman_window", "hamming_window", "hann_window", "kaiser_window")
LAST = torch.channels_last


def _windowed(name: str) -> Callable[[torch.Tensor], torch.Tensor]:
    return lambda x: x * getattr(torch, name)(6) * getattr(torch, name)(6, periodic=False)


CASES: dict[str, Case] = {
    **{name: Case(_windowed(name), ROWS) for name in WINDOWS},
    "zeros": Case(lambda x: x + torch.zeros(3, 6) + torch.zeros((6,)) + torch.zeros(size=(3, 1)), ROWS),
    "ones": Case(lambda x: x * torch.ones(x.shape[-1], dtype=torch.double), layouts=EVERY),
    "empty": Case(lambda x: x * torch.empty(6).copy_(x[0].detach()), ROWS),
    "channels last": Case(lambda x: x + torch.empty(3, 4, 6, 6, memory_format=LAST).copy_(x.detach())),
    "empty_strided": Case(lambda x: torch.empty_strided((3, 6), (1, 3)).copy_(x) * x, ROWS),
    "full": Case(lambda x: x * torch.full((6,), 2) * torch.full((3, 1), 0.5, dtype=torch.half), ROWS),
    "scalar_tensor": Case(lambda x: x * torch.scalar_tensor(2.0), ROWS),
    "eye": Case(lambda x: x @ torch.eye(6) + torch.eye(3, 6), ROWS),
    "arange": Case(lambda x: x * torch.arange(6) * torch.arange(1, 7) * torch.arange(0, 12, 2), ROWS),
    "arange of fractions": Case(lambda x: x * torch.arange(0, 3, 0.5) * torch.arange(6.0) * torch.arange(0.5, 6), ROWS),
    "arange by name": Case(lambda x: x * torch.arange(start=12, end=0, step=-2, dtype=torch.float), ROWS),
    "linspace": Case(lambda x: x * torch.linspace(0, 1, 6) * torch.logspace(0, 1, steps=6, dtype=torch.double), ROWS),
    "triangles": Case(lambda x: x * torch.tril_indices(3, 3)[1] * torch.triu_indices(3, 3, 0)[0], (3, 6)),
    "like": Case(lambda x: x * torch.ones_like(x) + torch.zeros_like(x) * torch.full_like(x, 2), layouts=EVERY),
    "like of another type": Case(lambda x: x * torch.ones_like(x, dtype=torch.double), layouts=EVERY),
    "like in a row": Case(lambda x: torch.zeros_like(x, memory_format=torch.contiguous_format) + x, layouts=EVERY),
    "like channels last": Case(lambda x: torch.ones_like(x, memory_format=LAST) * x, layouts=EVERY),
    "empty like": Case(lambda x: torch.empty_like(x).copy_(x) * 2, layouts=EVERY),
    "new": Case(lambda x: x * x.new_ones(6) + x.new_zeros((3, 6)) + x.new_full((6,), 2.0), ROWS),
    "new of another type": Case(lambda x: x * x.new_ones(size=(6,), dtype=torch.double), ROWS),
    "new_empty": Case(lambda x: x.new_empty(3, 6).copy_(x) * x, ROWS),
    "tensor": Case(lambda x: x * torch.tensor([1.0, 2, 3, 4, 5, 6]), ROWS, layouts=EVERY),
    "tensor of integers": Case(lambda x: x * torch.tensor([[1], [2], [3]]), ROWS),
    "tensor of one number": Case(lambda x: x * torch.tensor(2.0) * torch.tensor(3), ROWS),
    "tensor of another type": Case(lambda x: x * torch.tensor([1, 2, 3, 4, 5, 6], dtype=torch.double), ROWS),
    "as_tensor": Case(lambda x: x * torch.as_tensor([1.0, 2, 3, 4, 5, 6]) * torch.as_tensor(x, dtype=torch.half), ROWS),
    "new_tensor": Case(lambda x: x * x.new_tensor([1, 2, 3, 4, 5, 6]), ROWS, dtype=torch.double),
}  # fmt: skip


@parametrized(CASES)
def test_a_rule_is_what_torch_does(make: Callable[[], nn.Module] | None, case: Case, layout: str) -> None:
    check(make, case, layout)


REFUSED: dict[str, list[Case]] = {
    "one device": [Case(lambda x: x * torch.ones(6, device="meta"), ROWS)],
    "a program makes": [
        Case(lambda x: x * torch.ones(6, requires_grad=True), ROWS),
        Case(lambda x: x * torch.tensor(1.0, requires_grad=True), ROWS),
    ],
    "torch.tensor of tensors": [Case(lambda x: torch.tensor([x.sum(), x.mean()]), ROWS)],
    "with gaps": [Case(lambda x: torch.empty_strided((3, 6), (12, 2)) * x, ROWS)],
}


@refusals(REFUSED)
def test_what_has_no_rule_is_refused(message: str, case: Case) -> None:
    check_refused(message, case)
