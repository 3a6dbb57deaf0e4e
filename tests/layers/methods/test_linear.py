"""The methods on vectors: what a convolution with kernel size 1 makes of images of one pixel."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from lipcost.costmodel import predict_network
from lipcost.layers import LINEARS, MarginCrossEntropy
from lipcost.layers.base.layer import NONE
from lipcost.validate.measure.step import measure_step

CLAIMED = [name for name, cls in LINEARS.items() if cls.promise != NONE]


@pytest.fixture(params=LINEARS)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def jacobian(layer: nn.Module, n: int) -> torch.Tensor:
    return torch.autograd.functional.jacobian(layer, torch.randn(1, n, dtype=torch.float64))[0, :, 0]


@pytest.mark.parametrize(("n_in", "n_out"), [(4, 4), (3, 5), (6, 2), (1, 1)])
@pytest.mark.parametrize("method", CLAIMED)
def test_is_1_lipschitz_in_eval(method: str, n_in: int, n_out: int) -> None:
    layer = LINEARS[method](n_in, n_out, dtype=torch.float64).eval().requires_grad_(False)
    norm = float(torch.linalg.matrix_norm(jacobian(layer, n_in), ord=2))
    assert norm <= layer.lipschitz_upper_bound() + 1e-12
    assert layer.lipschitz_upper_bound() <= 1 + 1e-9


def test_equals_the_convolution_of_one_pixel(name: str) -> None:
    layer = LINEARS[name](5, 3)
    convolution = LINEARS[name].__mro__[2](5, 3, 1)
    convolution.load_state_dict(layer.state_dict(), strict=True)
    x = torch.randn(4, 5)
    assert torch.equal(layer.eval()(x), convolution.eval()(x[:, :, None, None])[:, :, 0, 0])


def test_gradients_reach_everything(name: str) -> None:
    layer, x = LINEARS[name](4, 6), torch.randn(3, 4, requires_grad=True)
    (layer(x) * torch.randn(3, 6)).sum().backward()
    assert all(tensor.grad is not None and tensor.grad.isfinite().all() for tensor in (x, *layer.parameters()))


def test_cost_of_a_stack_is_exact(name: str) -> None:
    net = nn.Sequential(LINEARS[name](6, 6), LINEARS[name](6, 4, bias=False))
    x, labels = torch.randn(3, 6), torch.tensor([0, 1, 3])
    MarginCrossEntropy()(net(x), labels)
    # A vector is read as an image without a side: s only says how large its square would be.
    step = measure_step(nn.Sequential(nn.Flatten(), net), x[:, :, None, None], labels)
    p = predict_network(nn.Sequential(nn.Flatten(), net), b=3, s=1, c_in=6)
    assert (p.saved_bytes, p.peak_bytes) == (step.saved_bytes, step.profiler_peak_bytes)
    assert (p.macs_forward, p.macs_backward) == (step.fvcore_macs, step.macs_backward)


@pytest.mark.parametrize("shape", [(4,), (2, 5), (2, 4, 1, 1)])
def test_other_inputs_are_refused(name: str, shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"takes inputs of shape \(b, 4\), got"):
        LINEARS[name](4, 4)(torch.zeros(shape))
