"""The one protocol of a call: its phases, what it starts from, and what has no gradient."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from lipcost.validate import measure_flops, measure_memory, measure_step
from lipcost.validate.measure.live import storage_bytes
from lipcost.validate.measure.protocol import FIRST_STEPS, FirstStep, LayerCall, TrainingStep

LABELS = torch.tensor([0, 2])


class FromIntegers(nn.Module):
    """A linear layer on integers."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(x.float())


class Unused(nn.Linear):
    """A linear layer with a parameter that its output does not need."""

    def __init__(self) -> None:
        super().__init__(4, 3, bias=False)
        self.unused = nn.Parameter(torch.ones(5))


class Constant(nn.Module):
    """Nothing here reaches the output."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.ones_like(x)


def test_integers_get_no_gradient() -> None:
    x = torch.ones(2, 4, dtype=torch.int64)
    call = LayerCall(FromIntegers(), x)
    gradients: Any = call.run()
    weight, bias = gradients
    assert (weight.shape, bias.shape) == ((3, 4), (3,))
    flops, memory = measure_flops(FromIntegers(), x), measure_memory(FromIntegers(), x)
    assert (flops.macs_forward, flops.macs_backward) == (24, 24)  # the gradient of the weight alone
    # x, g, parameters; y, x as floats, which are kept; the gradient of the weight, then that of the bias.
    assert memory.saved_bytes == 4 * 8
    assert memory.profiler_peak_bytes == 8 * 8 + 4 * (6 + 15 + 6 + 8 + 12 + 3)
    step = measure_step(FromIntegers(), x, LABELS)
    assert (step.macs_forward, step.macs_backward, step.gradient_bytes) == (24, 24, 60)


def test_a_parameter_that_the_output_does_not_reach_has_no_gradient() -> None:
    x = torch.ones(2, 4)
    gradients: Any = LayerCall(Unused(), x).run()
    used, of_weight, of_unused = gradients
    assert used.shape == (2, 4) and of_weight.shape == (3, 4) and of_unused is None
    plain = measure_memory(nn.Linear(4, 3, bias=False), x)
    memory = measure_memory(Unused(), x)
    assert memory.parameter_bytes == plain.parameter_bytes + 20
    assert memory.profiler_peak_bytes == plain.profiler_peak_bytes + 20
    assert measure_flops(Unused(), x) == measure_flops(nn.Linear(4, 3, bias=False), x)


@pytest.mark.parametrize("measure", [measure_flops, measure_memory])
def test_where_nothing_asks_for_a_gradient(measure) -> None:
    frozen = FromIntegers().requires_grad_(False)
    with pytest.raises(ValueError, match=r"nothing in the output of FromIntegers asks .* nor does x, of torch\.int64"):
        measure(frozen, torch.ones(2, 4, dtype=torch.int64))
    with pytest.raises(ValueError, match=r"nothing in the output of Constant asks for a gradient"):
        measure(Constant(), torch.ones(2, 4))
    measure(Constant(), torch.ones(2, 4), "inference")


def test_copies_are_measured() -> None:
    layer, x = nn.BatchNorm1d(4).eval(), torch.rand(3, 4)
    call = LayerCall.of_copy(layer, x)
    call.run()
    assert call.module.training and not layer.training
    assert layer.get_buffer("num_batches_tracked") == 0 < call.module.get_buffer("num_batches_tracked")
    assert not x.requires_grad and call.x.requires_grad


@pytest.mark.parametrize("optimizer", FIRST_STEPS)
@pytest.mark.parametrize("first", [False, True])
def test_a_reset_leads_back_to_where_a_step_starts(optimizer: str, first: bool) -> None:
    net, x = nn.Linear(4, 3), torch.rand(2, 4)
    step = (FirstStep if first else TrainingStep)(net, x, LABELS, optimizer)
    step.reset()
    base, weight = storage_bytes(step.base), step.parameters[0].clone()
    assert (storage_bytes(step.state) == 0) == (first or optimizer == "sgd")
    step.run()
    assert step.parameters[0].grad is not None
    assert torch.equal(step.parameters[0], weight)
    step.reset()
    assert [p.grad for p in step.parameters] == [None, None]
    assert storage_bytes(step.base) == base
    assert len(step.uncounted) == (2 if optimizer.startswith("adam") else 0)


def test_bytes_of_storages() -> None:
    x = torch.ones(200)
    assert (storage_bytes([x, x[None], x[:3]]), storage_bytes([x, x.clone()], 512)) == (800, 2048)
