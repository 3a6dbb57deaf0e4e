"""The promise of the library: what is predicted equals what independent counters measure, to the integer and the byte.

The configurations are drawn anew in every run. Each comparison is an equality; there are no tolerances.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from lipcost.costmodel import METHODS
from lipcost.validate import measure_flops, measure_memory
from lipcost.validate.compare.cases import Case, strided


@dataclass(frozen=True)
class Drawn:
    """A configuration for all methods; what one of them does not take is put right in its case.

    Attributes:
        iterations: of the first of the method's counts; the next have one more each.
        other_padding: whether to take the last of the method's padding modes.
    """

    b: int
    s: int
    c_in: int
    c_out: int
    k: int
    bias: bool = True
    iterations: int = 3
    dtype: str = "float32"
    w: int | None = None
    stride: int = 1
    other_padding: bool = False

    def case(self, method: str, mode: Any) -> Case:
        cls = METHODS[method]
        stride = self.stride if strided(cls) else 1
        case = Case(
            method,
            b=self.b,
            s=self.s * stride,
            w=None if self.w is None else self.w * stride,
            c_in=self.c_in,
            c_out=self.c_in if cls.square else self.c_out,
            k=self.k if cls.even_kernels else self.k - 1 + self.k % 2,
            mode=mode,
            dtype=self.dtype if getattr(torch, self.dtype) in cls.dtypes else "float64",
            bias=self.bias,
            stride=stride,
            padding_mode=cls.padding_modes[-1] if self.other_padding else None,
            options={name: self.iterations + i for i, name in enumerate(cls.counts)},
        )
        while case.refusal():
            case = replace(case, k=case.k - 2 if case.k > 2 else 1)
        return case


drawn = st.builds(
    Drawn,
    b=st.integers(1, 4),
    s=st.integers(1, 9),
    c_in=st.integers(1, 6),
    c_out=st.integers(1, 6),
    k=st.sampled_from([1, 2, 3, 3, 4, 5]),
    bias=st.booleans(),
    iterations=st.integers(1, 4),
    dtype=st.sampled_from(["float32", "float32", "float64", "bfloat16"]),
    w=st.one_of(st.none(), st.integers(1, 9)),
    stride=st.sampled_from([1, 1, 2, 3]),
    other_padding=st.booleans(),
)


def twenty(test: Any) -> Any:
    """Twenty drawn configurations, after the corners that the formulas branch at."""
    corners = [
        Drawn(1, 1, 1, 1, 1),
        Drawn(1, 2, 1, 1, 1),
        Drawn(2, 3, 3, 3, 3),  # s = k, odd
        Drawn(2, 5, 3, 4, 5),
        Drawn(3, 5, 4, 3, 5),
        Drawn(2, 2, 3, 3, 5),  # k > s where the method can
        Drawn(2, 8, 1, 4, 3),
        Drawn(2, 7, 4, 1, 1),
        Drawn(2, 6, 4, 4, 3, iterations=1),
        Drawn(2, 3, 3, 5, 3, stride=2),
        Drawn(2, 4, 3, 5, 2, w=5, other_padding=True),
    ]
    for corner in corners:
        test = example(corner)(test)
    test = given(drawn)(test)
    return settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck))(test)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("mode", ["train", "inference"])
@twenty
def test_counts(method: str, mode: Any, config: Drawn) -> None:
    """MACs equal fvcore's; MACs, FLOPs, launches and traffic equal a dispatch-level counter's, forward and backward."""
    case = config.case(method, mode)
    measured, p = measure_flops(case.layer(), case.input(), mode), case.predict()
    assert p.macs_forward == measured.fvcore_macs
    assert (p.macs_forward, p.macs_backward) == (measured.macs_forward, measured.macs_backward)
    for phase in ("forward", "backward"):
        assert getattr(p, f"flops_{phase}") == round(sum(getattr(measured, f"flops_{phase}").values()))
        assert getattr(p, f"launches_{phase}") == getattr(measured, f"launches_{phase}")
        assert getattr(p, f"traffic_{phase}") == getattr(measured, f"bytes_moved_{phase}")
    for name, flops in p.by_class.items():
        assert flops == round(measured.flops_forward[name] + measured.flops_backward[name])


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("mode", ["train", "inference"])
@twenty
def test_bytes(method: str, mode: Any, config: Drawn) -> None:
    """Saved bytes equal autograd's; peaks equal the profiler's (plain eager) and the live-storage tracker's."""
    case = config.case(method, mode)
    measured, p = measure_memory(case.layer(), case.input(), mode), case.predict()
    assert p.parameter_bytes == measured.parameter_bytes
    assert p.buffer_bytes == measured.buffer_bytes
    assert p.cache_bytes == measured.cache_bytes
    assert p.saved_bytes == measured.saved_bytes
    assert p.peak_bytes == measured.profiler_peak_bytes
    # Any active dispatch mode makes autograd sum gradients out of place: a branch of the formula, not a tolerance.
    assert case.predict(in_place=False).peak_bytes == measured.tracker_peak_bytes
