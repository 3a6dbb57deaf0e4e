"""Modules that nobody here wrote a cost for, as practitioners write them: small, in plain torch."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn.utils import spectral_norm as hooked_spectral_norm
from torch.nn.utils.parametrizations import orthogonal, spectral_norm, weight_norm
from torch.nn.utils.parametrize import register_parametrization


class Residual(nn.Module):
    """The basic block of a ResNet that halves the image."""

    def __init__(self, c_in: int, c_out: int, stride: int = 1) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(c_in, c_out, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(c_out)
        self.conv2 = nn.Conv2d(c_out, c_out, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(c_out)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = nn.Sequential(nn.Conv2d(c_in, c_out, 1, stride, bias=False), nn.BatchNorm2d(c_out))

    def forward(self, x: Tensor) -> Tensor:
        """Both branches, added in place."""
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        out += self.downsample(x)
        y: Tensor = self.relu(out)
        return y


class Bottleneck(nn.Module):
    """The block of the deep ResNets: narrow in the middle."""

    def __init__(self, c: int, narrow: int) -> None:
        super().__init__()
        self.reduce = nn.Conv2d(c, narrow, 1)
        self.conv = nn.Conv2d(narrow, narrow, 3, padding=1)
        self.expand = nn.Conv2d(narrow, c, 1)

    def forward(self, x: Tensor) -> Tensor:
        """x and the narrow branch."""
        return F.relu(x + self.expand(F.relu(self.conv(F.relu(self.reduce(x))))))


class InvertedResidual(nn.Module):
    """MobileNetV2: wide in the middle, a convolution per channel."""

    def __init__(self, c: int, expand: int = 3) -> None:
        super().__init__()
        wide = c * expand
        self.conv = nn.Sequential(
            nn.Conv2d(c, wide, 1, bias=False),
            nn.BatchNorm2d(wide),
            nn.ReLU6(inplace=True),
            nn.Conv2d(wide, wide, 3, padding=1, groups=wide, bias=False),
            nn.BatchNorm2d(wide),
            nn.ReLU6(inplace=True),
            nn.Conv2d(wide, c, 1, bias=False),
            nn.BatchNorm2d(c),
        )

    def forward(self, x: Tensor) -> Tensor:
        """x and the branch."""
        y: Tensor = x + self.conv(x)
        return y


class SqueezeExcite(nn.Module):
    """Channels weighed by what the whole image says of them."""

    def __init__(self, c: int, r: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(c, c, 3, padding=1)
        self.fc1, self.fc2 = nn.Linear(c, r), nn.Linear(r, c)

    def forward(self, x: Tensor) -> Tensor:
        """The convolution's output, weighed."""
        x = self.conv(x)
        b, c, _, _ = x.shape
        scale = x.mean((2, 3))
        scale = torch.sigmoid(self.fc2(F.silu(self.fc1(scale)))).view(b, c, 1, 1)
        return x * scale


class LayerNorm2d(nn.LayerNorm):
    """Over the channels of an image."""

    def forward(self, x: Tensor) -> Tensor:
        """Channels last and back."""
        x = x.permute(0, 2, 3, 1)
        x = F.layer_norm(x, self.normalized_shape, self.weight, self.bias, self.eps)
        return x.permute(0, 3, 1, 2)


class ConvNeXtBlock(nn.Module):
    """A 7×7 convolution per channel, then an MLP on channels-last, scaled."""

    def __init__(self, c: int) -> None:
        super().__init__()
        self.dwconv = nn.Conv2d(c, c, 7, padding=3, groups=c)
        self.norm = nn.LayerNorm(c, eps=1e-6)
        self.pwconv1, self.pwconv2 = nn.Linear(c, 4 * c), nn.Linear(4 * c, c)
        self.gamma = nn.Parameter(1e-6 * torch.ones(c))

    def forward(self, x: Tensor) -> Tensor:
        """x and the branch."""
        y = self.dwconv(x).permute(0, 2, 3, 1)
        y = self.gamma * self.pwconv2(F.gelu(self.pwconv1(self.norm(y))))
        return x + y.permute(0, 3, 1, 2)


