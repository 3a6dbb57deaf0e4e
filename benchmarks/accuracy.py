"""How orthogonal the orthogonal layers are, beside the time that their parameter transformation takes."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from lipcost.layers import LAYERS, LipschitzConv2d
from lipcost.layers.methods.registry import DEFAULTS

from .tasks import Clock

ORTHOGONAL = tuple(name for name in DEFAULTS if LAYERS[name].orthogonal_paddings)
CROPPED = "lot/published"  # orthogonal only before its output is cropped
STEPS, LEARNING_RATE, BATCH = 5, 10.0, 16


@dataclass(frozen=True)
class Accuracy:
    """One algorithm, from one kind of weights, in float32.

    Attributes:
        method: key of LAYERS.
        weights: key of WEIGHTS.
        defect: max |σ - 1| over all singular values σ of the layer in eval mode; NaN if an entry is not finite.
        transform: seconds of training's parameter transformation, one per round.
        with_backward: the same with its gradients.
    """

    method: str
    weights: str
    defect: float
    transform: list[float]
    with_backward: list[float]


@dataclass(frozen=True)
class Shape:
    """A layer of ``c`` channels on images of side ``s``."""

    c: int = 64
    s: int = 8
    k: int = 3


def measure_accuracy(method: str, clock: Clock, shape: Shape) -> list[Accuracy]:
    """A method's own and its published algorithm, the times in turns.

    Args:
        method: one of ORTHOGONAL.
        clock: of the times, on the device of the layers.
        shape: of the layers.
    """
    keys = [key for key in (method, f"{method}/published") if key in LAYERS]
    rows = []
    for name, set_weights in WEIGHTS.items():
        layers = []
        for key in keys:
            torch.manual_seed(0)
            options: dict[str, Any] = {"padding_mode": LAYERS[key].orthogonal_paddings[0]} if key in ORTHOGONAL else {}
            layer = LAYERS[key](shape.c, shape.c, shape.k, **options).to(clock.device)
            torch.manual_seed(0)  # the same weights, whatever the layer drew before
            set_weights(layer, shape)
            layers.append(layer)
        defects = [defect(layer, shape) for layer in layers]
        tasks = [_Transform(layer, shape.s, backward=way) for way in (False, True) for layer in layers]
        times = clock.in_turns(tasks)
        rows += [
            Accuracy(key, name, off, transform, with_backward)
            for key, off, transform, with_backward in zip(
                keys, defects, times[: len(keys)], times[len(keys) :], strict=True
            )
        ]
    return rows


def defect(layer: LipschitzConv2d, shape: Shape) -> float:
    """max |σ_i - 1| in eval mode, from the eigenvalues σ² of J Jᵀ in float64; J is computed in the layer's own type."""
    with torch.no_grad():
        if layer.name == CROPPED:
            (matrices,) = layer.eval().parameter_transform((shape.s, shape.s))
            gram = matrices.to(torch.complex128) @ matrices.to(torch.complex128).mH
        else:
            jacobian = _jacobian(layer.eval(), shape)
            gram = jacobian @ jacobian.T
        if not bool(torch.isfinite(torch.view_as_real(gram) if gram.is_complex() else gram).all()):
            return math.nan
        sigma = torch.linalg.eigvalsh(gram).clamp_min(0).sqrt()
    return float((sigma - 1).abs().max())


def _jacobian(layer: LipschitzConv2d, shape: Shape) -> Tensor:
    """Of a linear layer, transposed, from the images of the unit vectors."""
    n = shape.c * shape.s**2
    bias = layer.bias.detach()[:, None, None] if layer.bias is not None else 0.0
    units = torch.eye(n, device=layer.weight.device).reshape(n, shape.c, shape.s, shape.s)
    return (layer(units) - bias).flatten(1).double()


class _Transform:
    """Training's parameter transformation."""

    def __init__(self, layer: LipschitzConv2d, s: int, *, backward: bool) -> None:
        self.layer, self.size, self.trains = layer.train(), (s, s), backward
        self.parameters = [p for p in layer.parameters() if p is not layer.bias]

    def reset(self) -> None:
        """Nothing is left by a run."""

    def run(self) -> object:
        with torch.set_grad_enabled(self.trains):
            weights = self.layer.parameter_transform(self.size)
        outputs = [weight for weight in weights if weight.requires_grad]
        gradients = [torch.ones_like(weight) for weight in outputs]
        return torch.autograd.grad(outputs, self.parameters, gradients, allow_unused=True) if self.trains else weights


def _keep(layer: LipschitzConv2d, shape: Shape) -> None:
    """The initial weights."""


def _normal(layer: LipschitzConv2d, shape: Shape) -> None:
    """A random normal kernel, whose smallest singular values are small."""
    torch.nn.init.normal_(layer.weight)


def _far(layer: LipschitzConv2d, shape: Shape) -> None:
    """After steps with a far too large learning rate."""
    x = torch.randn(BATCH, shape.c, shape.s, shape.s, device=layer.weight.device)
    labels = torch.randint(shape.c, (BATCH,), device=layer.weight.device)
    optimizer = torch.optim.SGD(layer.parameters(), lr=LEARNING_RATE)
    for _ in range(STEPS):
        optimizer.zero_grad()
        F.cross_entropy(layer.train()(x).amax((2, 3)), labels).backward()
        optimizer.step()


WEIGHTS: dict[str, Callable[[LipschitzConv2d, Shape], None]] = {
    "initial": _keep,
    "normal": _normal,
    f"{STEPS} steps at lr {LEARNING_RATE:.0f}": _far,
}
