"""Cayley's layer is a circular convolution; its matrices are the Cayley transform, and the published function."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from lipcost.layers import CayleyConv2d
from lipcost.layers.methods.cayley import guard, orthonormal, orthonormal_gradient
from lipcost.layers.methods.published.cayley import PublishedCayleyConv2d, cayley
from lipcost.validate import singular_values


def matrices(*shape: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.complex128)


@pytest.mark.parametrize("cls", [CayleyConv2d, PublishedCayleyConv2d])
@pytest.mark.parametrize("size", [(6, 6), (5, 7), (7, 4), (5, 5)])
@pytest.mark.parametrize(("c_in", "c_out", "k"), [(3, 3, 3), (2, 4, 5), (4, 2, 3)])
def test_layer_is_the_circular_convolution_with_its_kernel(
    cls: type[CayleyConv2d] | type[PublishedCayleyConv2d], size: tuple[int, int], c_in: int, c_out: int, k: int
) -> None:
    h, w = size
    if cls is PublishedCayleyConv2d and k > min(size):
        pytest.skip("the published layer refuses an image smaller than the kernel")
    layer = cls(c_in, c_out, k, dtype=torch.float64)
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


@pytest.mark.parametrize("transform", [cayley, orthonormal])
@pytest.mark.parametrize("shape", [(4, 4), (6, 3), (3, 6), (5, 1), (1, 5)])
def test_columns_or_rows_are_orthonormal(transform: Callable[[Tensor], Tensor], shape: tuple[int, int]) -> None:
    q = transform(matrices(7, *shape))
    assert q.shape == (7, *shape)
    gram = q.mH @ q if shape[0] >= shape[1] else q @ q.mH
    torch.testing.assert_close(gram, torch.eye(min(shape), dtype=q.dtype).expand_as(gram))


def test_tall_is_the_block_formula() -> None:
    w = matrices(7, 6, 4)
    u, v, identity = w[:, :4], w[:, 4:], torch.eye(4, dtype=w.dtype)
    a = u - u.mH + v.mH @ v
    inverse = torch.linalg.inv(identity + a)
    torch.testing.assert_close(cayley(w), torch.cat((inverse @ (identity - a), -2 * v @ inverse), dim=1))


@pytest.mark.parametrize("dtype", [torch.float64, torch.complex128])
@pytest.mark.parametrize("shape", [(4, 4), (6, 3), (3, 6), (1, 1)])
def test_gradient_of_the_transform_is_autograds(shape: tuple[int, int], dtype: torch.dtype) -> None:
    w, g = (torch.randn(3, *shape, dtype=dtype) for _ in range(2))
    w.requires_grad_()
    q = cayley(w)
    torch.testing.assert_close(orthonormal(w.detach()), q)
    (expected,) = torch.autograd.grad(q, w, g)
    torch.testing.assert_close(orthonormal_gradient(g, q.detach(), w.detach()), expected)


@pytest.mark.parametrize(("c_in", "c_out", "k", "size"), [(4, 4, 1, (3, 5)), (3, 6, 3, (5, 8)), (6, 3, 5, (5, 6))])
def test_function_and_gradients_are_the_published_ones(c_in: int, c_out: int, k: int, size: tuple[int, int]) -> None:
    ours = CayleyConv2d(c_in, c_out, k, dtype=torch.float64)
    published = PublishedCayleyConv2d(c_in, c_out, k, dtype=torch.float64)
    published.load_state_dict(ours.state_dict())
    x, g = torch.randn(2, c_in, *size, dtype=torch.float64, requires_grad=True), torch.randn(2, c_out, *size)
    outputs = ours(x), published(x)
    torch.testing.assert_close(*outputs)
    found, expected = (
        torch.autograd.grad(y, [x, *layer.parameters()], g.double())
        for y, layer in zip(outputs, (ours, published), strict=True)
    )
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a, b)


@pytest.mark.parametrize(("k", "padding_mode"), [(1, "circular"), (2, "zeros"), (3, "zeros"), (4, "circular")])
def test_gradients(k: int, padding_mode: str) -> None:
    layer = CayleyConv2d(2, 3, k, padding_mode=padding_mode, dtype=torch.float64)
    names = [name for name, _ in layer.named_parameters()]

    def function(x: Tensor, *parameters: Tensor) -> Tensor:
        return torch.func.functional_call(layer, dict(zip(names, parameters, strict=True)), (x,))

    x = torch.randn(2, 2, 3, 4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(function, (x, *layer.parameters()))


@pytest.mark.parametrize("alpha", [1.0, 1e3, 1e6, 1e9, 1e15])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_sound_where_the_inverse_loses_its_digits(dtype: torch.dtype, alpha: float) -> None:
    layer = CayleyConv2d(
        5, 5, 3, dtype=dtype
    )  # of odd order, so that I + A has an eigenvalue near 1 besides large ones
    with torch.no_grad():
        layer.alpha.fill_(alpha)
    x = torch.randn(1, 5, 6, 6, dtype=dtype)
    layer(x).sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in layer.parameters())
    assert layer.lipschitz_upper_bound((5, 6, 6)) <= 1 + 100 * torch.finfo(dtype).eps


def test_guard_halves_the_digits_lost_and_replaces_what_is_beyond_use() -> None:
    q = orthonormal(matrices(3, 6, 4))
    noisy = q + 1e-5 * matrices(3, 6, 4)
    noisy[2] = torch.nan
    guarded = guard(noisy.clone())
    assert (guarded.mH @ guarded - torch.eye(4)).abs().max() < 1e-8
    assert torch.equal(guarded[2], torch.eye(6, 4, dtype=q.dtype))
    assert torch.equal(guard(10 * q), torch.eye(6, 4, dtype=q.dtype).expand(3, 6, 4))


@pytest.mark.parametrize("k", [1, 3])
def test_zero_weights_give_the_identity_and_finite_gradients(k: int) -> None:
    layer, x = CayleyConv2d(3, 3, k, bias=False), torch.randn(2, 3, 5, 5)
    torch.nn.init.zeros_(layer.weight)
    y = layer(x)
    torch.testing.assert_close(y, x)
    y.square().sum().backward()
    assert layer.weight.grad is not None and layer.weight.grad.isfinite().all()


@pytest.mark.parametrize("lr", [10.0])
@pytest.mark.parametrize("channels", [(4, 4), (2, 5), (5, 2)])
def test_orthogonal_after_steps_at_a_large_rate(channels: tuple[int, int], lr: float) -> None:
    layer, (c_in, c_out) = CayleyConv2d(*channels, 3), channels
    optimizer = torch.optim.SGD(layer.parameters(), lr=lr)
    for _ in range(5):
        optimizer.zero_grad()
        layer(torch.randn(4, c_in, 6, 6)).sub(1).square().mean().backward()
        optimizer.step()
    values = singular_values(layer.eval(), (c_in, 6, 6))[: 36 * min(c_in, c_out)]
    torch.testing.assert_close(values, torch.ones_like(values), atol=1e-5, rtol=0)


@pytest.mark.parametrize("k", [2, 3])
def test_zero_padding_is_a_part_of_the_circular_layer(k: int) -> None:
    arguments: dict[str, Any] = {"dtype": torch.float64, "bias": False}
    part = CayleyConv2d(2, 3, k, padding_mode="zeros", **arguments)
    whole = CayleyConv2d(2, 3, k, **arguments)
    whole.load_state_dict(part.state_dict())
    x = torch.randn(2, 2, 4, 5, dtype=torch.float64)
    torch.testing.assert_close(part(x), whole(F.pad(x, (0, k - 1) * 2))[:, :, :4, :5])


@pytest.mark.parametrize("cls", [CayleyConv2d, PublishedCayleyConv2d])
def test_alpha_is_the_norm_that_the_transform_sees(cls: type[CayleyConv2d] | type[PublishedCayleyConv2d]) -> None:
    layer = cls(3, 3, 3, dtype=torch.float64)
    torch.testing.assert_close(layer.alpha, layer.weight.norm())
    x = torch.randn(1, 3, 6, 6, dtype=torch.float64)
    y = layer(x)
    with torch.no_grad():
        layer.weight.mul_(7.5)  # α alone sets the scale
    torch.testing.assert_close(layer(x), y)
