"""The tape's own rules, on programs small enough to count by hand; they are torch's own code."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import accumulate
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from lipcost.costmodel import predict
from lipcost.costmodel.tape import RULES, Tape, Tensor, UnruledFunction, run_backward, running, saved_storages
from lipcost.layers import LAYERS

TEN = 10 * 4  # bytes of ten floats


def given(tape: Tape, *sizes: Any, dtype: torch.dtype = torch.float32) -> Any:
    """A tensor on the tape, to torch code one of its own."""
    return Tensor(tape, sizes, dtype)


def live(tape: Tape) -> list[int]:
    return list(accumulate(sign * storage.nbytes for sign, storage in tape.events))


@pytest.fixture
def tape() -> Iterator[Tape]:
    """One that records."""
    tape = Tape()
    with running(tape):
        yield tape


# What lives


def test_a_tensor_lives_as_long_as_something_refers_to_it(tape: Tape) -> None:
    x = given(tape, 10)
    y = x * 2.0
    view = y.reshape(2, 5)
    del y
    assert live(tape)[-1] == 2 * TEN
    del view
    assert live(tape)[-1] == TEN


def test_torch_s_functions_methods_and_operators_are_one(tape: Tape) -> None:
    x = given(tape, 10)
    for function in (lambda: torch.mul(x, x), lambda: x.mul(x), lambda: x * x):
        function()
    assert len({(op.name, op.flops, op.traffic) for op in tape.operations}) == 1
    assert len(tape.operations) == 3
    assert live(tape)[-1] == TEN


def test_it_passes_for_a_tensor(tape: Tape) -> None:
    x = given(tape, 2, 3)
    assert isinstance(x, torch.Tensor)
    assert (x.shape, x.dim(), x.numel(), x.dtype) == (torch.Size([2, 3]), 2, 6, torch.float32)
    assert x.size(-1) == len(x[0]) == 3
    assert not x.requires_grad
    assert x.device.type == "cpu"


def test_factories_make_tensors_on_the_tape(tape: Tape) -> None:
    x = torch.zeros(10, dtype=torch.float64) + torch.eye(10, dtype=torch.float64)
    assert type(x) is Tensor
    assert max(live(tape)) == 8 * (10 + 100 + 100)


# Gradients


def test_a_graph_keeps_what_backward_needs(tape: Tape) -> None:
    x = given(tape, 10).require_grad()
    y = x.abs().sqrt()  # abs saves x, sqrt its result
    assert saved_storages(y.tape) == {x.memory, y.memory}


def test_without_grad_nothing_is_kept(tape: Tape) -> None:
    x = given(tape, 10).require_grad()
    with torch.no_grad():
        y = x.abs()
    assert not y.requires_grad


@pytest.mark.parametrize(("in_place", "expected"), [(True, 5 * TEN), (False, 6 * TEN)])
def test_gradients_meet_in_place_or_not(in_place: bool, expected: int) -> None:
    """x·2 + x·3: at the second product's gradient live x, g, y, both gradients of x, and their sum if not in place."""
    tape = Tape(in_place=in_place)
    with running(tape):
        x, g = given(tape, 10).require_grad(), given(tape, 10)
        y = x * 2.0 + x * 3.0
        gradients = run_backward([y], [g])
    assert [t.sizes for t in gradients.values()] == [(10,)]
    assert max(live(tape)) == expected


def test_a_broadcast_gradient_is_summed(tape: Tape) -> None:
    x, bias = given(tape, 2, 3), given(tape, 3).require_grad()
    (gradient,) = run_backward([x + bias], [given(tape, 2, 3)]).values()
    assert gradient.sizes == (3,)
    assert [(op.name, op.phase) for op in tape.operations] == [("add", "forward"), ("sum", "backward")]


def test_a_convolution_by_hand(tape: Tape) -> None:
    """5·4·4 outputs of 2·3·3 products each, as many for each gradient."""
    x, w = given(tape, 1, 2, 4, 4).require_grad(), given(tape, 5, 2, 3, 3).require_grad()
    y: Any = F.conv2d(x, w, padding=1)
    gradients = run_backward([y], [given(tape, 1, 5, 4, 4)])
    assert {t.sizes for t in gradients.values()} == {(1, 2, 4, 4), (5, 2, 3, 3)}
    macs = 5 * 4 * 4 * 2 * 3 * 3
    assert [(op.cls, op.macs, op.phase) for op in tape.operations] == [
        ("conv", macs, "forward"),
        ("conv", 2 * macs, "backward"),
    ]


