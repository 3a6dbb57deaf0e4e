"""What the library's own algorithms promise beyond test_contract.py: soundness, every option, compilation, state."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch._dynamo.utils import counters

from lipcost.layers import LAYERS, KernelConv2d
from lipcost.layers.base.layer import NONE
from lipcost.validate import lipschitz_upper_bound, singular_values

OWN = sorted(name for name in LAYERS if not name.endswith("/published"))
LIPSCHITZ = [name for name in OWN if LAYERS[name].promise != NONE]
EVEN = [name for name in OWN if LAYERS[name].even_kernels]
CONVOLUTIONS = {  # the kernel sizes with which the layer is one convolution
    name: (1, 3) if issubclass(LAYERS[name], KernelConv2d) else (1,) for name in OWN if not LAYERS[name].residual
}
MODES = ("circular", "zeros")
CHANNELS = [(3, 3), (2, 4), (4, 2), (1, 3), (3, 1)]


def scrambled(method: str, c_in: int = 3, c_out: int = 3, k: int = 3, **arguments: Any) -> Any:
    """A layer in eval mode with random weights, away from any initial structure."""
    layer = LAYERS[method](c_in, c_out, k, **{"dtype": torch.float64, **arguments})
    with torch.no_grad():
        for p in layer.parameters():
            p.add_(torch.randn_like(p))
    return layer.eval()


def image(c: int, h: int, w: int, b: int = 2) -> Tensor:
    return torch.randn(b, c, h, w, dtype=torch.float64)


def gradients(layer: nn.Module) -> list[Tensor]:
    return [p.grad.clone() for p in layer.parameters() if p.grad is not None]


# Soundness with every option


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("channels", CHANNELS)
@pytest.mark.parametrize("method", LIPSCHITZ)
def test_lipschitz_with_stride_padding_and_any_channels(
    method: str, channels: tuple[int, int], stride: int, mode: str
) -> None:
    layer = scrambled(method, *channels, stride=stride, padding_mode=mode)
    shape = (channels[0], 4, 6)
    x = image(*shape)
    assert layer(x).shape == (2, channels[1], 4 // stride, 6 // stride)
    assert singular_values(layer, shape, at=x[0])[0] <= 1 + 1e-9
    assert lipschitz_upper_bound(layer, shape) <= 1 + 1e-9


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("k", [2, 4])
@pytest.mark.parametrize("method", EVEN)
def test_even_kernels(method: str, k: int, mode: str) -> None:
    layer = scrambled(method, 2, 3, k, padding_mode=mode)
    x = image(2, 5, 4)
    assert layer(x).shape == (2, 3, 5, 4)
    assert layer.train()(x).shape == (2, 3, 5, 4)
    if method != "standard":
        assert singular_values(layer.eval(), (2, 5, 4), at=x[0])[0] <= 1 + 1e-9


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("method", OWN)
def test_bound_of_the_layer_is_one(method: str, mode: str, stride: int, training: bool) -> None:
    layer = scrambled(method, 2, 3, padding_mode=mode, stride=stride).train(training)
    shape, before = (2, 6, 4), copy.deepcopy(layer.state_dict())
    bound, exact = layer.lipschitz_upper_bound(shape), lipschitz_upper_bound(layer, shape)
    if mode == "circular":  # of soc's polynomial the bound is over an interval that holds all eigenvalues
        assert bound == pytest.approx(exact, abs=0.02 if method == "soc" else 1e-9)
    assert bound >= exact - 1e-9
    assert all(torch.equal(t, before[name]) for name, t in layer.state_dict().items())


@pytest.mark.parametrize("method", OWN)
def test_bound_refuses_another_image(method: str) -> None:
    with pytest.raises(ValueError, match="takes inputs of shape"):
        scrambled(method).lipschitz_upper_bound((4, 6, 6))


class Autocast(nn.Module):
    """A layer whose forward runs under autocast, and its backward outside it, as PyTorch recommends."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: Tensor) -> Tensor:
        with torch.autocast("cpu", torch.bfloat16):
            return self.layer(x)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("method", LIPSCHITZ)
