"""Rules of the family padding beside torch itself."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from one_function import ROWS, STACK, Case, check, check_refused, parametrized, refusals
from torch import Tensor, nn

SIGNAL, IMAGE, VOLUME, VOLUMES = (4, 6), (4, 6, 6), (2, 4, 4, 4), (2, 3, 4, 4, 4)


def innermost(x: Tensor) -> Tensor:
    """A batch of volumes whose channels lie innermost."""
    return x.to(memory_format=torch.channels_last_3d)


CASES: dict[str, Case] = {
    "pad": Case(lambda x: F.pad(x, (1, 2, 3, 4))),
    "reflect": Case(lambda x: F.pad(x, (1, 2, 3, 4), mode="reflect")),
    "replicate": Case(lambda x: F.pad(x, (1, 2, 3, 4), mode="replicate")),
    "circular": Case(lambda x: F.pad(x, (1, 2, 3, 4), mode="circular")),
    "pad 1": Case(lambda x: F.pad(x, (1, 2), mode="reflect"), STACK, layouts="plain t step"),
    "pad 2": Case(lambda x: F.pad(x, (1, 2), mode="reflect"), SIGNAL, layouts="plain t step"),
    "pad 3": Case(lambda x: F.pad(x, (1, 2), mode="replicate"), STACK, layouts="plain t step"),
    "pad 4": Case(lambda x: F.pad(x, (1, 2), mode="replicate"), SIGNAL, layouts="plain t step"),
    "pad 5": Case(lambda x: F.pad(x, (1, 2), mode="circular"), STACK, layouts="plain t step"),
    "pad 6": Case(lambda x: F.pad(x, (1, 2), mode="circular"), SIGNAL, layouts="plain t step"),
    "pad 7": Case(lambda x: F.pad(x, (1, -2), mode="circular"), STACK, layouts="plain t step"),
    "pad 8": Case(lambda x: F.pad(x, (0, 0), mode="circular"), STACK, layouts="plain t step"),
    "pad 9": Case(lambda x: F.pad(x, (1, 0, 0, 2), mode="circular"), layouts="plain t cl step"),
    "pad 10": Case(lambda x: F.pad(x, (1, 0, -1, 2), mode="circular"), layouts="plain t cl step"),
    "pad 11": Case(lambda x: F.pad(x, (1, 0, -1, 2), mode="circular"), IMAGE, layouts="plain t step"),
    "pad 12": Case(lambda x: F.pad(x, (1, 2, 1, 1, 1, 1), mode="circular"), VOLUMES),
    "pad 13": Case(lambda x: F.pad(x, (1, 2, 1, 1, 1, 1), mode="circular"), (2, 4, 4, 4), layouts="plain t"),
    "pad(x, (1,2,1,1,1,1), mode=reflect) of 5 axes": Case(
        lambda x: F.pad(x, (1, 2, 1, 1, 1, 1), mode="reflect"), VOLUMES
    ),
    "pad 14": Case(lambda x: F.pad(x, (1, 2, 1, 1, 1, 1), mode="replicate"), VOLUMES),
    "pad 15": Case(lambda x: F.pad(innermost(x), (1, 2, 1, 1, 1, 1), mode="reflect"), VOLUMES),
    "pad 16": Case(lambda x: F.pad(innermost(x), (1, 2, 1, 1, 1, 1), mode="replicate"), VOLUMES),
    "pad(x.to(innermost), (1,2,1,1,1,1)) of 5 axes": Case(lambda x: F.pad(innermost(x), (1, 2, 1, 1, 1, 1)), VOLUMES),
    "pad(x.to(innermost), (-1,-1)) of 5 axes": Case(lambda x: F.pad(innermost(x), (-1, -1)), VOLUMES),
    "pad 17": Case(lambda x: F.pad(x, (1, 2, 1, 1, 1, 1), mode="reflect"), (2, 4, 4, 4), layouts="plain t cl"),
    "pad 18": Case(lambda x: F.pad(x, (1, 2, 1, 1, 1, 1), mode="replicate"), (2, 4, 4, 4), layouts="plain t cl"),
    "pad(x, (1,2,1,1), mode=replicate) of 3 axes": Case(lambda x: F.pad(x, (1, 2, 1, 1), mode="replicate"), (2, 4, 4)),
    "pad(x, (1,2,1,1), mode=reflect) of 3 axes": Case(lambda x: F.pad(x, (1, 2, 1, 1), mode="reflect"), (2, 4, 4)),
    "pad 19": Case(lambda x: F.pad(x, (1, 2, 1, 1), mode="reflect"), layouts="plain t cl step wide"),
    "pad 20": Case(lambda x: F.pad(x, (1, 2, 1, 1), mode="replicate"), layouts="plain t cl step wide"),
    "pad(x, (1,2,1,1))": Case(lambda x: F.pad(x, (1, 2, 1, 1)), layouts="plain t cl step wide"),
    "pad(x, (0,0,0,0))": Case(lambda x: F.pad(x, (0, 0, 0, 0)), layouts="plain t cl step wide"),
    "pad(x, (1,2,1,-1), value=2.0)": Case(lambda x: F.pad(x, (1, 2, 1, -1), value=2.0), layouts="plain t cl step wide"),
    "pad(x, (1,2,1,1,1,1,1,1))": Case(lambda x: F.pad(x, (1, 2, 1, 1, 1, 1, 1, 1)), layouts="plain t cl step wide"),
    "pad(x, (1,2)) of 1 axes": Case(lambda x: F.pad(x, (1, 2)), (6,), layouts="plain step wide"),
    "pad 21 in complex64": Case(lambda x: F.pad(x, (1, 2)), (6,), layouts="plain step wide", dtype=torch.complex64),
    "pad 22 in bfloat16": Case(
        lambda x: F.pad(x, (1, 2), mode="reflect"), STACK, layouts="plain", dtype=torch.bfloat16
    ),
    "constant_pad_nd(x, (1,2)) of 3 axes": Case(lambda x: torch.constant_pad_nd(x, (1, 2)), STACK, layouts="plain"),
    "channel_shuffle(x, 2)": Case(lambda x: F.channel_shuffle(x, 2), layouts="plain t cl step"),
    "channel_shuffle(x, 2) of 3 axes": Case(lambda x: F.channel_shuffle(x, 2), STACK, layouts="plain t step"),
    "channel_shuffle(x, 2) of 5 axes": Case(lambda x: F.channel_shuffle(x, 2), (2, 4, 3, 3, 3)),
    "pixel_shuffle(x, 2) of 3 axes": Case(lambda x: F.pixel_shuffle(x, 2), (4, 3, 3), layouts="plain t step"),
    "pixel_unshuffle(x, 2) of 3 axes": Case(lambda x: F.pixel_unshuffle(x, 2), IMAGE, layouts="plain t step"),
    "pixel_shuffle(x, 2) of 5 axes": Case(lambda x: F.pixel_shuffle(x, 2), (2, 3, 4, 3, 3), layouts="plain t step"),
    "pixel_unshuffle 1": Case(lambda x: F.pixel_unshuffle(x, 2), (2, 3, 4, 6, 6), layouts="plain t step"),
    "pixel_unshuffle(x, 2)": Case(lambda x: F.pixel_unshuffle(x, 2), layouts="plain t step cl"),
    "pixel_shuffle(x, 2)": Case(lambda x: F.pixel_shuffle(x, 2), layouts="plain t step cl"),
}

MODULES: dict[str, Callable[[], nn.Module]] = {
    "ConstantPad2d": lambda: nn.ConstantPad2d(1, 3.5),
    "ZeroPad2d": lambda: nn.ZeroPad2d((1, 0, 2, 0)),
    "ReflectionPad2d": lambda: nn.ReflectionPad2d(2),
    "ReplicationPad2d": lambda: nn.ReplicationPad2d(2),
    "CircularPad2d": lambda: nn.CircularPad2d((1, 0, 2, 1)),
    "PixelShuffle": lambda: nn.PixelShuffle(2),
    "PixelUnshuffle": lambda: nn.PixelUnshuffle(3),
    "ChannelShuffle": lambda: nn.ChannelShuffle(2),
}

# Of other shapes than images.
OTHERS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    f"{kind}Pad{sides}d": (lambda kind=kind, sides=sides: getattr(nn, f"{kind}Pad{sides}d")(1), shape)
    for kind in ("Zero", "Reflection", "Replication", "Circular")
    for sides, shape in ((1, STACK), (3, VOLUMES))
}

REFUSED: dict[str, list[Case]] = {
    "a tensor with 2 axes": [Case(lambda x: F.pad(x, (1, 1, 1, 1), mode="reflect"), ROWS)],
    "no padding mode 'mirror'": [Case(lambda x: F.pad(x, (1, 1), mode="mirror"), ROWS)],
    "channels of pixel_shuffle": [Case(lambda x: F.pixel_shuffle(x, 3), (3, 4, 6, 6))],
    "multiples": [Case(lambda x: F.pixel_unshuffle(x, 4), (3, 4, 6, 6))],
}


@parametrized(CASES, MODULES, OTHERS)
def test_a_rule_is_what_torch_does(make: Callable[[], nn.Module] | None, case: Case, layout: str) -> None:
    check(make, case, layout)


@refusals(REFUSED)
def test_what_is_refused(message: str, case: Case) -> None:
    check_refused(message, case)