# Operations


def test_a_kernel_is_counted_once_with_its_traffic(tape: Tape) -> None:
    given(tape, 4, dtype=torch.float64) + given(tape, 3, 1, dtype=torch.float64)
    (op,) = tape.operations
    assert (op.cls, op.macs, op.flops, op.traffic) == ("pointwise", 0, 12, 8 * (4 + 3 + 12))


def test_a_complex_product_is_four_real_ones(tape: Tape) -> None:
    given(tape, 2, 3, dtype=torch.complex64) @ given(tape, 3, 5, dtype=torch.complex64)
    assert tape.operations[-1].macs == 4 * 2 * 3 * 5


def test_a_view_costs_nothing(tape: Tape) -> None:
    x = given(tape, 4, 6)
    for y in (x.mT, x[1:], x.unflatten(1, (2, 3)), x.expand(5, 4, 6), x.squeeze(), x.flatten(), x.diagonal()):
        assert y.memory is x.memory
    assert tape.operations == []


# Modules


class Both(nn.Module):
    """A parameter, a buffer, and a tensor of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(10))
        self.register_buffer("seen", torch.zeros(10))
        self.constant = torch.full((10,), 2.0)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Changes what it has."""
        self.get_buffer("seen").add_(x)
        self.calls = getattr(self, "calls", 0) + 1
        return x * self.weight * self.constant


def test_a_module_is_put_back_as_it_was() -> None:
    module = Both()
    before, weight, seen = module.state_dict(), module.weight, module.seen
    inner = Tape()
    with running(inner, module):
        assert type(module.weight) is type(module.seen) is Tensor
        y: Any = module(given(inner, 10))
        assert y.requires_grad
        assert [storage.nbytes for storage in inner.base] == [TEN] * 2  # of weight and buffer
    assert module.weight is weight
    assert module.seen is seen
    assert not hasattr(module, "calls")
    assert all(torch.equal(before[name], tensor) for name, tensor in module.state_dict().items())
    assert torch.equal(module.seen, torch.zeros(10))


@pytest.mark.parametrize("error", [KeyError, KeyboardInterrupt, UnruledFunction])
def test_a_module_is_put_back_whatever_happens(error: type[BaseException]) -> None:
    module = nn.Sequential(Both(), nn.Linear(10, 3))
    tensors = [*module.parameters(), *module.buffers()]
    with pytest.raises(error), running(Tape(), module):
        module[0].weight = nn.Parameter(torch.zeros(3))
        module.add_module("more", nn.ReLU())
        del module[1].bias
        raise error
    assert len(module) == 2
    assert all(one is other for one, other in zip(tensors, [*module.parameters(), *module.buffers()], strict=True))


def test_after_a_recording_torch_is_itself_again() -> None:
    with pytest.raises(KeyError), running(Tape()):
        raise KeyError
    x = torch.ones(3, requires_grad=True)
    (Doubled.apply(x) * 2).sum().backward()
    assert type(x.grad) is torch.Tensor
    assert x.grad.tolist() == [4.0] * 3


def test_recordings_of_recordings() -> None:
    """What an inner one records is not the outer one's."""
    outer, inner = Tape(), Tape()
    with running(outer):
        x = torch.ones(10)
        with running(inner):
            torch.ones(5)
        x * 2
    assert [op.name for op in inner.operations] == ["ones"]
    assert len(outer.operations) == 2


def test_an_autograd_function_after_an_inner_recording() -> None:
    before = dict(vars(torch.autograd.Function.__mro__[1]))
    layer = LAYERS["soc"](4, 4, 3)
    alone = predict(layer, b=2, s=8)
    with running(Tape()):
        assert predict(layer, b=2, s=8) == alone
        tape = Tape()
        with running(tape, layer):
            layer(given(tape, 2, 4, 8, 8))
        torch.ones(3)
    assert dict(vars(torch.autograd.Function.__mro__[1])) == before
    assert predict(layer, b=2, s=8) == alone


