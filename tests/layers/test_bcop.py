"""BCOP's kernel is orthogonal at every frequency of every image that it fits."""

from __future__ import annotations

import cmath

import pytest
import torch
from torch import Tensor

from lipcost.layers import BCOPConv2d
from lipcost.layers.bcop import Blocks, bjorck, block_convolution, block_orthogonal


def projector(n: int) -> Tensor:
    q = torch.linalg.qr(torch.randn(n, n, dtype=torch.float64)).Q[:, : n // 2]
    return q @ q.T


def transform(blocks: Blocks, fy: float, fx: float) -> Tensor:
    """Σ_{ij} blocks[i, j] exp(-2πi (fy i + fx j))."""
    return sum(block * cmath.exp(-2j * cmath.pi * (fy * i + fx * j)) for (i, j), block in blocks.items())


@pytest.mark.parametrize(("c_in", "c_out"), [(4, 4), (5, 5), (2, 5), (5, 2), (1, 1)])
@pytest.mark.parametrize("k", [1, 3, 5])
@pytest.mark.parametrize("size", [(5, 5), (6, 9)])
def test_kernel_is_orthogonal_at_every_frequency(c_in: int, c_out: int, k: int, size: tuple[int, int]) -> None:
    (kernel,) = BCOPConv2d(c_in, c_out, k, dtype=torch.float64).parameter_transform(size)
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
    layer = BCOPConv2d(5, 5, 3, power_iterations=500, dtype=torch.float64)
    torch.nn.init.normal_(layer.weight)
    torch.testing.assert_close(layer._spectral_norms().flatten(), torch.linalg.matrix_norm(layer.weight.detach(), 2))


def test_training_moves_the_power_vectors_and_eval_does_not() -> None:
    layer, x = BCOPConv2d(3, 3, 3), torch.randn(1, 3, 5, 5)
    torch.nn.init.normal_(layer.weight)
    before = layer.u.clone()
    layer.eval()(x)
    assert torch.equal(layer.u, before)
    layer.train()(x)
    assert not torch.equal(layer.u, before)
