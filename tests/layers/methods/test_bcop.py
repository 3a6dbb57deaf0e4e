"""BCOP's kernel is orthogonal at every frequency of every image that it fits, and the published one."""

from __future__ import annotations

import cmath

import pytest
import torch
from torch import Tensor

from lipcost.layers import BCOPConv2d
from lipcost.layers.methods.published.bcop import (
    Blocks,
    PublishedBCOPConv2d,
    bjorck,
    block_convolution,
    block_orthogonal,
)
from lipcost.validate import singular_values


def projector(n: int) -> Tensor:
    q = torch.linalg.qr(torch.randn(n, n, dtype=torch.float64)).Q[:, : n // 2]
    return q @ q.T


def transform(blocks: Blocks, fy: float, fx: float) -> Tensor:
    """Σ_{ij} blocks[i, j] exp(-2πi (fy i + fx j))."""
    terms = [block * cmath.exp(-2j * cmath.pi * (fy * i + fx * j)) for (i, j), block in blocks.items()]
    return torch.stack(terms).sum(0)


@pytest.mark.parametrize(("c_in", "c_out"), [(4, 4), (5, 5), (2, 5), (5, 2), (1, 1)])
@pytest.mark.parametrize("k", [1, 3, 5])
@pytest.mark.parametrize("size", [(5, 5), (6, 9)])
@pytest.mark.parametrize("cls", [BCOPConv2d, PublishedBCOPConv2d])
def test_kernel_is_orthogonal_at_every_frequency(
    cls: type[BCOPConv2d] | type[PublishedBCOPConv2d], c_in: int, c_out: int, k: int, size: tuple[int, int]
) -> None:
    (kernel,) = cls(c_in, c_out, k, dtype=torch.float64).parameter_transform(size)
    assert kernel.shape == (c_out, c_in, k, k)
    values = torch.linalg.svdvals(torch.fft.fft2(kernel, size).permute(2, 3, 0, 1))
    torch.testing.assert_close(values, torch.ones_like(values), atol=1e-9, rtol=0)


@pytest.mark.parametrize("n", [2, 3, 6])
def test_two_projectors_make_an_orthogonal_kernel(n: int) -> None:
    matrix = transform(block_orthogonal(projector(n), projector(n)), 0.3, 0.8)
    torch.testing.assert_close(matrix @ matrix.mH, torch.eye(n, dtype=matrix.dtype))


def test_block_convolution_multiplies_transforms() -> None:
    a, b = (block_orthogonal(projector(4), projector(4)) for _ in range(2))
    ab = block_convolution(a, b)
    assert set(ab) == {(i, j) for i in range(3) for j in range(3)}
    torch.testing.assert_close(transform(ab, 0.2, 0.7), transform(a, 0.2, 0.7) @ transform(b, 0.2, 0.7))


def test_bjorck_finds_the_polar_factor() -> None:
    w = torch.randn(3, 5, 5, dtype=torch.float64)
    w = w / torch.linalg.matrix_norm(w, 2)[:, None, None]
    u, _, v = torch.linalg.svd(w)
    torch.testing.assert_close(bjorck(w, 60), u @ v)


def test_power_iteration_finds_the_norms() -> None:
    layer = PublishedBCOPConv2d(5, 5, 3, power_iterations=500, dtype=torch.float64)
    torch.nn.init.normal_(layer.weight)
    torch.testing.assert_close(layer._spectral_norms().flatten(), torch.linalg.matrix_norm(layer.weight.detach(), 2))


def test_training_moves_the_power_vectors_and_eval_does_not() -> None:
    layer, x = PublishedBCOPConv2d(3, 3, 3), torch.randn(1, 3, 5, 5)
    torch.nn.init.normal_(layer.weight)
    before = layer.u.clone()
    layer.eval()(x)
    assert torch.equal(layer.u, before)
    layer.train()(x)
    assert not torch.equal(layer.u, before)


@pytest.mark.parametrize(("c_in", "c_out"), [(4, 4), (5, 5), (2, 5), (5, 2), (1, 3), (1, 1)])
@pytest.mark.parametrize("k", [1, 3, 5])
def test_equals_the_published_one_where_both_have_converged(c_in: int, c_out: int, k: int) -> None:
    ours = BCOPConv2d(c_in, c_out, k, iterations=12, dtype=torch.float64)
    published = PublishedBCOPConv2d(c_in, c_out, k, iterations=60, power_iterations=300, dtype=torch.float64)
    torch.nn.init.normal_(ours.weight)
    published.weight.data.copy_(ours.weight.data)
    (ours_kernel,), (kernel,) = ours.parameter_transform(()), published.parameter_transform(())
    g = torch.randn_like(kernel)
    torch.testing.assert_close(ours_kernel, kernel, atol=1e-10, rtol=0)
    (gradient,) = torch.autograd.grad(kernel, published.weight, g)
    scale = max(1.0, float(gradient.abs().max()))
    torch.testing.assert_close(torch.autograd.grad(ours_kernel, ours.weight, g)[0], gradient, atol=1e-9 * scale, rtol=0)


@pytest.mark.parametrize(("c_in", "c_out", "k"), [(3, 3, 1), (2, 3, 2), (3, 2, 3), (2, 2, 4)])
def test_gradient(c_in: int, c_out: int, k: int) -> None:
    layer = BCOPConv2d(c_in, c_out, k, iterations=12, dtype=torch.float64)

    def kernel(weight: Tensor) -> Tensor:
        return torch.func.functional_call(layer, {"weight": weight}, (torch.ones(1, c_in, 4, 4, dtype=torch.float64),))

    assert torch.autograd.gradcheck(kernel, (layer.weight,))


def test_state_is_the_weight_and_the_bias() -> None:
    layer = BCOPConv2d(2, 3, 3, stride=2)
    assert {name: tuple(t.shape) for name, t in layer.state_dict().items()} == {"weight": (5, 8, 8), "bias": (3,)}
    assert not list(layer.buffers())


def spoil(layer: BCOPConv2d, state: str) -> None:
    w = layer.weight.data
    n = w.shape[-1]
    rank_one = torch.randn(len(w), n, 1).to(w) * torch.randn(len(w), 1, n).to(w)
    changed = {
        "small": w * 1e-4,
        "large": w * 1e2,
        "zero": w * 0,
        "rank one": rank_one,
        "equal": torch.full_like(w, 0.3),
    }
    w.copy_(changed.get(state, w))
    if state == "zero channel":
        w[:, 0] = 0


def train(layer: BCOPConv2d, x: Tensor) -> None:
    sgd = torch.optim.SGD(layer.parameters(), lr=10)
    for _ in range(5):
        sgd.zero_grad()
        layer(x).sin().sum().backward()
        sgd.step()


STATES = ["initial", "small", "large", "zero", "zero channel", "rank one", "equal", "trained"]
LAYERS = [(4, 4, 3, 1, "circular"), (3, 5, 3, 1, "zeros"), (5, 3, 2, 1, "circular"), (2, 6, 3, 2, "circular")]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("sizes", LAYERS)
def test_is_sound_for_any_weight(sizes: tuple[int, int, int, int, str], state: str, dtype: torch.dtype) -> None:
    c_in, c_out, k, stride, padding_mode = sizes
    layer = BCOPConv2d(c_in, c_out, k, stride=stride, padding_mode=padding_mode, dtype=dtype)
    x = torch.randn(2, c_in, 6, 6, dtype=dtype)
    spoil(layer, state)
    if state == "trained":
        train(layer, x)
    layer.zero_grad()
    layer(x).sin().sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in layer.parameters())
    values = singular_values(layer.eval(), (c_in, 6, 6))
    bound = layer.lipschitz_upper_bound((c_in, 6, 6))
    assert values[0] <= 1 + (1e-5 if dtype == torch.float64 else 1e-4)
    assert bound >= values[0] - 1e-6
    if padding_mode == "circular":
        assert bound == pytest.approx(float(values[0]), abs=1e-6)
        if state in ("initial", "small", "large", "trained"):
            assert (values - 1).abs().max() < 1e-5
