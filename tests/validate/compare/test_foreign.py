"""Modules that nobody here wrote a cost for: numbers and formulas beside measurement."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from foreign import FOREIGN, REFUSED, Foreign

from lipcost.costmodel import cost, predict_network
from lipcost.costmodel.tape.recording import QUANTITIES
from lipcost.validate import measure_step
from lipcost.validate.compare.modules import measured_cost, predicted_cost

MODES = ("train", "inference")
TRAINED = [name for name, foreign in FOREIGN.items() if foreign.classes]
WITH_NAMES = [name for name, foreign in FOREIGN.items() if foreign.names]
FEW, MANY = 4, 30


def exact(name: str, mode: str) -> bool:
    return mode not in REFUSED.get(name, ("", ""))[0].split()


def test_there_are_as_many_as_promised() -> None:
    """Of plain torch alone; benchmarks/foreign_peers.py has the layers of others."""
    assert sum(exact(name, "train") and exact(name, "inference") for name in FOREIGN) >= 34
    assert len(WITH_NAMES) >= 20


def test_the_documentation_has_the_table() -> None:
    page = (Path(__file__).parents[3] / "docs" / "modules.md").read_text(encoding="utf-8")
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in page.splitlines() if line[:1] == "|"]
    told = {name: verdicts for name, *verdicts in rows}
    for name in FOREIGN:
        assert [verdict.partition(":")[0] for verdict in told[name][:2]] == [
            "exact" if exact(name, mode) else "refused" for mode in MODES
        ], name


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", FOREIGN)
def test_cost_is_what_is_measured(name: str, mode: Any) -> None:
    torch.manual_seed(0)
    module, x = FOREIGN[name].make(), FOREIGN[name].input()
    if exact(name, mode):
        assert predicted_cost(module, x, mode) == measured_cost(module, x, mode)
        return
    with pytest.raises(ValueError, match=REFUSED[name][1]):
        predicted_cost(module, x, mode)


@pytest.mark.parametrize("name", TRAINED)
def test_a_step_is_what_is_measured(name: str) -> None:
    torch.manual_seed(0)
    net, x = FOREIGN[name].make().train(), FOREIGN[name].input()
    with torch.no_grad():
        labels = torch.randint(net(x).shape[1], x.shape[:1])
    measured = measure_step(net, x, labels)
    found = predict_network(net, b=len(x), shape=x.shape[1:])
    tracked = predict_network(net, b=len(x), shape=x.shape[1:], in_place=False)
    assert (found.peak_bytes, tracked.peak_bytes) == (measured.profiler_peak_bytes, measured.tracker_peak_bytes)
    for quantity in ("parameter_bytes", "buffer_bytes", "gradient_bytes", "optimizer_bytes", "saved_bytes"):
        assert getattr(found, quantity) == getattr(measured, quantity), quantity
    for phase in ("forward", "backward", "optimizer"):
        for ours, theirs in {"macs": "macs", "traffic": "bytes_moved", "launches": "launches"}.items():
            assert getattr(found, f"{ours}_{phase}") == getattr(measured, f"{theirs}_{phase}"), (ours, phase)
        assert getattr(found, f"flops_{phase}") == round(sum(getattr(measured, f"flops_{phase}").values())), phase


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", WITH_NAMES)
def test_formulas_are_what_is_measured(name: str, mode: Any) -> None:
    check_formulas(name, mode, FEW)


@pytest.mark.slow
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", WITH_NAMES)
def test_formulas_are_what_is_measured_at_many_sizes(name: str, mode: Any) -> None:
    check_formulas(name, mode, MANY)


def check_formulas(name: str, mode: Any, count: int) -> None:
    """At sizes that the recording never saw; evaluate refuses those that torch refuses, and no others."""
    torch.manual_seed(0)
    foreign = FOREIGN[name]
    module = foreign.make()
    formulas = cost(module, foreign.names, mode, dtype=foreign.input().dtype)
    for sizes in points(foreign, list(formulas.symbols), random.Random(name + mode), count):
        shape = tuple(sizes.get(size, size) for size in foreign.names)
        try:
            expected = measured_cost(module, foreign.input(shape), mode)
        except (RuntimeError, ValueError):  # by torch's own checks
            with pytest.raises(ValueError, match="the module takes sizes with"):
                formulas.evaluate("peak_bytes", **sizes)
            continue
        found = {quantity: round(float(formulas.evaluate(quantity, **sizes))) for quantity in QUANTITIES}
        assert {**sizes, **found} == {**sizes, **{quantity: expected[quantity] for quantity in QUANTITIES}}


def points(foreign: Foreign, names: list[str], rng: random.Random, count: int) -> Iterator[dict[str, int]]:
    """All 1, each alone 1, two all odd, then any."""
    yield dict.fromkeys(names, 1)
    for one in names:
        yield {name: 1 if name == one else rng.randint(2, 9) for name in names}
    for i in range(count - len(names) - 1):
        most = {name: 8 if name == "b" else foreign.bound for name in names}
        yield {name: rng.randrange(3, most[name], 2) if i < 2 else rng.randint(1, most[name]) for name in names}
