"""Parts in eval mode, calls that differ, parts and inputs with and without gradients."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .kinds import Call, Maker, kind, trunk


@kind()
def one_layer_in_eval(make: Maker) -> nn.Module:
    return trunk(make().eval(), make.activation(), make())


@kind()
def every_layer_in_eval(make: Maker) -> nn.Module:
    return trunk(make().eval(), make.activation(), make().eval())


@kind()
def the_network_in_eval(make: Maker) -> nn.Module:
    return trunk(make(), make.activation(), make()).eval()


@kind()
def a_branch_on_the_mode(make: Maker) -> nn.Module:
    class Branch(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = make(), make(k=1)

        def forward(self, x: Tensor) -> Tensor:
            return self.b(self.a(x)) if self.training else self.a(x)

    return trunk(Branch())


@kind(called=False)
def a_first_step_that_differs(make: Maker) -> nn.Module:
    return trunk(make(), make.activation(), make())


@kind()
def a_part_without_gradients(make: Maker) -> nn.Module:
    return trunk(Call(torch.no_grad()(lambda x, layer: layer(x)), make()), make())


@kind()
def a_detached_input(make: Maker) -> nn.Module:
    return trunk(make(), Call(lambda x, layer: layer(x.detach()), make()))


@kind(input_gradient=True)
def an_input_with_a_gradient(make: Maker) -> nn.Module:
    return trunk(make(), make())


@kind()
def an_input_that_requires_grad(make: Maker) -> nn.Module:
    return nn.Sequential(Call(lambda x: x.requires_grad_(torch.is_grad_enabled())), trunk(make(), make()))