def test_lipschitz_under_autocast(method: str, training: bool) -> None:
    layer, x = scrambled(method, 4, 4, dtype=torch.float32).train(training), torch.randn(4, 5, 5)
    reached = 1e-3
    if LAYERS[method].promises(3, training) == NONE:  # the training norm is an estimate
        reached = max(reached, lipschitz_upper_bound(layer, (4, 5, 5)) - 1 + 1e-4)
    assert singular_values(Autocast(layer), (4, 5, 5), at=x)[0] <= 1 + reached


@pytest.mark.parametrize("method", OWN)
def test_backward_under_autocast(method: str) -> None:
    layer, x, g = scrambled(method, dtype=torch.float32).train(), torch.randn(2, 3, 6, 6), torch.randn(2, 3, 6, 6)
    twin = copy.deepcopy(layer)
    Autocast(layer)(x).backward(g)
    with torch.autocast("cpu", torch.bfloat16):
        twin(x).backward(g)
    for a, b in zip(gradients(twin), gradients(layer), strict=True):
        assert (a - b).norm() <= 0.02 * b.norm()


# The plain convolution


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize(("method", "k"), [(method, k) for method, sizes in CONVOLUTIONS.items() for k in sizes])
def test_to_conv2d_is_the_layer(method: str, k: int, stride: int, mode: str) -> None:
    for c_in, c_out in ((3, 3), (2, 4), (4, 2)):
        layer = scrambled(method, c_in, c_out, k, stride=stride, padding_mode=mode)
        conv, x = layer.to_conv2d(), image(c_in, 4, 6)
        assert type(conv) is nn.Conv2d
        torch.testing.assert_close(conv(x), layer(x))


@pytest.mark.parametrize("k", [1, 2, 3])
@pytest.mark.parametrize("method", OWN)
def test_to_conv2d_exists_or_says_why_not(method: str, k: int) -> None:
    if k % 2 == 0 and method not in EVEN:
        pytest.skip("refused by the constructor, see test_errors.py")
    layer = scrambled(method, k=k)
    if k in CONVOLUTIONS.get(method, ()):
        assert layer.to_conv2d().kernel_size == (k, k)
        return
    with pytest.raises(ValueError, match="a kernel \\(as of aol\\)"):
        layer.to_conv2d()


# Choice of the algorithm


@pytest.mark.parametrize("method", OWN)
def test_algorithm(method: str) -> None:
    cls: Any = LAYERS[method]
    assert type(cls(4, 4, 3)) is type(cls(4, 4, 3, algorithm="lipcost")) is cls
    assert type(cls(4, 4, 3, algorithm="published", bias=False)) is LAYERS[f"{method}/published"]
    with pytest.raises(ValueError, match="'fast'; algorithms: lipcost, published"):
        cls(4, 4, 3, algorithm="fast")


# Compilation


def sgd_steps(layer: nn.Module, call: Callable[[Tensor], Tensor], steps: int = 4) -> list[Tensor]:
    """Gradients of each step."""
    optimizer, found = torch.optim.SGD(layer.parameters(), lr=0.1), []
    generator = torch.Generator().manual_seed(0)
    for _ in range(steps):
        x, g = torch.randn(2, 2, 3, 4, 6, dtype=torch.float64, generator=generator)
        x = x.clone().requires_grad_()
        optimizer.zero_grad()
        (call(x) * g).sum().backward()
        found += [x.grad, *gradients(layer)]
        optimizer.step()
    return found


@pytest.mark.parametrize("method", OWN)
def test_training_compiles_once(method: str) -> None:
    torch.compiler.reset()
    counters.clear()
    layer = scrambled(method).train()
    twin = copy.deepcopy(layer)
    found = sgd_steps(layer, torch.compile(layer, fullgraph=True, backend="aot_eager"))
    for a, b in zip(found, sgd_steps(twin, twin), strict=True):
        torch.testing.assert_close(a, b)
    for a, b in zip(layer.buffers(), twin.buffers(), strict=True):
        torch.testing.assert_close(a, b)
    assert counters["stats"]["unique_graphs"] == 1


