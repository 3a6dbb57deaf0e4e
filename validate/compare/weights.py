"""Weights that a layer may meet: as initialised, as training leaves them, and degenerate ones."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

STEPS = 5
LEARNING_RATE = 10.0
BATCH = 4


def _zero_channel(w: Tensor) -> Tensor:
    """The first channel of input and output; ``w`` is a kernel or, with three axes, a stack of matrices."""
    w = w.clone()
    for axis in (1, 2) if w.dim() == 3 else (0, 1):
        w.select(axis, 0).zero_()
    return w


def _rank_one(w: Tensor) -> Tensor:
    """A kernel as the matrix with a row per output channel, or each matrix of a stack."""
    matrices = w if w.dim() == 3 else w.flatten(1)
    outer = torch.randn_like(matrices[..., :, :1]) @ torch.randn_like(matrices[..., :1, :])
    return (outer * (float(w.norm()) / float(outer.norm()))).reshape(w.shape)


INITIAL, SGD = "initial", f"{STEPS} SGD steps"
WEIGHTS: dict[str, Callable[[Tensor], Tensor]] = {
    INITIAL: lambda w: w,
    "× 1e-4": lambda w: w * 1e-4,
    "× 1e2": lambda w: w * 1e2,
    "zero": torch.zeros_like,
    "zero channel": _zero_channel,
    "rank one": _rank_one,
    "all equal": lambda w: torch.full_like(w, float(w.norm()) / math.sqrt(w.numel())),
    SGD: lambda w: w,
}
DEGENERATE = ("zero", "zero channel", "rank one", "all equal")


@torch.no_grad()
def change(layer: nn.Module, how: Callable[[Tensor], Tensor]) -> None:
    """Set every learned tensor but vectors, such as a bias."""
    for parameter in layer.parameters():
        if parameter.requires_grad and sum(side > 1 for side in parameter.shape) > 1:
            parameter.copy_(how(parameter))


def train(layer: nn.Module, image: tuple[int, int, int]) -> None:
    """Push the outputs of a random batch along a random direction, anew at each step, by far too large steps."""
    x = torch.randn(BATCH, *image)
    layer.train()(x)  # some layers have all their parameters after a forward only
    optimizer = torch.optim.SGD(layer.parameters(), lr=LEARNING_RATE)
    for _ in range(STEPS):
        optimizer.zero_grad()
        y = layer(torch.randn_like(x))
        ((y * torch.randn_like(y)).sum() / len(y)).backward()
        optimizer.step()


@torch.no_grad()
def copy_weights(source: nn.Module, target: nn.Module) -> None:
    """Of every learned tensor of the same name."""
    learned = {name: parameter for name, parameter in source.named_parameters() if parameter.requires_grad}
    for name, parameter in target.named_parameters():
        if name in learned:
            parameter.copy_(learned[name])
