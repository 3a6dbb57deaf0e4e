"""Networks of one torch function, as recorded and as measured.

Of each: MACs, FLOPs by class, launches, traffic, saved bytes, both peaks and the strides of the output, in training and
in inference; of inputs that lie in several ways.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor, nn

from lipcost.costmodel.tape import Tape, UnruledFunction
from lipcost.costmodel.tape.errors import Mismatch
from lipcost.costmodel.tape.program import Program, record_call
from lipcost.costmodel.tape.recording import CLASSES
from lipcost.validate import measure_flops, measure_memory

IMAGES = (3, 4, 6, 6)
ROWS = (3, 6)
STACK = (3, 4, 6)
MODES = ("train", "inference")


class Of(nn.Module):
    """A network of one function, which may take parameters, or, ``made``, results of operations on them.

    Of what operations made, figures tell whether it is kept for the backward. How its output lies is kept.
    """

    def __init__(
        self, function: Callable[..., Tensor], *shapes: tuple[int, ...], dtype: torch.dtype, made: bool = False
    ) -> None:
        super().__init__()
        self.function, self.made = function, made
        generator = torch.Generator().manual_seed(1)
        self.weights = nn.ParameterList(
            [nn.Parameter(torch.rand(shape, generator=generator).to(dtype)) for shape in shapes]
        )
        self.strides: list[tuple[int, ...]] = []

    def forward(self, x: Tensor) -> Tensor:
        """The function of x and the parameters."""
        y = self.function(x, *[weight * 1 if self.made else weight for weight in self.weights])
        self.strides.append(tuple(y.stride()))
        return y


class Behind(nn.Module):
    """A network behind a change of how its input lies."""

    def __init__(self, layer: nn.Module, change: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.layer, self.change = layer, change

    def forward(self, x: Tensor) -> Tensor:
        """The network of the changed x."""
        return self.layer(self.change(x))


class Case(NamedTuple):
    """A function of x and of parameters.

    Attributes:
        function: takes x and the parameters, returns one tensor.
        shape: of x.
        parameters: their shapes.
        layouts: of x, of LAYOUTS; those that its rank does not have are left out.
        dtype: of x and of the parameters.
        modes: "train", "inference" or both.
    """

    function: Callable[..., Any]
    shape: tuple[int, ...] = IMAGES
    parameters: tuple[tuple[int, ...], ...] = ()
    layouts: str = "plain cl t"
    dtype: torch.dtype = torch.float32
    modes: tuple[str, ...] = MODES


class Layout(NamedTuple):
    """How an input lies: what makes it so, of which ranks it exists, and the shape that it is made from."""

    change: Callable[[Tensor], Tensor]
    ranks: tuple[int, ...]
    before: Callable[[tuple[int, ...]], tuple[int, ...]] = lambda shape: shape


def _swapped(shape: tuple[int, ...]) -> tuple[int, ...]:
    return (*shape[:-2], shape[-1], shape[-2])


MADE = ("t", "step")  # layouts in which inputs and parameters are results of operations
LAYOUTS: dict[str, Layout] = {
    "plain": Layout(lambda x: x, tuple(range(8))),
    "cl": Layout(lambda x: x.to(memory_format=torch.channels_last), (4,)),  # channels innermost
    "t": Layout(lambda x: (x * 1).mT, tuple(range(2, 8)), _swapped),  # transposed
    "step": Layout(lambda x: (x * 1)[..., ::2], tuple(range(1, 8)), lambda shape: (*shape[:-1], 2 * shape[-1])),  # gaps
    "wide": Layout(lambda x: x.expand(2, *x.shape[1:]), tuple(range(1, 8)), lambda shape: (1, *shape[1:])),  # repeated
}


Make = Callable[[], nn.Module]


def parametrized(
    cases: Mapping[str, Case],
    modules: Mapping[str, Make] | None = None,
    others: Mapping[str, tuple[Make, tuple[int, ...]]] | None = None,
) -> Any:
    """The decorator of a test that calls :func:`check`.

    Args:
        cases: each in its first layout and in one of the others, in turn; the rest is slow.
        modules: of images.
        others: modules of other shapes, with these.
    """
    parameters = [*_parameters(cases), *_of_modules(modules or {}, others or {})]
    return pytest.mark.parametrize(("make", "case", "layout"), parameters)


def _parameters(cases: Mapping[str, Case]) -> Iterator[Any]:
    for i, (name, case) in enumerate(cases.items()):
        layouts = [layout for layout in case.layouts.split() if len(case.shape) in LAYOUTS[layout].ranks]
        for j, layout in enumerate(layouts):
            slow = j > 0 and j - 1 != i % (len(layouts) - 1)
            yield pytest.param(None, case, layout, id=f"{name}-{layout}", marks=[pytest.mark.slow] if slow else [])


def _of_modules(modules: Mapping[str, Make], others: Mapping[str, tuple[Make, tuple[int, ...]]]) -> Iterator[Any]:
    for name, make in modules.items():
        for layout in ("plain", "cl"):
            yield pytest.param(make, Case(make), layout, id=f"{name}-{layout}")
    for name, (make, shape) in others.items():
        yield pytest.param(make, Case(make, shape), "plain", id=f"{name} of another shape")


def refusals(table: Mapping[str, list[Case]]) -> Any:
    """The decorator of a test that calls :func:`check_refused`: what is refused, by what the error says."""
    parameters = [
        pytest.param(message, case, id=f"{message}-{i}")
        for message, cases in table.items()
        for i, case in enumerate(cases)
    ]
    return pytest.mark.parametrize(("message", "case"), parameters)


def check_refused(message: str, case: Case) -> None:
    """Assert that a case is refused in training: as what has no rule, or as sizes that do not fit."""
    net = Of(case.function, *case.parameters, dtype=case.dtype)
    with pytest.raises((UnruledFunction, Mismatch), match=message):
        predicted(net, case.shape, "train", case.dtype)


def check(make: Callable[[], nn.Module] | None, case: Case, layout: str) -> None:
    """Assert that a case is recorded as torch runs it."""
    layer = Of(case.function, *case.parameters, dtype=case.dtype, made=layout in MADE) if make is None else make()
    how = LAYOUTS[layout]
    net = layer if layout == "plain" else Behind(layer, how.change)
    shape = how.before(case.shape)
    for mode in case.modes:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            x = (torch.rand(shape) + 0.1).to(case.dtype)
            expected = measured(net, x, mode)
            if isinstance(layer, Of):
                layer.strides.clear()
                net(x)
        found = predicted(net, shape, mode, case.dtype)
        assert {"mode": mode, **found} == {"mode": mode, **expected}
        if isinstance(layer, Of):
            of_torch, *recorded = layer.strides
            assert set(recorded) == {of_torch}, "strides"


def predicted(net: nn.Module, shape: tuple[int, ...], mode: str, dtype: torch.dtype = torch.float32) -> dict[str, Any]:
    """As recorded."""
    figures: dict[str, Any] = {}
    train = mode == "train"
    for peak, in_place in (("tracker_peak", False), ("profiler_peak", True)):
        recording, _ = record_call(Program(net, shape, dtype, train, train), Tape(in_place=in_place))
        figures[peak] = recording.peak()
    figures["saved"] = recording.saved_bytes
    for phase in ("forward", "backward"):
        for name in ("macs", "launches", "traffic"):
            figures[f"{name}_{phase}"] = recording.count(name, phase)
        by_class = {cls: round(recording.count("flops", phase, None, cls)) for cls in CLASSES}
        figures[f"flops_{phase}"] = {cls: flops for cls, flops in by_class.items() if flops}
    return figures


def measured(net: nn.Module, x: Tensor, mode: Any, unused: bool = False) -> dict[str, Any]:
    """As measured. Of products that are left unused fvcore, which traces, sees nothing."""
    memory, flops = measure_memory(net, x, mode), measure_flops(net, x, mode)
    figures: dict[str, Any] = {
        "tracker_peak": memory.tracker_peak_bytes,
        "profiler_peak": memory.profiler_peak_bytes,
        "saved": memory.saved_bytes,
    }
    for phase in ("forward", "backward"):
        for name, measured_name in (("macs", "macs"), ("launches", "launches"), ("traffic", "bytes_moved")):
            figures[f"{name}_{phase}"] = getattr(flops, f"{measured_name}_{phase}")
        by_class = getattr(flops, f"flops_{phase}")
        figures[f"flops_{phase}"] = {cls: round(number) for cls, number in by_class.items() if number}
    assert flops.fvcore_macs == flops.macs_forward or (unused and flops.fvcore_macs < flops.macs_forward)
    return figures
