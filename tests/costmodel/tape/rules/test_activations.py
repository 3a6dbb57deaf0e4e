"""Rules of the family activations beside torch itself."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from one_function import ROWS, Case, check, parametrized
from torch import nn

CASES: dict[str, Case] = {
    "relu": Case(F.relu),
    "sigmoid": Case(torch.sigmoid),
    "tanh": Case(torch.tanh),
    "gelu": Case(F.gelu),
    "silu": Case(F.silu),
    "elu": Case(F.elu),
    "leaky_relu": Case(F.leaky_relu),
    "hardtanh": Case(F.hardtanh),
    "relu6": Case(F.relu6),
    "selu": Case(F.selu),
    "celu": Case(F.celu),
    "mish": Case(F.mish),
    "softplus": Case(F.softplus),
    "hardswish": Case(F.hardswish),
    "hardsigmoid": Case(F.hardsigmoid),
    "softshrink": Case(F.softshrink),
    "hardshrink": Case(F.hardshrink),
    "threshold": Case(lambda x: F.threshold(x, 0.1, 0.0)),
    "logsigmoid": Case(F.logsigmoid),
    "glu": Case(lambda x: F.glu(x, 1)),
    "softsign": Case(F.softsign),
    "tanhshrink": Case(F.tanhshrink),
    "relu_": Case(lambda x: F.relu(2 * x, inplace=True)),
    "relu_ of torch": Case(lambda x: torch.relu_(2 * x)),
    "method relu_": Case(lambda x: (2 * x).relu_()),
    "leaky_relu_": Case(lambda x: F.leaky_relu(2 * x, 0.2, inplace=True)),
    "elu_": Case(lambda x: F.elu(2 * x, inplace=True)),
    "hardtanh_": Case(lambda x: F.hardtanh(2 * x, inplace=True)),
    "relu6_": Case(lambda x: F.relu6(2 * x, inplace=True)),
    "celu_": Case(lambda x: F.celu(2 * x, inplace=True)),
    "silu_": Case(lambda x: F.silu(2 * x, inplace=True)),
    "mish_": Case(lambda x: F.mish(2 * x, inplace=True)),
    "hardswish_": Case(lambda x: F.hardswish(2 * x, inplace=True)),
    "sigmoid_": Case(lambda x: (2 * x).sigmoid_()),
    "tanh_": Case(lambda x: (2 * x).tanh_()),
    "prelu": Case(F.prelu, parameters=((4,),)),
    "prelu of one": Case(F.prelu, parameters=((1,),)),
    "prelu of rows": Case(F.prelu, ROWS, ((6,),)),
}  # fmt: skip

MODULES: dict[str, Callable[[], nn.Module]] = {
    "ReLU behind a convolution": lambda: nn.Sequential(nn.Conv2d(4, 5, 3), nn.ReLU(inplace=True)),
}  # fmt: skip


@parametrized(CASES, MODULES)
def test_a_rule_is_what_torch_does(make: Callable[[], nn.Module] | None, case: Case, layout: str) -> None:
    check(make, case, layout)
