"""Rules of the family joining beside torch itself."""

from __future__ import annotations

from collections.abc import Callable

import torch
from one_function import ROWS, Case, check, parametrized
from torch import nn

EVERY = "plain cl t step wide"

CASES: dict[str, Case] = {
    "cat": Case(lambda x: torch.cat([x, 2 * x], 1), layouts=EVERY),
    "cat of types": Case(lambda x: torch.cat([x, x.double(), x > 0], -1), layouts=EVERY),
    "cat of complex and real": Case(lambda x: torch.cat([x, x.real, x.conj()]), ROWS, dtype=torch.complex64),
    "cat with nothing": Case(lambda x: torch.concat([torch.ones(0), x, x[:, :0]], 1), layouts=EVERY),
    "cat with nothing of a graph": Case(lambda x: torch.cat([x[0, 0, 0, :0] * 2, x]), layouts="plain"),
    "cat of one": Case(lambda x: torch.concatenate([x], dim=-1), layouts=EVERY),
    "stack": Case(lambda x: torch.stack([x, x * 2]), layouts=EVERY),
    "stack behind": Case(lambda x: torch.stack([x, x * 2], 1)),
    "stack inside": Case(lambda x: torch.stack([x, x * 2], -1), layouts=EVERY),
    "stack of types": Case(lambda x: torch.stack([x, x.double()], dim=0), ROWS),
    "hstack": Case(lambda x: torch.hstack([x, x * 2]), layouts=EVERY),
    "hstack of rows": Case(lambda x: torch.hstack((x[0], x[1, 1])), ROWS),
    "vstack": Case(lambda x: torch.vstack((x[0], x, x[1])), ROWS, layouts=EVERY),
    "dstack": Case(lambda x: torch.dstack((x, x * 2)), ROWS, layouts=EVERY),
    "column_stack": Case(lambda x: torch.column_stack((x[:, 0], x)), ROWS, layouts=EVERY),
    "block_diag": Case(lambda x: torch.block_diag(x, x[0] * 2, x[0, 0]), ROWS, layouts=EVERY),
    "chunk": Case(lambda x: torch.mul(*x.chunk(2, 1)), layouts=EVERY),
    "chunk unevenly": Case(lambda x: x.chunk(4, -1)[1] * x.chunk(5, 2)[-1].mT, layouts="plain t"),
    "unbind": Case(lambda x: x.unbind(1)[0] * 2, layouts=EVERY),
    "unbind all": Case(lambda x: torch.mul(*torch.unbind(x[:2])), layouts=EVERY),
    "iterate": Case(sum, ROWS),
    "split": Case(lambda x: x.split(2, 1)[0] * 2, layouts=EVERY),
    "split unevenly": Case(lambda x: x.split([1, 3], 1)[1] * 2, layouts=EVERY),
    "split by name": Case(lambda x: torch.split(x, 4, dim=3)[1] * 2),
    "tensor_split": Case(lambda x: x.tensor_split(4, 2)[1] * x.tensor_split(4, -1)[0].mT, layouts="plain t"),
    "tensor_split at places": Case(lambda x: torch.mul(*x.tensor_split((1, -1), 3)[::2]), layouts=EVERY),
    "hsplit": Case(lambda x: torch.mul(*x.hsplit(2)), layouts=EVERY),
    "vsplit": Case(lambda x: x.vsplit([1])[1] * 2, layouts=EVERY),
    "dsplit": Case(lambda x: torch.dsplit(x, (2, 4))[1] * 2),
    "broadcast_tensors": Case(lambda x: torch.mul(*torch.broadcast_tensors(x, x[:1, :, :1])), layouts=EVERY),
    "broadcast_tensors by an axis of one entry": Case(
        lambda x, y: torch.broadcast_tensors(x[None], y)[1], (6,), ((6,),)
    ),
    "broadcast_tensors of one shape, changed": Case(
        lambda x: torch.broadcast_tensors(x * 2, x.detach())[0].mul_(x)
    ),
    "broadcast_tensors of one shape": Case(lambda x: torch.broadcast_tensors(x, 2 * x)[0], layouts=EVERY),
    "broadcast_shapes": Case(lambda x: x[:1].expand(torch.broadcast_shapes(x.shape, (1, 1, 6))) * 2),
    "meshgrid": Case(lambda x: torch.mul(*torch.meshgrid(x[0], x[1], indexing="ij")), ROWS, layouts=EVERY),
    "meshgrid of columns": Case(lambda x: torch.mul(*torch.meshgrid(x[0, :2], x[1], indexing="xy")), ROWS),
    "cartesian_prod": Case(lambda x: torch.cartesian_prod(x[0], x[1]), ROWS, layouts=EVERY),
}  # fmt: skip


@parametrized(CASES)
def test_a_rule_is_what_torch_does(make: Callable[[], nn.Module] | None, case: Case, layout: str) -> None:
    check(make, case, layout)
