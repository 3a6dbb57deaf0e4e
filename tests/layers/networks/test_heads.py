"""The dense layers: orthogonality, the one cache rule, gradients, errors."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call

from lipcost.layers.base.layer import LipschitzLinear
from lipcost.layers.networks.heads import PublishedBjorckLinear, PublishedCayleyLinear

HEADS = [PublishedCayleyLinear, PublishedBjorckLinear]
SHAPES = [(5, 5), (6, 4), (4, 6), (1, 1), (1, 5), (5, 1)]
CONVERGED = 100  # Björck–Bowie iterations, from any weight used here

Head = type[LipschitzLinear]


@pytest.fixture(params=HEADS)
def head(request: pytest.FixtureRequest) -> Head:
    return request.param


def scrambled(layer: LipschitzLinear) -> LipschitzLinear:
    with torch.no_grad():
        for p in layer.parameters():
            p.copy_(torch.randn_like(p))
    return layer


def converging(head: Head, n_in: int, n_out: int, **arguments: Any) -> LipschitzLinear:
    """A random layer in eval mode, which is as orthogonal as float64 allows."""
    if head is PublishedBjorckLinear:
        arguments |= {"eval_iterations": CONVERGED}
    return scrambled(head(n_in, n_out, dtype=torch.float64, **arguments)).eval()


def evaluate(layer: nn.Module, x: Tensor) -> Tensor:
    with torch.no_grad():
        return layer.eval()(x)


def matrix(layer: LipschitzLinear) -> Tensor:
    return layer.parameter_transform(())[0].detach()


# Orthogonality


@pytest.mark.parametrize("shape", SHAPES)
def test_singular_values_are_1(head: Head, shape: tuple[int, int]) -> None:
    n_in, n_out = shape
    q = matrix(converging(head, n_in, n_out))
    assert q.shape == (n_out, n_in)
    small, large = sorted((q @ q.T, q.T @ q), key=len)
    torch.testing.assert_close(small, torch.eye(min(shape), dtype=q.dtype), rtol=0, atol=1e-12)
    assert torch.linalg.eigvalsh(large).max() <= 1 + 1e-12


@pytest.mark.parametrize("shape", SHAPES)
def test_the_initial_layer_is_orthogonal_in_training(head: Head, shape: tuple[int, int]) -> None:
    values = torch.linalg.svdvals(matrix(head(*shape, dtype=torch.float64).train()))
    torch.testing.assert_close(values, torch.ones_like(values), rtol=0, atol=1e-12)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("iterations", [1, 3])
def test_bjorck_is_1_lipschitz_before_it_converges(iterations: int, shape: tuple[int, int]) -> None:
    """3/2 σ - 1/2 σ³ is at most 1 for σ up to 2, and so after an underestimated norm too."""
    layer = scrambled(PublishedBjorckLinear(*shape, iterations=iterations, power_iterations=2, dtype=torch.float64))
    assert torch.linalg.svdvals(matrix(layer)).max() <= 1 + 1e-12


def test_cayley_against_its_definition() -> None:
    """(I + A)⁻¹ (I - A) with A = U - Uᵀ of the scaled weight."""
    layer: Any = converging(PublishedCayleyLinear, 4, 4)
    u = (layer.alpha * layer.weight / layer.weight.norm()).detach()
    a, identity = u - u.T, torch.eye(4, dtype=u.dtype)
    torch.testing.assert_close(matrix(layer), torch.linalg.solve(identity + a, identity - a))


def test_bjorck_finds_the_nearest_orthogonal_matrix() -> None:
    layer = converging(PublishedBjorckLinear, 6, 4)
    u, _, v = torch.linalg.svd(layer.weight.detach(), full_matrices=False)
    torch.testing.assert_close(matrix(layer), u @ v)


def test_the_layer_is_a_matrix_and_a_bias(head: Head) -> None:
    layer, x = scrambled(head(5, 3)), torch.randn(7, 5)
    for training in (True, False):
        q = matrix(copy.deepcopy(layer.train(training)))
        assert torch.equal(layer(x), nn.functional.linear(x, q, layer.bias))


def test_without_bias(head: Head) -> None:
    layer, x = head(5, 3, bias=False), torch.randn(7, 5)
    assert layer.bias is None
    assert "bias" not in layer.state_dict()
    assert not layer(torch.zeros(1, 5)).any()
    assert layer(x).shape == (7, 3)


def test_a_norm_is_kept(head: Head) -> None:
    layer, x = converging(head, 4, 6, bias=False), torch.randn(7, 4, dtype=torch.float64)
    torch.testing.assert_close(layer(x).norm(dim=1), x.norm(dim=1))


# State


def optimizer_step(layer: LipschitzLinear) -> None:
    optimizer = torch.optim.SGD(layer.parameters(), lr=10.0)
    layer.train()(torch.randn(3, 4)).square().mul(torch.randn(3, 4)).sum().backward()
    optimizer.step()
    optimizer.zero_grad()


def load_state_dict(layer: LipschitzLinear) -> None:
    layer.load_state_dict(scrambled(copy.deepcopy(layer)).state_dict())


def in_place_edit(layer: LipschitzLinear) -> None:
    scrambled(layer)


@pytest.mark.parametrize("change", [optimizer_step, load_state_dict, in_place_edit])
def test_change_invalidates_cache(head: Head, change: Callable[[LipschitzLinear], None]) -> None:
    layer, x = head(4, 4), torch.randn(3, 4)
    before = evaluate(layer, x)
    change(layer)
    after = evaluate(layer, x)
    assert torch.equal(after, evaluate(copy.deepcopy(layer), x))  # a copy starts without a cache
    assert not torch.allclose(after, before)


def test_eval_transforms_once(head: Head, monkeypatch: pytest.MonkeyPatch) -> None:
    layer, x, calls = head(4, 4), torch.randn(3, 4), []
    transform = layer.parameter_transform
    monkeypatch.setattr(layer, "parameter_transform", lambda size: calls.append(size) or transform(size))
    assert torch.equal(evaluate(layer, x), evaluate(layer, x))
    assert calls == [()]
    layer.train()
    layer(x)
    layer(x)
    assert calls == [(), (), ()]


def test_only_training_moves_the_power_vector() -> None:
    layer: Any = scrambled(PublishedBjorckLinear(5, 4))
    x = torch.randn(3, 5)
    u = layer.u.clone()
    evaluate(layer, x)
    assert torch.equal(layer.u, u)
    layer.train()(x)
    assert not torch.allclose(layer.u, u)
    assert layer.u.norm() == pytest.approx(1, abs=1e-6)


def test_iterations_of_each_mode() -> None:
    layer = scrambled(
        PublishedBjorckLinear(5, 5, iterations=2, eval_iterations=4, power_iterations=60, dtype=torch.float64)
    )
    w = layer.weight.detach() / torch.linalg.matrix_norm(layer.weight.detach(), 2)
    for _ in range(2):
        w = w @ (1.5 * torch.eye(5, dtype=w.dtype) - 0.5 * w.T @ w)
    torch.testing.assert_close(matrix(layer.train()), w, rtol=0, atol=1e-6)  # what the norm's estimate leaves
    for _ in range(2):
        w = w @ (1.5 * torch.eye(5, dtype=w.dtype) - 0.5 * w.T @ w)
    torch.testing.assert_close(matrix(layer.eval()), w, rtol=0, atol=1e-6)


def test_state_dict_round_trip(head: Head) -> None:
    source, target, x = scrambled(head(5, 3)), head(5, 3), torch.randn(2, 5)
    evaluate(target, x)
    target.load_state_dict(source.state_dict(), strict=True)
    assert torch.equal(evaluate(target, x), evaluate(source, x))


# Gradients and types


def test_gradcheck(head: Head) -> None:
    """Björck's norm is a constant to autograd: only once the iterations have converged does it not matter."""
    layer = converging(head, 3, 4)
    names, parameters = zip(*layer.named_parameters(), strict=True)
    x = torch.randn(2, 3, dtype=torch.float64, requires_grad=True)

    def call(x: Tensor, *parameters: Tensor) -> Tensor:
        return functional_call(layer, dict(zip(names, parameters, strict=True)), x)

    assert torch.autograd.gradcheck(call, (x, *(p.detach().clone().requires_grad_() for p in parameters)))


