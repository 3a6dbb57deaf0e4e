"""LOT's Newton iterations converge to the inverse square root; with k = 1 the layer is a polar factor."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from lipcost.layers import LOTConv2d
from lipcost.layers.lot import inverse_sqrt
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
    layer = LOTConv2d(c_in, c_out, 1, iterations=40, bias=False, dtype=torch.float64)
    torch.nn.init.normal_(layer.weight)
    x = torch.randn(2, c_in, 4, 5, dtype=torch.float64)
    w = layer.weight.detach()[:, :, 0, 0]
    q = exact_inverse_sqrt(w @ w.T + layer.epsilon * torch.eye(c_out, dtype=w.dtype)) @ w
    torch.testing.assert_close(layer(x), torch.einsum("oi,bihw->bohw", q, x))


@pytest.mark.parametrize("k", [1, 3, 5])
def test_square_layer_starts_at_the_identity(k: int) -> None:
    layer, x = LOTConv2d(4, 4, k, dtype=torch.float64), torch.randn(2, 4, 5, 6, dtype=torch.float64)
    torch.testing.assert_close(layer(x), x / (1 + layer.epsilon) ** 0.5)


def test_crop_makes_larger_kernels_no_more_than_1_lipschitz() -> None:
    layer = LOTConv2d(3, 3, 3, dtype=torch.float64)
    torch.nn.init.normal_(layer.weight)
    values = singular_values(layer, (3, 5, 5))
    assert values[0] <= 1 + 1e-9
    assert values[-1] < 0.9


@pytest.mark.parametrize("size", [(5, 5), (4, 7)])
def test_spectrum_is_a_real_kernels(size: tuple[int, int]) -> None:
    layer = LOTConv2d(3, 2, 3, dtype=torch.float64)
    h, w = size[0] + 2, size[1] + 2
    (q,) = layer.parameter_transform(size)
    kernel = torch.fft.ifft2(q.reshape(h, w, 2, 3).permute(2, 3, 0, 1))
    assert kernel.imag.abs().max() < 1e-12


def test_epsilon_follows_the_dtype_unless_given() -> None:
    layer = LOTConv2d(2, 2, 1)
    assert (layer.epsilon, layer.double().epsilon) == (1e-4, 1e-12)
    published = LOTConv2d(2, 2, 1, epsilon=1e-4, dtype=torch.float64)
    torch.testing.assert_close(singular_values(published, (2, 2, 2)), torch.full((8,), (1 + 1e-4) ** -0.5).double())
    with pytest.raises(ValueError, match="epsilon must be positive, got 0"):
        LOTConv2d(2, 2, 1, epsilon=0)
