"""The two peak measurements against hand computation, and against each other."""

import pytest
import torch
from torch import Tensor, nn

from lipcost.layers import LAYERS, LipschitzConv2d, StandardConv2d
from lipcost.layers.methods.families.spectral import SpectralConv2d
from lipcost.validate import measure_memory
from lipcost.validate.measure.memory import trace_events

torch.set_num_threads(1)
N = 10  # elements of the hand-computed modules' x and w; sizes below are in units of n = 4 N bytes
CONFIGS = [(4, 4, 3, 8, 2), (6, 4, 3, 9, 3), (4, 6, 5, 8, 1), (5, 5, 1, 6, 3)]  # c_in, c_out, k, s, b


class Mul(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.ones(N))

    def forward(self, x: Tensor) -> Tensor:
        return self.w * x


class SqrtMul(Mul):
    def forward(self, x: Tensor) -> Tensor:
        return x.sqrt() * self.w


class DivByNorm(Mul):
    def forward(self, x: Tensor) -> Tensor:
        return self.w * (x / x.norm())


class Scale(nn.Module):
    def __init__(self, factor: complex) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, x: Tensor) -> Tensor:
        return self.factor * x


class ConjugateMul(Mul):
    def forward(self, x: Tensor) -> Tensor:
        return self.w * x.conj()


CASES = [
    (name, *config)
    for name in LAYERS
    for config in CONFIGS
    if config[0] == config[1] or name not in ("cpl/published", "sll/published")
]


def build(case) -> tuple[LipschitzConv2d, Tensor]:
    name, c_in, c_out, k, s, b = case
    return LAYERS[name](c_in, c_out, k, bias=k < 5), torch.rand(b, c_in, s, s)


def peaks(measurement):
    return measurement.tracker_peak_bytes, measurement.profiler_peak_bytes


def test_a_single_product():
    m = measure_memory(Mul(), torch.rand(N))
    n = 4 * N
    # x, g, w; y; the gradients of x and w. Autograd keeps x and w alone.
    assert peaks(m) == (6 * n, 6 * n)
    assert (m.parameter_bytes, m.buffer_bytes, m.cache_bytes, m.saved_bytes) == (n, 0, 0, 0)
    assert (m.scratch_bytes, m.host_scalar_bytes) == (0, 0)
    assert peaks(measure_memory(Mul(), torch.rand(N), "inference")) == (3 * n, 3 * n)  # x, w; y


def test_a_root_and_a_product():
    m = measure_memory(SqrtMul(), torch.rand(N))
    n = 4 * N
    # x, g, w; the root r, kept once for both operators; y; the gradients of r and w; 2 r; the gradient of x.
    assert peaks(m) == (9 * n, 9 * n)
    assert m.saved_bytes == n
    # x, w; r, y.
    assert peaks(measure_memory(SqrtMul(), torch.rand(N), "inference")) == (4 * n, 4 * n)


def test_a_genuine_scalar_counts():
    assert measure_memory(DivByNorm(), torch.rand(N)).saved_bytes == 4 * N + 4  # the quotient and the norm


@pytest.mark.parametrize(
    ("factor", "dtype", "scalar"),
    [
        (0.5, torch.float32, 8),
        (0.5, torch.float64, 8),
        (0.5, torch.bfloat16, 8),
        (0.5, torch.complex64, 8),
        (3, torch.float32, 8),
        (2j, torch.complex64, 16),
    ],
)
def test_a_python_scalar_does_not(factor, dtype, scalar):
    m = measure_memory(Scale(factor), torch.ones(N, dtype=dtype))
    n = N * dtype.itemsize
    assert (m.saved_bytes, m.host_scalar_bytes) == (0, scalar)
    assert peaks(m)[0] == peaks(m)[1]
    # x, g, y, the gradient of x; the conjugate of a complex gradient's factor is a scalar too, 8 or 16 bytes more.
    assert 4 * n <= m.profiler_peak_bytes <= 4 * n + 16 * dtype.is_complex


def test_the_copy_of_a_lazy_conjugate_is_a_tensor():
    layer, x = ConjugateMul().to(torch.complex64), torch.ones(N, dtype=torch.complex64)
    n = 8 * N
    assert peaks(measure_memory(layer, x, "inference")) == (4 * n, 4 * n)  # x, w; the copy, y


