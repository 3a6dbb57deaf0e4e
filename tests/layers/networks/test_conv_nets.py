"""The networks of the published comparison, layer by layer, and what a user may vary."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from lipcost.layers import (
    CONV_NETS,
    LAYERS,
    FirstChannels,
    LipschitzConv2d,
    MarginCrossEntropy,
    MaxMin,
    ZeroChannelPad,
    conv_net,
)
from lipcost.layers.methods.published.bcop import PublishedBCOPConv2d
from lipcost.layers.networks.heads import PublishedBjorckLinear, PublishedCayleyLinear
from lipcost.validate import pair_ratio

PUBLISHED = {  # name: width, blocks, classes, side of the images
    "ConvNetXS": (16, 5, 10, 32),
    "ConvNetS": (32, 5, 10, 32),
    "ConvNetM": (64, 5, 10, 32),
    "ConvNetL": (128, 5, 10, 32),
    "TConvNetXS": (8, 6, 200, 64),
    "TConvNetS": (16, 6, 200, 64),
    "TConvNetM": (32, 6, 200, 64),
    "TConvNetL": (64, 6, 200, 64),
}
CHEAP: dict[str, dict[str, Any]] = {  # fewer iterations: less time, nothing else that matters here
    "bcop": {"iterations": 2},
    "cpl": {"eval_iterations": 2},
    "lot": {"iterations": 2},
    "soc": {"terms": 2, "eval_terms": 3},
}
CHEAP |= {f"{method}/published": counts for method, counts in CHEAP.items()}
METHODS = "standard, aol, bcop, bro, cayley, cpl, lot, sll, soc, standard/published, "
HEADS = {"bcop/published": PublishedBjorckLinear, "cayley/published": PublishedCayleyLinear}


def convolutions(net: nn.Sequential) -> list[tuple[int, int, int]]:
    """(c_in, c_out, k) of each, in order."""
    layers = [layer for layer in net if isinstance(layer, LipschitzConv2d)]
    return [(layer.in_channels, layer.out_channels, layer.kernel_size) for layer in layers]


def small(method: str, **arguments: Any) -> nn.Sequential:
    return conv_net("ConvNetXS", method, width=4, **arguments)


def cheap(method: str) -> nn.Sequential:
    return small(method, **CHEAP.get(method, {}))


def images(b: int = 2, s: int = 32, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.rand(b, 3, s, s, dtype=dtype)


def evaluate(net: nn.Module, x: Tensor) -> Tensor:
    with torch.no_grad():
        return net.eval()(x)


def train(net: nn.Module, x: Tensor, steps: int) -> nn.Module:
    optimizer = torch.optim.SGD(net.train().parameters(), lr=0.1, momentum=0.9)
    labels, criterion = torch.arange(len(x)), MarginCrossEntropy()
    for _ in range(steps):
        optimizer.zero_grad()
        criterion(net(x), labels).backward()
        optimizer.step()
    return net


# Structure


def test_the_sizes_are_the_published_ones() -> None:
    assert {name: tuple(net) for name, net in CONV_NETS.items()} == PUBLISHED


@pytest.mark.parametrize("name", PUBLISHED)
def test_convolutions_of_every_size(name: str) -> None:
    w, blocks, _, _ = PUBLISHED[name]
    channels = [w * 2**block for block in range(blocks)]
    inner = [(c, c, 3) for c in channels[:-1] for _ in range(5)]
    last, head = 5 * [(channels[-1], channels[-1], 1)], (w * 2**blocks, w * 2**blocks, 1)
    assert convolutions(conv_net(name, "standard", device="meta")) == [(w, w, 1), *inner, *last, head]


@pytest.mark.parametrize("name", PUBLISHED)
def test_what_stands_between_the_convolutions(name: str) -> None:
    w, blocks, classes, _ = PUBLISHED[name]
    first, *rest = conv_net(name, "standard", device="meta")
    assert isinstance(first, ZeroChannelPad)
    assert first.channels == w
    block = 5 * ["StandardConv2d", "MaxMin"] + ["FirstChannels", "PixelUnshuffle"]
    end = ["AdaptiveMaxPool2d", "StandardConv2d", "Flatten", "FirstChannels"]
    assert [type(module).__name__ for module in rest] == ["StandardConv2d", "MaxMin", *blocks * block, *end]
    assert [m.channels for m in rest if isinstance(m, FirstChannels)] == [w * 2**i // 2 for i in range(blocks)] + [
        classes
    ]
    assert {m.downscale_factor for m in rest if isinstance(m, nn.PixelUnshuffle)} == {2}
    assert [m.output_size for m in rest if isinstance(m, nn.AdaptiveMaxPool2d)] == [1]


@pytest.mark.parametrize("name", PUBLISHED)
def test_channels_double_where_sides_halve(name: str) -> None:
    _, blocks, classes, s = PUBLISHED[name]
    x, shapes = images(s=s), []
    for module in conv_net(name, "standard", width=4):
        x = module(x)
        shapes += [tuple(x.shape)] if isinstance(module, nn.PixelUnshuffle) else []
    assert shapes == [(2, 4 * 2**i, s // 2**i, s // 2**i) for i in range(1, blocks + 1)]
    assert x.shape == (2, classes)


@pytest.mark.parametrize("name", PUBLISHED)
def test_parameters_of_the_standard_net(name: str) -> None:
    w, blocks, _, _ = PUBLISHED[name]
    count = w * w + w
    for block in range(blocks):
        c, k = w * 2**block, 3 if block < blocks - 1 else 1
        count += 5 * (c * c * k * k + c)
    n = w * 2**blocks
    count += n * n + n
    net = conv_net(name, "standard", device="meta")
    assert sum(p.numel() for p in net.parameters()) == count


def test_parameters_of_the_smallest_net() -> None:
    """By hand: 16² + 16, five times 9c² + c for c = 16, 32, 64, 128 and c² + c for 256, and 512² + 512."""
    net = conv_net("ConvNetXS", "standard", device="meta")
    assert sum(p.numel() for p in net.parameters()) == 272 + 11_600 + 46_240 + 184_640 + 737_920 + 328_960 + 262_656


def test_all_layers_are_of_the_method(method: str) -> None:
    for module in small(method):
        if isinstance(module, LipschitzConv2d):
            assert type(module) is LAYERS[method]


def test_head(method: str) -> None:
    net = small(method)
    head: Any = net.head
    n = 4 * 2**5
    if method in HEADS:
        assert type(head) is HEADS[method]
        assert (head.in_features, head.out_features) == (n, n)
    else:
        assert type(head) is LAYERS[method]
        assert (head.in_channels, head.out_channels, head.kernel_size) == (n, n, 1)
    if method == "bcop/published":
        assert (head.iterations, head.eval_iterations) == (3, 15)


# What goes in and comes out


@pytest.mark.parametrize("training", [True, False])
def test_scores(method: str, training: bool) -> None:
    y = small(method).train(training)(images())
    assert y.shape == (2, 10)
    assert y.isfinite().all()


def test_scores_of_larger_images(method: str) -> None:
    net = conv_net("TConvNetXS", method, width=4, **CHEAP.get(method, {}))
    assert evaluate(net, images(b=1, s=64)).shape == (1, 200)


@pytest.mark.parametrize("short", ["XS", "S", "M", "L"])
def test_short_names(short: str) -> None:
    given, full = (conv_net(size, "standard", device="meta") for size in (short, f"ConvNet{short}"))
    assert str(given) == str(full)


def test_classes_and_width() -> None:
    net = conv_net("XS", "standard", classes=7, width=6)
    assert evaluate(net, images()).shape == (2, 7)
    assert convolutions(net)[0] == (6, 6, 1)
    assert convolutions(net)[-1] == (192, 192, 1)


def test_options_reach_every_convolution_but_no_dense_head() -> None:
    net = small("bcop/published", iterations=7, power_iterations=4)
    layers: list[Any] = [module for module in net if isinstance(module, PublishedBCOPConv2d)]
    assert {(layer.iterations, layer.power_iterations) for layer in layers} == {(7, 4)}
    head: Any = net.head
    assert (head.iterations, head.power_iterations) == (3, 10)
    layers = [m for m in small("soc", terms=2, eval_terms=3) if isinstance(m, LipschitzConv2d)]
    assert {(layer.terms, layer.eval_terms) for layer in layers} == {(2, 3)}


def test_dtype(method: str) -> None:
    net = small(method, dtype=torch.float64)
    assert {p.dtype for p in net.parameters()} == {torch.float64}
    assert evaluate(net, images(dtype=torch.float64)).dtype == torch.float64


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("XXL", "aol"), "unknown network 'XXL'; networks: ConvNetXS, .*, TConvNetL"),
        (("", "aol"), "unknown network ''"),
        (("TXS", "aol"), "unknown network 'TXS'"),
        (("XS", "foo"), f"unknown method 'foo'; methods: {METHODS}"),
        (("XS", "aol", {"width": 5}), "width must be even.*, got 5"),
        (("XS", "aol", {"width": 0}), "width must be a positive integer, got 0"),
        (("XS", "aol", {"width": 4.0}), "width must be a positive integer, got 4.0"),
        (("XS", "aol", {"classes": 0}), "classes must be a positive integer, got 0"),
        (("XS", "soc", {"terms": 0}), "terms must be a positive integer, got 0"),
        (("XS", "lot", {"dtype": torch.bfloat16}), "lot does not work in torch.bfloat16"),
    ],
)
def test_errors(arguments: tuple[Any, ...], message: str) -> None:
    size, method, *rest = arguments
    with pytest.raises(ValueError, match=message):
        conv_net(size, method, **(rest[0] if rest else {}))


def test_an_option_that_the_layer_has_not() -> None:
    with pytest.raises(TypeError, match="terms"):
        conv_net("XS", "aol", terms=3)


# Guarantee, copies, state


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("steps", [0, 5])
def test_a_net_of_aol_is_1_lipschitz(steps: int, training: bool) -> None:
    net = train(small("aol", dtype=torch.float64), images(8, dtype=torch.float64), steps).train(training)
    x, far = images(8, dtype=torch.float64), images(8, dtype=torch.float64)
    near = x + 1e-4 * torch.randn_like(x)
    assert 0 < pair_ratio(net, x, far) <= 1 + 1e-9
    assert 0 < pair_ratio(net, x, near) <= 1 + 1e-9


def test_deepcopy(method: str) -> None:
    net, x = cheap(method), images()
    evaluate(net, x)
    twin = copy.deepcopy(net)
    assert torch.equal(evaluate(twin, x), evaluate(net, x))
    before = evaluate(twin, x)
    train(net, x, 1)
    assert torch.equal(evaluate(twin, x), before)


def test_state_dict_round_trip(method: str) -> None:
    x, source, target = images(), cheap(method), cheap(method)
    train(source, x, 1)
    evaluate(target, x)
    target.load_state_dict(source.state_dict(), strict=True)
    assert torch.equal(evaluate(target, x), evaluate(source, x))


def test_the_net_is_flat_and_its_modules_are_named() -> None:
    names = [name for name, _ in small("aol").named_children()]
    assert names[:3] == ["pad", "first", "first_activation"]
    assert names[-4:] == ["pool", "head", "flatten", "scores"]
    assert sum(isinstance(m, MaxMin) for m in small("aol").modules()) == 1 + 5 * 5
