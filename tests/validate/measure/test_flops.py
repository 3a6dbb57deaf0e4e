"""fvcore and the dispatcher against hand computation, each other, and FlopCounterMode where it is right."""

import math

import pytest
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from lipcost.layers import LAYERS, LipschitzConv2d
from lipcost.validate import measure_flops
from lipcost.validate.measure.flops import DispatchCounter

torch.set_num_threads(1)
CONFIGS = [(4, 4, 3, 8, 2), (6, 4, 3, 9, 3), (4, 6, 5, 8, 1), (5, 5, 1, 6, 3)]  # c_in, c_out, k, s, b


CASES = [
    (name, *config)
    for name in LAYERS
    for config in CONFIGS
    if config[0] == config[1] or name not in ("cpl/published", "sll/published")
]


def build(case) -> tuple[LipschitzConv2d, Tensor]:
    name, c_in, c_out, k, s, b = case
    return LAYERS[name](c_in, c_out, k, bias=k < 5), torch.rand(b, c_in, s, s)


def count(function, *inputs: Tensor) -> DispatchCounter:
    with DispatchCounter() as counter:
        function(*inputs)
    return counter


@pytest.mark.parametrize("mode", ["train", "inference"])
@pytest.mark.parametrize("case", CASES, ids=str)
def test_fvcore_and_dispatcher_agree(case, mode):
    m = measure_flops(*build(case), mode=mode)
    assert m.fvcore_macs == m.macs_forward > 0
    assert m.unsupported == ()
    assert all(m.flops_forward[kind] == 2 * macs for kind, macs in m.fvcore_by_class.items())
    assert 2 * m.macs_backward == m.flops_backward["conv"] + m.flops_backward["matmul"]
    assert (m.macs_backward > 0) == (m.launches_backward > 0) == (m.bytes_moved_backward > 0) == (mode == "train")


@pytest.mark.parametrize("mode", ["train", "inference"])
@pytest.mark.parametrize("name", ["standard", "aol", "bcop", "cpl", "sll", "soc"])
def test_real_methods_agree_with_torch(name, mode):
    layer, x = LAYERS[name](4, 4, 3).train(mode == "train"), torch.rand(2, 4, 8, 8, requires_grad=True)
    with torch.set_grad_enabled(mode == "train"):
        layer(x)
        with FlopCounterMode(display=False) as forward:
            y = layer(x)
        with FlopCounterMode(display=False) as backward:
            if mode == "train":
                torch.autograd.grad(y, [x, *layer.parameters()], torch.ones_like(y))
    m = measure_flops(layer, x, mode)
    assert 2 * m.macs_forward == forward.get_total_flops()
    assert 2 * m.macs_backward == backward.get_total_flops()


