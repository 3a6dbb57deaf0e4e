"""Layers: the cost model beside the measurements, number by number. Every comparison is an equality of integers."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

import sympy

from lipcost.costmodel import METHODS, Prediction, formula

from ..measure.flops import CLASSES, FlopMeasurement, measure_flops
from ..measure.memory import MemoryMeasurement, measure_memory
from .cases import Case
from .rows import DISPATCH, FVCORE, HOOKS, PROFILER, STORAGES, TRACKER, Row, failed

FORMULAS = {"macs_forward": FVCORE, "macs_backward": DISPATCH, "saved_bytes": HOOKS, "peak_bytes": PROFILER}


def compare_layer(case: Case) -> list[Row[Case]]:
    """Predict and measure one configuration.

    Args:
        case: the configuration.

    Returns:
        A row per quantity and means of measurement: in "train" without the cache, in "inference" without what belongs
        to the backward pass. If anything raises, one row that does not match and carries the error.

    Example:
        >>> from lipcost.validate.compare.cases import Case
        >>> from lipcost.validate.compare.layers import compare_layer
        >>> rows = compare_layer(Case("standard", b=2, s=4, c_in=3, c_out=3, k=1))
        >>> [(row.predicted, row.measured) for row in rows if row.quantity == "macs_forward"]
        [(288, 288), (288, 288)]
        >>> [row.error for row in compare_layer(Case("cpl/published", b=2, s=4, c_in=3, c_out=4))]  # doctest: +ELLIPSIS
        ['ValueError: cpl/published ...']
    """
    try:
        layer, x = case.layer(), case.input()
        flops, memory = measure_flops(layer, x, case.mode), measure_memory(layer, x, case.mode)
        rows = [*_counts(case, case.predict(), flops), *_bytes(case, case.predict(), memory)]
    except Exception as error:  # whatever it is, it is shown, and the run goes on
        return [failed(case, error)]
    return [*rows, *_formulas(case, rows)]


def _counts(case: Case, predicted: Prediction, measured: FlopMeasurement) -> Iterator[Row[Case]]:
    yield Row(case, "macs_forward", predicted.macs_forward, measured.fvcore_macs, FVCORE)
    for phase in ("forward", "backward") if case.mode == "train" else ("forward",):
        figures = {
            "macs": getattr(measured, f"macs_{phase}"),
            "flops": round(sum(getattr(measured, f"flops_{phase}").values())),
            "traffic": getattr(measured, f"bytes_moved_{phase}"),
            "launches": getattr(measured, f"launches_{phase}"),
        }
        for name, figure in figures.items():
            yield Row(case, f"{name}_{phase}", getattr(predicted, f"{name}_{phase}"), figure, DISPATCH)
    for cls in CLASSES:
        figure = round(measured.flops_forward[cls] + measured.flops_backward[cls])
        yield Row(case, f"flops_{cls}", predicted.by_class[cls], figure, DISPATCH)


def _bytes(case: Case, predicted: Prediction, measured: MemoryMeasurement) -> Iterator[Row[Case]]:
    quantity, by = ("saved_bytes", HOOKS) if case.mode == "train" else ("cache_bytes", STORAGES)
    for name, means in {"parameter_bytes": STORAGES, "buffer_bytes": STORAGES, quantity: by}.items():
        yield Row(case, name, getattr(predicted, name), getattr(measured, name), means)
    beside = {"scratch_bytes": measured.scratch_bytes, "host_scalar_bytes": measured.host_scalar_bytes}
    yield Row(case, "peak_bytes", predicted.peak_bytes, measured.profiler_peak_bytes, PROFILER, beside)
    # Under a dispatch mode autograd sums gradients out of place, which may need more memory.
    out_of_place = case.predict(in_place=False).peak_bytes
    yield Row(case, "peak_bytes", out_of_place, measured.tracker_peak_bytes, TRACKER)


def _formulas(case: Case, rows: list[Row[Case]]) -> Iterator[Row[Case]]:
    """The closed forms that the report prints, which come from the tape by a way of their own."""
    h, w = case.image
    usual = case.mode == "train" and case.dtype == "float32" and case.bias
    plain = case.stride == 1 and case.padding_mode is None and case.k % 2 == 1 and h == w and case.c_in == case.c_out
    if not (usual and plain):
        return
    for row in rows:
        if FORMULAS.get(row.quantity) == row.by:
            quantity = f"{row.quantity}, formula"
            try:
                value = _value(_formula(case.method, row.quantity), case)
                yield Row(case, quantity, value, row.measured, row.by)
            except Exception as error:
                yield failed(case, error, quantity, row.by)


@cache
def _formula(method: str, quantity: str) -> sympy.Expr:
    return formula(method, quantity)


def _value(expression: sympy.Expr, case: Case) -> int:
    cls = METHODS[case.method]
    own = {name: size(case.c_in, case.c_out) for name, size in cls.sizes.items()}
    values = {**cls.counts, **own, **case.options, "b": case.b, "s": case.image[0], "c": case.c_in, "k": case.k}
    return int(expression.subs({symbol: values[symbol.name] for symbol in expression.free_symbols}))