@pytest.mark.parametrize("bias", [False, True])
def test_a_pointwise_convolution(bias):
    b, c_in, c_out, s = 3, 5, 7, 6
    m = measure_memory(StandardConv2d(c_in, c_out, 1, bias=bias), torch.rand(b, c_in, s, s))
    x, y, parameters = 4 * b * c_in * s**2, 4 * b * c_out * s**2, 4 * c_out * (c_in + bias)
    assert (
        peaks(m) == (2 * x + 3 * 0 + 2 * y + 2 * parameters,) * 2
    )  # x, g, y, parameters; the gradients of x and parameters
    assert (m.parameter_bytes, m.saved_bytes) == (parameters, 0)


def test_circular_padding_is_saved():
    m = measure_memory(LAYERS["standard/published"](2, 3, 3), torch.rand(2, 2, 5, 5))
    assert m.saved_bytes == 4 * 2 * 2 * 7 * 7


@pytest.mark.parametrize("case", CASES, ids=str)
def test_inference_peaks_agree(case):
    m = measure_memory(*build(case), mode="inference")
    assert m.tracker_peak_bytes == m.profiler_peak_bytes
    assert m.saved_bytes == 0
    assert (m.cache_bytes == 0) == case[0].startswith("standard")


@pytest.mark.parametrize("case", CASES, ids=str)
def test_training_differs_by_accumulation_alone(case):
    name, k = case[0], case[3]
    layer, x = build(case)
    m = measure_memory(layer, x)
    accumulated = max([size for op, size in trace_events(layer, x) if op == "aten.add.Tensor"], default=0)
    assert 0 <= m.tracker_peak_bytes - m.profiler_peak_bytes <= accumulated
    assert m.saved_bytes > 0 or name == "standard" or (name == "standard/published" and k == 1)
    if (k == 1 and name.endswith("/published")) or LAYERS[name].residual or issubclass(LAYERS[name], SpectralConv2d):
        assert m.tracker_peak_bytes == m.profiler_peak_bytes


@pytest.mark.parametrize("name", sorted(LAYERS))
def test_measuring_is_repeatable_and_leaves_the_layer_alone(name):
    layer, x = LAYERS[name](4, 4, 3), torch.rand(2, 4, 8, 8)
    layer.eval()
    before = {key: value.clone() for key, value in layer.state_dict().items()}
    first = measure_memory(layer, x)
    assert measure_memory(layer, x) == first
    assert trace_events(layer, x) == trace_events(layer, x)
    assert not layer.training
    assert all(torch.equal(before[key], value) for key, value in layer.state_dict().items())


@pytest.mark.parametrize("name", ["cayley", "cpl/published", "lot"])
def test_what_a_call_replaces_is_freed(name):
    """In eval a layer keeps the weights for one image size: at two sizes, those of the second are there at first."""
    layer, x = LAYERS[name](4, 4, 3), torch.rand(2, 4, 8, 8)

    class TwoSizes(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = layer

        def forward(self, x: Tensor) -> Tensor:
            return self.layer(self.layer(x)[:, :, ::2, ::2])

    two, small = measure_memory(TwoSizes(), x, "inference"), measure_memory(layer, x[:, :, ::2, ::2], "inference")
    assert two.tracker_peak_bytes == two.profiler_peak_bytes
    assert two.cache_bytes == small.cache_bytes
    trained = measure_memory(TwoSizes(), x)
    assert trained.tracker_peak_bytes == trained.profiler_peak_bytes
    assert trained.buffer_bytes == measure_memory(layer, x[:, :, ::2, ::2]).buffer_bytes


def test_events_follow_the_program():
    n = 4 * N
    assert trace_events(SqrtMul(), torch.rand(N)) == [
        ("aten.sqrt.default", n),
        ("aten.mul.Tensor", n),
        ("aten.mul.Tensor", n),
        ("aten.mul.Tensor", n),
        ("aten.mul.Scalar", n),
        ("aten.div.Tensor", n),
        ("free", -n),
        ("free", -n),
        ("free", -n),
        ("free", -n),
    ]


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_bytes_scale_with_the_type(dtype):
    single = measure_memory(StandardConv2d(4, 4, 1), torch.rand(2, 4, 8, 8))
    other = measure_memory(StandardConv2d(4, 4, 1, dtype=dtype), torch.rand(2, 4, 8, 8, dtype=dtype))
    assert 4 * other.profiler_peak_bytes == dtype.itemsize * single.profiler_peak_bytes


def test_bad_arguments():
    with pytest.raises(ValueError, match="train, inference, got 'eval'"):
        measure_memory(Mul(), torch.ones(N), "eval")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"x must be a tensor on the CPU, got torch\.float32 on meta"):
        measure_memory(Mul(), torch.ones(N, device="meta"))
