"""What a class declares is what its constructor takes, and what its signature shows."""

from __future__ import annotations

import inspect
from typing import Any, ClassVar

import pytest
import torch
from torch._dynamo.source import ConstantSource
from torch.fx.experimental.symbolic_shapes import DimDynamic, ShapeEnv

from lipcost.layers import LAYERS, LINEARS, AOLConv2d, BCOPConv2d, CPLConv2d
from lipcost.layers.base.checks import positive
from lipcost.layers.networks.heads import PublishedBjorckLinear

CLASSES = [*LAYERS.values(), *LINEARS.values(), PublishedBjorckLinear]
CHANNELS = [["in_channels", "out_channels", "kernel_size"], ["in_features", "out_features"]]


class Ranked(AOLConv2d):
    """A method with a size of its own."""

    name = "ranked"
    counts: ClassVar = {"iterations": 3}
    sizes: ClassVar = {"rank": lambda c_in, c_out: min(c_in, c_out) // 2}


def arguments(cls: type) -> list[int]:
    return [4, 4, 3][: len(CHANNELS[cls not in LAYERS.values()])]


@pytest.mark.parametrize("cls", CLASSES)
def test_signature_names_every_keyword(cls: Any) -> None:
    parameters = inspect.signature(cls).parameters
    assert [name for name, p in parameters.items() if p.default is p.empty] in CHANNELS
    assert not any(p.kind is p.VAR_KEYWORD for p in parameters.values())
    assert {name: parameters[name].default for name in cls.counts} == dict(cls.counts)
    defaults = {name: p.default for name, p in parameters.items() if p.default is not p.empty}
    assert defaults["bias"] is True
    assert defaults["device"] is defaults["dtype"] is None
    layer = cls(*arguments(cls), **defaults)  # each of them is taken
    assert {name: getattr(layer, name) for name in cls.counts} == dict(cls.counts)


def test_signature_of_a_method() -> None:
    names = ["in_channels", "out_channels", "kernel_size", "iterations", "stride", "padding_mode"]
    assert [*inspect.signature(BCOPConv2d).parameters] == [*names, "bias", "device", "dtype", "algorithm"]
    assert inspect.signature(BCOPConv2d).parameters["iterations"].default == 7


def test_a_layer_is_called_with_anything() -> None:
    """As torch.nn.Module says: the class's signature is no signature of the layer."""
    assert inspect.signature(BCOPConv2d(2, 2, 3)) == inspect.signature(torch.nn.Identity())


@pytest.mark.parametrize("cls", CLASSES)
def test_counts_are_attributes(cls: Any) -> None:
    given = {name: i for i, name in enumerate(cls.counts, 2)}
    layer = cls(*arguments(cls), **given)
    assert {name: getattr(layer, name) for name in given} == given


@pytest.mark.parametrize(("given", "rank"), [({}, 2), ({"rank": None}, 2), ({"rank": 5}, 5), ({"stride": 2}, 3)])
def test_sizes_have_defaults_of_the_channels(given: dict[str, Any], rank: int) -> None:
    assert Ranked(4, 6, 3, **given).rank == rank  # with stride=2 it acts on 16 channels


@pytest.mark.parametrize("given", [{"rank": 0}, {"rank": 1.0}, {"iterations": None}, {"iterations": True}])
def test_options_are_positive_integers(given: dict[str, Any]) -> None:
    (name,) = given
    with pytest.raises(ValueError, match=f"^{name} must be a positive integer, got {given[name]}$"):
        Ranked(4, 6, 3, **given)


@pytest.mark.parametrize(
    ("cls", "own"), [(CPLConv2d, "its own are iterations, eval_iterations"), (AOLConv2d, "it has none of its own")]
)
def test_unknown_keywords_are_refused_with_the_known_ones(cls: type, own: str) -> None:
    with pytest.raises(TypeError, match=f"^{cls.__name__} got an unexpected keyword argument 'terms'; {own}$"):
        cls(4, 4, 3, terms=3)


def test_symbols_are_integers() -> None:
    """A size that is not known yet stays one: here torch's own node of the integer 6 stands for it."""
    shape_env = ShapeEnv()
    symbol = shape_env.create_symbol(6, ConstantSource("c"), dynamic_dim=DimDynamic.DYNAMIC)
    c = shape_env.create_symintnode(symbol, hint=6)
    assert isinstance(c, torch.SymInt)
    assert positive("c", c) is c  # type: ignore[comparison-overlap]
    layer = AOLConv2d(c, c, 3, device="meta")  # type: ignore[arg-type]
    assert isinstance(layer.weight.shape[0], torch.SymInt)
    assert not shape_env.replacements  # it was not made the number 6


@pytest.mark.parametrize("cls", CLASSES)
def test_parameters_without_values_are_not_initialised(cls: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cls, "reset_parameters", lambda self: pytest.fail("initialised"))
    layer = cls(*arguments(cls), device="meta")
    assert all(t.is_meta for t in (*layer.parameters(), *layer.buffers()))
