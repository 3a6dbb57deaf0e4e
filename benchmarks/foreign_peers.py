"""Layers of other libraries, their costs beside measurement: exact, refused by an error that names why, or wrong.

    python -m benchmarks.foreign_peers --reference PATH --bronet PATH

The libraries are orthogonium and deel-torchlip where they can be imported; the reference, a checkout of
github.com/berndprach/1LipschitzLayersCompared (Prach et al., CVPR 2024); and BRONet, one of github.com/ntuaislab/BRONet
(Lai et al., ICLR 2025). A layer that cannot be built is a line of the table too. Exits with 1 if a cost is wrong.
"""

from __future__ import annotations

import argparse
import importlib
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import nn

from lipcost.costmodel.tape.errors import UnruledFunction
from lipcost.validate.compare.modules import measured_cost, predicted_cost

MODES = ("train", "inference")
IMAGES, VECTORS = (2, 4, 6, 6), (3, 8)
AOC = "orthogonium.layers.conv.AOC"


class Layer(NamedTuple):
    """A layer of somebody else.

    Attributes:
        module: of Python, in which it is.
        name: of its class or function there.
        arguments: that it is built with; "MinMax" stands for BRONet's activation.
        named: likewise.
        shape: of its input.
    """

    module: str
    name: str
    arguments: tuple[Any, ...] = ()
    named: tuple[tuple[str, Any], ...] = ()
    shape: tuple[int, ...] = IMAGES

    @property
    def library(self) -> str:
        """Whose it is."""
        return {"models": "reference", "bronet": "BRONet", "deel": "torchlip"}.get(
            self.module.partition(".")[0], "orthogonium"
        )

    def build(self) -> nn.Module:
        """One with weights from a seed."""
        torch.manual_seed(0)
        arguments = [_min_max() if each == "MinMax" else each for each in self.arguments]
        built: nn.Module = getattr(importlib.import_module(self.module), self.name)(*arguments, **dict(self.named))
        return built


def _min_max() -> nn.Module:
    activation: nn.Module = importlib.import_module("bronet.models.layers").MinMax()
    return activation


CONV, PADDED = (4, 6, 3), (("padding", 1),)
LAYERS = [
    Layer(AOC, "AdaptiveOrthoConv2d", CONV),
    Layer(AOC, "AdaptiveOrthoConvTranspose2d", (4, 6, 2, 2)),
    Layer(f"{AOC}.fast_block_ortho_conv", "FastBlockConv2d", CONV, PADDED),
    Layer(f"{AOC}.rko_conv", "RKOConv2d", (4, 6, 2, 2), (("padding", 0),)),
    Layer(f"{AOC}.bcop_x_rko_conv", "BcopRkoConv2d", (4, 6, 4, 2), PADDED),
    Layer("orthogonium.layers.conv.adaptiveSOC", "AdaptiveSOCConv2d", (4, 4, 3), PADDED),
    Layer("orthogonium.layers.conv.AOL", "AOLConv2D", CONV, (*PADDED, ("padding_mode", "circular"))),
    Layer("orthogonium.layers.conv.SLL", "SDPBasedLipschitzResBlock", (4, 1), (("kernel_size", 3),)),
    Layer("orthogonium.layers", "OrthoLinear", (8, 6), shape=VECTORS),
    Layer("orthogonium.layers", "UnitNormLinear", (8, 6), shape=VECTORS),
    Layer("orthogonium.layers", "MaxMin"),
    Layer("orthogonium.layers", "HouseHolder", (4,)),
    Layer("orthogonium.layers", "HouseHolder_Order_2", (4,)),
    Layer("orthogonium.layers", "BatchCentering2D", (4,)),
    Layer("orthogonium.layers", "LayerCentering2D", (4,)),
    Layer("orthogonium.layers", "ChannelShuffle", (2, 2)),
    *(
        Layer("deel.torchlip.modules", name, arguments, named, shape)
        for name, arguments, named, shape in [
            ("SpectralLinear", (8, 6), (), VECTORS),
            ("FrobeniusLinear", (8, 6), (), VECTORS),
            ("SpectralConv1d", CONV, PADDED, (2, 4, 9)),
            ("SpectralConv2d", CONV, (*PADDED, ("padding_mode", "circular")), IMAGES),
            ("FrobeniusConv2d", CONV, PADDED, IMAGES),
            ("SpectralConvTranspose2d", (4, 6, 2, 2), (), IMAGES),
            ("ScaledAvgPool2d", (2,), (), IMAGES),
            ("ScaledAdaptiveAvgPool2d", ((1, 1),), (), IMAGES),
            ("ScaledL2NormPool2d", (2,), (), IMAGES),
            ("ScaledAdaptativeL2NormPool2d", ((1, 1),), (), IMAGES),
            ("InvertibleDownSampling", (2,), (), IMAGES),
            ("InvertibleUpSampling", (2,), (), IMAGES),
            ("GroupSort", (2,), (), VECTORS),
            ("FullSort", (), (), VECTORS),
            ("MaxMin", (), (), VECTORS),
            ("LPReLU", (4,), (), IMAGES),
            ("HouseHolder", (4,), (), IMAGES),
            ("BatchCentering", (4,), (), IMAGES),
            ("LayerCentering", (4,), (), IMAGES),
            ("BatchLipNorm", (4,), (), IMAGES),
        ]
    ),
    *(
        Layer("models.layers", name, (4, 4, 3))
        for name in (
            "StandardConv2d", "AOLConv2d", "AOLConv2dDirac", "BCOP", "CayleyConv", "CPLConv2d", "ECO", "LOT",
            "SandwichConv", "SLLConv2d", "SOC",
        )
    ),
    *(
        Layer("models.layers", name, (8, 6), shape=VECTORS)
        for name in ("BnBLinear", "BnBLinearBCOP", "CayleyLinear", "SandwichFc")
    ),
    Layer("models.layers", "MaxMin"),
    Layer("bronet.models.backbone", "LiResConv", (4, 2, 6, "MinMax")),
    Layer("bronet.models.backbone", "LiResConvOrtho", (4, 2, 6, "MinMax", "bro")),
    Layer("bronet.models.backbone", "LiResConvOrtho", (4, 2, 6, "MinMax", "cholesky")),
    Layer("bronet.models.backbone", "LiConvSOC", (4, 2, 6, "MinMax")),
    Layer("bronet.models.backbone", "LiConvSLL", (4, 2, 6)),
    Layer("bronet.models.dense", "LiResMLP", (8, 2, "MinMax"), shape=VECTORS),
    Layer("bronet.models.dense", "LiBroMLP", (8, 2, "MinMax"), shape=VECTORS),
]  # fmt: skip


