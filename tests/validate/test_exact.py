"""The promise of the library: what is predicted equals what independent counters measure, to the integer and the byte.

The configurations are drawn anew in every run. Each comparison is an equality; there are no tolerances.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from lipcost.costmodel import METHODS, Prediction, predict
from lipcost.layers import LAYERS
from lipcost.validate import measure_flops, measure_memory


@dataclass(frozen=True)
class Drawn:
    """A configuration for all methods: one that cannot be rectangular takes c_in, one that needs k <= s a smaller k."""

    b: int
    s: int
    c_in: int
    c_out: int
    k: int
    bias: bool = True
    iterations: int = 3
    dtype: str = "float32"

    def predict(self, method: str, mode: Any, in_place: bool = True) -> Prediction:
        return predict(method, mode=mode, dtype=self._dtype(method), in_place=in_place, **self._config(method))

    def layer(self, method: str) -> tuple[torch.nn.Module, torch.Tensor]:
        config, dtype = self._config(method), getattr(torch, self._dtype(method))
        b, s = config.pop("b"), config.pop("s")
        c_in, c_out, k = config.pop("c_in"), config.pop("c_out"), config.pop("k")
        layer = LAYERS[method](c_in, c_out, k, dtype=dtype, **config)
        x = torch.randn(b, c_in, s, s, dtype=dtype)
        layer(x)  # one training step: CPL's power vector takes the size of the image
        return layer, x

    def _config(self, method: str) -> dict[str, Any]:
        k = self.k
        while not METHODS[method].accepts(self.s, k):
            k -= 2
        options = {name: self.iterations + i for i, name in enumerate(METHODS[method].options)}
        c_out = self.c_in if METHODS[method].square else self.c_out
        return {"b": self.b, "s": self.s, "c_in": self.c_in, "c_out": c_out, "k": k, "bias": self.bias, **options}

    def _dtype(self, method: str) -> str:
        return self.dtype if self.dtype in METHODS[method].dtypes else "float64"


drawn = st.builds(
    Drawn,
    b=st.integers(1, 4),
    s=st.integers(1, 9),
    c_in=st.integers(1, 6),
    c_out=st.integers(1, 6),
    k=st.sampled_from([1, 3, 5]),
    bias=st.booleans(),
    iterations=st.integers(1, 4),
    dtype=st.sampled_from(["float32", "float32", "float64", "bfloat16"]),
)


def fifty(test: Any) -> Any:
    """Fifty drawn configurations, after the corners that the formulas branch at."""
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
    ]
    for corner in corners:
        test = example(corner)(test)
    test = given(drawn)(test)
    return settings(max_examples=50, deadline=None, suppress_health_check=list(HealthCheck))(test)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("mode", ["train", "inference"])
@fifty
def test_counts(method: str, mode: Any, config: Drawn) -> None:
    """MACs equal fvcore's; MACs, FLOPs, launches and traffic equal a dispatch-level counter's, forward and backward."""
    layer, x = config.layer(method)
    measured, p = measure_flops(layer, x, mode), config.predict(method, mode)
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
@fifty
def test_bytes(method: str, mode: Any, config: Drawn) -> None:
    """Saved bytes equal autograd's; peaks equal the profiler's (plain eager) and the live-storage tracker's."""
    layer, x = config.layer(method)
    measured, p = measure_memory(layer, x, mode), config.predict(method, mode)
    assert p.parameter_bytes == measured.parameter_bytes
    assert p.buffer_bytes == measured.buffer_bytes
    assert p.cache_bytes == measured.cache_bytes
    assert p.saved_bytes == measured.saved_bytes
    assert p.peak_bytes == measured.profiler_peak_bytes
    # Any active dispatch mode makes autograd sum gradients out of place: a branch of the formula, not a tolerance.
    assert config.predict(method, mode, in_place=False).peak_bytes == measured.tracker_peak_bytes
