"""SLL's scale is the sum of its paper, term by term; the layer is that formula with dense matrices, and ours is it."""

from __future__ import annotations

from itertools import product

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from lipcost.layers import SLLConv2d
from lipcost.layers.methods.published.sll import PublishedSLLConv2d
from lipcost.validate import lipschitz_upper_bound


def correlation(w: Tensor, i: int, j: int, dy: int, dx: int) -> float:
    """(WWᵀ)_{ij} at one displacement: Σ_n Σ_{y,x} W[i,n,y+dy,x+dx] W[j,n,y,x]."""
    _, c, k, _ = w.shape
    total = 0.0
    for n, y, x in product(range(c), range(k), range(k)):
        if 0 <= y + dy < k and 0 <= x + dx < k:
            total += float(w[i, n, y + dy, x + dx] * w[j, n, y, x])
    return total


DOUBLE = torch.float64


@pytest.mark.parametrize(("c", "k"), [(1, 1), (3, 1), (2, 3), (3, 3), (1, 5)])
def test_published_scale_is_the_formula(c: int, k: int) -> None:
    layer = PublishedSLLConv2d(c, c, k, dtype=torch.float64)
    scale = layer.parameter_transform((8, 8))[0].detach()
    w, q, shifts = layer.weight.detach(), layer.q.detach().abs() + 1e-6, range(1 - k, k)
    for i in range(c):
        t = sum(
            abs(correlation(w, i, j, dy, dx)) * float(q[j] / q[i]) for j in range(c) for dy in shifts for dx in shifts
        )
        torch.testing.assert_close(float(scale[i]), 2 / (t + 1e-6))


@pytest.mark.parametrize("size", [(5, 5), (4, 7)])
def test_published_output_is_the_formula(size: tuple[int, int]) -> None:
    layer = PublishedSLLConv2d(3, 3, 3, dtype=torch.float64)
    pixels = size[0] * size[1]
    basis = torch.eye(3 * pixels, dtype=torch.float64).reshape(-1, 3, *size)
    w = F.conv2d(basis, layer.weight, padding=1).flatten(1).T
    (scale,) = layer.parameter_transform(size)
    x = torch.randn(2, 3, *size, dtype=torch.float64)
    assert layer.bias is not None
    inner = F.relu(x.flatten(1) @ w.T + layer.bias.repeat_interleave(pixels))
    expected = x.flatten(1) - (scale.repeat_interleave(pixels) * inner) @ w
    torch.testing.assert_close(layer(x).flatten(1), expected)


def test_published_scale_of_q_does_not_matter() -> None:
    layer, x = PublishedSLLConv2d(3, 3, 3, dtype=torch.float64), torch.randn(2, 3, 5, 5, dtype=torch.float64)
    y = layer(x)
    with torch.no_grad():
        layer.q.mul_(-2)
    torch.testing.assert_close(layer(x), y, atol=1e-4, rtol=0)  # ε is not scaled along


@pytest.mark.parametrize("std", [0.0, 1e-10, 1e10])
def test_published_scale_of_the_weight_does_no_harm(std: float) -> None:
    layer = PublishedSLLConv2d(3, 3, 3, dtype=torch.float64)
    torch.nn.init.normal_(layer.weight, std=std)
    torch.nn.init.zeros_(layer.q)
    assert lipschitz_upper_bound(layer, (3, 5, 5)) <= 1 + 1e-9


# Ours


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("k", [1, 3, 5])
def test_is_the_published_layer(k: int, bias: bool, training: bool) -> None:
    ours = SLLConv2d(3, 3, k, bias=bias, dtype=DOUBLE).train(training)
    published = PublishedSLLConv2d(3, 3, k, bias=bias, dtype=DOUBLE).train(training)
    published.load_state_dict(ours.state_dict())
    x, g = torch.randn(2, 2, 3, 5, 6, dtype=DOUBLE)
    x.requires_grad_()
    y, expected = ours(x), published(x)
    torch.testing.assert_close(y, expected)
    of_ours, of_published = (
        dict(zip(("x", *dict(m.named_parameters())), torch.autograd.grad(out, (x, *m.parameters()), g), strict=True))
        for m, out in ((ours, y), (published, expected))
    )
    torch.testing.assert_close(of_ours, of_published)


@pytest.mark.parametrize("mode", ["zeros", "circular"])
@pytest.mark.parametrize("k", [1, 2, 3])
@pytest.mark.parametrize(("c_in", "c_out"), [(2, 2), (1, 3), (3, 1)])
def test_gradients(c_in: int, c_out: int, k: int, mode: str) -> None:
    layer = SLLConv2d(c_in, c_out, k, padding_mode=mode, dtype=DOUBLE)
    x = torch.randn(1, c_in, 3, 4, dtype=DOUBLE, requires_grad=True)
    names, parameters = zip(*layer.named_parameters(), strict=True)

    def output(x: Tensor, *parameters: Tensor) -> Tensor:
        return torch.func.functional_call(layer, dict(zip(names, parameters, strict=True)), (x,))

    assert torch.autograd.gradcheck(output, (x, *parameters))


def test_bfloat16_bound() -> None:
    for _ in range(5):
        assert SLLConv2d(4, 4, 3, dtype=torch.bfloat16).lipschitz_upper_bound((4, 6, 6)) == 1


@pytest.mark.parametrize(("c_in", "c_out"), [(2, 4), (4, 2)])
def test_acts_on_the_larger_number_of_channels(c_in: int, c_out: int) -> None:
    layer, square = SLLConv2d(c_in, c_out, 3), SLLConv2d(4, 4, 3)
    square.load_state_dict(layer.state_dict())
    x = torch.randn(2, c_in, 5, 6)
    expected = square(F.pad(x, (0, 0, 0, 0, 0, 4 - c_in)))[:, :c_out]
    torch.testing.assert_close(layer(x), expected)


def test_stride_is_downsampling() -> None:
    layer, inner = SLLConv2d(2, 6, 3, stride=2), SLLConv2d(8, 6, 3)
    inner.load_state_dict(layer.state_dict())
    x = torch.randn(2, 2, 6, 8)
    assert torch.equal(layer(x), inner(F.pixel_unshuffle(x, 2)))