def verdict(layer: Layer, mode: Any) -> tuple[str, str]:
    """What came of it: exact, refused and why, WRONG and what differs as (measured, predicted), or why none."""
    try:
        module, x = layer.build(), torch.rand(layer.shape)
    except (ImportError, AttributeError, TypeError, ValueError, RuntimeError) as error:
        return "not there", _line(error)
    try:
        predicted = predicted_cost(module, x, mode)
    except UnruledFunction as error:
        return "refused", _line(error)
    except Exception as error:  # torch takes what the tape does not
        return "WRONG", f"{type(error).__name__}: {_line(error)}"
    try:
        measured = measured_cost(module, x, mode)
    except Exception as error:
        return "not measured", f"{type(error).__name__}: {_line(error)}"
    unlike = {name: (measured[name], predicted[name]) for name in measured if measured[name] != predicted[name]}
    return ("WRONG", str(unlike)) if unlike else ("exact", "")


def _line(error: Exception) -> str:
    return str(error).partition("\n")[0]


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the table; whether a cost is wrong."""
    parser = argparse.ArgumentParser(description="Costs of other libraries' layers beside measurement.")
    for name in ("reference", "bronet"):
        parser.add_argument(f"--{name}", type=Path, help="path of a checkout")
    given = parser.parse_args(arguments)
    sys.path += [str(path) for path in (given.reference, given.bronet) if path is not None]
    verdicts: Counter[str] = Counter()
    print(f"{'library':12}{'layer':31}{'train':14}{'inference':14}")
    for layer in LAYERS:
        found = {mode: verdict(layer, mode) for mode in MODES}
        verdicts["exact" if all(each == "exact" for each, _ in found.values()) else "not exact"] += 1
        verdicts["WRONG"] += any(each == "WRONG" for each, _ in found.values())
        details = "; ".join(dict.fromkeys(detail for _, detail in found.values() if detail))
        print(f"{layer.library:12}{layer.name:31}" + "".join(f"{each:14}" for each, _ in found.values()) + details)
    print(f"{verdicts['exact']} of {len(LAYERS)} exact in both modes, {verdicts['WRONG']} wrong")
    return int(verdicts["WRONG"] > 0)


if __name__ == "__main__":
    sys.exit(main())
