"""A training step against hand computation, FlopCounterMode, and the promise to leave the network alone."""

from typing import Any

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from lipcost.layers import LAYERS, MarginCrossEntropy, MaxMin, StandardConv2d, conv_net
from lipcost.layers.networks.activations import PublishedMaxMin
from lipcost.validate import measure_flops, measure_memory, measure_step
from lipcost.validate.measure.flops import CLASSES
from lipcost.validate.measure.step import trace_step_events

torch.set_num_threads(1)
LABELS = torch.tensor([1, 0])
OPTIMIZERS = (  # name, weight decay; for each parameter: operators, tensors read and written, kept, temporary
    ("sgd", False, 1, 3, 0, 0),
    ("sgd", True, 2, 6, 0, 1),
    ("sgd-momentum", False, 3, 8, 1, 0),
    ("sgd-momentum", True, 4, 11, 1, 1),
    ("adam", False, 7, 19, 2, 2),
    ("adam", True, 8, 22, 2, 3),
    ("adamw", False, 7, 19, 2, 2),
    ("adamw", True, 8, 21, 2, 2),
)


def pointwise(flops):
    return dict.fromkeys(CLASSES, 0) | {"pointwise": flops}


def stack(name):
    """Two layers of two iterations on images of 6×6, with the reshapings of the networks."""
    cls: Any = LAYERS[name]
    few = dict.fromkeys(cls.counts, 2)
    layers = cls(4, 4, 3, **few), MaxMin(), nn.PixelUnshuffle(2), cls(16, 16, 1, **few)
    return nn.Sequential(*layers, nn.AdaptiveMaxPool2d(1), nn.Flatten()), torch.rand(2, 4, 6, 6)


@pytest.mark.parametrize("foreach", [False, True])
@pytest.mark.parametrize("case", OPTIMIZERS, ids=str)
def test_every_optimizer_by_hand(case, foreach):
    optimizer, decay, operators, moved, kept, temporary = case
    b, n, c = 2, 20, 3
    m = measure_step(nn.Linear(n, c), torch.rand(b, n), LABELS, optimizer, weight_decay=decay, foreach=foreach)
    scores, weight, parameters = 4 * b * c, 4 * n * c, 4 * (n * c + c)
    assert (m.parameter_bytes, m.gradient_bytes, m.optimizer_bytes) == (parameters, parameters, kept * parameters)
    assert m.saved_bytes == scores + 4  # the log-softmax, the total weight of the labels
    # A list has one temporary at a time, as large as all parameters; tensor by tensor, those of the weight count.
    temporaries = parameters * (temporary > 0) if foreach else weight * temporary
    base = 4 * b * n + 8 * b + (1 + kept) * parameters
    forward = 3 * scores + 4 * b + 12  # scores, logits, log-softmax; the offsets; the mean, the total weight, the loss
    backward = scores + parameters + 8  # with the loss and the 1 that its backward starts from
    peak = base + max(forward, backward, 4 + parameters + temporaries)
    assert (m.tracker_peak_bytes, m.profiler_peak_bytes) == (peak, peak)
    assert m.flops_optimizer == pointwise(operators * (n * c + c))
    assert m.launches_optimizer == operators * (1 if foreach else 2)
    assert (m.macs_optimizer, m.bytes_moved_optimizer) == (0, moved * parameters)


def test_a_dense_network_by_hand():
    b, n, c = 2, 20, 3
    m = measure_step(nn.Linear(n, c), torch.rand(b, n), LABELS)
    assert (m.fvcore_macs, m.macs_forward, m.macs_backward) == (b * n * c,) * 3  # none for the gradient of x
    # scatter_add, div, log_softmax; nll and the factor. Backward: the factor, nll, log_softmax, div; the bias.
    assert m.flops_forward == pointwise(3 * b * c + 2) | {"matmul": 2 * b * n * c}
    assert m.flops_backward == pointwise(4 * b * c + 1) | {"matmul": 2 * b * n * c}
    assert (m.launches_forward, m.launches_backward) == (7, 7)