def test_threads_that_record_one_layer() -> None:
    layer = LAYERS["soc"](4, 4, 3)
    parameters, alone = dict(layer.named_parameters()), predict(layer, b=2, s=8)
    with ThreadPoolExecutor(4) as pool:
        assert set(map(str, pool.map(lambda _: predict(layer, b=2, s=8), range(16)))) == {str(alone)}
    assert all(parameter is parameters[name] for name, parameter in layer.named_parameters())
    assert gc.isenabled()


# Functions without a rule, and rules of one's own


class Unruled(nn.Module):
    """Calls what has no rule."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Bessel's function."""
        return torch.special.bessel_j0(x)


def test_an_unknown_function_is_named_with_its_module_and_line() -> None:
    tape, net = Tape(), nn.Sequential(nn.ReLU(), nn.Sequential(Unruled()))
    with pytest.raises(UnruledFunction) as caught, running(tape, net):
        net(given(tape, 10))
    message = str(caught.value)
    line = Unruled.forward.__code__.co_firstlineno + 2
    assert "no rule for torch.special.bessel_j0" in message
    assert "in Unruled (1.0)" in message
    assert f"{__file__}:{line}" in message
    assert "RULES.register" in message


def test_a_method_that_is_unknown(tape: Tape) -> None:
    with pytest.raises(UnruledFunction, match=r"no rule for torch\.Tensor\.geqrf"):
        given(tape, 10).geqrf()
    with pytest.raises(AttributeError, match="no attribute 'socks'"):
        given(tape, 10).socks  # noqa: B018


def test_a_value_is_refused(tape: Tape) -> None:
    x = given(tape, 10)
    for ask in (lambda: bool(x.sum() > 0), lambda: x.sum().item(), lambda: float(x.sum()), x.tolist):
        with pytest.raises(UnruledFunction, match=r"no rule for the (truth|value) of a tensor"):
            ask()


def test_a_rule_of_one_s_own(monkeypatch: pytest.MonkeyPatch) -> None:
    from lipcost.costmodel.tape.rules.pointwise import unary  # noqa: PLC0415

    def derivative(g: Any, x: Any, y: Any) -> Any:
        return g * x

    monkeypatch.setattr(RULES, "_index", dict(RULES))
    assert torch.special.bessel_j0 not in RULES
    known = len(RULES)
    RULES.register(torch.special.bessel_j0, lambda x: unary("bessel_j0", x, derivative))
    assert torch.special.bessel_j0 in RULES
    assert len(RULES) == known + 1
    tape, net = Tape(), nn.Sequential(Unruled())
    with running(tape, net):
        x = given(tape, 10).require_grad()
        (gradient,) = run_backward([net(x)], [given(tape, 10)]).values()
    assert [op.name for op in tape.operations] == ["bessel_j0", "mul"]
    assert gradient.sizes == (10,)
    with pytest.raises(ValueError, match="a rule is of a torch function, got 3"):
        RULES.register(3, len)


def test_a_rule_in_place_of_one(monkeypatch: pytest.MonkeyPatch, tape: Tape) -> None:
    monkeypatch.setattr(RULES, "_index", dict(RULES))
    RULES.register(torch.Tensor.sqrt, lambda x: x)
    x = given(tape, 10)
    assert x.sqrt() is x
    assert torch.sqrt(x) is not x


# autograd.Function


class Doubled(torch.autograd.Function):
    """2x, keeping a tensor that it does not need."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(x * x)
        return x + x

    @staticmethod
    def backward(ctx: Any, g: torch.Tensor) -> torch.Tensor:
        (square,) = ctx.saved_tensors
        assert square.shape == g.shape
        return g * 2


def test_a_function_of_a_user_s_own(tape: Tape) -> None:
    x = given(tape, 10).require_grad()
    y: Any = Doubled.apply(x)
    assert [s.nbytes for s in saved_storages(y.tape)] == [TEN]
    assert saved_storages(y.tape).isdisjoint({x.memory, y.memory})
    (gradient,) = run_backward([y], [given(tape, 10)]).values()
    assert gradient.sizes == (10,)
    assert [(op.name, op.phase) for op in tape.operations] == [
        ("mul", "forward"),
        ("add", "forward"),
        ("mul", "backward"),
    ]


def test_without_tensors_of_the_tape_a_function_is_torch_s() -> None:
    x = torch.ones(3)
    with running(Tape()):
        pass
    assert Doubled.apply(x).tolist() == [2.0] * 3
