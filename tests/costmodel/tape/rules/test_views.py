"""Rules of the family views beside torch itself."""

from __future__ import annotations

from collections.abc import Callable

import torch
from one_function import ROWS, STACK, Case, check, parametrized
from torch import nn

EVERY = "plain cl t step wide"
SQUARE = (6, 6)

CASES: dict[str, Case] = {
    "flatten": Case(lambda x: x.flatten(1) * 2, layouts=EVERY),
    "flatten a number": Case(lambda x: x[0, 0].flatten() * 2, ROWS),
    "flatten inside": Case(lambda x: torch.flatten(x, 1, 2) * 2, layouts=EVERY),
    "ravel": Case(lambda x: x.ravel() * 2, layouts=EVERY),
    "mT": Case(lambda x: x.mT * x),
    "T": Case(lambda x: x.T * 2, ROWS, layouts=EVERY),
    "T of three axes": Case(lambda x: x.T * 2, STACK),
    "H": Case(lambda x: x.H * 2, ROWS, dtype=torch.complex64),
    "mH": Case(lambda x: x.mH * 2, STACK, dtype=torch.complex64),
    "adjoint": Case(lambda x: x.adjoint() @ x, STACK),
    "permute": Case(lambda x: x.permute(0, 2, 3, 1) * 2),
    "permute by name": Case(lambda x: torch.permute(x, dims=(1, 0, 2, 3)) * 2),
    "transpose": Case(lambda x: x.transpose(1, -1) * 2, layouts=EVERY),
    "transpose a number": Case(lambda x: x[0, 0].transpose(0, 0) * 2, ROWS, layouts="plain"),
    "swaps": Case(lambda x: x.swapaxes(0, 1).swapdims(dim0=2, dim1=3) * 2),
    "movedim": Case(lambda x: x.movedim(1, -1) * 2, layouts=EVERY),
    "movedims": Case(lambda x: torch.moveaxis(x, (0, 1), (-1, 0)) * 2),
    "squeeze": Case(lambda x: x[:, :1].squeeze() * 2, layouts=EVERY),
    "squeeze one": Case(lambda x: x[:, :1].squeeze(1) * x.squeeze(1)[:, 0], layouts=EVERY),
    "squeeze several": Case(lambda x: x[:1, :1].squeeze((0, 1, 2)) * 2),
    "unsqueeze": Case(lambda x: x.unsqueeze(1).unsqueeze(-1) * 2, layouts=EVERY),
    "view": Case(lambda x: x.view(3, 2, 2, 6, 6) * 2, layouts="plain step"),
    "view as": Case(lambda x: x.view_as(torch.ones(12, 6, 6)) * 2, layouts="plain"),
    "reshape": Case(lambda x: x.reshape(-1, 9) * 2, layouts=EVERY),
    "reshape as": Case(lambda x: torch.reshape(x, shape=(6, 3)).reshape_as(x.mT) * 2, ROWS),
    "unflatten": Case(lambda x: x.unflatten(1, (2, -1)) * 2, layouts=EVERY),
    "expand": Case(lambda x: x[:, :1].expand(-1, 3, -1, -1) + 1),
    "expand more": Case(lambda x: x.expand(2, 3, 4, 6, 6) * 2, layouts="plain cl t step"),
    "expand by axes of one entry": Case(lambda x: x.exp().expand(1, 2, 1, 3, 4, 6, 6), layouts="plain cl t step"),
    "expand a number": Case(lambda x: x.sum().expand(1, 1), ROWS),
    "expand as": Case(lambda x: x[:1].expand_as(x) * x, layouts=EVERY),
    "broadcast_to": Case(lambda x: torch.broadcast_to(x[:, :1], x.shape) * 2),
    "narrow": Case(lambda x: x.narrow(1, 1, 2) * torch.narrow(x, 1, -2, 2), layouts=EVERY),
    "select": Case(lambda x: x.select(1, -1) * 2, layouts=EVERY),
    "atleast": Case(lambda x: torch.atleast_3d(x) * torch.atleast_2d(x[0])[0][:, None], ROWS, layouts=EVERY),
    "atleast of a number": Case(lambda x: torch.atleast_1d(x[0, 0]) * torch.atleast_3d(x[0, 1]), ROWS),
    "atleast of several": Case(lambda x: torch.mul(*torch.atleast_2d(x, x[0])), ROWS),
    "real": Case(lambda x: x.real * 2, ROWS, dtype=torch.complex64),
    "view_as_real": Case(lambda x: torch.view_as_real(x) * 2, ROWS, dtype=torch.complex64),
    "conj": Case(lambda x: x.conj() * x.conj().resolve_conj(), ROWS, dtype=torch.complex64),
    "detach": Case(lambda x: x * x.detach() * x.data, layouts=EVERY),
    "a view of a sum": Case(lambda x: x.flatten(1) * 3 + (x * 2).flatten(1)),
    "a sum of views": Case(lambda x: (x * 2).flatten(1) + x.flatten(1) * 3),
}  # fmt: skip


@parametrized(CASES)
def test_a_rule_is_what_torch_does(make: Callable[[], nn.Module] | None, case: Case, layout: str) -> None:
    check(make, case, layout)