@pytest.mark.parametrize("method", OWN)
def test_eval_compiles_once(method: str) -> None:
    torch.compiler.reset()
    counters.clear()
    layer = scrambled(method)
    compiled = torch.compile(layer, fullgraph=True, backend="aot_eager")
    with torch.no_grad():
        for _ in range(3):
            x = image(3, 4, 6)
            torch.testing.assert_close(compiled(x), layer(x))
            layer.weight.add_(torch.randn_like(layer.weight))  # the graph has no old weights
    assert counters["stats"]["unique_graphs"] == 1


@pytest.mark.parametrize("method", OWN)
def test_exports(method: str) -> None:
    layer, x = scrambled(method), image(3, 4, 6)
    exported = torch.export.export(layer, (x,))
    torch.testing.assert_close(exported.module()(x), layer(x))


# State


@pytest.mark.parametrize("method", OWN)
def test_from_meta_device(method: str) -> None:
    source, x = scrambled(method), image(3, 4, 6)
    layer = LAYERS[method](3, 3, 3, device="meta", dtype=torch.float64)
    assert all(t.is_meta for t in (*layer.parameters(), *layer.buffers()))
    layer = layer.to_empty(device="cpu")
    layer.load_state_dict(source.state_dict())
    assert torch.equal(layer.eval()(x), source(x))
    assert torch.equal(layer.train()(x), source.train()(x))


@pytest.mark.parametrize("method", OWN)
def test_two_forwards_before_one_backward(method: str) -> None:
    layer = scrambled(method).train()
    twin = copy.deepcopy(layer)
    first, second = image(3, 4, 6), image(3, 5, 4)
    (layer(first).square().sum() + layer(second).square().sum()).backward()
    for x in (first, second):
        twin(x).square().sum().backward()
    for a, b in zip(gradients(layer), gradients(twin), strict=True):
        torch.testing.assert_close(a, b)


@pytest.mark.parametrize("method", OWN)
def test_buffers_are_updated_in_place(method: str) -> None:
    layer = scrambled(method).train()
    buffers = [(id(buffer), buffer.data_ptr(), buffer.shape) for buffer in layer.buffers()]
    for x in (image(3, 4, 6), image(3, 5, 5), image(3, 4, 6)):
        layer(x).sum().backward()
        with torch.no_grad():
            layer.eval()(x)
        layer.train()
    assert [(id(buffer), buffer.data_ptr(), buffer.shape) for buffer in layer.buffers()] == buffers


@pytest.mark.parametrize("method", OWN)
def test_gradients_can_be_differentiated(method: str) -> None:
    """For gradient penalties; of BCOP's weight alone it is refused."""
    layer, x = scrambled(method, 2, 2), image(2, 3, 4, b=1).requires_grad_()
    inputs = {name: p.detach().clone().requires_grad_() for name, p in layer.named_parameters()}
    weight = inputs.pop("weight") if method == "bcop" else None

    def square(x: Tensor, *values: Tensor) -> Tensor:
        return torch.func.functional_call(layer, dict(zip(inputs, values, strict=True)), (x,)).square()

    assert torch.autograd.gradgradcheck(square, (x, *inputs.values()))
    if weight is not None:
        y = torch.func.functional_call(layer, {"weight": weight}, (x,)).square().sum()
        (gradient,) = torch.autograd.grad(y, weight, create_graph=True)
        with pytest.raises(RuntimeError, match="modified by an inplace operation"):
            gradient.square().sum().backward()


@pytest.mark.parametrize("method", OWN)
def test_can_be_traced_where_gradients_are_wanted(method: str) -> None:
    """As fvcore's FlopCountAnalysis does with any module."""
    layer, x = scrambled(method), image(3, 5, 5)
    assert torch.equal(torch.jit.trace(layer, x, check_trace=False)(x), layer(x))
