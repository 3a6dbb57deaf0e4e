"""Networks as users write them: predicted as measured, or refused by a name.

P1 to P4 and P10 to P14 are faults that were found by use; then every kind of :mod:`variants`.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from variants.compared import MODES, Variant, differences, measure, names_something, outcome, predict, some, variants
from variants.kinds import KINDS, Maker, trunk
from variants.users import MaxMin as UsersMaxMin

from lipcost.costmodel import predict_network
from lipcost.layers import LAYERS, MaxMin, ZeroChannelPad, conv_net
from lipcost.validate import measure_step
from lipcost.validate.measure.protocol import FIRST_STEPS

AOL = LAYERS["aol"]
IMAGES = (2, 3, 8, 8)


def exact(net: nn.Module, x: Tensor, mode: str = "train") -> None:
    """The prediction is the measurement."""
    assert differences(net, x, mode) == []


def exact_or_refused(net: nn.Module, x: Tensor, mode: str = "train") -> None:
    """The same, or a ValueError that names a function or a module."""
    try:
        exact(net, x, mode)
    except ValueError as refusal:
        assert names_something(str(refusal), net)


def replaced(net: nn.Sequential, old: type[nn.Module], new: type[nn.Module]) -> nn.Sequential:
    """The network with other modules in place of some."""
    for name, module in net.named_children():
        if type(module) is old:
            setattr(net, name, new())
    return net


def test_p1_a_layer_used_twice_has_its_parameters_once() -> None:
    layer = AOL(8, 8, 3)
    net = trunk(layer, MaxMin(), layer)
    p = predict_network(net, b=2, s=8)
    assert p.parameter_bytes == p.gradient_bytes == p.optimizer_bytes == 2336
    exact(net, torch.rand(IMAGES))
    exact(net, torch.rand(IMAGES), "inference")


def test_p2_frozen_parameters_get_no_gradient() -> None:
    net = trunk(AOL(8, 8, 3).requires_grad_(False), MaxMin(), AOL(8, 8, 3))
    p = predict_network(net, b=2, s=8)
    assert (p.parameter_bytes, p.gradient_bytes, p.optimizer_bytes) == (4672, 2336, 2336)
    exact(net, torch.rand(IMAGES))


@pytest.mark.parametrize("mode", MODES)
def test_p3_a_class_is_known_by_what_it_does_not_by_its_name(mode: str) -> None:
    net = replaced(conv_net("XS", "aol", width=4), MaxMin, UsersMaxMin)
    x = torch.rand(2, 3, 32, 32)
    own, theirs = (measure(each, x, mode).figures["peak_bytes"] for each in (conv_net("XS", "aol", width=4), net))
    assert theirs > own or mode == "inference"
    exact(net, x, mode)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    "kind",
    [
        "a_subclass_with_another_forward",
        "a_hook_that_computes",
        "a_hook_before",
        "a_backward_hook_that_computes",
        "a_parametrised_layer",
        "two_parametrisations",
    ],
)
def test_p4_what_is_put_on_a_layer_is_not_ignored(kind: str, mode: str) -> None:
    """Under each, other numbers are right than for the layer alone."""
    variant = Variant(kind, "aol", mode)
    net = variant.net()
    exact_or_refused(net, variant.images(net), mode)


def test_p10_layers_in_eval_run_their_eval_iterations_under_autograd() -> None:
    net, x = conv_net("XS", "cpl", width=4), torch.rand(2, 3, 32, 32)
    trained = predict(net, x, "train").peak_bytes
    for layer in net:
        layer.eval()
    assert predict(net, x, "train").peak_bytes > 5 * trained
    exact(net, x)


@pytest.mark.parametrize("method", LAYERS)
def test_p10_what_a_frozen_layer_in_eval_caches_is_no_activation(method: str) -> None:
    frozen = LAYERS[method](8, 8, 3).eval().requires_grad_(False)
    net, x = trunk(LAYERS[method](8, 8, 3), MaxMin(), frozen), torch.rand(IMAGES)
    exact(net, x)


@pytest.mark.parametrize("mode", MODES)
def test_p11_a_block_five_times_is_one_block(mode: str) -> None:
    block = nn.Sequential(AOL(64, 64, 3), MaxMin())
    net, x = nn.Sequential(*[block] * 5, nn.AdaptiveMaxPool2d(1), nn.Flatten()), torch.rand(2, 64, 8, 8)
    assert predict(net, x, mode).parameter_bytes == sum(p.nbytes for p in block.parameters())
    exact(net, x, mode)


@pytest.mark.parametrize("mode", MODES)
def test_p11_a_layer_at_two_image_sizes_transforms_its_weights_for_each(mode: str) -> None:
    layer = LAYERS["cayley"](4, 4, 3)
    net, x = nn.Sequential(layer, nn.AdaptiveMaxPool2d(4), layer, nn.Flatten()), torch.rand(2, 4, 8, 8)
    exact(net, x, mode)


def test_p12_a_buffer_that_nothing_reads_is_there() -> None:
    net, x = trunk(AOL(8, 8, 3), MaxMin()), torch.rand(IMAGES)
    before = predict(net, x, "train")
    net.register_buffer("table", torch.zeros(3072))
    p = predict(net, x, "train")
    assert p.buffer_bytes == before.buffer_bytes + 12288 == 12288
    assert p.peak_bytes == before.peak_bytes + 12288
    exact(net, x)


@pytest.mark.parametrize(("c", "s"), [(8, 7), (8, 8), (6, 7), (16, 7), (7, 5), (8, 1)])
def test_p13_pairs_times_pixels_that_fill_no_byte(c: int, s: int) -> None:
    net = nn.Sequential(ZeroChannelPad(c), AOL(c, c, 3), MaxMin(), nn.AdaptiveMaxPool2d(1), nn.Flatten())
    exact(net, torch.rand(2, 3, s, s))


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("b", [1, 2, 3])
def test_p14_layouts_decide_about_copies(b: int, mode: str) -> None:
    layer = LAYERS["cayley/published"](8, 8, 3)
    exact(trunk(layer, MaxMin()), torch.rand(b, 3, 8, 8), mode)
    exact(nn.Sequential(layer, MaxMin(), nn.Flatten()), torch.rand(b, 8, 8, 8), mode)


@pytest.mark.parametrize("kind", ["no_channels_to_pad", "a_flatten_of_channels_last", "a_flatten_of_the_layer"])
@pytest.mark.parametrize("method", ["aol", "cayley/published", "lot/published"])
def test_p14_flatten_copies_what_is_no_view(method: str, kind: str) -> None:
    for mode in MODES:
        assert outcome(Variant(kind, method, mode)) == "exact"


@pytest.mark.parametrize("variant", list(some()), ids=str)
def test_each_kind(variant: Variant) -> None:
    outcome(variant)


@pytest.mark.parametrize(
    ("kind", "method"),
    [
        *(("frozen_weight", f"{method}/published") for method in ("standard", "aol", "bcop")),
        *(("parameters_in_channels_last", method) for method in ("standard", "aol")),
        *(("pruned", method) for method in ("standard", "standard/published")),
        ("a_layer_at_two_image_sizes", "cpl/published"),
    ],
)
def test_kinds_that_differ_in_some_methods_only(kind: str, method: str) -> None:
    for mode in MODES:
        assert outcome(Variant(kind, method, mode)) == "exact"


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize(
    ("b", "k", "stride"), [(1, 1, 1), (1, 3, 1), (1, 5, 1), (2, 1, 1), (2, 1, 2), (2, 3, 1), (16, 1, 1)]
)
def test_p2_a_bias_that_is_trained_beside_a_frozen_kernel(b: int, k: int, stride: int, dtype: torch.dtype) -> None:
    """OneDNN, where torch takes it, computes the kernel's gradient too."""
    frozen = nn.Conv2d(4, 4, k, stride=stride, padding=k // 2)
    frozen.weight.requires_grad_(False)
    net = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), frozen, nn.Flatten()).to(dtype)
    assert differences(net, torch.rand(b, 3, 6, 6).to(dtype), "train") == []