@pytest.mark.parametrize("training", [True, False])
def test_gradient_reaches_every_parameter(head: Head, training: bool) -> None:
    layer, x = scrambled(head(5, 4)).train(training), torch.randn(3, 5)
    (layer(x) * torch.randn(3, 4)).sum().backward()
    for name, p in layer.named_parameters():
        assert p.grad is not None, name
        assert p.grad.isfinite().all(), name
        assert p.grad.any(), name


def test_bfloat16() -> None:
    y = PublishedBjorckLinear(4, 4, dtype=torch.bfloat16)(torch.zeros(2, 4, dtype=torch.bfloat16))
    assert y.dtype == torch.bfloat16
    message = "cayley/published does not work in torch.bfloat16; supported: torch.float32, torch.float64"
    with pytest.raises(ValueError, match=message):
        PublishedCayleyLinear(4, 4, dtype=torch.bfloat16)
    moved = PublishedCayleyLinear(4, 4).to(torch.bfloat16)
    with pytest.raises(ValueError, match=message):
        moved(torch.zeros(2, 4, dtype=torch.bfloat16))


@pytest.mark.parametrize("shape", [(2, 5), (4,), (2, 4, 1, 1), (2, 3, 4)])
def test_input_shape(head: Head, shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError) as error:
        head(4, 3)(torch.zeros(shape))
    assert str(error.value) == f"{head.__name__} takes inputs of shape (b, 4), got {shape}"


@pytest.mark.parametrize("value", [0, -1, 2.0, "4", True, None])
@pytest.mark.parametrize("name", ["in_features", "out_features"])
def test_features_are_positive_integers(head: Head, name: str, value: Any) -> None:
    with pytest.raises(ValueError) as error:
        head(**({"in_features": 4, "out_features": 4} | {name: value}))
    assert str(error.value) == f"{name} must be a positive integer, got {value!r}"


@pytest.mark.parametrize("name", ["iterations", "eval_iterations", "power_iterations"])
def test_counts_are_positive_integers(name: str) -> None:
    with pytest.raises(ValueError, match=f"{name} must be a positive integer, got 0"):
        PublishedBjorckLinear(4, 4, **dict[str, Any]({name: 0}))
