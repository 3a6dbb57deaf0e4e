"""Rules of the family activations beside torch itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from one_function import ROWS, STACK, Case, check, parametrized
from torch import nn

BFLOAT = torch.bfloat16


def rows(function: Callable[..., Any], **how: Any) -> Case:
    """An activation of rows."""
    return Case(function, ROWS, layouts="plain t step wide", **how)


def changed(function: Callable[..., Any], **how: Any) -> Case:
    """An activation that works in place, of what another operation keeps no copy of."""
    return Case(lambda x: function(2 * x), **how)


OF_ELEMENTS = {
    "relu": F.relu, "relu6": F.relu6, "sigmoid": torch.sigmoid, "tanh": torch.tanh, "silu": F.silu, "elu": F.elu,
    "leaky_relu": F.leaky_relu, "hardtanh": F.hardtanh, "selu": F.selu, "celu": F.celu, "mish": F.mish,
    "gelu": F.gelu, "softplus": F.softplus, "hardswish": F.hardswish, "hardsigmoid": F.hardsigmoid,
    "softshrink": F.softshrink, "hardshrink": F.hardshrink, "logsigmoid": F.logsigmoid, "softsign": F.softsign,
    "tanhshrink": F.tanhshrink, "expit": torch.special.expit,
    "gelu tanh": lambda x: F.gelu(x, approximate="tanh"),
    "threshold": lambda x: F.threshold(x, 0.1, 0.0),
    "hardtanh between": lambda x: F.hardtanh(x, -0.5, 0.5),
    "softplus beta": lambda x: F.softplus(x, 2, 10),
    "elu alpha": lambda x: F.elu(x, 0.5),
    "celu alpha": lambda x: torch.celu(x, alpha=0.5),
    "rrelu": F.rrelu,
    "rrelu in training": lambda x: F.rrelu(x, training=True),
    "glu": lambda x: F.glu(x, 1),
    "glu of the last axis": F.glu,
    "softmax": lambda x: x.softmax(1),
    "softmax of the last axis": lambda x: torch.softmax(x, -1),
    "softmin": lambda x: F.softmin(x, dim=1),
    "log_softmax": lambda x: F.log_softmax(x, dim=-1),
    "softmax type": lambda x: F.softmax(x, 1, dtype=torch.float64),
    "log_softmax type": lambda x: x.log_softmax(1, dtype=torch.float64),
    "gumbel_softmax": lambda x: F.gumbel_softmax(x, tau=0.5),
    "gumbel_softmax hard": lambda x: F.gumbel_softmax(x, hard=True, dim=1),
}  # fmt: skip

IN_PLACE = {
    **{
        f"{name}_": lambda x, name=name: getattr(F, name)(x, inplace=True)
        for name in (
            "relu", "relu6", "elu", "selu", "celu", "hardtanh", "leaky_relu", "silu", "mish", "hardswish",
            "hardsigmoid",
        )
    },
    "threshold_": lambda x: F.threshold(x, 0.1, 0.0, inplace=True),
    "rrelu_": lambda x: F.rrelu(x, inplace=True),
    "rrelu_ in training": lambda x: F.rrelu(x, training=True, inplace=True),
    "relu_ of torch": torch.relu_,
    "selu_ of torch": torch.selu_,
    "threshold_ of torch": lambda x: torch.threshold_(x, 0.1, 0.0),
    "leaky_relu_ of F": lambda x: F.leaky_relu_(x, 0.2),
    "method relu_": lambda x: x.relu_(),
    "sigmoid_": lambda x: x.sigmoid_(),
    "tanh_": lambda x: x.tanh_(),
}  # fmt: skip

CASES: dict[str, Case] = {
    **{name: Case(function) for name, function in OF_ELEMENTS.items()},
    **{f"{name} of rows": Case(function, ROWS, layouts="step wide") for name, function in OF_ELEMENTS.items()},
    **{name: changed(function, layouts="plain t") for name, function in IN_PLACE.items()},
    **{
        f"bfloat16 {name}": rows(OF_ELEMENTS[name], dtype=BFLOAT)
        for name in ("relu", "gelu", "silu", "softplus", "logsigmoid", "softmax", "log_softmax", "mish", "elu")
    },
    "complex sigmoid": rows(torch.sigmoid, dtype=torch.complex64),
    "complex tanh": rows(torch.tanh, dtype=torch.complex64),
    "integers": rows(lambda x: x * x.detach().long().sigmoid()),
    "into": rows(lambda x: torch.sigmoid(x, out=torch.empty_like(x)), modes=("inference",)),
    "prelu": Case(F.prelu, parameters=((4,),)),
    "prelu of one": Case(F.prelu, parameters=((1,),)),
    "prelu of a number": Case(lambda x, w: F.prelu(x.sum(), w), ROWS, ((1,),)),
    "prelu of rows": Case(F.prelu, ROWS, ((6,),), "plain t step wide"),
    "prelu of a stack": Case(F.prelu, STACK, ((4,),)),
    "prelu of a constant": Case(lambda x, w: F.prelu(x.detach(), w) + x, parameters=((4,),)),
    "glu of a vector": Case(F.glu, (6,), layouts="plain step"),
    "softmax of a vector": Case(lambda x: x.softmax(0), (6,), layouts="plain step"),
    "softmax of none": Case(lambda x: x.softmax(0), (), layouts="plain"),
}  # fmt: skip

MODULES: dict[str, Callable[[], nn.Module]] = {
    "ReLU behind a convolution": lambda: nn.Sequential(nn.Conv2d(4, 5, 3), nn.ReLU(inplace=True)),
    **{
        module.__name__: lambda module=module: nn.Sequential(nn.Conv2d(4, 4, 1), module())
        for module in (
            nn.ReLU, nn.ReLU6, nn.ELU, nn.SELU, nn.CELU, nn.GELU, nn.SiLU, nn.Mish, nn.Hardtanh, nn.Hardswish,
            nn.Hardsigmoid, nn.Hardshrink, nn.Softshrink, nn.Softplus, nn.Softsign, nn.Tanhshrink, nn.Tanh, nn.Sigmoid,
            nn.LogSigmoid, nn.LeakyReLU, nn.RReLU, nn.PReLU, nn.GLU, nn.Softmax2d,
        )
    },
    "PReLU of channels": lambda: nn.PReLU(4),
    "Threshold": lambda: nn.Threshold(0.1, 0),
    "Softmax": lambda: nn.Softmax(1),
    "Softmin": lambda: nn.Softmin(1),
    "LogSoftmax": lambda: nn.LogSoftmax(1),
    "in place": lambda: nn.Sequential(nn.Conv2d(4, 4, 1), nn.SiLU(inplace=True), nn.RReLU(inplace=True)),
}  # fmt: skip


@parametrized(CASES, MODULES)
def test_a_rule_is_what_torch_does(make: Callable[[], nn.Module] | None, case: Case, layout: str) -> None:
    check(make, case, layout)
