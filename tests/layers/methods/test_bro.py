"""BRO's matrices are block reflectors, whatever the weights; the published layer is the authors'."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from lipcost.layers.methods import bro
from lipcost.layers.methods.bro import BROConv2d, PublishedBROConv2d, bases, default_rank, reflector_gradient
from lipcost.validate import singular_values

DATA = Path(__file__).parent / "data" / "bro.npz"  # its entry "source" says where it is from
CASES = ["3to8-k3-s8", "6to4-k3-s8", "c4-r2-k3-s8", "c6-r1-k3-s6"]
MODES = ("zeros", "circular")
DTYPES = (torch.float32, torch.float64)
ACCURACY = {torch.float32: 1e-6, torch.float64: 1e-12}  # of an orthogonal layer's singular values
SHAPES = [
    (3, 3, 3, 1),
    (4, 4, 3, 4),
    (2, 4, 3, 2),
    (4, 2, 3, 3),
    (2, 3, 1, 1),
    (3, 2, 2, 2),
    (3, 3, 4, 2),
    (1, 1, 3, 1),
]


def scrambled(c_in: int, c_out: int, k: int, **arguments: Any) -> BROConv2d:
    layer = BROConv2d(c_in, c_out, k, **{"dtype": torch.float64, **arguments})
    nn.init.normal_(layer.weight)
    return layer


def image(c: int, *size: int) -> Tensor:
    return torch.randn(2, c, *size, dtype=torch.float64)


def gradients(layer: nn.Module, x: Tensor, y: Tensor, g: Tensor) -> tuple[Tensor, ...]:
    return torch.autograd.grad(y, [x, *layer.parameters()], g)


# The published layer


@pytest.mark.parametrize("name", CASES)
def test_published_layer_is_the_authors(name: str) -> None:
    with np.load(DATA) as stored:
        data = {key: torch.from_numpy(stored[f"{name}/{key}"]) for key in ("V", "bias", "x", "y")}
        grads = {key: torch.from_numpy(stored[f"{name}/{key}"]) for key in ("grad_output", "grad_x", "grad_V")}
    rank, x = data["V"].shape[1], data["x"].requires_grad_()
    layer = PublishedBROConv2d(x.shape[1], data["y"].shape[1], 3, rank=rank, dtype=torch.float64)
    layer.load_state_dict({"weight": data["V"], "bias": data["bias"]})
    y = layer(x)
    of_x, of_weight, _ = gradients(layer, x, y, grads["grad_output"])
    for found, expected in ((y, data["y"]), (of_x, grads["grad_x"]), (of_weight, grads["grad_V"])):
        torch.testing.assert_close(found, expected, atol=1e-12, rtol=0)


def test_published_layer_breaks_where_the_authors_does() -> None:
    layer = PublishedBROConv2d(3, 3, 3)
    nn.init.zeros_(layer.weight)
    with pytest.raises(torch.linalg.LinAlgError, match="singular"):
        layer(torch.ones(1, 3, 4, 4))


def test_published_epsilon() -> None:
    layer = PublishedBROConv2d(2, 2, 1, rank=1, epsilon=0.5, bias=False, dtype=torch.float64)
    torch.testing.assert_close(
        layer(torch.ones(1, 2, 1, 1).double()).flatten(), torch.tensor([1 - 2 / 1.5, 1.0]).double()
    )
    with pytest.raises(ValueError, match="epsilon must be positive, got 0"):
        PublishedBROConv2d(2, 2, 1, epsilon=0)


@pytest.mark.parametrize("size", [(5, 5), (4, 7), (1, 3)])
@pytest.mark.parametrize("shape", [(3, 3, 3, 1), (2, 4, 3, 2), (4, 2, 5, 3), (3, 3, 1, 2)])
def test_function_and_gradients_are_the_limit_of_the_published_ones(
    shape: tuple[int, int, int, int], size: tuple[int, int]
) -> None:
    c_in, c_out, k, rank = shape
    ours = scrambled(c_in, c_out, k, rank=rank)
    published = PublishedBROConv2d(c_in, c_out, k, rank=rank, epsilon=1e-14, dtype=torch.float64)
    published.load_state_dict(ours.state_dict())
    x, g = image(c_in, *size).requires_grad_(), image(c_out, *size)
    outputs = ours(x), published(x)
    torch.testing.assert_close(*outputs, atol=1e-9, rtol=1e-9)
    found, expected = (gradients(layer, x, y, g) for y, layer in zip(outputs, (ours, published), strict=True))
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a, b, atol=1e-8, rtol=1e-8)


# The reflection


@pytest.mark.parametrize("size", [(6, 6), (5, 7), (4, 5)])
@pytest.mark.parametrize(("k", "rank"), [(1, 1), (3, 1), (3, 3), (4, 4), (5, 5)])
def test_square_matrices_are_reflections_of_that_many_directions(k: int, rank: int, size: tuple[int, int]) -> None:
    layer = scrambled(5, 5, k, rank=rank, padding_mode="circular")
    (q,) = layer.parameter_transform(size)
    q = q[None, :, :, 0, 0] if k == 1 else q
    identity = torch.eye(5, dtype=q.dtype)
    torch.testing.assert_close(q, q.mH)
    torch.testing.assert_close(q @ q, identity.expand_as(q), atol=1e-12, rtol=0)
    trace = q.diagonal(dim1=1, dim2=2).sum(1)
    torch.testing.assert_close(trace, torch.full_like(trace, 5 - 2 * rank))
    x = image(5, *size)
    bias = layer.bias.detach()[:, None, None]  # type: ignore[union-attr]
    torch.testing.assert_close(layer(layer(x) - bias) - bias, x)


@pytest.mark.parametrize("size", [(6, 6), (5, 7)])
def test_columns_of_the_transformed_kernel_change_their_sign(size: tuple[int, int]) -> None:
    layer = scrambled(5, 5, 3, rank=2, padding_mode="circular")
    (q,) = layer.parameter_transform(size)
    v = torch.fft.rfft2(layer.weight.detach(), size).flatten(2).permute(2, 0, 1)
    torch.testing.assert_close(q @ v, -v)


def test_all_directions_reflected_is_minus_the_identity() -> None:
    layer, x = scrambled(3, 3, 3, rank=3, bias=False), image(3, 5, 6)
    torch.testing.assert_close(layer(x), -x)


@pytest.mark.parametrize("cls", [BROConv2d, PublishedBROConv2d])
@pytest.mark.parametrize("k", [1, 3, 5])
def test_starts_as_the_identity_with_signs(cls: type[BROConv2d] | type[PublishedBROConv2d], k: int) -> None:
    layer, x = cls(4, 4, k, rank=2, bias=False, dtype=torch.float64), image(4, 5, 6)
    signs = torch.tensor([-1.0, -1, 1, 1], dtype=x.dtype)[:, None, None]
    torch.testing.assert_close(layer(x), signs * x, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("rank", [None, 3])
@pytest.mark.parametrize(("c_in", "c_out"), [(6, 6), (3, 6), (6, 3), (1, 4)])
@pytest.mark.parametrize("k", [1, 2, 3])
def test_circular_layer_is_orthogonal(k: int, c_in: int, c_out: int, rank: int | None, dtype: torch.dtype) -> None:
    if rank is not None and rank < min(c_in, c_out) and c_in != c_out:
        pytest.skip("the default is as large")
    layer = scrambled(c_in, c_out, k, rank=rank, padding_mode="circular", dtype=dtype)
    values = singular_values(layer, (c_in, 4, 5))[: 20 * min(c_in, c_out)]
    torch.testing.assert_close(values, torch.ones_like(values), atol=ACCURACY[dtype], rtol=0)


@pytest.mark.parametrize("cls", [BROConv2d, PublishedBROConv2d])
def test_crop_makes_larger_kernels_no_more_than_1_lipschitz(
    cls: type[BROConv2d] | type[PublishedBROConv2d],
) -> None:
    layer = cls(3, 3, 3, dtype=torch.float64)
    nn.init.normal_(layer.weight)
    values = singular_values(layer, (3, 5, 5))
    assert values[0] <= 1 + 1e-12
    assert values[-1] < 0.9


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("channels", [(3, 3), (2, 8), (3, 2)])
def test_stride(channels: tuple[int, int], mode: str) -> None:
    c_in, c_out = channels
    layer = scrambled(c_in, c_out, 3, stride=2, padding_mode=mode)
    assert layer.rank == default_rank(4 * c_in, c_out)
    assert layer(image(c_in, 6, 10)).shape == (2, c_out, 3, 5)
    values = singular_values(layer, (c_in, 6, 6))
    assert values[0] <= 1 + 1e-12
    if mode == "circular":
        assert values[9 * min(4 * c_in, c_out) - 1] >= 1 - 1e-12


# Gradients


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("shape", SHAPES)
def test_gradients(shape: tuple[int, int, int, int], mode: str) -> None:
    c_in, c_out, k, rank = shape
    layer = scrambled(c_in, c_out, k, rank=rank, padding_mode=mode)
    names = [name for name, _ in layer.named_parameters()]

    def function(x: Tensor, *parameters: Tensor) -> Tensor:
        return torch.func.functional_call(layer, dict(zip(names, parameters, strict=True)), (x,))

    assert torch.autograd.gradcheck(function, (image(c_in, 3, 4).requires_grad_(), *layer.parameters()))


@pytest.mark.parametrize("dtype", [torch.float64, torch.complex128])
@pytest.mark.parametrize("block", [(5, 5), (5, 3), (2, 5)])
@pytest.mark.parametrize("rank", [1, 3])
def test_gradient_of_the_reflector_is_autograds(rank: int, block: tuple[int, int], dtype: torch.dtype) -> None:
    v, g = torch.randn(7, 5, rank, dtype=dtype, requires_grad=True), torch.randn(7, *block, dtype=dtype)
    w = torch.eye(5, dtype=dtype) - 2 * v @ torch.linalg.inv(v.mH @ v) @ v.mH
    (expected,) = torch.autograd.grad(w[:, : block[0], : block[1]], v, g)
    torch.testing.assert_close(reflector_gradient(g, v.detach()), expected)


@pytest.mark.parametrize("mode", MODES)
def test_saves_the_kernel_alone(mode: str) -> None:
    layer, x, saved = scrambled(3, 4, 3, padding_mode=mode), image(3, 5, 6), []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: saved.append(t) or t, lambda t: t):
        (q,) = layer.parameter_transform((5, 6))
        assert [t.data_ptr() for t in saved] == [layer.weight.data_ptr()]
        layer.input_transform(x, q)
    assert [t.shape for t in saved[1:]] == [x.shape, q.shape]


# Any weights


KINDS: dict[str, Callable[[Tensor], Tensor]] = {
    "random": lambda w: w,
    "zero": torch.zeros_like,
    "1e-30": lambda w: w * 1e-30,
    "1e30": lambda w: w * 1e30,
    "the largest": lambda w: w.sign() * torch.finfo(w.dtype).max,
    "denormal": lambda w: w * torch.finfo(w.dtype).tiny * 1e-3,
    "just not zero": lambda w: w * torch.finfo(w.dtype).tiny ** 0.5,
    "equal": lambda w: torch.full_like(w, 0.3),
    "one": lambda w: torch.zeros_like(w).index_fill(0, torch.tensor(0), 1.0),
    "rank one": lambda w: w[:1] * w[:, :1],
    "zero channel": lambda w: w * (torch.arange(w.shape[1]) > 0)[:, None, None],
    "graded": lambda w: w * torch.logspace(0, -18, w.shape[1], dtype=w.dtype)[:, None, None],
    "nearly equal": lambda w: w[:, :1] + torch.finfo(w.dtype).eps ** 0.5 * w,
    "zero but for rounding at one frequency": lambda w: w - w.mean((2, 3), keepdim=True),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shape", [(4, 4, 3, 3), (3, 6, 3, 3), (6, 3, 4, 5), (4, 4, 1, 4), (16, 16, 5, 2)])
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("dtype", DTYPES)
def test_1_lipschitz_with_finite_gradients_for_any_weights(
    dtype: torch.dtype, mode: str, shape: tuple[int, int, int, int], kind: str
) -> None:
    c_in, c_out, k, rank = shape
    layer = scrambled(c_in, c_out, k, rank=rank, padding_mode=mode, dtype=dtype)
    with torch.no_grad():
        layer.weight.copy_(KINDS[kind](layer.weight))
    for training in (True, False):
        x = torch.randn(2, c_in, 4, 5, dtype=dtype, requires_grad=True)
        layer.train(training).zero_grad()
        y = layer(x)
        y.square().sum().backward()
        assert y.isfinite().all()
        assert all(t.grad is not None and t.grad.isfinite().all() for t in (x, *layer.parameters()))
        assert layer.lipschitz_upper_bound((c_in, 4, 5)) <= 1 + 10 * torch.finfo(dtype).eps


@pytest.mark.parametrize("kind", ["zero", "1e-30", "denormal"])
@pytest.mark.parametrize("k", [1, 3])
def test_what_counts_as_zero_gives_the_identity(k: int, kind: str) -> None:
    layer, x = scrambled(3, 3, k, bias=False, dtype=torch.float32), torch.randn(2, 3, 5, 5)
    with torch.no_grad():
        layer.weight.copy_(KINDS[kind](layer.weight))
    torch.testing.assert_close(layer(x), x)


@pytest.mark.parametrize("factor", [1e-15, 1e-3, 7.0, 1e35])
def test_scale_of_the_weights_does_not_matter(factor: float) -> None:
    layer, x = scrambled(4, 4, 3, rank=2, dtype=torch.float32), torch.randn(2, 4, 5, 5)
    y = layer(x)
    with torch.no_grad():
        layer.weight.mul_(factor)
    torch.testing.assert_close(layer(x), y, atol=1e-5, rtol=0)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("channels", [(4, 4), (2, 5), (5, 2)])
def test_circular_layer_is_orthogonal_after_steps_at_a_large_rate(
    channels: tuple[int, int], dtype: torch.dtype
) -> None:
    c_in, c_out = channels
    layer = BROConv2d(c_in, c_out, 3, padding_mode="circular", dtype=dtype)
    optimizer = torch.optim.SGD(layer.parameters(), lr=10)
    for _ in range(5):
        optimizer.zero_grad()
        layer(torch.randn(4, c_in, 6, 6, dtype=dtype)).sub(1).square().mean().backward()
        optimizer.step()
    values = singular_values(layer.eval(), (c_in, 6, 6))[: 36 * min(c_in, c_out)]
    torch.testing.assert_close(values, torch.ones_like(values), atol=ACCURACY[dtype], rtol=0)


# The projection


@pytest.mark.parametrize("dtype", [*DTYPES, torch.complex64, torch.complex128])
@pytest.mark.parametrize("ratio", [0.0, 0.1, 0.5, 1.0, 2.0, 10.0, 1e6])
def test_small_singular_values_are_reflected_in_part(ratio: float, dtype: torch.dtype) -> None:
    eps = torch.finfo(dtype).eps
    epsilon = eps * (bro.RELATIVE + 1)  # where the largest singular value is 1 and the other one small
    v = torch.zeros(1, 3, 2, dtype=dtype)
    v[0, 0, 0], v[0, 1, 1] = 1, (ratio * epsilon) ** 0.5
    u, b, _ = bases(v)
    values = (u @ b @ u.mH)[0].diagonal().real
    expected = torch.tensor([1.0, 1 - (1 + ratio) ** -4, 0.0], dtype=values.dtype)
    torch.testing.assert_close(values, expected, atol=1e-4, rtol=0)


def test_errors_of_the_factorisation_do_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    factorise = torch.linalg.cholesky_ex

    def inexact(a: Tensor) -> tuple[Tensor, Tensor]:
        factor, info = factorise(a)
        return factor * (1 + 1e-4 * torch.randn_like(factor)), info

    monkeypatch.setattr(torch.linalg, "cholesky_ex", inexact)
    layer = scrambled(6, 6, 3, rank=2, padding_mode="circular")
    values = singular_values(layer, (6, 4, 5))
    assert values[0] <= 1 + 1e-12
    assert values[-1] >= 1 - 1e-12


@pytest.mark.parametrize("info", [0, 1])
def test_a_factorisation_beyond_use_gives_the_identity(monkeypatch: pytest.MonkeyPatch, info: int) -> None:
    factorise = torch.linalg.cholesky_ex

    def useless(a: Tensor) -> tuple[Tensor, Tensor]:
        factor, infos = factorise(a)
        return factor * (torch.nan if info else 0.1), infos + info

    monkeypatch.setattr(torch.linalg, "cholesky_ex", useless)
    layer, x = scrambled(3, 3, 3, rank=2, bias=False), image(3, 4, 5)
    y = layer(x)
    torch.testing.assert_close(y, x)
    y.square().sum().backward()
    assert layer.weight.grad is not None and not layer.weight.grad.any()


# State and arguments


def test_eval_computes_the_matrices_once_a_size_and_state(monkeypatch: pytest.MonkeyPatch) -> None:
    layer, calls = scrambled(3, 4, 3).eval(), []
    monkeypatch.setattr(bro, "bases", lambda v: calls.append(v) or bases(v))
    with torch.no_grad():
        first = layer(x := image(3, 5, 6))
        assert torch.equal(layer(x), first)
        assert len(calls) == 1
        layer(image(3, 5, 7))
        assert len(calls) == 2
        layer.weight.mul_(-1)
        torch.testing.assert_close(layer(x), first)  # a reflection knows no sign
        assert len(calls) == 3


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("channels", [(3, 3), (2, 5), (5, 2)])
def test_to_conv2d(channels: tuple[int, int], stride: int) -> None:
    c_in, c_out = channels
    layer, x = scrambled(c_in, c_out, 1, stride=stride), image(c_in, 4, 6)
    conv = layer.to_conv2d()
    assert type(conv) is nn.Conv2d
    torch.testing.assert_close(conv(x), layer(x))
    with pytest.raises(ValueError, match=r"no nn\.Conv2d equals BROConv2d"):
        scrambled(c_in, c_out, 3).to_conv2d()


@pytest.mark.parametrize("cls", [BROConv2d, PublishedBROConv2d])
def test_from_meta_device(cls: type[BROConv2d] | type[PublishedBROConv2d]) -> None:
    source, x = cls(3, 4, 3), torch.randn(2, 3, 5, 7)
    layer = cls(3, 4, 3, device="meta")
    assert all(p.is_meta for p in layer.parameters())
    layer = layer.to_empty(device="cpu")
    layer.load_state_dict(source.state_dict())
    assert torch.equal(layer(x), source(x))


@pytest.mark.parametrize("cls", [BROConv2d, PublishedBROConv2d])
@pytest.mark.parametrize("size", [(1, 1), (5, 5), (7, 4), (3, 8)])
def test_odd_and_small_images_keep_their_size(
    cls: type[BROConv2d] | type[PublishedBROConv2d], size: tuple[int, int]
) -> None:
    y = cls(3, 4, 5)(torch.randn(2, 3, *size))
    assert y.shape == (2, 4, *size)
    assert y.isfinite().all()


@pytest.mark.parametrize("cls", [BROConv2d, PublishedBROConv2d])
def test_rank(cls: type[BROConv2d] | type[PublishedBROConv2d]) -> None:
    assert cls(16, 16, 3).weight.shape == (16, 2, 3, 3)
    assert cls(3, 8, 3).weight.shape == (8, 3, 3, 3)
    assert cls(6, 4, 3, rank=6).weight.shape == (6, 6, 3, 3)
    assert cls.sizes["rank"](3, 8) == cls(3, 8, 3).rank == 3
    assert "rank=3" in repr(cls(3, 8, 3))
    wrong: tuple[Any, ...] = (0, -1, 1.0, True)
    for rank in wrong:
        with pytest.raises(ValueError, match="rank must be a positive integer, got"):
            cls(4, 4, 3, rank=rank)
    with pytest.raises(ValueError, match="rank must be at most 6, the larger number of channels, got 7"):
        cls(6, 4, 3, rank=7)
