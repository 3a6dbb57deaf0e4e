"""Formulas against measurements on the quick grid, and that nothing wrong passes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from lipcost.costmodel import METHODS, Prediction, formula, predict
from lipcost.validate.compare.cases import Case, grid
from lipcost.validate.compare.layers import FORMULAS, compare_layer
from lipcost.validate.compare.rows import FAILED
from lipcost.validate.measure.memory import MemoryMeasurement

CASE = Case("soc", b=2, s=5, c_in=3, c_out=4)
QUANTITIES = {
    *(f"{name}_forward" for name in ("macs", "flops", "traffic", "launches")),
    *(f"flops_{cls}" for cls in ("conv", "matmul", "fft", "inverse", "pointwise")),
    *("parameter_bytes", "buffer_bytes", "peak_bytes"),
}
ONLY_TRAINING = {*(f"{name}_backward" for name in ("macs", "flops", "traffic", "launches")), "saved_bytes"}


@pytest.mark.parametrize("method", METHODS)
def test_formulas_equal_measurements(method: str) -> None:
    rows = [row for case in grid([method], seed=11, quick=True) for row in compare_layer(case)]
    assert [row for row in rows if not row.matches] == []


def test_quantities_and_means() -> None:
    train, inference = compare_layer(CASE), compare_layer(replace(CASE, mode="inference"))
    assert {row.quantity for row in train} == QUANTITIES | ONLY_TRAINING
    assert {row.quantity for row in inference} == QUANTITIES | {"cache_bytes"}
    assert len({(row.quantity, row.by) for row in train}) == len(train) == len(QUANTITIES | ONLY_TRAINING) + 2
    assert [set(row.beside) for row in train if row.beside] == [{"scratch_bytes", "host_scalar_bytes"}]


@pytest.mark.parametrize("quantity", sorted(QUANTITIES | ONLY_TRAINING))
def test_a_wrong_formula_is_caught(quantity: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def off_by_four(*args: Any, **kwargs: Any) -> Prediction:
        right = predict(*args, **kwargs)
        cls = quantity.removeprefix("flops_")
        if cls in right.by_class:
            return replace(right, by_class=right.by_class | {cls: right.by_class[cls] + 4})
        return replace(right, **{quantity: getattr(right, quantity) + 4})

    monkeypatch.setattr("lipcost.validate.compare.cases.predict", off_by_four)
    wrong = [row for row in compare_layer(CASE) if not row.matches]
    assert {(row.quantity, row.difference) for row in wrong} == {(quantity, -4)}
    assert len(wrong) == (2 if quantity in ("macs_forward", "peak_bytes") else 1)


def test_closed_forms_are_compared_too(monkeypatch: pytest.MonkeyPatch) -> None:
    square = replace(CASE, c_out=3)
    assert {row.quantity for row in compare_layer(square)} - QUANTITIES - ONLY_TRAINING == {
        f"{q}, formula" for q in FORMULAS
    }
    monkeypatch.setattr("lipcost.validate.compare.layers._formula", lambda *args: formula(*args) + 4)
    wrong = [row for row in compare_layer(square) if not row.matches]
    assert {(row.quantity, row.difference) for row in wrong} == {(f"{q}, formula", -4) for q in FORMULAS}
    monkeypatch.setattr("lipcost.validate.compare.layers._formula", lambda *args: formula("socks", "macs_forward"))
    failed = [row for row in compare_layer(square) if not row.matches]
    assert {row.quantity for row in failed} == {f"{q}, formula" for q in FORMULAS}
    assert all("'socks'" in str(row.error) for row in failed)


@pytest.mark.parametrize("target", ["measure_flops", "measure_memory"])
def test_an_exception_is_a_row(target: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> MemoryMeasurement:
        raise RuntimeError("out of luck")

    monkeypatch.setattr(f"lipcost.validate.compare.layers.{target}", fail)
    (row,) = compare_layer(CASE)
    assert (row.matches, row.quantity, row.error, row.difference) == (False, FAILED, "RuntimeError: out of luck", None)
