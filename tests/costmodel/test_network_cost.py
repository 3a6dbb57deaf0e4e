"""Whole networks on the tape: what is read of a torch module, what is live at the peak, errors."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from lipcost.costmodel import CONV_NETS, METHODS, OPTIMIZERS, UnruledFunction, find_device, predict_network

CHEAP: dict[str, dict[str, Any]] = {  # other iteration counts than the defaults: the same program in less time
    "bcop": {"iterations": 2},
    "bcop/published": {"iterations": 2, "power_iterations": 1},
    "cpl": {"iterations": 2, "eval_iterations": 3},
    "cpl/published": {"iterations": 2, "eval_iterations": 3},
    "lot": {"iterations": 2},
    "lot/published": {"iterations": 2},
    "soc": {"terms": 2, "eval_terms": 3},
    "soc/published": {"terms": 2, "eval_terms": 3},
}
CATEGORIES = ["parameters", "buffers", "inputs", "optimizer", "cache", "gradients", "activations", "temporaries"]
STATES = {"sgd": 0, "sgd-momentum": 1, "adam": 2, "adamw": 2}
FLOAT = 4


def dense(n: int, classes: int) -> Any:
    """One matrix (classes, n) on images of one pixel."""
    from lipcost.layers import StandardConv2d  # noqa: PLC0415

    return nn.Sequential(StandardConv2d(n, classes, 1, bias=False), nn.Flatten())


# A torch module and a name


@pytest.mark.parametrize("mode", ["train", "inference"])
@pytest.mark.parametrize("method", METHODS)
def test_a_network_by_name_and_as_a_module(method: str, mode: Any) -> None:
    from lipcost.layers import conv_net  # noqa: PLC0415

    net = conv_net("XS", method, width=4)
    if method == "cpl/published":  # the only one whose buffers depend on the image: a training forward makes them
        net(torch.zeros(1, 3, 32, 32))
    by_name = predict_network("XS", method, b=2, width=4, mode=mode)
    as_module = predict_network(net, b=2, s=32, mode=mode)
    assert (as_module.network, as_module.method) == ("Sequential", None)
    assert (by_name.network, by_name.method) == ("ConvNetXS", method)
    assert as_module.to_dict() | {"network": "ConvNetXS", "method": method} == by_name.to_dict()
    assert by_name.parameter_bytes == sum(p.nbytes for p in net.parameters())
    assert by_name.buffer_bytes == sum(b.nbytes for b in net.buffers())


@pytest.mark.parametrize("method", CHEAP)
def test_iteration_counts_are_read_of_the_module(method: str) -> None:
    from lipcost.layers import conv_net  # noqa: PLC0415

    by_name = predict_network("XS", method, b=2, width=4, **CHEAP[method])
    as_module = predict_network(conv_net("XS", method, width=4, **CHEAP[method]), b=2, s=32)
    assert as_module.to_dict() | {"network": "ConvNetXS", "method": method} == by_name.to_dict()
    assert by_name.flops_forward != predict_network("XS", method, b=2, width=4).flops_forward


def test_a_head_with_counts_of_its_own() -> None:
    from lipcost.layers.networks.heads import PublishedBjorckLinear  # noqa: PLC0415

    def macs(mode: Any, **counts: Any) -> int:
        net = nn.Sequential(nn.Flatten(), PublishedBjorckLinear(12, 12, **counts))
        return predict_network(net, b=1, s=2, mode=mode).macs_forward

    assert macs("train", iterations=4) - macs("train", iterations=3) == 2 * 12**3
    assert macs("train", power_iterations=4) - macs("train", power_iterations=3) == 2 * 12**2
    assert macs("train", eval_iterations=9) == macs("train")
    assert macs("inference") == 12**2


@pytest.mark.parametrize("size", ["ConvNetXS", "TConvNetXS"])
def test_macs_of_the_standard_net(size: str) -> None:
    """b·c_out·c_in·k²·s² of each convolution; each of both gradients as many, but none of the image's."""
    w, blocks, _, s = CONV_NETS[size]
    macs = first = 3 * w * w * s * s
    for block in range(blocks):
        c, k = w * 2**block, 3 if block < blocks - 1 else 1
        macs += 3 * 5 * c * c * k * k * (s // 2**block) ** 2
    macs += 3 * (w * 2**blocks) ** 2
    p = predict_network(size, "standard", b=3)
    assert (p.macs_forward, p.macs_backward, p.macs_optimizer) == (macs, 2 * macs - first, 0)


# Bytes


@settings(deadline=None, max_examples=30)
@given(
    method=st.sampled_from(sorted(METHODS)),
    mode=st.sampled_from(["train", "inference"]),
    optimizer=st.sampled_from(sorted(STATES)),
    weight_decay=st.booleans(),
    foreach=st.booleans(),
    b=st.integers(1, 5),
    width=st.sampled_from([4, 6]),
)
def test_the_categories_add_up_to_the_peak(
    *, method: str, mode: Any, optimizer: str, weight_decay: bool, foreach: bool, b: int, width: int
) -> None:
    p = predict_network(
        "XS",
        method,
        b=b,
        width=width,
        mode=mode,
        optimizer=optimizer,
        weight_decay=weight_decay,
        foreach=foreach,
        **CHEAP.get(method, {}),
    )
    live = p.by_category
    assert list(live) == CATEGORIES
    assert min(live.values()) >= 0
    assert sum(live.values()) == p.peak_bytes
    assert live["parameters"] == p.parameter_bytes
    assert live["buffers"] == p.buffer_bytes
    images = b * 3 * 32 * 32 * FLOAT
    if mode == "train":
        assert live["inputs"] == images + b * 8
        assert live["optimizer"] == p.optimizer_bytes == STATES[optimizer] * p.parameter_bytes
        assert live["gradients"] <= p.gradient_bytes == p.parameter_bytes
        assert live["activations"] <= p.saved_bytes
        assert live["cache"] == p.cache_bytes == 0
    else:
        assert live["inputs"] == images
        assert live["cache"] == p.cache_bytes
        assert p.optimizer is None
        assert live["optimizer"] == live["gradients"] == live["activations"] == 0
        assert p.optimizer_bytes == p.gradient_bytes == p.saved_bytes == 0
        assert p.flops_backward == p.flops_optimizer == p.launches_backward == p.launches_optimizer == 0


@pytest.mark.parametrize("mode", ["train", "inference"])
@pytest.mark.parametrize("method", METHODS)
def test_one_image(method: str, mode: Any) -> None:
    one, two = (predict_network("XS", method, b=b, width=4, mode=mode, **CHEAP.get(method, {})) for b in (1, 2))
    assert one.by_category["inputs"] * 2 == two.by_category["inputs"]
    assert one.parameter_bytes == two.parameter_bytes
    assert 0 < one.macs_forward < two.macs_forward
    assert one.peak_bytes < two.peak_bytes


def test_elements_of_eight_bytes() -> None:
    single, double = (predict_network("XS", "cayley", b=2, width=4, dtype=d) for d in ("float32", "float64"))
    assert double.parameter_bytes == 2 * single.parameter_bytes
    assert double.macs_forward == single.macs_forward
    assert double.by_category["inputs"] - 16 == 2 * (single.by_category["inputs"] - 16)  # the labels stay int64


def test_in_inference_an_input_lives_as_long_as_the_sequential_it_was_given_to() -> None:
    """Unshuffling keeps the size n: x, a module's input and its output are live; nested, the nested one's input too."""
    n, one = 2 * 3 * 16 * 16 * FLOAT, nn.PixelUnshuffle(2)
    flat, nested = nn.Sequential(one, one, one), nn.Sequential(one, nn.Sequential(one, one))
    first = nn.Sequential(nn.Sequential(one, one), one)  # its input is x, which the caller keeps anyway
    peaks = [predict_network(net, b=2, s=16, mode="inference").peak_bytes for net in (flat, nested, first)]
    assert peaks == [3 * n, 4 * n, 3 * n]


def test_without_gradients_a_view_keeps_the_whole() -> None:
    """The caller's x, the padded images of which three channels are a view, and their copy."""
    from lipcost.layers import FirstChannels, ZeroChannelPad  # noqa: PLC0415

    net, pixel = nn.Sequential(ZeroChannelPad(8), FirstChannels(4), nn.PixelUnshuffle(2)), 2 * 16 * FLOAT
    p = predict_network(net, b=2, s=4, mode="inference")
    assert p.peak_bytes == (3 + 8 + 4) * pixel


def test_a_training_step_by_hand() -> None:
    """Momentum on one matrix W (10, 64), two images of one pixel.

    At the end live W, its gradient and its velocity, images, labels and the loss; with weight decay one more W.
    """
    w, images, labels, loss = 10 * 64 * FLOAT, 2 * 64 * FLOAT, 2 * 8, FLOAT
    p = predict_network(dense(64, 10), b=2, s=1, c_in=64, weight_decay=True)
    assert p.peak_bytes == 4 * w + images + labels + loss
    assert p.by_category == dict.fromkeys(CATEGORIES, 0) | {
        "parameters": w,
        "inputs": images + labels,
        "optimizer": w,
        "gradients": w,
        "temporaries": w + loss,
    }


@pytest.mark.parametrize("foreach", [False, True])
@pytest.mark.parametrize("optimizer", ["adam", "adamw"])
def test_adam_needs_a_root_and_its_quotient(optimizer: str, foreach: bool) -> None:
    """W, gradient, both moments, √v and its quotient, which is in place where all parameters go at once."""
    w = 100 * 64 * FLOAT
    p = predict_network(dense(64, 100), b=2, s=1, c_in=64, optimizer=optimizer, foreach=foreach)
    assert p.peak_bytes == (6 - foreach) * w + 2 * 64 * FLOAT + 2 * 8 + FLOAT


# Any module


class Residual(nn.Module):
    """x + f(x), as torch code has it."""

    def __init__(self, branch: nn.Module) -> None:
        super().__init__()
        self.branch = branch

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Keeps the input."""
        return x + self.branch(x)


def test_a_module_of_torch_s_own() -> None:
    """3·8·9 weights at 6·4 pixels, a 1×1 branch at 3·2, and a head of 8·3·2 features."""
    net = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1, stride=2),
        Residual(nn.Sequential(nn.ReLU(), nn.Conv2d(8, 8, 1))),
        nn.Flatten(),
        nn.Linear(8 * 3 * 2, 5),
    )
    p = predict_network(net, b=2, h=6, w=4)
    assert (p.s, p.h, p.w) == (None, 6, 4)
    first, branch, head = 2 * 3 * 2 * 8 * 3 * 9, 2 * 3 * 2 * 8 * 8, 2 * 48 * 5
    assert p.macs_forward == first + branch + head
    assert p.macs_backward == first + 2 * (branch + head)  # the images want no gradient
    assert p.parameter_bytes == p.gradient_bytes == FLOAT * sum(each.numel() for each in net.parameters())
    wanted = predict_network(net, b=2, h=6, w=4, input_gradient=True)
    assert wanted.macs_backward == 2 * p.macs_forward


def test_what_is_frozen_or_unused_has_no_gradient() -> None:
    net = nn.Sequential(nn.Flatten(), nn.Linear(12, 7), nn.Linear(7, 3))
    net[2].bias.requires_grad_(False)
    net[1].more = nn.Parameter(torch.ones(1000))
    p = predict_network(net, b=2, s=2)
    assert p.parameter_bytes == FLOAT * (12 * 7 + 7 + 7 * 3 + 3 + 1000)
    assert p.gradient_bytes == p.optimizer_bytes == FLOAT * (12 * 7 + 7 + 7 * 3)


def test_a_shared_module_is_there_once() -> None:
    layer = nn.Linear(12, 12)
    p = predict_network(nn.Sequential(nn.Flatten(), layer, layer), b=2, s=2)
    assert p.parameter_bytes == p.gradient_bytes == FLOAT * 12 * 13
    assert p.macs_forward == 2 * (2 * 12 * 12)


def test_a_module_is_left_as_it_is() -> None:
    from lipcost.layers import conv_net  # noqa: PLC0415

    for net in (conv_net("XS", "soc", width=4).eval(), nn.Sequential(nn.Flatten(), nn.Linear(3 * 32 * 32, 4))):
        before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
        predict_network(net, b=2, s=32)
        assert not net.training or isinstance(net[0], nn.Flatten)
        assert all(torch.equal(before[name], tensor) for name, tensor in net.state_dict().items())
        assert all(type(p) is nn.Parameter and p.grad is None for p in net.parameters())


def test_a_function_without_a_rule_is_named() -> None:
    class Bessel(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.special.bessel_j0(x)

    net = nn.Sequential(nn.Flatten(), nn.Linear(12, 3), Bessel())
    with pytest.raises(UnruledFunction, match=r"no rule for torch\.special\.bessel_j0 in Bessel \(2\) at .*\.py:\d+"):
        predict_network(net, b=2, s=2)


def test_numpy_integers_and_devices_by_name() -> None:
    sizes = {"b": np.int64(2), "s": np.int32(32), "width": np.int64(4), "c_in": np.int64(3), "terms": np.int64(2)}
    p = predict_network("XS", "soc", device="t4", **sizes)  # type: ignore[arg-type]
    assert p == predict_network("XS", "soc", b=2, width=4, terms=2, device=find_device("t4"))
    assert all(type(value) is int for value in (p.b, p.peak_bytes, p.macs_forward))
    with pytest.raises(ValueError, match="unknown device 'abacus'; devices: a100-40"):
        predict_network("XS", "soc", b=2, device="abacus")


def test_time_needs_a_device() -> None:
    assert predict_network("XS", "aol", b=2, width=4).seconds is None
    p = predict_network("XS", "aol", b=2, width=4, device=find_device("t4"))
    assert p.time
    assert p.seconds == p.time.total > 0


# Errors


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"size": "XXL"},
            r"unknown network 'XXL'; networks: ConvNetXS, ConvNetS, ConvNetM, ConvNetL, TConvNetXS, .*, TConvNetL",
        ),
        (
            {"method": "foo"},
            "unknown method 'foo'; methods: standard, aol, bcop, .*cayley, cpl, lot, sll, soc, standard/published, .*",
        ),
        ({"method": None}, "the network 'XS' needs a method"),
        ({"b": 0}, "b must be a positive integer, got 0"),
        ({"b": True}, "b must be a positive integer, got True"),
        ({"s": 0}, "s must be a positive integer, got 0"),
        ({"c_in": 0}, "c_in must be a positive integer, got 0"),
        ({"classes": 0}, "classes must be a positive integer, got 0"),
        ({"width": 0}, "width must be a positive integer, got 0"),
        ({"width": 5}, "width must be even, as each block halves its channels, got 5"),
        (
            {"width": 2},
            r"ZeroChannelPad\(2\) takes \(b, c <= 2, h, w\), got \(2, 3, 32, 32\)",
        ),
        ({"classes": 129}, r"FirstChannels\(129\) takes \(b, c >= 129, \.\.\.\), got \(2, 128\)"),
        (
            {"s": 48},
            r"pixel_unshuffle by 2 takes images whose sides are multiples of it, got 3x3 "
            r"in PixelUnshuffle \(block4_unshuffle\) at .*",
        ),
        ({"mode": "eval"}, "unknown mode 'eval'; modes: train, inference"),
        ({"optimizer": "lion"}, f"unknown optimizer 'lion'; optimizers: {', '.join(OPTIMIZERS)}"),
        (
            {"dtype": "float16"},
            r"unknown dtype 'float16' \(did you mean 'bfloat16'\?\); dtypes: float32, float64, bfloat16",
        ),
        (
            {"method": "cayley", "dtype": "bfloat16"},
            r"cayley does not work in torch\.bfloat16; supported: torch\.float32, torch\.float64",
        ),
        (
            {"method": "lot", "dtype": "bfloat16", "mode": "inference"},
            r"lot does not work in torch\.bfloat16; supported: torch\.float32, torch\.float64",
        ),
        ({"k": 3}, "aol has no iteration count 'k'; its iteration counts: none"),
        ({"method": "soc", "terms": 0}, "terms must be a positive integer, got 0"),
    ],
)
def test_errors_of_a_named_network(arguments: dict[str, Any], message: str) -> None:
    arguments = {"size": "XS", "method": "aol", "b": 2, "width": 4, **arguments}
    with pytest.raises(ValueError, match=f"^{message}$"):
        predict_network(arguments.pop("size"), arguments.pop("method"), **arguments)


MODULES = {  # the module, as an expression in nn and the layers; the complaint, which is the module's own if it has one
    "nn.Sequential(nn.Flatten(), MaxMin(), AOLConv2d(3, 3, 3))": r"AOLConv2d takes inputs of shape \(b, 3, h, w\), "
    r"got \(2, 192\)",
    "nn.Sequential(ZeroChannelPad(8), SOCConv2d(4, 4, 3))": r"SOCConv2d takes inputs of shape \(b, 4, h, w\), "
    r"got \(2, 8, 8, 8\)",
    "nn.Sequential(CayleyLinear(3, 3))": r"CayleyLinear takes inputs of shape \(b, 3\), got \(2, 3, 8, 8\)",
    "nn.Sequential(nn.Flatten(), BCOPLinear(3, 3))": r"BCOPLinear takes inputs of shape \(b, 3\), got \(2, 192\)",
    "nn.Sequential(AOLConv2d(3, 3, 3, stride=3))": r"stride must divide the sides of the image, got stride=3 on 8x8",
    "nn.Sequential(AOLConv2d(3, 3, 3), nn.PixelUnshuffle(3))": "pixel_unshuffle by 3 takes images whose sides",
    "nn.Sequential(AOLConv2d(3, 3, 3), ZeroChannelPad(2))": r"ZeroChannelPad\(2\) takes \(b, c <= 2, h, w\)",
    "nn.Sequential(AOLConv2d(3, 3, 3), FirstChannels(4))": r"FirstChannels\(4\) takes \(b, c >= 4, ...\), got \(2, 3,",
    "nn.Sequential(LAYERS['cayley/published'](3, 3, 9))": "cayley needs kernel_size <= image side, got .*=9 on 8x8",
    "AOLConv2d(3, 3, 3)": r"a training step needs a network with outputs of shape \(b, classes\), got \(2, 3, 8, 8\)",
    "nn.Conv2d(3, 3, 3)": r"a training step needs a network with outputs of shape \(b, classes\), got \(2, 3, 6, 6\)",
    "nn.Sequential()": "a training step needs a network with parameters, got one without",
    "nn.ReLU()": "a training step needs a network with parameters, got one without",
}


def build(expression: str) -> Any:
    from lipcost import layers  # noqa: PLC0415

    return eval(expression, {"nn": nn, **{name: getattr(layers, name) for name in dir(layers)}})


@pytest.mark.parametrize(("expression", "message"), MODULES.items())
def test_errors_of_a_module(expression: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        predict_network(build(expression), b=2, s=8)


@pytest.mark.parametrize("given", [{"method": "aol"}, {"classes": 3}, {"width": 4}, {"terms": 3}])
def test_a_module_has_its_own_settings(given: dict[str, Any]) -> None:
    (name,) = given
    with pytest.raises(ValueError, match=f"{name} is for a named network; a module has its own"):
        predict_network(build("nn.Flatten()"), b=2, s=8, **given)


def test_a_module_needs_the_side_of_the_images() -> None:
    with pytest.raises(ValueError, match="the sides of the images are missing: give s, or h and w"):
        predict_network(build("nn.Flatten()"), b=2)


def test_a_module_has_a_dtype_of_its_own() -> None:
    """Eight bytes for each of 9 weights and 3 biases."""
    net = build("AOLConv2d(3, 3, 1)").double()
    for dtype in (None, "float64"):
        p = predict_network(net, b=2, s=8, mode="inference", dtype=dtype)
        assert (p.dtype, p.parameter_bytes) == ("float64", 8 * (9 + 3))
    with pytest.raises(ValueError, match="the module's parameters are float64, not 'float32'"):
        predict_network(net, b=2, s=8, mode="inference", dtype="float32")
    with pytest.raises(ValueError, match=r"unknown dtype 'float16' .*; dtypes: float32, float64, bfloat16"):
        predict_network(net.half(), b=2, s=8, mode="inference")


def test_a_module_without_parameters_has_the_dtype_that_is_given() -> None:
    for dtype, width in ((None, 4), ("float64", 8), ("bfloat16", 2)):
        p = predict_network(build("nn.Flatten()"), b=2, s=8, mode="inference", dtype=dtype)
        assert p.peak_bytes == 2 * 3 * 8 * 8 * width


@pytest.mark.parametrize("expression", ["nn.Sequential()", "nn.Flatten()", "nn.AdaptiveMaxPool2d((1, 1))", "MaxMin()"])
def test_inference_takes_any_module(expression: str) -> None:
    p = predict_network(build(expression), b=2, s=8, mode="inference")
    assert f"{p.network}(" in expression
    assert p.macs_forward == p.parameter_bytes == 0
    assert p.by_category["inputs"] == 2 * 3 * 8 * 8 * FLOAT
