"""Cayley's layer is a circular convolution; its matrices are the Cayley transform."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from lipcost.layers import CayleyConv2d
from lipcost.layers.cayley import cayley


def matrices(*shape: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.complex128)


@pytest.mark.parametrize("size", [(6, 6), (5, 7), (7, 4), (5, 5)])
@pytest.mark.parametrize(("c_in", "c_out", "k"), [(3, 3, 3), (2, 4, 1), (4, 2, 3)])
def test_layer_is_the_circular_convolution_with_its_kernel(
    size: tuple[int, int], c_in: int, c_out: int, k: int
) -> None:
    h, w = size
    layer = CayleyConv2d(c_in, c_out, k, dtype=torch.float64)
    x = torch.randn(2, c_in, h, w, dtype=torch.float64)
    (q,) = layer.parameter_transform(size)
    kernel = torch.fft.irfft2(q.reshape(h, w // 2 + 1, c_out, c_in).permute(2, 3, 0, 1), s=size)
    wrapped = F.pad(x, (w - 1, 0, h - 1, 0), mode="circular")
    torch.testing.assert_close(layer(x), F.conv2d(wrapped, kernel.flip(2, 3), layer.bias))


def test_square_is_the_cayley_transform() -> None:
    w = matrices(7, 4, 4)
    a, identity = w - w.mH, torch.eye(4, dtype=w.dtype)
    torch.testing.assert_close((identity + a) @ cayley(w), identity - a)


def test_transform_is_undone_by_itself() -> None:
    w = matrices(7, 4, 4)
    q, identity = cayley(w), torch.eye(4, dtype=w.dtype)
    torch.testing.assert_close(torch.linalg.solve(identity + q, identity - q), w - w.mH)


@pytest.mark.parametrize("shape", [(4, 4), (6, 3), (3, 6), (5, 1), (1, 5)])
def test_columns_or_rows_are_orthonormal(shape: tuple[int, int]) -> None:
    q = cayley(matrices(7, *shape))
    assert q.shape == (7, *shape)
    gram = q.mH @ q if shape[0] >= shape[1] else q @ q.mH
    torch.testing.assert_close(gram, torch.eye(min(shape), dtype=q.dtype).expand_as(gram))


def test_tall_is_the_block_formula() -> None:
    w = matrices(7, 6, 4)
    u, v, identity = w[:, :4], w[:, 4:], torch.eye(4, dtype=w.dtype)
    a = u - u.mH + v.mH @ v
    inverse = torch.linalg.inv(identity + a)
    torch.testing.assert_close(cayley(w), torch.cat((inverse @ (identity - a), -2 * v @ inverse), dim=1))


def test_alpha_is_the_norm_that_the_transform_sees() -> None:
    layer = CayleyConv2d(3, 3, 3, dtype=torch.float64)
    torch.testing.assert_close(layer.alpha, layer.weight.norm())
    x = torch.randn(1, 3, 6, 6, dtype=torch.float64)
    y = layer(x)
    with torch.no_grad():
        layer.weight.mul_(7.5)  # α alone sets the scale
    torch.testing.assert_close(layer(x), y)
