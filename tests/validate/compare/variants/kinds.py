"""What a kind of network is, and what it is made of."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from lipcost.layers import LAYERS, ZeroChannelPad
from lipcost.layers import MaxMin as OwnMaxMin
from lipcost.layers.networks.activations import PublishedMaxMin

CHANNELS = 8  # of the layers; images have three
SIZE = (8, 8)
FEW: dict[str, dict[str, Any]] = {  # iterations: the same programs in less time
    "bcop": {"iterations": 2},
    "bcop/published": {"iterations": 2, "power_iterations": 1},
    "cpl": {"iterations": 1, "eval_iterations": 2},
    "cpl/published": {"iterations": 1, "eval_iterations": 2},
    "lot": {"iterations": 2},
    "lot/published": {"iterations": 2},
    "soc": {"terms": 2, "eval_terms": 2},
    "soc/published": {"terms": 2, "eval_terms": 3},
}


class Maker:
    """Makes a method's layers and its activation."""

    def __init__(self, method: str) -> None:
        self.method, self.published = method, method.endswith("/published")

    def __call__(self, c_in: int = CHANNELS, c_out: int | None = None, k: int = 3, **arguments: Any) -> nn.Module:
        """A layer."""
        arguments = FEW.get(self.method, {}) | arguments
        return LAYERS[self.method](c_in, c_in if c_out is None else c_out, k, **arguments)

    def activation(self) -> nn.Module:
        """MaxMin as the method's networks have it."""
        return PublishedMaxMin() if self.published else OwnMaxMin()


Build = Callable[[Maker], nn.Module]


@dataclass(frozen=True)
class Kind:
    """A kind of network.

    Attributes:
        build: makes one of a method's layers.
        shape: of one input.
        optimizer: of the training step.
        called: whether it is called once before, as lazy buffers want.
        input_gradient: whether the input requires grad.
        methods: those it exists for.
    """

    build: Build
    shape: tuple[int, ...] = (3, *SIZE)
    optimizer: str = "sgd-momentum"
    called: bool = True
    input_gradient: bool = False
    methods: tuple[str, ...] = tuple(LAYERS)

    @property
    def name(self) -> str:
        """The builder's."""
        return self.build.__name__


# A second forward of the published SOC overwrites a vector that the first one's backward reads; torch refuses that.
REPEATABLE = tuple(name for name in LAYERS if name != "soc/published")
KINDS: dict[str, Kind] = {}


def kind(**settings: Any) -> Callable[[Build], Build]:
    """Register a builder under its name."""

    def register(build: Build) -> Build:
        KINDS[build.__name__] = Kind(build, **settings)
        return build

    return register


def trunk(*modules: nn.Module) -> nn.Sequential:
    """These modules on eight channels, between the first and the last of a ConvNet."""
    return nn.Sequential(ZeroChannelPad(CHANNELS), *modules, nn.AdaptiveMaxPool2d(1), nn.Flatten())


class Call(nn.Module):
    """A user's class: what ``function`` does with the input and the parts."""

    def __init__(self, function: Callable[..., Tensor], *parts: nn.Module) -> None:
        super().__init__()
        self.function, self.parts = function, nn.ModuleList(parts)

    def forward(self, x: Tensor) -> Tensor:
        """Apply it."""
        return self.function(x, *self.parts)


def convolution(**arguments: Any) -> nn.Conv2d:
    return nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1, **arguments)
