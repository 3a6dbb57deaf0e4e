"""SOC is the exponential of a skew-symmetric matrix, cut after some terms."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from lipcost.layers import SOCConv2d
from lipcost.layers.soc import COLUMNS, ROWS

SIZE = (5, 4)


def dense(layer: SOCConv2d) -> Tensor:
    """The matrix of L on images of SIZE."""
    (kernel,) = layer.parameter_transform(SIZE)
    kernel = kernel.detach()
    basis = torch.eye(kernel.shape[0] * math.prod(SIZE), dtype=kernel.dtype).reshape(-1, kernel.shape[0], *SIZE)
    return F.conv2d(basis, kernel, padding=layer.kernel_size // 2).flatten(1).T


@pytest.mark.parametrize("k", [1, 3, 5])
@pytest.mark.parametrize(("c_in", "c_out"), [(3, 3), (2, 4), (4, 2)])
def test_many_terms_give_the_exponential(c_in: int, c_out: int, k: int) -> None:
    layer = SOCConv2d(c_in, c_out, k, eval_terms=40, dtype=torch.float64).eval()
    n, x = max(c_in, c_out), torch.randn(2, c_in, *SIZE, dtype=torch.float64)
    exponential = torch.matrix_exp(dense(layer))
    padded = F.pad(x, (0, 0, 0, 0, 0, n - c_in)).flatten(1)
    expected = (padded @ exponential.T).reshape(2, n, *SIZE)[:, :c_out] + layer.bias[:, None, None]
    torch.testing.assert_close(layer(x), expected)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("k", [1, 3, 5])
def test_terms_are_those_of_the_series(k: int, training: bool) -> None:
    layer = SOCConv2d(3, 3, k, terms=4, eval_terms=7, bias=False, dtype=torch.float64).eval()
    matrix, x = dense(layer), torch.randn(2, 3, *SIZE, dtype=torch.float64)
    terms = 4 if training else 7
    series = sum(torch.linalg.matrix_power(matrix, i) / math.factorial(i) for i in range(terms + 1))
    (kernel,) = layer.parameter_transform(SIZE)
    y = layer.train(training).input_transform(x, kernel)
    torch.testing.assert_close(y.flatten(1), x.flatten(1) @ series.T)


@pytest.mark.parametrize("k", [1, 3, 5])
def test_kernel_is_skew_symmetric(k: int) -> None:
    matrix = dense(SOCConv2d(3, 3, k, dtype=torch.float64))
    torch.testing.assert_close(matrix, -matrix.T)


@pytest.mark.parametrize("k", [1, 3])
def test_least_of_four_norms(k: int) -> None:
    layer = SOCConv2d(3, 3, k, dtype=torch.float64)
    for _ in range(500):
        (kernel,) = layer.parameter_transform(SIZE)
    norms = []
    for columns, rows in zip(COLUMNS, ROWS, strict=True):
        shape = math.prod(kernel.shape[a] for a in rows), -1
        norms.append(torch.linalg.matrix_norm(kernel.permute(*rows, *columns).reshape(shape), 2))
    torch.testing.assert_close(min(norms).detach(), torch.tensor(layer.correction, dtype=torch.float64))


def test_norm_of_a_1x1_kernel_is_1() -> None:
    layer = SOCConv2d(4, 4, 1, dtype=torch.float64)
    for _ in range(500):
        layer.parameter_transform(SIZE)
    torch.testing.assert_close(torch.linalg.matrix_norm(dense(layer), 2), torch.tensor(1.0, dtype=torch.float64))


def test_only_training_updates_the_power_vectors() -> None:
    layer, x = SOCConv2d(3, 3, 3), torch.randn(1, 3, *SIZE)
    torch.nn.init.normal_(layer.weight)
    before = [buffer.clone() for buffer in layer.buffers()]
    layer.eval()(x)
    assert all(torch.equal(a, b) for a, b in zip(layer.buffers(), before, strict=True))
    layer.train()(x)
    assert not any(torch.equal(a, b) for a, b in zip(layer.buffers(), before, strict=True))