@pytest.mark.parametrize(("k", "groups"), [(1, 1), (3, 1), (3, 2), (5, 1)])
@pytest.mark.parametrize("convolution", [nn.Conv2d, nn.ConvTranspose2d])
def test_p2_a_bias_that_is_trained_beside_many_frozen_weights(convolution: Any, k: int, groups: int) -> None:
    """Of one image oneDNN takes large or grouped kernels alone; the kernel's gradient is the peak here."""
    frozen = convolution(64, 96, k, groups=groups)
    frozen.weight.requires_grad_(False)
    net = nn.Sequential(nn.Conv2d(3, 64, 3, padding=1), frozen, nn.Flatten())
    assert differences(net, torch.rand(1, 3, 6, 6), "train") == []


@pytest.mark.parametrize("foreach", [False, True])
@pytest.mark.parametrize("weight_decay", [False, True])
@pytest.mark.parametrize("optimizer", FIRST_STEPS)
def test_the_state_that_an_optimizer_makes_in_its_first_step(optimizer: str, weight_decay: bool, foreach: bool) -> None:
    net, x, labels = trunk(AOL(8, 8, 3), MaxMin(), AOL(8, 8, 3)), torch.rand(IMAGES), torch.zeros(2, dtype=torch.int64)
    how: Any = {"optimizer": optimizer, "weight_decay": weight_decay, "foreach": foreach}
    m = measure_step(net, x, labels, first=True, **how)
    p, later = (predict_network(net, b=2, s=8, first_step=first, **how) for first in (True, False))
    assert p.optimizer_bytes == m.optimizer_bytes == later.optimizer_bytes
    assert (p.peak_bytes, p.launches_optimizer) == (m.profiler_peak_bytes, m.launches_optimizer)
    assert (p.traffic_optimizer, p.flops_optimizer) == (m.bytes_moved_optimizer, sum(m.flops_optimizer.values()))
    assert (p.peak_bytes < later.peak_bytes) == (optimizer != "sgd")