class DoubleConv(nn.Sequential):
    """Two convolutions with norm and ReLU."""

    def __init__(self, c_in: int, c_out: int) -> None:
        super().__init__(
            nn.Conv2d(c_in, c_out, 3, padding=1), nn.BatchNorm2d(c_out), nn.ReLU(inplace=True),
            nn.Conv2d(c_out, c_out, 3, padding=1), nn.BatchNorm2d(c_out), nn.ReLU(inplace=True),
        )  # fmt: skip


class UNet(nn.Module):
    """Two levels; what comes up is padded to what went down, as odd sides need it."""

    def __init__(self, c_in: int, c: int) -> None:
        super().__init__()
        self.inc, self.down1 = DoubleConv(c_in, c), DoubleConv(c, 2 * c)
        self.up = nn.ConvTranspose2d(2 * c, c, 2, stride=2)
        self.dec, self.out = DoubleConv(2 * c, c), nn.Conv2d(c, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Down and up."""
        skip = self.inc(x)
        deep = self.up(self.down1(F.max_pool2d(skip, 2)))
        dy, dx = skip.size(2) - deep.size(2), skip.size(3) - deep.size(3)
        deep = F.pad(deep, [dx // 2, dx - dx // 2, dy // 2, dy - dy // 2])
        y: Tensor = self.out(self.dec(torch.cat([skip, deep], dim=1)))
        return y


class SelfAttention(nn.Module):
    """Multi-head attention by matrix products and softmax."""

    def __init__(self, d: int, heads: int) -> None:
        super().__init__()
        self.heads, self.scale = heads, (d // heads) ** -0.5
        self.qkv, self.proj = nn.Linear(d, 3 * d), nn.Linear(d, d)
        self.drop = nn.Dropout(0.1)

    def forward(self, x: Tensor) -> Tensor:
        """Tokens that looked at each other."""
        b, t, d = x.shape
        qkv = self.qkv(x).reshape(b, t, 3, self.heads, d // self.heads).permute(2, 0, 3, 1, 4)
        q, k, v = qkv.unbind(0)
        attn = (q * self.scale) @ k.transpose(-2, -1)
        attn = self.drop(attn.softmax(dim=-1))
        x = (attn @ v).transpose(1, 2).reshape(b, t, d)
        y: Tensor = self.proj(x)
        return y


class FusedAttention(nn.Module):
    """The same by torch's own function, causal."""

    def __init__(self, d: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv, self.proj = nn.Linear(d, 3 * d, bias=False), nn.Linear(d, d)

    def forward(self, x: Tensor) -> Tensor:
        """Tokens that looked back."""
        b, t, d = x.size()
        q, k, v = self.qkv(x).split(d, dim=2)
        q = q.view(b, t, self.heads, d // self.heads).transpose(1, 2)
        k = k.view(b, t, self.heads, d // self.heads).transpose(1, 2)
        v = v.view(b, t, self.heads, d // self.heads).transpose(1, 2)
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        out: Tensor = self.proj(y.transpose(1, 2).contiguous().view(b, t, d))
        return out


class ViTBlock(nn.Module):
    """Attention and an MLP, each after a norm."""

    def __init__(self, d: int, heads: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(d), nn.LayerNorm(d)
        self.attn = SelfAttention(d, heads)
        self.mlp = nn.Sequential(nn.Linear(d, 4 * d), nn.GELU(), nn.Dropout(0.1), nn.Linear(4 * d, d))

    def forward(self, x: Tensor) -> Tensor:
        """Two residual branches."""
        x = x + self.attn(self.norm1(x))
        y: Tensor = x + self.mlp(self.norm2(x))
        return y


class ViT(nn.Module):
    """A vision transformer with a class token, for images of one size."""

    def __init__(self, side: int, patch: int, d: int, classes: int) -> None:
        super().__init__()
        self.patch = nn.Conv2d(3, d, patch, patch)
        self.cls = nn.Parameter(torch.zeros(1, 1, d))
        self.pos = nn.Parameter(torch.zeros(1, (side // patch) ** 2 + 1, d))
        self.blocks = nn.Sequential(*(ViTBlock(d, 2) for _ in range(2)))
        self.norm, self.head = nn.LayerNorm(d), nn.Linear(d, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Class scores."""
        x = self.patch(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.cls.expand(x.shape[0], -1, -1), x], dim=1) + self.pos
        y: Tensor = self.head(self.norm(self.blocks(x))[:, 0])
        return y


class MixerBlock(nn.Module):
    """MLP-mixer: an MLP over the tokens, one over the channels."""

    def __init__(self, tokens: int, d: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(d), nn.LayerNorm(d)
        self.tokens = nn.Sequential(nn.Linear(tokens, 2 * tokens), nn.GELU(), nn.Linear(2 * tokens, tokens))
        self.channels = nn.Sequential(nn.Linear(d, 2 * d), nn.GELU(), nn.Linear(2 * d, d))

    def forward(self, x: Tensor) -> Tensor:
        """Two residual branches."""
        x = x + self.tokens(self.norm1(x).transpose(1, 2)).transpose(1, 2)
        y: Tensor = x + self.channels(self.norm2(x))
        return y


class FNetBlock(nn.Module):
    """Tokens mixed by a Fourier transform in place of attention."""

    def __init__(self, d: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(d), nn.LayerNorm(d)
        self.mlp = nn.Sequential(nn.Linear(d, 2 * d), nn.GELU(), nn.Linear(2 * d, d))

    def forward(self, x: Tensor) -> Tensor:
        """Two residual branches."""
        x = self.norm1(x + torch.fft.fft(torch.fft.fft(x, dim=-1), dim=-2).real)
        y: Tensor = self.norm2(x + self.mlp(x))
        return y


class SpectralConv(nn.Module):
    """A Fourier layer: the lowest frequencies of an image, mixed by complex weights."""

    def __init__(self, c: int, modes: int) -> None:
        super().__init__()
        self.modes = modes
        self.weight = nn.Parameter(torch.rand(c, c, modes, modes, dtype=torch.cfloat) / c**2)
        self.skip = nn.Conv2d(c, c, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Frequencies beside a pointwise convolution."""
        b, c, h, w = x.shape
        spectrum = torch.fft.rfft2(x)
        out = torch.zeros(b, c, h, w // 2 + 1, dtype=torch.cfloat, device=x.device)
        m = self.modes
        out[:, :, :m, :m] = torch.einsum("bixy,ioxy->boxy", spectrum[:, :, :m, :m], self.weight)
        return F.gelu(torch.fft.irfft2(out, s=(h, w)) + self.skip(x))


class GFNet(nn.Module):
    """A filter over all frequencies of an image."""

    def __init__(self, side: int, c: int) -> None:
        super().__init__()
        self.filter = nn.Parameter(torch.randn(c, side, side // 2 + 1, 2) * 0.02)

    def forward(self, x: Tensor) -> Tensor:
        """The image, filtered."""
        spectrum = torch.fft.rfft2(x, norm="ortho") * torch.view_as_complex(self.filter)
        return torch.fft.irfft2(spectrum, s=x.shape[-2:], norm="ortho")


class LSTMByHand(nn.Module):
    """An LSTM cell unrolled over a sequence; the last state is the output."""

    def __init__(self, d: int, hidden: int) -> None:
        super().__init__()
        self.hidden = hidden
        self.ih, self.hh = nn.Linear(d, 4 * hidden), nn.Linear(hidden, 4 * hidden, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """One step for each token."""
        h = x.new_zeros(x.size(0), self.hidden)
        c = torch.zeros_like(h)
        for t in range(x.size(1)):
            i, f, g, o = (self.ih(x[:, t]) + self.hh(h)).chunk(4, dim=1)
            c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
            h = torch.sigmoid(o) * torch.tanh(c)
        return h


class Swish(torch.autograd.Function):
    """x σ(x), which keeps x alone."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        """x σ(x)."""
        ctx.save_for_backward(x)
        return x * torch.sigmoid(x)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        """By the sigmoid computed again."""
        (x,) = ctx.saved_tensors
        s = torch.sigmoid(x)
        return grad * (s * (1 + x * (1 - s)))


class StraightThrough(torch.autograd.Function):
    """Signs, whose gradient is that of a clipped identity."""

    @staticmethod
    def forward(ctx: Any, w: Tensor) -> Tensor:
        """The signs."""
        ctx.save_for_backward(w)
        return w.sign()

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        """Nothing where |w| > 1."""
        (w,) = ctx.saved_tensors
        return grad.masked_fill(w.abs() > 1, 0)


class EfficientSwish(nn.Module):
    """Convolutions with an activation of its own backward."""

    def __init__(self, c: int) -> None:
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(3, c, 3, padding=1), nn.Conv2d(c, 3, 3)

    def forward(self, x: Tensor) -> Tensor:
        """Twice."""
        y: Tensor = Swish.apply(self.conv2(Swish.apply(self.conv1(x))))
        return y


class BinaryConv(nn.Conv2d):
    """A convolution with binary weights, scaled per filter."""

    def forward(self, x: Tensor) -> Tensor:
        """By the signs of its weight."""
        scale = self.weight.abs().mean(dim=(1, 2, 3), keepdim=True)
        weight = StraightThrough.apply(self.weight) * scale.detach()
        return F.conv2d(x, weight, self.bias, self.stride, self.padding)


class GANStep(nn.Module):
    """The generator's loss of a GAN's step: noise to an image to the discriminator's opinion."""

    def __init__(self, z: int, c: int) -> None:
        super().__init__()
        self.generator = nn.Sequential(
            nn.ConvTranspose2d(z, 2 * c, 4, 1, 0, bias=False), nn.BatchNorm2d(2 * c), nn.ReLU(True),
            nn.ConvTranspose2d(2 * c, c, 4, 2, 1, bias=False), nn.BatchNorm2d(c), nn.ReLU(True),
            nn.ConvTranspose2d(c, 3, 4, 2, 1), nn.Tanh(),
        )  # fmt: skip
        self.discriminator = nn.Sequential(
            nn.Conv2d(3, c, 4, 2, 1), nn.LeakyReLU(0.2, inplace=True),
            nn.Conv2d(c, 2 * c, 4, 2, 1, bias=False), nn.BatchNorm2d(2 * c), nn.LeakyReLU(0.2, inplace=True),
            nn.Conv2d(2 * c, 1, 4), nn.Flatten(),
        )  # fmt: skip

    def forward(self, z: Tensor) -> Tensor:
        """The non-saturating loss of a batch of noise."""
        scores = self.discriminator(self.generator(z[:, :, None, None]))
        return F.binary_cross_entropy_with_logits(scores, torch.ones_like(scores))


class Pixels(nn.Module):
    """Super-resolution: features, then pixels shuffled to a larger image, added to an interpolated one."""

    def __init__(self, c: int, scale: int) -> None:
        super().__init__()
        self.scale = scale
        self.head, self.tail = nn.Conv2d(3, c, 3, padding=1), nn.Conv2d(c, 3 * scale**2, 3, padding=1)
        self.act, self.shuffle = nn.PReLU(), nn.PixelShuffle(scale)

    def forward(self, x: Tensor) -> Tensor:
        """The larger image."""
        y = self.shuffle(self.tail(self.act(self.head(x))))
        return y + F.interpolate(x, scale_factor=self.scale, mode="nearest")


class DenseBlock(nn.Module):
    """DenseNet: each layer sees all before it."""

    def __init__(self, c: int, growth: int, layers: int) -> None:
        super().__init__()
        self.norms = nn.ModuleList(nn.BatchNorm2d(c + i * growth) for i in range(layers))
        self.convs = nn.ModuleList(nn.Conv2d(c + i * growth, growth, 3, padding=1, bias=False) for i in range(layers))

    def forward(self, x: Tensor) -> Tensor:
        """All features, joined."""
        features = [x]
        for norm, conv in zip(self.norms, self.convs, strict=True):
            features.append(conv(F.relu(norm(torch.cat(features, 1)))))
        return torch.cat(features, 1)


class Inception(nn.Module):
    """Four branches, joined."""

    def __init__(self, c: int) -> None:
        super().__init__()
        self.one = nn.Conv2d(c, 2, 1)
        self.three = nn.Sequential(nn.Conv2d(c, 3, 1), nn.ReLU(), nn.Conv2d(3, 4, 3, padding=1))
        self.five = nn.Sequential(nn.Conv2d(c, 2, 1), nn.ReLU(), nn.Conv2d(2, 3, 5, padding=2))
        self.pool = nn.Sequential(nn.MaxPool2d(3, 1, 1), nn.Conv2d(c, 2, 1))

    def forward(self, x: Tensor) -> Tensor:
        """The branches' features."""
        return F.relu(torch.cat([branch(x) for branch in (self.one, self.three, self.five, self.pool)], 1))


class ChannelShuffleUnit(nn.Module):
    """ShuffleNetV2: one half of the channels is convolved, then both are shuffled."""

    def __init__(self, c: int) -> None:
        super().__init__()
        h = c // 2
        self.branch = nn.Sequential(
            nn.Conv2d(h, h, 1), nn.ReLU(inplace=True), nn.Conv2d(h, h, 3, padding=1, groups=h), nn.Conv2d(h, h, 1)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Two halves, shuffled."""
        left, right = x.chunk(2, dim=1)
        y = torch.cat((left, self.branch(right)), dim=1)
        b, c, h, w = y.shape
        return y.view(b, 2, c // 2, h, w).transpose(1, 2).reshape(b, c, h, w)


class CBAM(nn.Module):
    """Attention over channels by two poolings, then over places."""

    def __init__(self, c: int) -> None:
        super().__init__()
        self.mlp = nn.Sequential(nn.Conv2d(c, 2, 1, bias=False), nn.ReLU(), nn.Conv2d(2, c, 1, bias=False))
        self.place = nn.Conv2d(2, 1, 7, padding=3, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """x, weighed twice."""
        channels = self.mlp(F.adaptive_avg_pool2d(x, 1)) + self.mlp(F.adaptive_max_pool2d(x, 1))
        x = x * channels.sigmoid()
        places = torch.cat([x.mean(1, keepdim=True), x.max(1, keepdim=True)[0]], 1)
        return x * self.place(places).sigmoid()


class CausalTCN(nn.Module):
    """A dilated causal convolution over a sequence, gated."""

    def __init__(self, c: int, dilation: int) -> None:
        super().__init__()
        self.pad = 2 * dilation
        self.conv = nn.Conv1d(c, 2 * c, 3, dilation=dilation)

    def forward(self, x: Tensor) -> Tensor:
        """x and what the gate lets through."""
        a, b = self.conv(F.pad(x, (self.pad, 0))).chunk(2, dim=1)
        return x + torch.tanh(a) * torch.sigmoid(b)


class TokenEmbedding(nn.Module):
    """A language model's block on tokens: embeddings, rotary positions, attention, tied weights."""

    def __init__(self, vocabulary: int, d: int) -> None:
        super().__init__()
        self.embed = nn.Embedding(vocabulary, d)
        self.q, self.k, self.v = (nn.Linear(d, d, bias=False) for _ in range(3))
        self.norm = nn.RMSNorm(d)

    def rotate(self, x: Tensor) -> Tensor:
        """Pairs of features turned by their place."""
        t, d = x.shape[1], x.shape[2]
        angles = torch.arange(t)[:, None] / 10000 ** (torch.arange(0, d, 2) / d)
        a, b = x[..., ::2], x[..., 1::2]
        return torch.stack([a * angles.cos() - b * angles.sin(), a * angles.sin() + b * angles.cos()], -1).flatten(-2)

    def forward(self, tokens: Tensor) -> Tensor:
        """Scores of every word at every place."""
        x = self.embed(tokens)
        y = self.norm(x)
        q, k, v = self.rotate(self.q(y)), self.rotate(self.k(y)), self.v(y)
        t = x.shape[1]
        scores = q @ k.mT / math.sqrt(q.shape[-1])
        scores = scores.masked_fill(torch.ones(t, t, dtype=torch.bool).triu(1), float("-inf"))
        x = x + scores.softmax(-1) @ v
        return x @ self.embed.weight.T


class SwiGLU(nn.Module):
    """The feed-forward part of recent language models."""

    def __init__(self, d: int, hidden: int) -> None:
        super().__init__()
        self.norm = nn.Parameter(torch.ones(d))
        self.w1, self.w2, self.w3 = (
            nn.Linear(d, hidden, bias=False), nn.Linear(hidden, d, bias=False), nn.Linear(d, hidden, bias=False),
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        """x and the gated branch of its RMS-normalised copy."""
        y = x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-6) * self.norm
        return x + self.w2(F.silu(self.w1(y)) * self.w3(y))


class GraphConv(nn.Module):
    """A convolution on a fixed graph: features averaged over neighbours."""

    def __init__(self, nodes: int, d: int) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        adjacency = (torch.rand(nodes, nodes, generator=generator) > 0.5).float() + torch.eye(nodes)
        degree = adjacency.sum(1).rsqrt()
        self.register_buffer("adjacency", degree[:, None] * adjacency * degree[None, :])
        self.weight = nn.Linear(d, d)

    def forward(self, x: Tensor) -> Tensor:
        """Neighbours' features, transformed."""
        return F.elu(torch.einsum("ij,bjd->bid", self.adjacency, self.weight(x)))


class Symmetric(nn.Module):
    """A parametrisation: the upper triangle, mirrored."""

    def forward(self, w: Tensor) -> Tensor:
        """Symmetric."""
        return w.triu() + w.triu(1).transpose(-1, -2)


class NeuralODE(nn.Module):
    """Four Runge–Kutta steps along a small field."""

    def __init__(self, d: int, steps: int) -> None:
        super().__init__()
        self.field, self.steps = nn.Sequential(nn.Linear(d, 2 * d), nn.Tanh(), nn.Linear(2 * d, d)), steps

    def forward(self, x: Tensor) -> Tensor:
        """Where x is carried."""
        h = 1 / self.steps
        for _ in range(self.steps):
            k1 = self.field(x)
            k2 = self.field(x + h / 2 * k1)
            k3 = self.field(x + h / 2 * k2)
            k4 = self.field(x + h * k3)
            x = x + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
        return x


class HyperLinear(nn.Module):
    """A weight that another network makes for each example."""

    def __init__(self, d: int, out: int) -> None:
        super().__init__()
        self.out, self.maker = out, nn.Linear(d, d * out)

    def forward(self, x: Tensor) -> Tensor:
        """Each example by its own weight."""
        weight = self.maker(x.detach()).view(-1, self.out, x.shape[1])
        return torch.bmm(weight, x.unsqueeze(-1)).squeeze(-1)


class VAE(nn.Module):
    """Encoder, noise, decoder; the loss is the output."""

    def __init__(self, d: int, z: int) -> None:
        super().__init__()
        self.encoder, self.mu, self.logvar = nn.Linear(d, 2 * z), nn.Linear(2 * z, z), nn.Linear(2 * z, z)
        self.decoder = nn.Sequential(nn.Linear(z, 2 * z), nn.ReLU(), nn.Linear(2 * z, d), nn.Sigmoid())

    def forward(self, x: Tensor) -> Tensor:
        """Reconstruction and divergence, summed."""
        h = F.relu(self.encoder(x))
        mu, logvar = self.mu(h), self.logvar(h)
        std = torch.exp(0.5 * logvar)
        z = mu + torch.randn_like(std) * std
        loss = F.mse_loss(self.decoder(z), x, reduction="sum")
        return loss - 0.5 * torch.sum(1 + logvar - mu.pow(2) - logvar.exp())


class VectorQuantizer(nn.Module):
    """The nearest of a few vectors, straight through."""

    def __init__(self, entries: int, d: int) -> None:
        super().__init__()
        self.codebook = nn.Embedding(entries, d)
        self.project = nn.Linear(d, d)

    def forward(self, x: Tensor) -> Tensor:
        """x, quantised, and the distance to the codebook."""
        z = self.project(x)
        flat = z.reshape(-1, z.shape[-1])
        distances = flat.pow(2).sum(1, keepdim=True) - 2 * flat @ self.codebook.weight.t()
        distances = distances + self.codebook.weight.pow(2).sum(1)
        nearest = self.codebook(distances.argmin(1)).view_as(z)
        loss = F.mse_loss(nearest, z.detach()) + 0.25 * F.mse_loss(z, nearest.detach())
        return z + (nearest - z).detach() + loss


class MixtureOfExperts(nn.Module):
    """All experts, weighed by a softmax over the gate's two best."""

    def __init__(self, d: int, experts: int) -> None:
        super().__init__()
        self.gate = nn.Linear(d, experts)
        self.up, self.down = (
            nn.Parameter(torch.randn(experts, d, 2 * d) / d), nn.Parameter(torch.randn(experts, 2 * d, d) / d),
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        """A weighted sum of the experts' outputs."""
        best, which = self.gate(x).topk(2, dim=-1)
        weights = torch.zeros(x.shape[0], self.gate.out_features).scatter(1, which, best.softmax(-1))
        hidden = F.gelu(torch.einsum("bd,edh->beh", x, self.up))
        return torch.einsum("beh,ehd,be->bd", hidden, self.down, weights)


class SpatialTransformer(nn.Module):
    """An image resampled along a learned affine grid."""

    def __init__(self, side: int) -> None:
        super().__init__()
        self.theta = nn.Linear(3 * side**2, 6)

    def forward(self, x: Tensor) -> Tensor:
        """x, turned and scaled."""
        theta = self.theta(x.flatten(1)).view(-1, 2, 3)
        return F.grid_sample(x, F.affine_grid(theta, list(x.shape), align_corners=False), align_corners=False)


def _symmetric(d: int) -> nn.Module:
    layer = nn.Linear(d, d)
    register_parametrization(layer, "weight", Symmetric())
    return nn.Sequential(layer, nn.Tanh())


class Foreign(NamedTuple):
    """A module of somebody else.

    Attributes:
        make: builds it.
        shape: of its input in numbers.
        names: the same with names for sizes that may be anything; () where it is compared in numbers alone.
        classes: whether the output is of a row of scores for each example, so that it can be trained by a step.
        vocabulary: of tokens; 0 where the input is not of tokens.
        bound: the largest number for each name.
    """

    make: Callable[[], nn.Module]
    shape: tuple[int, ...]
    names: tuple[Any, ...] = ()
    classes: bool = False
    vocabulary: int = 0
    bound: int = 24

    def input(self, shape: tuple[int, ...] | None = None) -> Tensor:
        """An input of a shape, by default its own."""
        shape = shape or self.shape
        return torch.randint(self.vocabulary, shape) if self.vocabulary else torch.rand(shape)


IMAGE, SQUARE = (2, 3, 8, 8), ("b", 3, "s", "s")
OBLONG = ("b", 3, "h", "w")
TOKENS, SEQUENCE = (2, 5, 8), ("b", "t", 8)

FOREIGN: dict[str, Foreign] = {
    "residual": Foreign(lambda: Residual(3, 4, 2), IMAGE, SQUARE),
    "bottleneck": Foreign(lambda: Bottleneck(3, 2), IMAGE, OBLONG),
    "inverted residual": Foreign(lambda: InvertedResidual(3), IMAGE, SQUARE),
    "depthwise separable": Foreign(
        lambda: nn.Sequential(
            nn.Conv2d(3, 6, 3, 2, groups=3), nn.GroupNorm(2, 6), nn.Hardswish(), nn.Conv2d(6, 4, 1), nn.ELU()
        ),
        IMAGE, SQUARE,
    ),
    "squeeze-excite": Foreign(lambda: SqueezeExcite(3, 2), IMAGE, OBLONG),
    "layer norm of images": Foreign(lambda: nn.Sequential(nn.Conv2d(3, 4, 2, 2), LayerNorm2d(4)), IMAGE, SQUARE),
    "ConvNeXt": Foreign(lambda: ConvNeXtBlock(3), IMAGE, SQUARE),
    "U-Net": Foreign(lambda: UNet(3, 2), (2, 3, 7, 9), SQUARE),
    "DenseNet": Foreign(lambda: DenseBlock(3, 2, 3), IMAGE, SQUARE),
    "Inception": Foreign(lambda: Inception(3), IMAGE, SQUARE),
    "ShuffleNet": Foreign(lambda: ChannelShuffleUnit(4), (2, 4, 6, 6), ("b", 4, "s", "s")),
    "CBAM": Foreign(lambda: CBAM(3), IMAGE, SQUARE),
    "super-resolution": Foreign(lambda: Pixels(4, 2), IMAGE, SQUARE),
    "small VGG": Foreign(
        lambda: nn.Sequential(
            nn.Conv2d(3, 4, 3), nn.ReLU(inplace=True), nn.MaxPool2d(2), nn.Conv2d(4, 5, 3, padding=1),
            nn.ReLU(inplace=True), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.2), nn.Linear(5, 4),
        ),
        IMAGE, SQUARE, classes=True,
    ),
    "attention": Foreign(lambda: SelfAttention(8, 2), TOKENS, SEQUENCE),
    "fused causal attention": Foreign(lambda: FusedAttention(8, 2), TOKENS, SEQUENCE),
    "nn.MultiheadAttention": Foreign(lambda: nn.TransformerEncoderLayer(8, 2, 12, batch_first=True), TOKENS, SEQUENCE),
    "ViT block": Foreign(lambda: ViTBlock(8, 2), TOKENS, SEQUENCE),
    "ViT": Foreign(lambda: ViT(8, 4, 8, 5), IMAGE, ("b", 3, 8, 8), classes=True),
    "MLP-mixer": Foreign(lambda: MixerBlock(5, 8), TOKENS, ("b", 5, 8)),
    "FFT mixer": Foreign(lambda: FNetBlock(8), TOKENS, SEQUENCE),
    "Fourier layer": Foreign(lambda: SpectralConv(3, 3), IMAGE, SQUARE),
    "global filter": Foreign(lambda: GFNet(8, 3), IMAGE, ("b", 3, 8, 8)),
    "spectral-normalised": Foreign(
        lambda: nn.Sequential(
            hooked_spectral_norm(nn.Conv2d(3, 4, 3, padding=1)), nn.LeakyReLU(0.2),
            spectral_norm(nn.Conv2d(4, 4, 3, padding=1)),
        ),
        IMAGE, SQUARE,
    ),
    "weight-normed": Foreign(
        lambda: nn.Sequential(
            weight_norm(nn.Conv2d(3, 4, 3)), nn.Softplus(), weight_norm(nn.Conv2d(4, 4, 3), dim=None)  # type: ignore[arg-type]
        ),
        IMAGE, SQUARE,
    ),
    "orthogonal": Foreign(
        lambda: nn.Sequential(nn.Flatten(), orthogonal(nn.Linear(12, 6)), nn.ReLU(), orthogonal(nn.Linear(6, 6))),
        (2, 3, 2, 2), ("b", 3, 2, 2), classes=True,
    ),
    "orthogonal by Cayley": Foreign(
        lambda: nn.Sequential(orthogonal(nn.Linear(8, 8), orthogonal_map="cayley"), nn.Tanh()), TOKENS, SEQUENCE
    ),
    "orthogonal by Householder": Foreign(
        lambda: nn.Sequential(orthogonal(nn.Linear(8, 6), orthogonal_map="householder"), nn.Tanh()), TOKENS, SEQUENCE
    ),
    "symmetric": Foreign(lambda: _symmetric(8), TOKENS, SEQUENCE),
    "LSTM by hand": Foreign(lambda: LSTMByHand(8, 6), TOKENS, ("b", 5, 8), classes=True),
    "nn.LSTM": Foreign(lambda: _Last(nn.LSTM(8, 6, batch_first=True)), TOKENS),
    "nn.GRU": Foreign(lambda: _Last(nn.GRU(8, 6, batch_first=True, bidirectional=True)), TOKENS, ("b", 5, 8)),
    "own autograd Function": Foreign(lambda: EfficientSwish(4), IMAGE, SQUARE),
    "binary convolution": Foreign(lambda: BinaryConv(3, 4, 3, 1, 1), IMAGE, SQUARE),
    "GAN step": Foreign(lambda: GANStep(6, 3), (3, 6), ("b", 6)),
    "causal TCN": Foreign(lambda: CausalTCN(4, 2), (2, 4, 9), ("b", 4, "t")),
    "language model": Foreign(lambda: TokenEmbedding(11, 8), (2, 5), ("b", "t"), vocabulary=11),
    "SwiGLU": Foreign(lambda: SwiGLU(8, 12), TOKENS, SEQUENCE),
    "graph convolution": Foreign(lambda: GraphConv(5, 8), TOKENS, ("b", 5, 8)),
    "neural ODE": Foreign(lambda: NeuralODE(6, 2), (3, 6), ("b", 6), classes=True),
    "hypernetwork": Foreign(lambda: HyperLinear(6, 4), (3, 6), ("b", 6), classes=True),
    "VAE": Foreign(lambda: VAE(12, 3), (4, 12), ("b", 12)),
    "vector quantiser": Foreign(lambda: VectorQuantizer(7, 8), TOKENS, SEQUENCE),
    "mixture of experts": Foreign(lambda: MixtureOfExperts(6, 4), (5, 6), ("b", 6), classes=True),
    "spatial transformer": Foreign(lambda: SpatialTransformer(6), (2, 3, 6, 6), ("b", 3, 6, 6)),
}  # fmt: skip


class _Last(nn.Module):
    """A recurrent layer's outputs, without its state."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: Tensor) -> Tensor:
        """Outputs at every place."""
        y: Tensor = self.layer(x)[0]
        return y


# In which modes a module is refused, and what the error names.
REFUSED = {"nn.LSTM": ("train", "LSTM")}
