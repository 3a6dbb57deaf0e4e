"""What the benchmark of counters counts: the library's own layers, and ten modules that stand in many networks.

No product has a bias: counters differ on whether its addition counts.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lipcost.layers import LAYERS

OWN = ("standard", "aol", "bcop", "bro", "cayley", "cpl", "lot", "sll", "soc")
CHANNELS, TOKENS, STEPS, HEADS, MODES = 32, 16, 8, 4, 4


@dataclass(frozen=True)
class Subject:
    """A module and the shape of its input.

    Attributes:
        name: as in the tables.
        build: makes the module.
        shape: of its input; names are sizes.
    """

    name: str
    build: Callable[[], nn.Module]
    shape: tuple[int | str, ...]

    def sizes(self, **numbers: int) -> tuple[int, ...]:
        """The shape in numbers."""
        return tuple(numbers[size] if isinstance(size, str) else size for size in self.shape)

    def module(self) -> nn.Module:
        """One, in train mode, with the same weights each time."""
        torch.manual_seed(0)
        return self.build().train()


def conv(c_in: int, c_out: int, k: int, groups: int = 1) -> nn.Module:
    """A convolution without bias that keeps the image's size."""
    return nn.Conv2d(c_in, c_out, k, padding=k // 2, groups=groups, bias=False)


def conv_block(c: int, k: int = 3, c_in: int | None = None, groups: int = 1) -> nn.Sequential:
    """Convolution, batch norm, ReLU."""
    return nn.Sequential(conv(c_in or c, c, k, groups), nn.BatchNorm2d(c), nn.ReLU())


def perceptron(c: int, hidden: int) -> nn.Sequential:
    """Two dense layers on the last axis."""
    return nn.Sequential(nn.Linear(c, hidden, bias=False), nn.GELU(), nn.Linear(hidden, c, bias=False))


class Residual(nn.Module):
    """x + f(x)."""

    def __init__(self, *inner: nn.Module) -> None:
        super().__init__()
        self.inner = nn.Sequential(*inner)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.inner(x)


class SqueezeExcite(nn.Module):
    """Channels scaled by what the mean of the image says."""

    def __init__(self, c: int, ratio: int = 4) -> None:
        super().__init__()
        self.down, self.up = nn.Linear(c, c // ratio, bias=False), nn.Linear(c // ratio, c, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        scale = torch.sigmoid(self.up(F.relu(self.down(x.mean((2, 3))))))
        return x * scale[:, :, None, None]


class ConvNeXt(nn.Module):
    """A depthwise convolution, then a perceptron on the channels."""

    def __init__(self, c: int) -> None:
        super().__init__()
        self.spatial, self.norm, self.channels = conv(c, c, 7, groups=c), nn.LayerNorm(c), perceptron(c, 4 * c)

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm(self.spatial(x).permute(0, 2, 3, 1))
        return x + self.channels(y).permute(0, 3, 1, 2)


class UNet(nn.Module):
    """Two levels."""

    def __init__(self, c: int) -> None:
        super().__init__()
        self.first, self.inner, self.last = conv_block(c), conv_block(2 * c, c_in=c), conv_block(c, c_in=3 * c)

    def forward(self, x: Tensor) -> Tensor:
        y = self.first(x)
        z = F.interpolate(self.inner(F.max_pool2d(y, 2)), scale_factor=2, mode="nearest")
        return self.last(torch.cat([y, z], 1))


class Attention(nn.Module):
    """Of several heads."""

    def __init__(self, c: int, heads: int) -> None:
        super().__init__()
        self.heads, self.project, self.join = heads, nn.Linear(c, 3 * c, bias=False), nn.Linear(c, c, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = (each.unflatten(-1, (self.heads, -1)).transpose(1, 2) for each in self.project(x).chunk(3, -1))
        return self.join(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))


class Tokens(nn.Module):
    """A perceptron along the second axis."""

    def __init__(self, n: int, hidden: int) -> None:
        super().__init__()
        self.inner = perceptron(n, hidden)

    def forward(self, x: Tensor) -> Tensor:
        return self.inner(x.mT).mT


class FourierMixer(nn.Module):
    """The lowest frequencies of an image, each times a matrix of its own."""

    def __init__(self, c: int, modes: int) -> None:
        super().__init__()
        self.modes = modes
        self.weight = nn.Parameter(torch.randn(c, c, modes, modes, dtype=torch.complex64) / c)

    def forward(self, x: Tensor) -> Tensor:
        low = torch.fft.rfft2(x)[..., : self.modes, : self.modes]
        return torch.fft.irfft2(torch.einsum("bixy,ioxy->boxy", low, self.weight), s=x.shape[-2:])


class LSTM(nn.Module):
    """A cell written out, over the steps of a sequence (b, steps, c)."""

    def __init__(self, c: int) -> None:
        super().__init__()
        self.of_input, self.of_state = nn.Linear(c, 4 * c, bias=False), nn.Linear(c, 4 * c, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        h = c = torch.zeros_like(x[:, 0])
        for step in x.unbind(1):
            i, f, g, o = (self.of_input(step) + self.of_state(h)).chunk(4, -1)
            c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
            h = torch.sigmoid(o) * torch.tanh(c)
        return h


def transformer(c: int) -> nn.Module:
    """A ViT block."""
    attention = Residual(nn.LayerNorm(c), Attention(c, HEADS))
    return nn.Sequential(attention, Residual(nn.LayerNorm(c), perceptron(c, 4 * c)))


def mixer(c: int) -> nn.Module:
    """A block of MLP-Mixer."""
    tokens = Residual(nn.LayerNorm(c), Tokens(TOKENS, 2 * TOKENS))
    return nn.Sequential(tokens, Residual(nn.LayerNorm(c), perceptron(c, 4 * c)))


def bottleneck(c: int) -> nn.Module:
    """A residual block on a quarter of the channels."""
    return Residual(conv_block(c // 4, 1, c), conv_block(c // 4), conv(c // 4, c, 1), nn.BatchNorm2d(c))


def separable(c: int) -> nn.Module:
    """A depthwise and a pointwise convolution."""
    return nn.Sequential(conv_block(c, groups=c), conv_block(c, 1))


IMAGE, SEQUENCE = ("b", CHANNELS, "s", "s"), ("b", "s", CHANNELS)
COMMON = (
    Subject("conv block", partial(conv_block, CHANNELS), IMAGE),
    Subject("bottleneck", partial(bottleneck, CHANNELS), IMAGE),
    Subject("separable", partial(separable, CHANNELS), IMAGE),
    Subject("squeeze-excite", partial(SqueezeExcite, CHANNELS), IMAGE),
    Subject("ConvNeXt", partial(ConvNeXt, CHANNELS), IMAGE),
    Subject("U-Net", partial(UNet, CHANNELS), IMAGE),
    Subject("ViT block", partial(transformer, CHANNELS), SEQUENCE),
    Subject("MLP-Mixer", partial(mixer, CHANNELS), ("b", TOKENS, CHANNELS)),
    Subject("FFT mixer", partial(FourierMixer, CHANNELS, MODES), IMAGE),
    Subject("LSTM", partial(LSTM, CHANNELS), ("b", STEPS, CHANNELS)),
)
SUBJECTS = (*(Subject(name, partial(LAYERS[name], CHANNELS, CHANNELS, 3, bias=False), IMAGE) for name in OWN), *COMMON)
