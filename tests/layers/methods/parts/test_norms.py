"""Upper bounds of norms, against singular values of matrices and of dense Jacobians."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from lipcost.layers.methods.parts.convolution import correlate
from lipcost.layers.methods.parts.norms import gram_bound, kernel_norm, kernel_spectrum, largest_norm

DTYPES = (torch.float32, torch.float64, torch.complex64, torch.complex128)
SIZES = [(5, 5), (4, 7), (2, 3), (1, 2)]


@settings(max_examples=200, deadline=None)
@given(
    sizes=st.tuples(st.integers(1, 3), st.integers(1, 7), st.integers(1, 7), st.integers(0, 7)),
    scale=st.sampled_from([1e-30, 1e-4, 1.0, 1e2, 1e30]),
    dtype=st.sampled_from(DTYPES),
    iterations=st.integers(1, 12),
    seed=st.integers(0, 10**6),
)
def test_gram_bound(
    sizes: tuple[int, int, int, int], scale: float, dtype: torch.dtype, iterations: int, seed: int
) -> None:
    *shape, rank = sizes
    generator = torch.Generator().manual_seed(seed)
    wide = torch.complex128 if dtype.is_complex else torch.float64
    left, right = (torch.randn(shape[0], n, rank, dtype=wide, generator=generator) for n in shape[1:])
    w = (scale * left @ right.mT).to(dtype)
    bound = gram_bound(w, iterations)
    assert bound.shape == (shape[0], 1, 1)
    assert not bound.is_complex()
    norm = torch.linalg.matrix_norm(w.to(wide), ord=2)[:, None, None]
    least = max(1, min(rank, *shape[1:]))
    rounding = 8 * max(shape[1:]) * torch.finfo(dtype).eps
    tiny = 2 * torch.finfo(dtype).tiny
    assert (bound >= norm * (1 - rounding)).all()
    assert (bound <= norm * least ** (0.5 ** (iterations + 1)) * (1 + rounding) + tiny).all()


@pytest.mark.parametrize("dtype", DTYPES)
def test_gram_bound_of_zeros(dtype: torch.dtype) -> None:
    w = torch.zeros(2, 3, 4, dtype=dtype, requires_grad=True)
    bound = gram_bound(w)
    (gradient,) = torch.autograd.grad(bound.sum(), w)
    assert not bound.any()
    assert gradient.isfinite().all()


@pytest.mark.parametrize("dtype", [torch.float64, torch.complex128])
@pytest.mark.parametrize("shape", [(3, 3), (2, 4), (4, 2)])
def test_gram_bound_has_the_gradient_of_the_norm(dtype: torch.dtype, shape: tuple[int, int]) -> None:
    w = torch.randn(2, *shape, dtype=dtype, requires_grad=True)
    assert torch.autograd.gradcheck(gram_bound, (w,))
    found, expected = (
        torch.autograd.grad(of.sum(), w)[0] for of in (gram_bound(w, 14), torch.linalg.matrix_norm(w, ord=2))
    )
    torch.testing.assert_close(found, expected, atol=1e-3, rtol=0)


def dense(kernel: Tensor, size: tuple[int, int], mode: str) -> Tensor:
    basis = torch.eye(kernel.shape[1] * size[0] * size[1], dtype=kernel.dtype).reshape(-1, kernel.shape[1], *size)
    return correlate(basis, kernel, None, mode).flatten(1).T


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("k", [1, 2, 3, 5])
@pytest.mark.parametrize("channels", [(3, 3), (2, 3), (3, 1)])
def test_kernel_norm_is_the_jacobians(channels: tuple[int, int], k: int, size: tuple[int, int]) -> None:
    kernel = torch.randn(*channels, k, k, dtype=torch.float64)
    if k // 2 <= min(size):
        exact = float(torch.linalg.matrix_norm(dense(kernel, size, "circular"), ord=2))
        assert kernel_norm(kernel, size, "circular") == pytest.approx(exact)
    exact = float(torch.linalg.matrix_norm(dense(kernel, size, "zeros"), ord=2))
    bound = kernel_norm(kernel, size, "zeros")
    assert bound >= exact * (1 - 1e-12)
    assert k > 1 or bound == pytest.approx(exact)


@pytest.mark.parametrize("size", SIZES[:3])
@pytest.mark.parametrize("mode", ["circular", "zeros"])
def test_gram_bound_of_a_spectrum(mode: str, size: tuple[int, int]) -> None:
    kernel = torch.randn(3, 4, 3, 3, dtype=torch.float64)
    spectrum = kernel_spectrum(kernel, size, mode)
    assert 1 - 1e-14 <= float(gram_bound(spectrum).amax()) / largest_norm(spectrum) < 1.002