def test_inference_has_no_first_step() -> None:
    with pytest.raises(ValueError, match="first_step is of a training step, not of mode 'inference'"):
        predict_network(trunk(AOL(8, 8, 3)), b=2, s=8, mode="inference", first_step=True)


@pytest.mark.slow
@pytest.mark.parametrize("method", LAYERS)
@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_every_method(kind: str, method: str) -> None:
    for variant in variants((method,)):
        if variant.kind == kind:
            outcome(variant)


@pytest.mark.parametrize("mode", MODES)
def test_a_function_by_its_apply_is_the_function(mode: str) -> None:
    """``square = Square.apply``, as torch's documentation has it, is bound before any recording."""
    kind = KINDS["a_function_of_the_users"]
    net: Any = kind.build(Maker("aol"))
    x = torch.rand(3, *kind.shape)
    as_known = predict(net, x, mode)
    function = net[2].function.__closure__[0].cell_contents
    net[2].function = function.apply
    try:
        alias = predict(net, x, mode)
    except ValueError as refusal:
        assert names_something(str(refusal), net)
    else:
        assert alias.to_dict() == as_known.to_dict()


def test_a_refusal_names_function_and_module() -> None:
    class Unusual(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.renorm(x, 2, 0, 1.0)

    with pytest.raises(ValueError, match=r"renorm.*Unusual"):
        predict_network(trunk(AOL(8, 8, 3), Unusual()), b=2, s=8)


class OfValues(nn.Module):
    """Branches on a number that only a real tensor has."""

    def __init__(self, ask: Any) -> None:
        super().__init__()
        self.ask = ask

    def forward(self, x: Tensor) -> Tensor:
        """Double where asked."""
        return 2 * x if self.ask(x) else x


@pytest.mark.parametrize(
    "ask",
    [
        lambda x: x.sum() > 0,
        lambda x: x.max().item() > 0,
        lambda x: float(x.mean()) > 0,
        lambda x: x.detach().numpy().any(),
        lambda x: x.tolist(),
        lambda x: torch.equal(x, x),
        lambda x: torch.nonzero(x).numel(),
        lambda x: x[x > 0].numel(),
        lambda x: x.unique().numel(),
        lambda x: x.isnan().any(),
    ],
)
def test_what_depends_on_values_is_refused(ask: Any) -> None:
    net = trunk(AOL(8, 8, 3), OfValues(ask))
    with pytest.raises(ValueError) as refusal:
        predict_network(net, b=2, s=8)
    assert names_something(str(refusal.value), net)


def test_a_refused_prediction_leaves_the_network_as_it_was() -> None:
    net: Any
    net, x = trunk(LAYERS["cpl"](8, 8, 3), OfValues(lambda x: x.sum() > 0)), torch.rand(IMAGES)
    before = {name: value.clone() for name, value in net.state_dict().items()}
    with pytest.raises(ValueError):
        predict_network(net, b=2, s=8)
    assert all(torch.equal(before[name], value) for name, value in net.state_dict().items())
    assert net(x).shape == (2, 8)
    measure(net[:2].append(nn.Flatten()), x, "train")
