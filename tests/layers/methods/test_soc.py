"""SOC is nearly the exponential of a skew-symmetric matrix, orthogonal in eval mode; as published, a Taylor series."""

from __future__ import annotations

import copy
import math

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from lipcost.layers import LipschitzConv2d, SOCConv2d
from lipcost.layers.methods.parts.convolution import correlate
from lipcost.layers.methods.parts.exponential import exponential_polynomial, polynomial_convolution
from lipcost.layers.methods.published.soc import COLUMNS, ROWS, PublishedSOCConv2d
from lipcost.layers.methods.soc import reshaped
from lipcost.validate import singular_values

SIZE = (5, 4)
DOUBLE = torch.float64


def dense(layer: PublishedSOCConv2d) -> Tensor:
    """The matrix of L on images of SIZE."""
    (kernel,) = layer.parameter_transform(SIZE)
    kernel = kernel.detach()
    basis = torch.eye(kernel.shape[0] * math.prod(SIZE), dtype=kernel.dtype).reshape(-1, kernel.shape[0], *SIZE)
    return F.conv2d(basis, kernel, padding=layer.kernel_size // 2).flatten(1).T


def four_norms(kernel: Tensor) -> list[Tensor]:
    """Of the matrices that a kernel can be reshaped to."""
    norms = []
    for columns, rows in zip(COLUMNS, ROWS, strict=True):
        shape = math.prod(kernel.shape[a] for a in rows), -1
        norms.append(torch.linalg.matrix_norm(kernel.permute(*rows, *columns).reshape(shape), 2))
    return norms


@pytest.mark.parametrize("k", [1, 3, 5])
@pytest.mark.parametrize(("c_in", "c_out"), [(3, 3), (2, 4), (4, 2)])
def test_published_many_terms_give_the_exponential(c_in: int, c_out: int, k: int) -> None:
    layer = PublishedSOCConv2d(c_in, c_out, k, eval_terms=40, dtype=DOUBLE).eval()
    n, x = max(c_in, c_out), torch.randn(2, c_in, *SIZE, dtype=DOUBLE)
    exponential = torch.matrix_exp(dense(layer))
    assert layer.bias is not None
    padded = F.pad(x, (0, 0, 0, 0, 0, n - c_in)).flatten(1)
    expected = (padded @ exponential.T).reshape(2, n, *SIZE)[:, :c_out] + layer.bias[:, None, None]
    torch.testing.assert_close(layer(x), expected)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("k", [1, 3, 5])
def test_published_terms_are_those_of_the_series(k: int, training: bool) -> None:
    layer = PublishedSOCConv2d(3, 3, k, terms=4, eval_terms=7, bias=False, dtype=DOUBLE).eval()
    matrix, x = dense(layer), torch.randn(2, 3, *SIZE, dtype=DOUBLE)
    terms = 4 if training else 7
    series = sum(torch.linalg.matrix_power(matrix, i) / math.factorial(i) for i in range(terms + 1))
    (kernel,) = layer.parameter_transform(SIZE)
    y = layer.train(training).input_transform(x, kernel)
    torch.testing.assert_close(y.flatten(1), x.flatten(1) @ series.T)


@pytest.mark.parametrize("k", [1, 3, 5])
def test_published_kernel_is_skew_symmetric(k: int) -> None:
    matrix = dense(PublishedSOCConv2d(3, 3, k, dtype=DOUBLE))
    torch.testing.assert_close(matrix, -matrix.T)


@pytest.mark.parametrize("k", [1, 3])
def test_published_least_of_four_norms(k: int) -> None:
    layer = PublishedSOCConv2d(3, 3, k, dtype=DOUBLE)
    for _ in range(500):
        (kernel,) = layer.parameter_transform(SIZE)
    torch.testing.assert_close(min(four_norms(kernel)).detach(), torch.tensor(layer.correction, dtype=DOUBLE))


def test_published_norm_of_a_1x1_kernel_is_1() -> None:
    layer = PublishedSOCConv2d(4, 4, 1, dtype=DOUBLE)
    for _ in range(500):
        layer.parameter_transform(SIZE)
    torch.testing.assert_close(torch.linalg.matrix_norm(dense(layer), 2), torch.tensor(1.0, dtype=DOUBLE))


# Ours


def converged(layer: SOCConv2d) -> SOCConv2d:
    """The layer with power vectors that have converged on its weights."""
    with torch.no_grad():
        for _ in range(1000):
            layer.parameter_transform(SIZE)
    return layer


def jacobian(layer: SOCConv2d) -> Tensor:
    """The layer's matrix on images of SIZE."""
    c = layer.in_channels
    basis = torch.eye(c * math.prod(SIZE), dtype=DOUBLE).reshape(-1, c, *SIZE)
    with torch.no_grad():
        y = layer(torch.cat([basis, torch.zeros_like(basis[:1])])).flatten(1)
    return (y[:-1] - y[-1]).T


@pytest.mark.parametrize("mode", ["zeros", "circular"])
@pytest.mark.parametrize("k", [1, 3, 5])
def test_many_terms_give_the_exponential(k: int, mode: str) -> None:
    layer = converged(SOCConv2d(2, 2, k, terms=25, padding_mode=mode, bias=False, dtype=DOUBLE))
    skew = layer._skew().detach()
    basis = torch.eye(2 * math.prod(SIZE), dtype=DOUBLE).reshape(-1, 2, *SIZE)
    matrix = 1.5 / k / min(four_norms(skew)) * correlate(basis, skew, None, mode).flatten(1).T
    assert torch.linalg.matrix_norm(matrix, 2) <= 1.5 + 1e-12
    torch.testing.assert_close(jacobian(layer), torch.matrix_exp(matrix), rtol=0, atol=1e-9)


@pytest.mark.parametrize("k", [1, 3])
def test_many_terms_are_the_published_function_of_the_kernel(k: int) -> None:
    published = PublishedSOCConv2d(4, 4, k, terms=25, bias=False, dtype=DOUBLE)
    kernel = published.parameter_transform(SIZE)[0].detach().requires_grad_()
    x, g = torch.randn(2, 2, 4, *SIZE, dtype=DOUBLE)
    x.requires_grad_()
    ours = polynomial_convolution(x, kernel, None, exponential_polynomial(25, 2.1), "zeros")
    expected = published.input_transform(x, kernel)
    torch.testing.assert_close(ours, expected, rtol=0, atol=1e-10)
    gradients = [torch.autograd.grad(y, (x, kernel), g) for y in (ours, expected)]
    torch.testing.assert_close(*gradients, rtol=0, atol=1e-10)


def test_the_four_norms_are_two() -> None:
    skew = SOCConv2d(3, 3, 3, dtype=DOUBLE)._skew().detach()
    first, second = (torch.linalg.matrix_norm(matrix, 2) for matrix in reshaped(skew))
    torch.testing.assert_close(torch.stack(four_norms(skew)), torch.stack([first, first, second, second]))


@pytest.mark.parametrize("k", [1, 3, 5, 7])
def test_orthogonal_in_eval_mode(k: int) -> None:
    layer = SOCConv2d(3, 3, k, dtype=DOUBLE).eval()
    assert (singular_values(layer, (3, *SIZE)) - 1).abs().max() < 3e-6


@pytest.mark.parametrize("k", [1, 3, 5, 7])
def test_orthogonal_to_four_thousandths_in_training(k: int) -> None:
    layer = converged(SOCConv2d(3, 3, k, dtype=DOUBLE))
    assert (singular_values(layer, (3, *SIZE)) - 1).abs().max() < 0.0035


@pytest.mark.parametrize("k", [1, 3, 5])
def test_eval_mode_is_the_polar_factor_of_training(k: int) -> None:
    layer = converged(SOCConv2d(3, 3, k, dtype=DOUBLE))
    u, _, v = torch.linalg.svd(jacobian(layer))
    torch.testing.assert_close(jacobian(layer.eval()), u @ v, rtol=0, atol=0.006)


@pytest.mark.parametrize("k", [1, 3])
@pytest.mark.parametrize("dtype", [torch.float32, DOUBLE])
def test_zero_weights_give_the_identity(dtype: torch.dtype, k: int) -> None:
    layer, x = SOCConv2d(3, 3, k, bias=False, dtype=dtype), torch.randn(2, 3, *SIZE, dtype=dtype)
    with torch.no_grad():
        layer.weight.fill_(1.0)  # symmetric, so that nothing skew-symmetric is left
    for training in (True, False):
        torch.testing.assert_close(layer.train(training)(x), x, rtol=0, atol=1e-5)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("k", [1, 3])
@pytest.mark.parametrize(("c_in", "c_out"), [(2, 2), (1, 3), (3, 1)])
def test_gradients(c_in: int, c_out: int, k: int, training: bool) -> None:
    """In training, those with the power vectors held fixed: at their limit the norm's gradient is no other."""
    layer = converged(SOCConv2d(c_in, c_out, k, eval_terms=4, dtype=DOUBLE)).train(training)
    x = torch.randn(1, c_in, 3, 4, dtype=DOUBLE, requires_grad=True)

    def output(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        vectors = {name: vector.clone() for name, vector in layer.named_buffers()}
        state = {"weight": weight, "bias": bias, **vectors}
        return torch.func.functional_call(layer, state, (x,))

    assert layer.bias is not None
    assert torch.autograd.gradcheck(output, (x, layer.weight, layer.bias), atol=1e-4 if training else 1e-5)


@pytest.mark.parametrize(("c_in", "c_out"), [(2, 4), (4, 2)])
@pytest.mark.parametrize("k", [1, 3])
def test_acts_on_the_larger_number_of_channels(c_in: int, c_out: int, k: int) -> None:
    layer, square = SOCConv2d(c_in, c_out, k), SOCConv2d(4, 4, k)
    assert layer.bias is not None
    bias = F.pad(layer.bias, (0, 4 - c_out))
    square.load_state_dict(layer.state_dict() | {"bias": bias})
    x = torch.randn(2, c_in, *SIZE)
    expected = square.eval()(F.pad(x, (0, 0, 0, 0, 0, 4 - c_in)))[:, :c_out]
    torch.testing.assert_close(layer.eval()(x), expected)


def test_stride() -> None:
    layer = SOCConv2d(2, 8, 3, stride=2, dtype=DOUBLE).eval()
    values = singular_values(layer, (2, 4, 6))
    assert layer(torch.zeros(1, 2, 4, 6, dtype=DOUBLE)).shape == (1, 8, 2, 3)
    assert (values[:48] - 1).abs().max() < 3e-6


def test_1x1_layer_is_a_plain_convolution() -> None:
    layer, x = SOCConv2d(3, 5, 1, stride=2).eval(), torch.randn(2, 3, 4, 6)
    torch.testing.assert_close(layer.to_conv2d()(x), layer(x))
    with pytest.raises(ValueError, match=r"no nn\.Conv2d equals"):
        SOCConv2d(3, 3, 3).to_conv2d()


@pytest.mark.parametrize("cls", [SOCConv2d, PublishedSOCConv2d])
def test_only_training_updates_the_power_vectors(cls: type[LipschitzConv2d]) -> None:
    layer, x = cls(3, 3, 3), torch.randn(1, 3, *SIZE)
    torch.nn.init.normal_(layer.weight)
    before = [buffer.clone() for buffer in layer.buffers()]
    layer.eval()(x)
    assert all(torch.equal(a, b) for a, b in zip(layer.buffers(), before, strict=True))
    layer.train()(x)
    assert not any(torch.equal(a, b) for a, b in zip(layer.buffers(), before, strict=True))


def test_two_forwards_before_one_backward() -> None:
    layer, x = SOCConv2d(3, 3, 3, dtype=DOUBLE), torch.randn(1, 3, *SIZE, dtype=DOUBLE)
    torch.nn.init.normal_(layer.weight)
    twin = copy.deepcopy(layer)
    (layer(x).square().sum() + layer(2 * x).square().sum()).backward()
    for factor in (1, 2):
        twin(factor * x).square().sum().backward()
    torch.testing.assert_close(layer.weight.grad, twin.weight.grad)


def test_even_kernels_are_refused() -> None:
    with pytest.raises(ValueError, match="kernel_size must be odd"):
        SOCConv2d(3, 3, 2)


def test_normalisation_returns_after_zero_weights() -> None:
    layer, x = SOCConv2d(3, 3, 3), torch.randn(1, 3, *SIZE)
    weight = layer.weight.detach().clone()
    with torch.no_grad():
        layer.weight.zero_()
        layer(x)
        layer.weight.copy_(100 * weight)
    assert converged(layer).lipschitz_upper_bound((3, *SIZE)) < 1.0035