def test_a_convolutional_network_by_hand():
    b, s, c, classes = 2, 6, 4, 5
    first, last = StandardConv2d(3, c, 1), StandardConv2d(4 * c, classes, 1)
    net = nn.Sequential(first, PublishedMaxMin(), nn.PixelUnshuffle(2), last, nn.AdaptiveMaxPool2d(1), nn.Flatten())
    m = measure_step(net, torch.rand(b, 3, s, s), LABELS)
    y, z, scores = b * c * s**2, b * classes * (s // 2) ** 2, b * classes
    macs = 3 * y, 4 * c * z  # those of the first have one gradient, those of the last two
    assert (m.fvcore_macs, m.macs_forward, m.macs_backward) == (sum(macs), sum(macs), macs[0] + 2 * macs[1])
    # The indices of MaxMin, the last layer's input; the maximum's input and indices; the log-softmax and its weight.
    assert m.saved_bytes == 8 * y + 4 * y + 4 * z + 8 * scores + 4 * scores + 4
    assert m.gradient_bytes == m.optimizer_bytes == m.parameter_bytes == 4 * (3 * c + c + 4 * c * classes + classes)
    loss = 3 * scores + 2, 3 * scores + 1
    assert m.flops_forward == pointwise(2 * y + z + loss[0]) | {"conv": 2 * m.macs_forward}
    assert m.flops_backward == pointwise(y + loss[1]) | {"conv": 2 * m.macs_backward}  # MaxMin adds two gradients
    # Two layers, max, min, cat, unshuffle, pool; the loss. Backward: zeros and scatter for both max and min, their sum.
    assert (m.launches_forward, m.launches_backward) == (7 + 6, 4 + 2 + 5 + 3)


def test_the_peaks_of_max_and_min():
    b, s, c = 2, 5, 4
    net = nn.Sequential(StandardConv2d(3, c, 1), PublishedMaxMin(), nn.AdaptiveMaxPool2d(1), nn.Flatten())
    x = torch.rand(b, 3, s, s)
    m = measure_step(net, x, LABELS, "sgd")
    y = 4 * b * c * s**2
    base = 4 * x.numel() + 8 * b + m.parameter_bytes
    # The layer's output, the maxima and minima and their indices, and both joined.
    assert m.profiler_peak_bytes == base + y + (y // 2 + y) * 2 + y
    # A dispatch mode has max's backward scatter out of place: the gradients of the output and of the minima, the
    # indices of the maxima, zeros and what is scattered to them; the loss and the 1 that its backward starts from.
    assert m.tracker_peak_bytes == base + 5 * y + 8


def test_events_follow_the_program():
    events = trace_step_events(nn.Linear(20, 3), torch.rand(2, 20), LABELS)
    assert [name.removeprefix("aten.").partition(".")[0] for name, size in events if size > 0] == [
        *("addmm", "new_full", "scatter_add", "div", "_log_softmax", "nll_loss_forward", "nll_loss_forward", "mul"),
        *("ones_like", "mul", "nll_loss_backward", "_log_softmax_backward_data", "div", "mm", "sum"),
    ]
    assert sum(size for _, size in events) == 4 * 3 * 21 + 4  # the gradients and the loss stay


@pytest.mark.parametrize("name", LAYERS)
def test_every_method(name):
    net, x = stack(name)
    net.eval()
    net[0].bias.grad = torch.ones(4)
    before = {key: value.clone() for key, value in net.state_dict().items()}
    m = measure_step(net, x, LABELS)
    assert m == measure_step(net, x, LABELS)
    assert trace_step_events(net, x, LABELS) == trace_step_events(net, x, LABELS)
    assert m.fvcore_macs == m.macs_forward > 0
    assert 2 * m.macs_backward == m.flops_backward["conv"] + m.flops_backward["matmul"]
    assert m.gradient_bytes == m.optimizer_bytes == m.parameter_bytes == sum(p.nbytes for p in net.parameters())
    base = x.nbytes + LABELS.nbytes + 2 * m.parameter_bytes + m.buffer_bytes
    assert base + max(m.gradient_bytes, m.saved_bytes) < m.profiler_peak_bytes <= m.tracker_peak_bytes
    assert not net.training and not x.requires_grad
    assert all(torch.equal(before[key], value) for key, value in net.state_dict().items())
    assert [p.grad is not None for p in net.parameters()] == [p is net[0].bias for p in net.parameters()]


def test_modules_stay_in_the_mode_that_they_are_in():
    layers = LAYERS["cpl"](4, 4, 3, eval_iterations=3), LAYERS["cpl"](4, 4, 3, eval_iterations=3)
    net, x = nn.Sequential(*layers, nn.AdaptiveMaxPool2d(1), nn.Flatten()), torch.rand(2, 4, 6, 6)
    net[0].eval()
    mixed = measure_step(net, x, LABELS)
    assert mixed.saved_bytes > measure_step(net.train(), x, LABELS).saved_bytes  # the bound's iterations
    assert mixed.fvcore_macs == mixed.macs_forward
    assert mixed.cache_bytes == 0  # a cache would hide the gradients
    net[0].eval().requires_grad_(False)
    frozen = measure_step(net, x, LABELS)
    assert frozen.cache_bytes == 4 * (4 * 4 * 9 + 4)  # the kernel and the bias, scaled
    assert frozen.gradient_bytes == frozen.optimizer_bytes == sum(p.nbytes for p in net[1].parameters())
    assert frozen.launches_forward < mixed.launches_forward
    assert frozen.profiler_peak_bytes == frozen.tracker_peak_bytes


def test_parameters_that_get_no_gradient():
    net = nn.Linear(20, 3)
    used = measure_step(net, torch.rand(2, 20), LABELS, "adam")
    net.register_parameter("unused", nn.Parameter(torch.ones(50)))
    m = measure_step(net, torch.rand(2, 20), LABELS, "adam")
    assert m.parameter_bytes == used.parameter_bytes + 200
    assert (m.gradient_bytes, m.optimizer_bytes) == (used.gradient_bytes, used.optimizer_bytes)
    assert m.launches_optimizer == used.launches_optimizer
    assert m.profiler_peak_bytes == used.profiler_peak_bytes + 200


def test_an_input_that_requires_grad():
    net, x = nn.Sequential(nn.Linear(20, 30), nn.Linear(30, 3)), torch.rand(2, 20)
    without, m = measure_step(net, x, LABELS), measure_step(net, x.requires_grad_(), LABELS)
    assert x.grad is None
    assert m.macs_backward == without.macs_backward + 2 * 20 * 30
    assert m.gradient_bytes == without.gradient_bytes
    assert m.saved_bytes == without.saved_bytes
    assert m.profiler_peak_bytes >= without.profiler_peak_bytes


@pytest.mark.parametrize("name", ["standard", "aol", "bcop", "cpl", "sll", "soc"])
def test_real_methods_agree_with_torch(name):
    net, x = stack(name)
    m = measure_step(net, x, LABELS)
    net(x)  # CPL's power vector takes the size of the image
    with FlopCounterMode(display=False) as forward:
        loss = MarginCrossEntropy()(net(x), LABELS)
    with FlopCounterMode(display=False) as backward:
        loss.backward()
    assert 2 * m.macs_forward == forward.get_total_flops()
    assert 2 * m.macs_backward == backward.get_total_flops()


def test_a_published_network_by_hand():
    b, w = 2, 4
    m = measure_step(conv_net("XS", "standard", width=w), torch.rand(b, 3, 32, 32), LABELS)
    first = w**2 * 32**2
    blocks = [5 * (w * 2**i) ** 2 * (3 if i < 4 else 1) ** 2 * (32 // 2**i) ** 2 for i in range(5)]
    head = (32 * w) ** 2
    assert m.fvcore_macs == m.macs_forward == b * (first + sum(blocks) + head)
    assert m.macs_backward == 2 * m.macs_forward - b * first  # the image requires no grad


@pytest.mark.parametrize("name", LAYERS)
def test_a_network_in_inference(name):
    """ConvNetXS is measured in compare/test_networks.py."""
    net, x = stack(name)
    flops, memory = measure_flops(net, x, "inference"), measure_memory(net, x, "inference")
    assert flops.fvcore_macs == flops.macs_forward > flops.macs_backward == 0
    assert memory.tracker_peak_bytes == memory.profiler_peak_bytes
    assert memory.saved_bytes == 0
    assert (memory.cache_bytes == 0) == name.startswith("standard")


def test_bad_arguments():
    net, x = nn.Linear(4, 3), torch.rand(2, 4)
    with pytest.raises(ValueError, match="unknown optimizer 'lion'; optimizers: sgd, sgd-momentum, adam, adamw"):
        measure_step(net, x, LABELS, "lion")
    with pytest.raises(ValueError, match=r"labels must be torch\.int64 of shape \(2,\) on the CPU, got torch\.float32"):
        measure_step(net, x, LABELS.float())
    with pytest.raises(ValueError, match=r"of shape \(1,\)"):
        measure_step(net, x, LABELS[:1])
    with pytest.raises(ValueError, match=r"x must be a tensor on the CPU, got torch\.float32 on meta"):
        measure_step(net, x.to("meta"), LABELS)
