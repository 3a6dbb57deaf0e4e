"""What every layer promises, whatever its method: state, cache, copies, randomness, sizes, gradients."""

from __future__ import annotations

import copy
import io
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from lipcost.layers import LAYERS, LipschitzConv2d

C, K = 4, 3
SIZE = (8, 8)


def make(method: str, **arguments: Any) -> LipschitzConv2d:
    return LAYERS[method](C, C, K, **arguments)


def image(*size: int, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.randn(2, C, *(size or SIZE), dtype=dtype)


def evaluate(layer: nn.Module, x: Tensor) -> Tensor:
    with torch.no_grad():
        return layer.eval()(x)


def step(layer: nn.Module, x: Tensor, lr: float = 0.1) -> None:
    """One training step by SGD."""
    optimizer = torch.optim.SGD(layer.parameters(), lr=lr)
    y = layer.train()(x)
    (y * torch.randn_like(y)).mean().backward()
    optimizer.step()
    optimizer.zero_grad()


def warmed(layer: LipschitzConv2d) -> LipschitzConv2d:
    """The layer after a training step and an eval on images of two sizes, back in training mode."""
    step(layer, image())
    evaluate(layer, image(5, 9))
    return layer.train()


def names(layer: nn.Module) -> tuple[list[str], list[str], list[str]]:
    parameters, buffers = dict(layer.named_parameters()), dict(layer.named_buffers())
    return list(layer.state_dict()), list(parameters), list(buffers)


# State


@pytest.mark.parametrize("training", [True, False])
def test_names_are_fixed_at_construction(method: str, training: bool) -> None:
    layer = make(method).train(training)
    before = names(layer)
    parameters = [id(p) for p in layer.parameters()]
    layer(image())
    evaluate(layer, image(5, 9))
    assert names(layer) == before
    assert [id(p) for p in layer.parameters()] == parameters


@pytest.mark.parametrize("warm", [False, True])
def test_state_dict_round_trip(method: str, warm: bool) -> None:
    x, source, target = image(), warmed(make(method)), make(method)
    if warm:
        warmed(target)
        evaluate(target, x)
    target.load_state_dict(source.state_dict(), strict=True)
    assert torch.equal(evaluate(target, x), evaluate(source, x))
    assert torch.equal(target.train()(x), source.train()(x))


def test_forward_leaves_parameters_alone(method: str) -> None:
    layer = make(method)
    before = [p.detach().clone() for p in layer.parameters()]
    layer(image())
    evaluate(layer, image())
    assert all(torch.equal(p, q) for p, q in zip(layer.parameters(), before, strict=True))


def test_eval_leaves_buffers_alone(method: str) -> None:
    layer = warmed(make(method))
    before = {name: buffer.clone() for name, buffer in layer.named_buffers()}
    evaluate(layer, image())
    evaluate(layer, image(5, 9))
    assert all(torch.equal(buffer, before[name]) for name, buffer in layer.named_buffers())


def test_without_bias(method: str) -> None:
    with_bias, without = make(method), make(method, bias=False)
    without.load_state_dict({name: t for name, t in with_bias.state_dict().items() if name != "bias"})
    with torch.no_grad():
        with_bias.get_parameter("bias").zero_()
    assert without.bias is None
    x = image()
    assert torch.equal(without(x), with_bias(x))


# The cache


def optimizer_step(layer: LipschitzConv2d) -> None:
    step(layer, image(), lr=10.0)


def load_state_dict(layer: LipschitzConv2d) -> None:
    layer.load_state_dict(scrambled(layer).state_dict())


def assign_state_dict(layer: LipschitzConv2d) -> None:
    layer.load_state_dict(scrambled(layer).state_dict(), assign=True)


def in_place_edit(layer: LipschitzConv2d) -> None:
    with torch.no_grad():
        for p in layer.parameters():
            p.add_(torch.randn_like(p))


def replace_twice(layer: LipschitzConv2d) -> None:
    for _ in range(2):  # the second may get the memory of the tensor that the cache was computed from
        layer.weight = nn.Parameter(torch.randn_like(layer.weight))


def move_to_double(layer: LipschitzConv2d) -> None:
    layer.double()


def scrambled(layer: LipschitzConv2d) -> LipschitzConv2d:
    layer = copy.deepcopy(layer)
    in_place_edit(layer)
    return layer


CHANGES = [optimizer_step, load_state_dict, assign_state_dict, in_place_edit, replace_twice, move_to_double]


@pytest.mark.parametrize("change", CHANGES)
def test_change_invalidates_cache(method: str, change: Callable[[LipschitzConv2d], None]) -> None:
    layer, x = make(method), image()
    before = evaluate(layer, x)
    change(layer)
    x = x.to(layer.weight.dtype)
    after = evaluate(layer, x)
    assert torch.equal(after, evaluate(copy.deepcopy(layer), x))  # a copy starts without a cache
    if change is not move_to_double:
        assert not torch.allclose(after, before)


def test_cache_is_used(method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    layer, x = make(method), image()
    calls = []
    transform = layer.parameter_transform
    monkeypatch.setattr(layer, "parameter_transform", lambda size: calls.append(size) or transform(size))
    first = evaluate(layer, x)
    assert torch.equal(evaluate(layer, x), first)
    assert calls == [SIZE]


def test_cache_from_inference_mode_serves_outside(method: str) -> None:
    layer, x = make(method).eval().requires_grad_(False), image().requires_grad_()
    with torch.inference_mode():
        layer(x)
    layer(x).sum().backward()
    assert x.grad is not None


def test_forward_is_the_two_transformations(method: str) -> None:
    layer, x = warmed(make(method)), image()
    for training in (True, False):
        layer.train(training)
        twin = copy.deepcopy(layer)
        assert torch.equal(layer(x), twin.input_transform(x, *twin.parameter_transform(SIZE)))


# Copies


def fresh(layer: LipschitzConv2d) -> LipschitzConv2d:
    return layer


def after_training(layer: LipschitzConv2d) -> LipschitzConv2d:
    layer(image())
    return layer


def after_eval(layer: LipschitzConv2d) -> LipschitzConv2d:
    evaluate(layer, image())
    return layer


def after_eval_with_gradient(layer: LipschitzConv2d) -> LipschitzConv2d:
    layer.eval()(image()).sum().backward()
    return layer


def reloaded(layer: LipschitzConv2d) -> LipschitzConv2d:
    file = io.BytesIO()
    torch.save(layer, file)
    file.seek(0)
    return torch.load(file, weights_only=False)


@pytest.mark.parametrize("clone", [copy.deepcopy, reloaded])
@pytest.mark.parametrize("history", [fresh, after_training, after_eval, after_eval_with_gradient])
def test_copies(
    method: str,
    history: Callable[[LipschitzConv2d], LipschitzConv2d],
    clone: Callable[[LipschitzConv2d], LipschitzConv2d],
) -> None:
    layer, x = history(make(method)), image()
    twin = clone(layer)
    assert twin.training == layer.training
    assert torch.equal(evaluate(twin, x), evaluate(layer, x))
    assert torch.equal(twin.train()(x), layer.train()(x))


# Randomness


@pytest.mark.parametrize("training", [True, False])
def test_forward_is_deterministic(method: str, training: bool) -> None:
    layer, x = make(method).train(training), image()
    twin = copy.deepcopy(layer)
    state = torch.get_rng_state()
    y = layer(x)
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(1)
    assert torch.equal(twin(x), y)


# Sizes


@pytest.mark.parametrize("size", [(7, 7), (5, 8), (8, 5), (6, 9), (3, 3)])
@pytest.mark.parametrize("training", [True, False])
def test_any_size_keeps_its_shape(method: str, size: tuple[int, int], training: bool) -> None:
    x = image(*size)
    y = make(method).train(training)(x)
    assert y.shape == x.shape
    assert y.isfinite().all()


def test_two_sizes_in_turn(method: str) -> None:
    layer, small, large = make(method), image(5, 6), image(8, 8)
    for x in (small, large, small):
        assert layer(x).shape == x.shape
    layer.eval()
    expected = [evaluate(copy.deepcopy(layer), x) for x in (small, large)]
    for _ in range(2):
        for x, y in zip((small, large), expected, strict=True):
            assert torch.equal(evaluate(layer, x), y)


@pytest.mark.parametrize("channels", [(2, 5), (5, 2), (1, 4), (4, 1)])
def test_rectangular(method: str, channels: tuple[int, int]) -> None:
    if LAYERS[method].square:
        pytest.skip("a residual method")
    c_in, c_out = channels
    assert LAYERS[method](c_in, c_out, K)(torch.randn(2, c_in, 6, 7)).shape == (2, c_out, 6, 7)


@pytest.mark.parametrize("training", [True, False])
def test_batch_entries_are_independent(method: str, training: bool) -> None:
    layer, x = make(method, dtype=torch.float64).train(training), image(dtype=torch.float64)
    twin = copy.deepcopy(layer)
    torch.testing.assert_close(layer(x)[:1], twin(x[:1]))


# Gradients and types


@pytest.mark.parametrize("training", [True, False])
def test_gradient_reaches_every_parameter(method: str, training: bool) -> None:
    layer, x = make(method).train(training), image().requires_grad_()
    evaluate(layer, x)
    y = layer.train(training)(x)
    (y * torch.randn_like(y)).sum().backward()
    for name, tensor in (*layer.named_parameters(), ("x", x)):
        assert tensor.grad is not None, name
        assert tensor.grad.isfinite().all(), name
        assert tensor.grad.any(), name


def test_eval_output_is_the_same_with_gradient(method: str) -> None:
    layer, x = warmed(make(method)).eval(), image()
    cached = evaluate(layer, x)
    with_gradient = layer(x)
    assert with_gradient.requires_grad
    assert torch.equal(with_gradient, cached)


def test_autocast_orthogonalises_in_full_precision(method: str) -> None:
    layer = make(method).eval()
    seen = {}
    transform = layer.input_transform

    def spy(x: Tensor, *weights: Tensor) -> Tensor:
        seen["weights"] = weights
        return transform(x, *weights)

    layer.input_transform = spy  # type: ignore[method-assign]
    with torch.autocast("cpu", torch.bfloat16):
        layer(image())
    expected = layer.parameter_transform(SIZE)
    assert all(torch.equal(a, b) for a, b in zip(seen["weights"], expected, strict=True))


def test_bfloat16(method: str) -> None:
    if torch.bfloat16 not in LAYERS[method].dtypes:
        pytest.skip("refused, see test_errors.py")
    layer = make(method, dtype=torch.bfloat16)
    y = layer(image(dtype=torch.bfloat16))
    assert y.dtype == torch.bfloat16
    assert y.isfinite().all()


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("method", [name for name in LAYERS if name.endswith("/published")])
def test_compiles_to_one_graph(method: str, training: bool) -> None:
    """The own ones do more, in test_contract_own.py."""
    torch.compiler.reset()
    layer, x = make(method).train(training), image()
    twin = copy.deepcopy(layer)
    with torch.set_grad_enabled(training):
        torch.testing.assert_close(torch.compile(layer, backend="eager", fullgraph=True)(x), twin(x))
