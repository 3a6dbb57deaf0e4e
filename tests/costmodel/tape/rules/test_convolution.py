"""Rules of the family convolution beside torch itself."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from one_function import STACK, Case, check, check_refused, parametrized, refusals
from torch import Tensor, nn

SIGNAL, IMAGE, BLOCK, BLOCKS = (4, 6), (4, 6, 6), (4, 4, 3, 5), (2, 4, 4, 3, 5)


def innermost(x: Tensor) -> Tensor:
    """A batch of volumes whose channels lie innermost."""
    return x.to(memory_format=torch.channels_last_3d)


CASES: dict[str, Case] = {
    "conv1d of 3 axes": Case(F.conv1d, STACK, ((5, 4, 3), (5,)), layouts="plain t step"),
    "conv2d": Case(F.conv2d, parameters=((5, 4, 3, 3), (5,)), layouts="plain cl t step wide"),
    "conv2d in float64": Case(F.conv2d, parameters=((5, 4, 3, 3), (5,)), dtype=torch.float64),
    "conv2d in bfloat16": Case(F.conv2d, parameters=((5, 4, 3, 3), (5,)), dtype=torch.bfloat16),
    "conv1d of 3 axes in bfloat16": Case(F.conv1d, STACK, ((5, 4, 3), (5,)), dtype=torch.bfloat16),
    "conv3d of 5 axes": Case(F.conv3d, BLOCKS, ((5, 4, 3, 3, 3), (5,)), layouts="plain t step"),
    "conv3d of 5 axes in float64": Case(F.conv3d, BLOCKS, ((5, 4, 3, 3, 3), (5,)), dtype=torch.float64),
    "conv3d of 5 axes in bfloat16": Case(F.conv3d, BLOCKS, ((5, 4, 3, 3, 3), (5,)), dtype=torch.bfloat16),
    "conv2d 1": Case(lambda x, w: F.conv2d(x, w, groups=2, padding=1, stride=2), parameters=((6, 2, 3, 3),)),
    "conv2d 2 in float64": Case(
        lambda x, w: F.conv2d(x, w, groups=2, padding=1, stride=2), parameters=((6, 2, 3, 3),), dtype=torch.float64
    ),
    "conv2d 3": Case(lambda x, w: F.conv2d(x, w, groups=4, padding=1), parameters=((4, 1, 3, 3),)),
    "conv2d 4 in float64": Case(
        lambda x, w: F.conv2d(x, w, groups=4, padding=1), parameters=((4, 1, 3, 3),), dtype=torch.float64
    ),
    "conv2d(x, w, dilation=2)": Case(lambda x, w: F.conv2d(x, w, dilation=2), parameters=((6, 4, 3, 3),)),
    "conv2d 5 in float64": Case(
        lambda x, w: F.conv2d(x, w, dilation=2), parameters=((6, 4, 3, 3),), dtype=torch.float64
    ),
    "conv3d 1 in float64": Case(
        lambda x, w: F.conv3d(x, w, dilation=2), (2, 4, 5, 5, 5), ((6, 4, 2, 2, 2),), dtype=torch.float64
    ),
    "conv2d(x, w, padding=same)": Case(lambda x, w: F.conv2d(x, w, padding="same"), parameters=((6, 4, 3, 3),)),
    "conv2d(x, w, padding=same) again": Case(lambda x, w: F.conv2d(x, w, padding="same"), parameters=((6, 4, 4, 2),)),
    "conv2d 6": Case(lambda x, w, b: F.conv2d(x, w, b, padding="same"), parameters=((6, 4, 4, 2), (6,))),
    "conv2d(x, w, padding=same) of 3 axes": Case(lambda x, w: F.conv2d(x, w, padding="same"), IMAGE, ((6, 4, 4, 2),)),
    "conv1d(x, w, padding=same) of 3 axes": Case(lambda x, w: F.conv1d(x, w, padding="same"), STACK, ((6, 4, 2),)),
    "conv3d 2": Case(lambda x, w: F.conv3d(x, w, padding="same"), (2, 4, 3, 4, 5), ((6, 4, 2, 3, 2),)),
    "conv2d(x, w, padding=valid)": Case(lambda x, w: F.conv2d(x, w, padding="valid"), parameters=((6, 4, 3, 3),)),
    "conv2d 7": Case(lambda x, w: F.conv2d(x, w, padding="same", dilation=(1, 2)), parameters=((6, 4, 2, 4),)),
    "conv2d 8": Case(lambda x, w: F.conv2d(x, w, padding=(1, 0), stride=(2, 1)), parameters=((6, 4, 3, 3),)),
    "convolution 1": Case(
        lambda x, w: torch.convolution(x, w, None, (1, 1), (0, 0), (1, 1), False, (0, 0), 1), parameters=((6, 4, 3, 3),)
    ),
    "convolution 2": Case(
        lambda x, w: torch.convolution(x, w, None, (2, 2), (0, 0), (1, 1), True, (1, 1), 1), parameters=((4, 6, 3, 3),)
    ),
    "conv2d 9": Case(lambda x, w: F.conv2d(x, w.detach()) * w.sum(), parameters=((6, 4, 3, 3),)),
    "conv2d 10": Case(lambda x, w, b: F.conv2d(x, w.detach(), b) * w.sum(), parameters=((6, 4, 3, 3), (6,))),
    "conv2d 11 in float64": Case(
        lambda x, w, b: F.conv2d(x, w.detach(), b) * w.sum(), parameters=((6, 4, 3, 3), (6,)), dtype=torch.float64
    ),
    "conv2d 12 in bfloat16": Case(
        lambda x, w, b: F.conv2d(x, w.detach(), b) * w.sum(), parameters=((6, 4, 3, 3), (6,)), dtype=torch.bfloat16
    ),
    "conv2d 13": Case(lambda x, w, b: F.conv2d(x, w.detach(), b) * w.sum(), (1, 4, 6, 6), ((6, 4, 3, 3), (6,))),
    "conv2d 14": Case(lambda x, w, b: F.conv2d(x, w.detach(), b) * w.sum(), (1, 4, 6, 6), ((6, 4, 1, 1), (6,))),
    "conv2d 15": Case(lambda x, w, b: F.conv2d(x, w.detach(), b) * w.sum(), parameters=((6, 4, 1, 1), (6,))),
    "conv2d 16": Case(
        lambda x, w, b: F.conv2d(x, w.detach(), b, stride=2) * w.sum(), (1, 4, 6, 6), ((6, 4, 1, 1), (6,))
    ),
    "conv2d 17": Case(
        lambda x, w, b: F.conv2d(x, w.detach(), b, groups=2) * w.sum(), (1, 4, 6, 6), ((6, 2, 1, 1), (6,))
    ),
    "conv1d 1": Case(lambda x, w, b: F.conv1d(x, w.detach(), b) * w.sum(), STACK, ((6, 4, 3), (6,))),
    "conv1d 2": Case(lambda x, w, b: F.conv1d(x, w.detach(), b) * w.sum(), STACK, ((6, 4, 1), (6,))),
    "conv1d 3": Case(lambda x, w, b: F.conv1d(x, w.detach(), b) * w.sum(), (1, 4, 6), ((6, 4, 3), (6,))),
    "conv1d 4": Case(lambda x, w, b: F.conv1d(x, w.detach(), b) * w.sum(), (17, 4, 6), ((6, 4, 1), (6,))),
    "conv3d 3": Case(lambda x, w, b: F.conv3d(x, w.detach(), b) * w.sum(), (3, 4, 3, 3, 3), ((6, 4, 3, 3, 3), (6,))),
    "conv3d 4": Case(lambda x, w, b: F.conv3d(x, w.detach(), b) * w.sum(), (1, 4, 3, 3, 3), ((6, 4, 3, 3, 3), (6,))),
    "conv3d 5": Case(lambda x, w, b: F.conv3d(x, w.detach(), b) * w.sum(), (1, 4, 5, 5, 5), ((6, 4, 4, 4, 4), (6,))),
    "conv3d 6": Case(lambda x, w, b: F.conv3d(x, w.detach(), b) * w.sum(), (3, 4, 3, 3, 3), ((6, 4, 1, 1, 1), (6,))),
    "conv_transpose1d of 3 axes": Case(F.conv_transpose1d, STACK, ((4, 5, 3), (5,)), layouts="plain t step"),
    "conv_transpose1d of 2 axes": Case(F.conv_transpose1d, SIGNAL, ((4, 5, 3), (5,)), layouts="plain t step"),
    "conv_transpose2d": Case(F.conv_transpose2d, parameters=((4, 5, 3, 3), (5,)), layouts="plain cl t step"),
    "conv_transpose2d of 3 axes": Case(F.conv_transpose2d, IMAGE, ((4, 5, 3, 3), (5,)), layouts="plain t step"),
    "conv_transpose2d 1 in float64": Case(
        F.conv_transpose2d, parameters=((4, 5, 3, 3), (5,)), layouts="plain cl t step", dtype=torch.float64
    ),
    "conv_transpose2d 2 in bfloat16": Case(
        F.conv_transpose2d, parameters=((4, 5, 3, 3), (5,)), layouts="plain cl t step", dtype=torch.bfloat16
    ),
    "conv_transpose3d of 5 axes": Case(F.conv_transpose3d, BLOCKS, ((4, 5, 3, 3, 3), (5,)), layouts="plain t step"),
    "conv_transpose3d 1 in float64": Case(
        F.conv_transpose3d, BLOCKS, ((4, 5, 3, 3, 3), (5,)), layouts="plain t step", dtype=torch.float64
    ),
    "conv_transpose3d of 4 axes": Case(F.conv_transpose3d, BLOCK, ((4, 5, 3, 3, 3), (5,)), layouts="plain t step"),
    "conv_transpose2d 3": Case(
        lambda x, w: F.conv_transpose2d(x, w, stride=2, padding=1, output_padding=1, groups=2, dilation=2),
        parameters=((4, 5, 3, 3),),
    ),
    "conv_transpose2d 4 in float64": Case(
        lambda x, w: F.conv_transpose2d(x, w, stride=2, padding=1, output_padding=1, groups=2, dilation=2),
        parameters=((4, 5, 3, 3),),
        dtype=torch.float64,
    ),
    "conv_transpose2d 5": Case(
        lambda x, w, b: F.conv_transpose2d(x, w.detach(), b) * w.sum(), parameters=((4, 6, 3, 3), (6,))
    ),
    "conv_transpose2d 6": Case(
        lambda x, w, b: F.conv_transpose2d(x, w.detach(), b) * w.sum(), parameters=((4, 6, 1, 1), (6,))
    ),
    "conv_transpose2d 7": Case(
        lambda x, w, b: F.conv_transpose2d(x, w.detach(), b) * w.sum(), (1, 4, 6, 6), ((4, 6, 3, 3), (6,))
    ),
    "conv_transpose2d 8": Case(
        lambda x, w, b: F.conv_transpose2d(x, w.detach(), b, stride=2) * w.sum(), (1, 4, 6, 6), ((4, 6, 3, 3), (6,))
    ),
    "conv_transpose1d 1": Case(
        lambda x, w, b: F.conv_transpose1d(x, w.detach(), b) * w.sum(), STACK, ((4, 6, 3), (6,))
    ),
    "conv_transpose3d 2": Case(
        lambda x, w, b: F.conv_transpose3d(x, w.detach(), b) * w.sum(), (2, 4, 3, 3, 3), ((4, 6, 3, 3, 3), (6,))
    ),
    "conv1d of 2 axes": Case(F.conv1d, SIGNAL, ((5, 4, 3), (5,)), layouts="plain t step"),
    "conv2d of 3 axes": Case(F.conv2d, IMAGE, ((5, 4, 3, 3), (5,)), layouts="plain t step"),
    "conv3d of 4 axes": Case(F.conv3d, BLOCK, ((5, 4, 3, 3, 3), (5,)), layouts="plain t step"),
    "conv1d 5": Case(lambda x, w: F.conv1d(x, w, padding="same"), STACK, ((6, 4, 2),)),
    "conv3d 7": Case(lambda x, w: F.conv3d(innermost(x), w), BLOCKS, ((5, 4, 3, 3, 3),), layouts="plain"),
    "conv3d 8": Case(lambda x, w: F.conv3d(innermost(x), w), (1, 4, 4, 3, 5), ((5, 4, 3, 3, 3),), layouts="plain"),
    "conv3d 9 in float64": Case(
        lambda x, w: F.conv3d(innermost(x), w), BLOCKS, ((5, 4, 3, 3, 3),), layouts="plain", dtype=torch.float64
    ),
    "conv3d 10 in bfloat16": Case(
        lambda x, w: F.conv3d(innermost(x), w), BLOCKS, ((5, 4, 3, 3, 3),), layouts="plain", dtype=torch.bfloat16
    ),
    "conv3d 11 in float16": Case(
        lambda x, w: F.conv3d(innermost(x), w), BLOCKS, ((5, 4, 3, 3, 3),), layouts="plain", dtype=torch.float16
    ),
    "conv2d(x, w) in float16": Case(F.conv2d, parameters=((5, 4, 3, 3),), dtype=torch.float16),
    "conv2d 18 in float16": Case(
        lambda x, w, b: F.conv2d(x, w.detach(), b) * w.sum(), parameters=((5, 4, 3, 3), (5,)), dtype=torch.float16
    ),
    "conv2d 19 in bfloat16": Case(
        lambda x, w, b: F.conv2d(x, w.detach(), b) * w.sum(), parameters=((5, 4, 3, 3), (5,)), dtype=torch.bfloat16
    ),
    "conv3d 12": Case(lambda x, w: F.conv3d(x, innermost(w)), BLOCKS, ((5, 4, 3, 3, 3),), layouts="plain"),
    "conv2d 20": Case(
        lambda x, w: F.conv2d(x, w.to(memory_format=torch.channels_last)), parameters=((5, 4, 3, 3),), layouts="plain"
    ),
    "conv1d 6": Case(lambda x, w, b: F.conv1d(x, w.detach(), b) * w.sum(), (1, 4, 7), ((6, 4, 5), (6,))),
    "conv1d 7": Case(lambda x, w, b: F.conv1d(x, w.detach(), b, stride=2) * w.sum(), (1, 4, 7), ((6, 4, 5), (6,))),
    "conv_transpose2d 9": Case(
        lambda x, w, b: F.conv_transpose2d(x, w.detach(), b, stride=1, output_padding=1, dilation=2) * w.sum(),
        parameters=((4, 6, 3, 3), (6,)),
    ),
    "conv_transpose3d 3": Case(
        lambda x, w, b: F.conv_transpose3d(innermost(x), w, b, stride=2, output_padding=1),
        (2, 4, 3, 3, 3),
        ((4, 6, 3, 3, 3), (6,)),
    ),
    "conv2d 21": Case(
        lambda x, w, b: F.conv2d(x.detach(), w.detach(), b) * w.sum() + x.sum(), parameters=((6, 4, 3, 3), (6,))
    ),
    "conv2d 22": Case(lambda x, w: F.conv2d(x.detach(), w) + x.sum(), parameters=((6, 4, 3, 3),)),
    "conv2d 23 in float64": Case(
        lambda x, w: F.conv2d(x, w, dilation=2), (1, 4, 6, 6), ((6, 4, 3, 3),), dtype=torch.float64
    ),
    "conv2d(x, w, dilation=2) of 4 axes": Case(lambda x, w: F.conv2d(x, w, dilation=2), (1, 4, 6, 6), ((6, 4, 3, 3),)),
    "conv2d 24": Case(lambda x, w: F.conv2d(x, w, groups=4, padding=1), (1, 4, 6, 6), ((8, 1, 3, 3),)),
    "conv2d 25 in float64": Case(
        lambda x, w: F.conv2d(x, w, groups=4, padding=1), (1, 4, 6, 6), ((8, 1, 3, 3),), dtype=torch.float64
    ),
    "conv2d 26 in float64": Case(
        lambda x, w: F.conv2d(x, w, groups=2, padding=1), (2, 4, 6, 6), ((8, 2, 1, 1),), dtype=torch.float64
    ),
    "conv_transpose2d 10 in float64": Case(
        lambda x, w: F.conv_transpose2d(x, w, groups=2), (2, 4, 6, 6), ((4, 2, 3, 3),), dtype=torch.float64
    ),
    "unfold(x, 3)": Case(lambda x: F.unfold(x, 3), layouts="plain t cl step"),
    "unfold(x, (3,2), 1, 1, 2)": Case(lambda x: F.unfold(x, (3, 2), 1, 1, 2), layouts="plain t cl step"),
    "unfold(x, 5, stride=3), smaller than x": Case(lambda x: F.unfold(x, 5, stride=3), layouts="plain t"),
    "fold(x, 6, 5, stride=3), larger": Case(lambda x: F.fold(x, 6, 5, stride=3), (3, 25, 1), layouts="plain"),
    "unfold(x, 3) of 3 axes": Case(lambda x: F.unfold(x, 3), IMAGE, layouts="plain t step"),
    "unfold into fewer": Case(lambda x: F.unfold(x, 2, stride=2), (2, 3, 2, 3), layouts="plain"),
    "fold(x, (6,6), 3) of 3 axes": Case(lambda x: F.fold(x, (6, 6), 3), (3, 36, 16), layouts="plain t step"),
    "fold(x, 6, 2, stride=2) of 3 axes": Case(lambda x: F.fold(x, 6, 2, stride=2), (3, 8, 9), layouts="plain t step"),
    "fold(x, (6,6), 3) of 2 axes": Case(lambda x: F.fold(x, (6, 6), 3), (36, 16), layouts="plain t step"),
    "fold 1 in bfloat16": Case(lambda x: F.fold(x, (6, 6), 3), (36, 16), layouts="plain", dtype=torch.bfloat16),
    "unfold(x, 3) in complex64": Case(lambda x: F.unfold(x, 3), layouts="plain", dtype=torch.complex64),
}

MODULES: dict[str, Callable[[], nn.Module]] = {
    "Conv2d": lambda: nn.Conv2d(4, 6, 3, stride=2, padding=1, groups=2, bias=False),
    "Conv2d same": lambda: nn.Conv2d(4, 6, 4, padding="same", padding_mode="circular"),
    "Conv2d frozen": lambda: nn.Conv2d(4, 6, 3).requires_grad_(False),
    "Conv2d of which the bias is trained": lambda: _frozen_weight(nn.Conv2d(4, 6, 3)),
    "ConvTranspose2d": lambda: nn.ConvTranspose2d(4, 6, 3, stride=2, output_padding=1),
    "Unfold": lambda: nn.Unfold(3, padding=1),
    **{f"Conv2d {mode}": lambda mode=mode: nn.Conv2d(4, 5, 3, padding=1, padding_mode=mode)
       for mode in ("zeros", "reflect", "replicate", "circular")},
}  # fmt: skip

# Of other shapes than images.
OTHERS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "Conv1d": (lambda: nn.Conv1d(4, 5, 3, padding="same"), STACK),
    "Conv1d of a signal": (lambda: nn.Conv1d(4, 5, 3), SIGNAL),
    "ConvTranspose1d": (lambda: nn.ConvTranspose1d(4, 5, 3), STACK),
    "Conv3d": (lambda: nn.Conv3d(4, 5, 2, dilation=2), BLOCKS),
    "ConvTranspose3d": (lambda: nn.ConvTranspose3d(4, 5, 2, stride=2), BLOCKS),
    "Fold": (lambda: nn.Fold((6, 6), 3), (3, 36, 16)),
    **{f"Conv1d {mode}": (lambda mode=mode: nn.Conv1d(4, 5, 3, padding=1, padding_mode=mode), STACK)
       for mode in ("reflect", "replicate", "circular")},
    **{f"Conv3d {mode}": (lambda mode=mode: nn.Conv3d(4, 5, 3, padding=1, padding_mode=mode), BLOCKS)
       for mode in ("reflect", "replicate", "circular")},
}  # fmt: skip

REFUSED: dict[str, list[Case]] = {
    "complex numbers": [Case(nn.Conv2d(4, 5, 3, dtype=torch.complex64), (3, 4, 6, 6), dtype=torch.complex64)],
    "an uninitialized parameter": [Case(nn.LazyConv2d(5, 3), (3, 4, 6, 6))],
    "rank": [Case(nn.Conv2d(4, 5, 3), (4, 6))],
    "larger than the padded image": [Case(nn.Conv2d(4, 5, 3), (1, 4, 2, 2))],
}


def _frozen_weight(layer: nn.Conv2d) -> nn.Conv2d:
    layer.weight.requires_grad_(False)
    return layer


@parametrized(CASES, MODULES, OTHERS)
def test_a_rule_is_what_torch_does(make: Callable[[], nn.Module] | None, case: Case, layout: str) -> None:
    check(make, case, layout)


@refusals(REFUSED)
def test_what_is_refused(message: str, case: Case) -> None:
    check_refused(message, case)


@pytest.mark.parametrize("case", [
    Case(lambda x, w, b: F.conv2d(x, w.detach(), b) * w.sum(), parameters=((5, 4, 3, 3), (5,))),
    Case(lambda x, w: F.conv3d(innermost(x), w), BLOCKS, ((5, 4, 3, 3, 3),)),
], ids=["of which the bias is trained", "of volumes"])  # fmt: skip
def test_a_convolution_without_one_dnn(case: Case) -> None:
    with torch.backends.mkldnn.flags(enabled=False):
        check(None, case, "plain")
