"""How networks are trained: autocast, checkpoints of both kinds, accumulation, optimizers; predicted as measured.

Every byte, both peaks and every count, of ConvNetXS (width 4, few iterations) of every method and of a small network.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint
from variants.compared import differences
from variants.kinds import FEW

from lipcost.costmodel import OPTIMIZERS, UnruledFunction, predict_network
from lipcost.layers import LAYERS, conv_net

BATCHES = (2, 5)
IMAGE = (3, 32, 32)


class Checkpointed(nn.Module):
    """A network whose parts between the second and the last are computed anew in the backward pass."""

    def __init__(self, net: nn.Module, use_reentrant: bool) -> None:
        super().__init__()
        self.net, self.use_reentrant = net, use_reentrant

    def forward(self, x: Tensor) -> Tensor:
        """Part by part."""
        *parts, last = self.net.children()
        for i, part in enumerate(parts):
            x = part(x) if i < 2 else checkpoint(part, x, use_reentrant=self.use_reentrant)
        y: Tensor = last(x)
        return y


PROGRAMS: dict[str, tuple[Callable[[nn.Module], nn.Module], dict[str, Any]]] = {
    "autocast": (lambda net: net, {"autocast": "bfloat16"}),
    "reentrant checkpoints": (lambda net: Checkpointed(net, True), {}),
    "checkpoints": (lambda net: Checkpointed(net, False), {}),
    "accumulation": (lambda net: net, {"accumulate": 2}),
    "all together": (lambda net: Checkpointed(net, False), {"autocast": "bfloat16", "accumulate": 2}),
}


def cases() -> Iterator[Any]:
    """Every method with every program and both batches; one each in the quick suite."""
    for i, method in enumerate(LAYERS):
        for j, program in enumerate(PROGRAMS):
            for k, batch in enumerate(BATCHES):
                quick = j == i % len(PROGRAMS) and k == i % len(BATCHES)
                marks = () if quick else (pytest.mark.slow,)
                yield pytest.param(method, program, batch, marks=marks, id=f"{method}-{program}-{batch}")


@pytest.mark.parametrize(("method", "program", "batch"), list(cases()))
def test_a_network_is_trained_as_predicted(method: str, program: str, batch: int) -> None:
    make, how = PROGRAMS[program]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        net = make(conv_net("XS", method, width=4, **FEW.get(method, {})))
        x = torch.randn(batch, *IMAGE)
        with torch.no_grad():
            net(x)
    assert differences(net, x, "train", **how) == []


def small() -> nn.Module:
    """Convolutions and a dense layer."""
    return nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 4, 3), nn.Flatten(), nn.Linear(64, 5)
    )


@pytest.mark.parametrize("form", ["single", "foreach", "fused"])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_optimizers(optimizer: str, form: str) -> None:
    how = {} if form == "single" else {form: True}
    if form == "fused" and not OPTIMIZERS[optimizer].fused:
        with pytest.raises(ValueError, match="has no fused form; fused: sgd, sgd-momentum, adam, adamw, adagrad"):
            predict_network(small(), b=3, s=6, optimizer=optimizer, fused=True)
    else:
        assert differences(small(), torch.rand(3, 3, 6, 6), "train", optimizer, weight_decay=True, **how) == []


class Lion(torch.optim.Optimizer):
    """The sign of a moving average (Chen et al., 2023), as a user writes it."""

    def __init__(self, params: Any, lr: float = 1e-4, betas: tuple[float, float] = (0.9, 0.99)) -> None:
        super().__init__(params, {"lr": lr, "betas": betas})

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        """One step."""
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is None:
                    continue
                state = self.state[p]
                if not state:
                    state["average"] = torch.zeros_like(p)
                first, second = group["betas"]
                update = state["average"].mul(first).add_(p.grad, alpha=1 - first).sign_()
                p.add_(update, alpha=-group["lr"])
                state["average"].lerp_(p.grad, 1 - second)


OF_ONE_S_OWN: dict[str, tuple[Callable[[], nn.Module], Callable[[Any], Any]]] = {
    "Lion": (small, Lion),
    "Muon": (
        lambda: nn.Sequential(nn.Flatten(), nn.Linear(108, 5, bias=False)),
        lambda p: torch.optim.Muon(p, lr=0.01),
    ),
    "groups": (
        small,
        lambda p: torch.optim.SGD([{"params": p[:2], "lr": 0.1}, {"params": p[2:]}], momentum=0.5),
    ),
    "AMSGrad": (small, lambda p: torch.optim.Adam(p, amsgrad=True)),
    "Nesterov": (small, lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9, nesterov=True, weight_decay=0.1)),
}


@pytest.mark.parametrize("name", OF_ONE_S_OWN)
def test_an_optimizer_of_one_s_own(name: str) -> None:
    make, optimizer = OF_ONE_S_OWN[name]
    assert differences(make(), torch.rand(3, 3, 6, 6), "train", optimizer) == []  # type: ignore[arg-type]


def test_an_optimizer_that_reads_values_is_refused() -> None:
    with pytest.raises(UnruledFunction, match="the value of a tensor"):
        predict_network(small(), b=3, s=6, optimizer=torch.optim.Adafactor)


def test_a_step_of_batches_takes_as_many_passes() -> None:
    one, three = (predict_network(small(), b=3, s=6, accumulate=n) for n in (1, 3))
    assert (three.macs_forward, three.macs_backward) == (3 * one.macs_forward, 3 * one.macs_backward)
    assert three.launches_optimizer == one.launches_optimizer