@pytest.mark.parametrize(("c_in", "c_out", "k", "s", "b"), CONFIGS)
def test_macs_by_hand(c_in, c_out, k, s, b):
    n, c, x = s * (s // 2 + 1), c_in, torch.rand(b, c_in, s, s)
    convolution, correlation = b * c_in * c_out * k**2 * s**2, c_in**2 * c_out * k**2 * (2 * k - 1) ** 2
    big, half = max(c_in, c_out) ** 2 * k**2 * s**2, 4 * n * min(c_in, c_out) ** 2
    tall = 4 * n * min(c_in, c_out) * abs(c_out - c_in)  # times a width
    padded = (s + 2 * (k // 2)) ** 2
    expected = {
        "standard/published": convolution,
        "aol/published": convolution + correlation,
        "cayley/published": 4 * n * b * c_in * c_out + half * min(c_in, c_out) + 2 * tall * min(c_in, c_out),
        "lot/published": 4 * padded * (c_out * c_in * b + 2 * c_out**2 * c_in + 29 * c_out**3),
        "soc/published": 5 * b * big,
    }
    if c_in == c_out:
        expected["sll/published"] = 2 * convolution + correlation
        expected["cpl/published"] = (2 * b + 3) * c**2 * k**2 * s**2
    for name, macs in expected.items():
        m = measure_flops(LAYERS[name](c_in, c_out, k), x)
        assert m.macs_forward == macs, name
        if name in ("standard/published", "aol/published", "sll/published", "soc/published"):
            assert m.macs_backward == 2 * macs, name


@pytest.mark.parametrize("k", [1, 3, 5])
def test_bcop_by_hand(k):
    b, c, s, t, power = 2, 4, 6, 20, 10
    m = measure_flops(LAYERS["bcop/published"](c, c, k), torch.rand(b, c, s, s))
    projectors = 2 * k - 2
    blocks = 4 * (k - 1) + sum(4 * j**2 for j in range(2, k)) + (k**2 if k > 1 else 0)
    spectral = (2 * k - 1) * (2 * power * c**2 + c**2 + c)
    products = c**3 * (2 * t * (2 * k - 1) + projectors + blocks)
    assert m.macs_forward == b * c**2 * k**2 * s**2 + products + spectral


def test_standard_launches_and_bytes_by_hand():
    b, c_in, c_out, s = 3, 5, 7, 6
    m = measure_flops(LAYERS["standard"](c_in, c_out, 1), torch.rand(b, c_in, s, s))
    x, y, w, bias = b * c_in * s**2, b * c_out * s**2, c_in * c_out, c_out
    assert (m.launches_forward, m.launches_backward) == (1, 1)
    assert m.bytes_moved_forward == 4 * (x + w + bias + y)
    assert m.bytes_moved_backward == 4 * (y + x + w + x + w + bias)
    assert m.flops_forward["pointwise"] == m.flops_backward["pointwise"] == 0


def test_complex_products_are_four_real_ones():
    a, b = torch.ones(3, 4, 5, dtype=torch.complex64), torch.ones(3, 5, 6, dtype=torch.complex64)
    with FlopCounterMode(display=False) as torch_counter:
        a @ b
    macs = 3 * 4 * 5 * 6
    assert count(torch.bmm, a, b).macs == 4 * macs
    assert torch_counter.get_total_flops() == 2 * macs  # why it is not used


@pytest.mark.parametrize("transposed", [False, True])
def test_grouped_convolution_backward(transposed):
    layer = (nn.ConvTranspose2d if transposed else nn.Conv2d)(4, 6, 3, groups=2, stride=2)
    x = torch.rand(2, 4, 9, 9)
    y = layer(x)
    swept = (x if transposed else y).shape
    macs = swept[0] * swept[2] * swept[3] * layer.weight.numel()
    m = measure_flops(layer, x)
    assert (m.fvcore_macs, m.macs_forward, m.macs_backward) == (macs, macs, 2 * macs)


def test_transforms_and_inverse():
    x = torch.rand(3, 8, 16)
    full = 5 * 3 * 8 * 16 * math.log2(8 * 16)
    assert count(torch.fft.fft2, x + 0j).flops["fft"] == full
    assert count(torch.fft.rfft2, x).flops["fft"] == full / 2
    assert count(torch.fft.irfft2, torch.fft.rfft2(x)).flops["fft"] == full / 2
    matrices = torch.eye(5).expand(3, 5, 5)
    assert count(torch.inverse, matrices).flops["inverse"] == 3 * 2 * 5**3
    assert count(torch.inverse, matrices + 0j).flops["inverse"] == 4 * 3 * 2 * 5**3
    assert count(torch.inverse, matrices).macs == 0


def test_pointwise_reductions_and_moves():
    x, row = torch.ones(4, 5), torch.ones(5)
    product, total, copy, filled = (
        count(torch.mul, x, row),
        count(torch.sum, x),
        count(torch.clone, x),
        count(torch.zeros_like, x),
    )
    assert (product.flops["pointwise"], product.bytes_moved) == (20, 4 * (20 + 5 + 20))
    assert (total.flops["pointwise"], total.bytes_moved) == (20, 4 * (20 + 1))
    assert (copy.flops["pointwise"], copy.launches, copy.bytes_moved) == (0, 1, 4 * 40)
    assert (filled.flops["pointwise"], filled.launches, filled.bytes_moved) == (0, 1, 4 * 20)
    in_place = count(lambda: x.add_(row))
    assert (in_place.flops["pointwise"], in_place.bytes_moved) == (20, 4 * (20 + 5 + 20))
    assert count(lambda: x.t().unsqueeze(0)).launches == 0


def test_normalisations_poolings_and_draws():
    x = torch.ones(2, 4, 6, 6)
    n = x.numel()
    for layer in (nn.BatchNorm2d(4), nn.GroupNorm(2, 4), nn.LayerNorm((6, 6))):
        m = measure_flops(layer, x)
        steps = isinstance(layer, nn.BatchNorm2d)  # the counter of the batches, one number of eight bytes
        assert (m.flops_forward["pointwise"], m.launches_forward) == (n + steps, 1 + steps)
        assert (m.flops_backward["pointwise"], m.launches_backward) == (n, 1)
    largest, average = (measure_flops(pool(2), x) for pool in (nn.MaxPool2d, nn.AvgPool2d))
    assert largest.flops_forward["pointwise"] == average.flops_forward["pointwise"] == n
    assert (largest.flops_backward["pointwise"], average.flops_backward["pointwise"]) == (0, n)
    drawn = measure_flops(nn.Dropout(0.5), x)  # the noise, its scale, the product
    assert (drawn.flops_forward["pointwise"], drawn.launches_forward) == (3 * n, 3)
    m = measure_flops(nn.Upsample(scale_factor=2), x)
    assert (m.flops_forward["pointwise"], m.flops_backward["pointwise"]) == (0, 4 * n)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_gradients_that_nobody_asked_for_are_not_counted(dtype):
    layer, x = nn.Conv2d(8, 8, 3, dtype=dtype), torch.ones(2, 8, 9, 9, dtype=dtype)
    layer.weight.requires_grad_(False)
    m = measure_flops(layer, x)
    y = 2 * 8 * 7 * 7
    assert m.macs_backward == m.macs_forward
    assert m.bytes_moved_backward == dtype.itemsize * (y + x.numel() + layer.weight.numel() + x.numel() + 8)


def test_products_of_vectors():
    a, v = torch.ones(3, 5), torch.ones(5)
    assert (count(torch.mv, a, v).macs, count(torch.dot, v, v).macs, count(torch.vdot, v, v).macs) == (15, 5, 5)


def test_fvcore_sees_the_operators_of_autograd_functions():
    class Product(torch.autograd.Function):
        @staticmethod
        def forward(ctx, a: Tensor, b: Tensor) -> Tensor:
            ctx.save_for_backward(a, b)
            return a @ b

        @staticmethod
        def backward(ctx, g: Tensor) -> tuple[Tensor, Tensor]:
            a, b = ctx.saved_tensors
            return g @ b.mT, a.mT @ g

    class Square(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return Product.apply(x, x)

    class Einsum(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.einsum("ij,jk->ki", x, x)

    for module in (Square(), Einsum()):
        m = measure_flops(module, torch.ones(4, 4))
        assert (m.fvcore_macs, m.macs_forward, m.macs_backward) == (64, 64, 128)


def test_unknown_operators_are_named():
    with pytest.raises(ValueError, match="aten::special_bessel_j0 has no FLOP rule"):
        count(torch.special.bessel_j0, torch.ones(3))

    class Digamma(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.special.bessel_j0(x)

    with pytest.raises(ValueError, match="no handler for aten::special_bessel_j0"):
        measure_flops(Digamma(), torch.ones(3))


def test_unknown_mode():
    with pytest.raises(ValueError, match="got 'eval'"):
        measure_flops(nn.Identity(), torch.ones(3), "eval")  # type: ignore[arg-type]
