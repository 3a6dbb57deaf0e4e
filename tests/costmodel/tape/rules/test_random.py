"""Rules of the family random beside torch itself."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from one_function import STACK, Case, check, check_refused, parametrized, refusals
from torch import Tensor, nn

SIGNAL, VOLUMES = (4, 6), (2, 3, 4, 4, 4)


class Noise(nn.Module):
    """Gaussian noise of a learnt size, in training."""

    def __init__(self) -> None:
        super().__init__()
        self.size = nn.Parameter(torch.ones(4, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        """x and noise."""
        return x + self.size * torch.randn_like(x) if self.training else x * self.size


CASES: dict[str, Case] = {
    "no dropout": Case(lambda x: F.dropout(x, 0.3, training=False) * 2),
    "dropout(x, 1.0)": Case(lambda x: F.dropout(x, 1.0), layouts="plain cl t wide"),
    "dropout(x*2, 1.0, inplace=True)": Case(lambda x: F.dropout(x * 2, 1.0, inplace=True), layouts="plain"),
    "dropout(x, 0.3)": Case(lambda x: F.dropout(x, 0.3), layouts="plain cl t step wide"),
    "dropout2d(x*2, 0.5, inplace=True)": Case(lambda x: F.dropout2d(x * 2, 0.5, inplace=True)),
    "dropout2d(x*2, 0.0, inplace=True)": Case(lambda x: F.dropout2d(x * 2, 0.0, inplace=True)),
    "dropout1d(x, 0.5) of 2 axes": Case(lambda x: F.dropout1d(x, 0.5), SIGNAL),
    "dropout1d(x, 0.5) of 3 axes": Case(lambda x: F.dropout1d(x, 0.5), STACK),
    "dropout1d(x*2, 0.5, inplace=True) of 3 axes": Case(lambda x: F.dropout1d(x * 2, 0.5, inplace=True), STACK),
    "dropout2d(x, 0.5) of 3 axes": Case(lambda x: F.dropout2d(x, 0.5), STACK),
    "dropout3d(x, 0.5)": Case(lambda x: F.dropout3d(x, 0.5)),
    "dropout3d(x, 0.5) of 5 axes": Case(lambda x: F.dropout3d(x, 0.5), VOLUMES),
    "alpha_dropout(x, 0.3, True)": Case(lambda x: F.alpha_dropout(x, 0.3, True), layouts="plain cl t step wide"),
    "alpha_dropout(x*2, 0.3, True, inplace=True)": Case(lambda x: F.alpha_dropout(x * 2, 0.3, True, inplace=True)),
    "alpha_dropout(x*2, 0.3)": Case(lambda x: F.alpha_dropout(x * 2, 0.3)),
    "feature_alpha_dropout(x, 0.3, True)": Case(lambda x: F.feature_alpha_dropout(x, 0.3, True)),
    "feature_alpha_dropout 1": Case(lambda x: F.feature_alpha_dropout(x * 2, 0.3, True, inplace=True)),
    "alpha_dropout(x, 1.0, True)": Case(lambda x: F.alpha_dropout(x, 1.0, True)),
    "dropout(x, 0.3, True)": Case(lambda x: torch.dropout(x, 0.3, True)),
    "feature_dropout(x, 0.3, True)": Case(lambda x: torch.feature_dropout(x, 0.3, True)),
    "alpha_dropout(x, 0.3, True) again": Case(lambda x: torch.alpha_dropout(x, 0.3, True)),
    "feature_alpha_dropout(x, 0.3, True) again": Case(lambda x: torch.feature_alpha_dropout(x, 0.3, True)),
    "dropout_(x*2, 0.3, True)": Case(lambda x: torch.dropout_(x * 2, 0.3, True)),
    "feature_dropout_(x*2, 0.3, True)": Case(lambda x: torch.feature_dropout_(x * 2, 0.3, True)),
    "native_dropout(x, 0.5, True)[0]": Case(lambda x: torch.native_dropout(x, 0.5, True)[0]),
    "x * bernoulli(x.detach()/2)": Case(lambda x: x * torch.bernoulli(x.detach() / 2)),
    "x * bernoulli(x/2)": Case(lambda x: x * torch.bernoulli(x / 2)),
    "x * bernoulli(x.detach(), 0.5)": Case(lambda x: x * torch.bernoulli(x.detach(), 0.5)),
    "x * empty_like(x).bernoulli_(0.5)": Case(lambda x: x * torch.empty_like(x).bernoulli_(0.5)),
    "x * empty_like(x).bernoulli_(x.detach()/2)": Case(lambda x: x * torch.empty_like(x).bernoulli_(x.detach() / 2)),
    "x * randn_like(x)": Case(lambda x: x * torch.randn_like(x)),
    "x * normal(x, 1.0)": Case(lambda x: x * torch.normal(x, 1.0)),
    "x * normal(x, x)": Case(lambda x: x * torch.normal(x, x)),
    "x * normal(0.0, 1.0, (3,4,6,6))": Case(lambda x: x * torch.normal(0.0, 1.0, (3, 4, 6, 6))),
    "x * normal(0.0, x.detach())": Case(lambda x: x * torch.normal(0.0, x.detach())),
    "x * normal(x.detach(), x.detach())": Case(lambda x: x * torch.normal(x.detach(), x.detach())),
    "x * normal(x.detach(), x[0].detach())": Case(lambda x: x * torch.normal(x.detach(), x[0].detach())),
    "x + empty_like(x).uniform_()": Case(lambda x: x + torch.empty_like(x).uniform_()),
    "x + empty_like(x).normal_()": Case(lambda x: x + torch.empty_like(x).normal_()),
    "x + empty_like(x).exponential_()": Case(lambda x: x + torch.empty_like(x).exponential_()),
    "x + randint(0, 5, (6,))": Case(lambda x: x + torch.randint(0, 5, (6,))),
    "x + randint(5, (6,))": Case(lambda x: x + torch.randint(5, (6,))),
    "x + randint(5, size=(6,))": Case(lambda x: x + torch.randint(5, size=(6,))),
    "x + randint_like(x, 5)": Case(lambda x: x + torch.randint_like(x, 5)),
    "x + randperm(6)": Case(lambda x: x + torch.randperm(6)),
    "x + multinomial(x[0,0].detach(), 6)": Case(lambda x: x + torch.multinomial(x[0, 0].detach(), 6)),
    "x + multinomial(x[0,0], 6)": Case(lambda x: x + torch.multinomial(x[0, 0], 6)),
    "x + rand(6)": Case(lambda x: x + torch.rand(6)),
    "x + randn((6,))": Case(lambda x: x + torch.randn((6,))),
}

MODULES: dict[str, Callable[[], nn.Module]] = {
    "Dropout": nn.Dropout,
    "Dropout in place": lambda: nn.Sequential(nn.BatchNorm2d(4), nn.Dropout(inplace=True)),
    "Dropout2d": nn.Dropout2d,
    "AlphaDropout": nn.AlphaDropout,
    "FeatureAlphaDropout": nn.FeatureAlphaDropout,
    "noise": Noise,
}

# Of other shapes than images.
OTHERS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "Dropout1d": (nn.Dropout1d, STACK),
    "Dropout1d of a signal": (nn.Dropout1d, SIGNAL),
    "Dropout3d": (nn.Dropout3d, VOLUMES),
}

REFUSED: dict[str, list[Case]] = {
    "in place of an input without a batch": [Case(lambda x: F.dropout1d(2 * x, 0.5, True, True), SIGNAL)],
    "uniform_": [Case(lambda x: (2 * x).uniform_(), SIGNAL)],
}


@parametrized(CASES, MODULES, OTHERS)
def test_a_rule_is_what_torch_does(make: Callable[[], nn.Module] | None, case: Case, layout: str) -> None:
    check(make, case, layout)


@refusals(REFUSED)
def test_what_is_refused(message: str, case: Case) -> None:
    check_refused(message, case)
