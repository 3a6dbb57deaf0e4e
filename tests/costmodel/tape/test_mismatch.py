"""Sizes and types that do not fit: torch raises, and so does a recording."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lipcost.costmodel import predict_network

CASES: dict[str, Callable[[Tensor], Tensor]] = {
    "operands": lambda y: y + y[:, :3],
    "choice": lambda y: torch.where(y > 0, y, y[:, :3]),
    "cat": lambda y: torch.cat([y, y[:, :, :3]], 1),
    "stack": lambda y: torch.stack([y[:, 0], y[:, 1, :3]]),
    "split": lambda y: torch.split(y, [1, 1], 1)[0],
    "view": lambda y: y.view(y.shape[0], 7),
    "unflatten": lambda y: y.unflatten(1, (3, 2)),
    "permute": lambda y: y.permute(0, 1, 2),
    "t": lambda y: y.t(),
    "expand": lambda y: y.expand(3, 5, 4, 4),
    "index": lambda y: y[:, 9],
    "narrow": lambda y: y.narrow(1, 3, 4),
    "columns and rows": lambda y: y.flatten(1) @ torch.eye(3),
    "stacks": lambda y: torch.bmm(y[:, 0], torch.ones(3, 4, 4)),
    "stack by matrix": lambda y: torch.bmm(y[:, 0], y[:, 0, :3]),
    "added to a product": lambda y: torch.addmm(y[:, 0, 0], y.flatten(1), torch.ones(64, 10)),
    "types of a product": lambda y: y.flatten(1).double() @ torch.ones(64, 10),
    "types of a convolution": lambda y: F.conv2d(y.double(), torch.ones(4, 4, 3, 3)),
    "channels": lambda y: F.conv2d(y, torch.ones(4, 3, 3, 3)),
    "a kernel too large": lambda y: F.conv2d(y, torch.ones(4, 4, 5, 5)),
    "patches too large": lambda y: F.unfold(y, 5),
    "einsum": lambda y: torch.einsum("bcij,kc->bkij", y, torch.ones(2, 3)),
    "mirrored too far": lambda y: F.pad(y, (4, 0, 0, 0), mode="reflect"),
    "wrapped too far": lambda y: F.pad(y, (5, 0, 0, 0), mode="circular"),
    "more cut than there is": lambda y: F.pad(y, (-2, -3)),
    "no image": lambda y: F.interpolate(y, size=0),
    "more than there are": lambda y: y.topk(5)[0],
    "a pool too large": lambda y: F.max_pool2d(y, 9),
    "an average too large": lambda y: F.avg_pool2d(y, 9),
    "batch norm": lambda y: F.batch_norm(y, None, None, weight=torch.ones(3), training=True),
    "batch norm of one value": lambda y: F.batch_norm(y[:1, :, :1, :1], None, None, training=True),
    "instance norm of one value": lambda y: F.instance_norm(y[:, :, 0, 0]),
    "group norm of one value": lambda y: F.group_norm(y[:1, :, :1, :1], 4),
    "interpolation": lambda y: F.interpolate(y, size=(3, 3, 3)),
    "layer norm": lambda y: F.layer_norm(y, (3,)),
    "group norm": lambda y: F.group_norm(y, 3),
    "pixel shuffle": lambda y: F.pixel_shuffle(y, 3),
    "glu": lambda y: F.glu(y[:, :3], 1),
    "prelu": lambda y: F.prelu(y, torch.ones(3)),
}


class Then(nn.Module):
    """A convolution to four channels, then a function."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(3, 4, 3, padding=1)
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(self.convolution(x)).flatten(1)


@pytest.mark.parametrize("mode", ["train", "inference"])
@pytest.mark.parametrize("case", CASES)
def test_what_torch_refuses_has_no_cost(case: str, mode: Any) -> None:
    net = Then(CASES[case])
    with pytest.raises((RuntimeError, IndexError, ValueError)):
        net(torch.rand(2, 3, 4, 4))
    with pytest.raises(ValueError, match=r"fit|shape|multiple|larger|none at|sides"):
        predict_network(net, mode=mode, b=2, s=4)
