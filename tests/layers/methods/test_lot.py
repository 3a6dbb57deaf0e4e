"""LOT's matrices are polar factors; the published Newton iterations converge to the inverse square root."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from lipcost.layers import LOTConv2d
from lipcost.layers.methods.published.lot import PublishedLOTConv2d, inverse_sqrt
from lipcost.validate import singular_values


def exact_inverse_sqrt(gram: Tensor) -> Tensor:
    values, vectors = torch.linalg.eigh(gram)
    return vectors @ torch.diag_embed(values**-0.5).to(vectors) @ vectors.mH


def normalised_gram(c: int, dtype: torch.dtype) -> Tensor:
    v = torch.randn(7, c, 2 * c, dtype=dtype)
    gram = v @ v.mH
    return gram / gram.norm(dim=(1, 2), keepdim=True)


@pytest.mark.parametrize("dtype", [torch.float64, torch.complex128])
@pytest.mark.parametrize("c", [1, 2, 5])
def test_newton_converges_to_the_inverse_square_root(c: int, dtype: torch.dtype) -> None:
    gram, identity = normalised_gram(c, dtype), torch.eye(c, dtype=dtype)
    root = inverse_sqrt(gram, identity, 30)
    torch.testing.assert_close(root, exact_inverse_sqrt(gram))
    torch.testing.assert_close(root @ gram @ root, identity.expand_as(gram))


def test_newton_approaches_from_below() -> None:
    gram, identity = normalised_gram(4, torch.float64), torch.eye(4, dtype=torch.float64)
    exact = torch.linalg.eigvalsh(exact_inverse_sqrt(gram))
    previous = torch.zeros_like(exact)
    for iterations in range(1, 12):
        values = torch.linalg.eigvalsh(inverse_sqrt(gram, identity, iterations))
        assert (values <= exact + 1e-9).all()
        assert (values >= previous - 1e-9).all()
        previous = values


@pytest.mark.parametrize("channels", [(4, 4), (3, 5), (5, 3)])
def test_1x1_kernel_is_the_damped_polar_factor(channels: tuple[int, int]) -> None:
    c_in, c_out = channels
    layer = PublishedLOTConv2d(c_in, c_out, 1, iterations=40, bias=False, dtype=torch.float64)
    torch.nn.init.normal_(layer.weight)
    x = torch.randn(2, c_in, 4, 5, dtype=torch.float64)
    w = layer.weight.detach()[:, :, 0, 0]
    q = exact_inverse_sqrt(w @ w.T + layer.epsilon * torch.eye(c_out, dtype=w.dtype)) @ w
    torch.testing.assert_close(layer(x), torch.einsum("oi,bihw->bohw", q, x))


@pytest.mark.parametrize("k", [1, 3, 5])
def test_published_square_layer_starts_at_the_damped_identity(k: int) -> None:
    layer, x = PublishedLOTConv2d(4, 4, k, dtype=torch.float64), torch.randn(2, 4, 5, 6, dtype=torch.float64)
    torch.testing.assert_close(layer(x), x / (1 + layer.epsilon) ** 0.5)


@pytest.mark.parametrize("cls", [LOTConv2d, PublishedLOTConv2d])
def test_crop_makes_larger_kernels_no_more_than_1_lipschitz(cls: type[LOTConv2d] | type[PublishedLOTConv2d]) -> None:
    layer = cls(3, 3, 3, dtype=torch.float64)
    torch.nn.init.normal_(layer.weight)
    values = singular_values(layer, (3, 5, 5))
    assert values[0] <= 1 + 1e-9
    assert values[-1] < 0.9


@pytest.mark.parametrize("size", [(5, 5), (4, 7)])
def test_spectrum_is_a_real_kernels(size: tuple[int, int]) -> None:
    layer = PublishedLOTConv2d(3, 2, 3, dtype=torch.float64)
    h, w = size[0] + 2, size[1] + 2
    (q,) = layer.parameter_transform(size)
    kernel = torch.fft.ifft2(q.reshape(h, w, 2, 3).permute(2, 3, 0, 1))
    assert kernel.imag.abs().max() < 1e-12


def test_epsilon_follows_the_dtype_unless_given() -> None:
    layer = PublishedLOTConv2d(2, 2, 1)
    assert (layer.epsilon, layer.double().epsilon) == (1e-4, 1e-12)
    published = PublishedLOTConv2d(2, 2, 1, epsilon=1e-4, dtype=torch.float64)
    torch.testing.assert_close(singular_values(published, (2, 2, 2)), torch.full((8,), (1 + 1e-4) ** -0.5).double())
    with pytest.raises(ValueError, match="epsilon must be positive, got 0"):
        PublishedLOTConv2d(2, 2, 1, epsilon=0)


MODES = ("zeros", "circular")


@pytest.mark.parametrize("k", [1, 2, 3, 5])
@pytest.mark.parametrize("mode", MODES)
def test_square_layer_starts_at_the_identity(k: int, mode: str) -> None:
    layer = LOTConv2d(4, 4, k, padding_mode=mode, dtype=torch.float64)
    x = torch.randn(2, 4, 5, 6, dtype=torch.float64)
    torch.testing.assert_close(layer(x), x)


@pytest.mark.parametrize("channels", [(3, 5), (5, 3)])
def test_rectangular_layer_starts_at_an_orthogonal_tap(channels: tuple[int, int]) -> None:
    layer = LOTConv2d(*channels, 3, dtype=torch.float64)
    tap = layer.weight.detach()[:, :, 1, 1]
    gram = tap.T @ tap if channels[0] < channels[1] else tap @ tap.T
    torch.testing.assert_close(gram, torch.eye(3, dtype=tap.dtype))
    x = torch.randn(2, channels[0], 4, 4, dtype=torch.float64)
    bias = layer.bias.detach()[:, None, None]  # type: ignore[union-attr]
    torch.testing.assert_close(layer(x) - bias, torch.einsum("oi,bihw->bohw", tap, x))


@pytest.mark.parametrize(("c_in", "c_out", "k", "size"), [(3, 3, 3, (5, 5)), (3, 2, 3, (4, 7)), (4, 2, 5, (3, 4))])
def test_function_and_gradients_are_the_limit_of_the_published_ones(
    c_in: int, c_out: int, k: int, size: tuple[int, int]
) -> None:
    ours = LOTConv2d(c_in, c_out, k, iterations=12, dtype=torch.float64)
    published = PublishedLOTConv2d(c_in, c_out, k, iterations=60, dtype=torch.float64)
    torch.nn.init.normal_(ours.weight)
    published.load_state_dict(ours.state_dict())
    x, g = (torch.randn(2, c, *size, dtype=torch.float64) for c in (c_in, c_out))
    x.requires_grad_()
    outputs = ours(x), published(x)
    torch.testing.assert_close(*outputs, atol=1e-6, rtol=1e-6)
    found, expected = (
        torch.autograd.grad(y, [x, *layer.parameters()], g) for y, layer in zip(outputs, (ours, published), strict=True)
    )
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(("c_in", "c_out", "k"), [(2, 2, 1), (2, 3, 3), (3, 2, 2)])
def test_gradients(c_in: int, c_out: int, k: int, mode: str) -> None:
    layer = LOTConv2d(c_in, c_out, k, padding_mode=mode, iterations=12, dtype=torch.float64)
    torch.nn.init.normal_(layer.weight)
    names = [name for name, _ in layer.named_parameters()]

    def function(x: Tensor, *parameters: Tensor) -> Tensor:
        return torch.func.functional_call(layer, dict(zip(names, parameters, strict=True)), (x,))

    x = torch.randn(2, c_in, 3, 4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(function, (x, *layer.parameters()))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("channels", [(4, 4), (2, 5), (5, 2)])
def test_circular_layer_is_orthogonal_after_steps_at_a_large_rate(
    channels: tuple[int, int], dtype: torch.dtype
) -> None:
    layer, (c_in, c_out) = LOTConv2d(*channels, 3, padding_mode="circular", dtype=dtype), channels
    optimizer = torch.optim.SGD(layer.parameters(), lr=10)
    for _ in range(5):
        optimizer.zero_grad()
        layer(torch.randn(4, c_in, 6, 6, dtype=dtype)).sub(1).square().mean().backward()
        optimizer.step()
    values = singular_values(layer.eval(), (c_in, 6, 6))[: 36 * min(c_in, c_out)]
    torch.testing.assert_close(values, torch.ones_like(values), atol=1e-5, rtol=0)


def spoil(weight: Tensor, kind: str) -> None:
    with torch.no_grad():
        weight.normal_(std=100.0)
        if kind == "zero":
            weight.zero_()
        elif kind == "zero channel":
            weight[0] = 0
        elif kind == "rank one":
            weight.copy_(weight[:1] * weight[:, :1])
        elif kind == "equal":
            weight.fill_(1.0)
        elif kind == "tiny":
            weight.mul_(1e-6)


@pytest.mark.parametrize("kind", ["large", "tiny", "zero", "zero channel", "rank one", "equal"])
@pytest.mark.parametrize("iterations", [1, 7])
@pytest.mark.parametrize("mode", MODES)
def test_contracts_for_every_weight_and_any_number_of_iterations(mode: str, iterations: int, kind: str) -> None:
    layer = LOTConv2d(3, 4, 3, padding_mode=mode, iterations=iterations)
    spoil(layer.weight, kind)
    y = layer(torch.randn(1, 3, 4, 4))
    y.square().sum().backward()
    assert y.isfinite().all()
    assert layer.weight.grad is not None and layer.weight.grad.isfinite().all()
    assert layer.lipschitz_upper_bound((3, 4, 4)) <= 1 + 1e-5
    assert singular_values(layer, (3, 4, 4))[0] <= 1 + 1e-5


def test_iterations_are_positive() -> None:
    with pytest.raises(ValueError, match="iterations must be a positive integer, got 0"):
        LOTConv2d(2, 2, 3, iterations=0)
