"""One line a method: the names are there without the classes, the classes are what their lines say."""

from __future__ import annotations

import pickle
from unittest import mock

import pytest
from torch import nn

from lipcost import layers
from lipcost.layers import LAYERS, LINEARS, AOLConv2d, LipschitzConv2d, find_layer
from lipcost.layers.base.conv2d import Conv2d
from lipcost.layers.base.layer import LIPSCHITZ, NONE, ORTHOGONAL
from lipcost.layers.methods import registry
from lipcost.layers.methods.registry import CLASSES, DEFAULTS, PUBLISHED


def test_names() -> None:
    assert [*LAYERS] == [*DEFAULTS, *(name + PUBLISHED for name in DEFAULTS)]
    assert len(LAYERS) == 2 * len(DEFAULTS)
    assert "soc" in LAYERS
    assert "soc/published" in LAYERS
    assert "socks" not in LAYERS


@pytest.mark.parametrize("name", LAYERS)
def test_classes_say_what_they_are(name: str) -> None:
    cls, method = LAYERS[name], name.removesuffix(PUBLISHED)
    assert issubclass(cls, LipschitzConv2d)
    assert cls.__name__ == CLASSES[method][name != method]
    assert cls.name == name
    own = f"lipcost.layers.methods.{method}"  # where a published algorithm may stand beside the library's
    assert cls.__module__ in {own, *([own.replace(method, f"published.{method}")] if name != method else [])}
    assert cls.title == LAYERS[method].title + (", published" if name != method else "")
    assert all(cls.promises(k, training) in (ORTHOGONAL, LIPSCHITZ, NONE) for k in (1, 3) for training in (True, False))
    assert set(cls.padding_modes) <= {"circular", "zeros"}
    assert cls.__doc__


def test_methods_are_told_apart_in_plots() -> None:
    looks = [(LAYERS[name].colour, LAYERS[name].marker) for name in DEFAULTS]
    assert [len(set(column)) for column in zip(*looks, strict=True)] == [len(DEFAULTS)] * 2


@pytest.mark.parametrize("name", DEFAULTS)
def test_front_page_has_every_own_class(name: str) -> None:
    own = LAYERS[name]
    assert getattr(layers, own.__name__) is own
    assert {own.__name__, LINEARS[name].__name__} <= set(dir(layers))
    assert issubclass(own, Conv2d)


@pytest.mark.parametrize("name", DEFAULTS)
def test_linears_are_classes_like_any_other(name: str) -> None:
    cls = LINEARS[name]
    assert pickle.loads(pickle.dumps(cls)) is cls is getattr(layers, cls.__name__)
    assert cls.__doc__.startswith(f"{LAYERS[name].title} on vectors")
    assert (cls.name, cls.title) == (name, LAYERS[name].title)


@pytest.mark.parametrize("name", ["socks", "soc/own", "/published", "", "SOC"])
def test_unknown_names(name: str) -> None:
    for classes in (LAYERS, LINEARS):
        with pytest.raises(KeyError, match=name):
            classes[name]
    with pytest.raises(ValueError, match=rf"^unknown method '{name}'.*; methods: standard, aol, bcop, "):
        find_layer(name)


def test_a_near_match_is_named() -> None:
    with pytest.raises(ValueError, match=r"^unknown method 'caley' \(did you mean 'cayley'\?\); methods: "):
        find_layer("caley")
    with pytest.raises(ValueError, match=r"^unknown method 'foo'; methods: "):
        find_layer("foo")


def test_the_registry_is_read_only() -> None:
    with pytest.raises(TypeError):
        LAYERS["mine"] = nn.Identity  # type: ignore[index]


def test_a_method_is_one_module_and_one_line() -> None:
    """With one algorithm, and all the rest follows."""

    class MineConv2d(AOLConv2d):
        name, title = "mine", "Mine"

    module = mock.Mock(MineConv2d=MineConv2d)
    line, modules = {"mine": ("MineConv2d",)}, {f"{registry.__package__}.mine": module}
    with mock.patch.dict(CLASSES, line), mock.patch.dict("sys.modules", modules):
        assert [name for name in LAYERS if name.startswith("mine")] == ["mine"]
        assert LAYERS["mine"] is layers.MineConv2d is MineConv2d
        assert LINEARS["mine"] is layers.MineLinear
        assert layers.MineLinear(3, 5).lipschitz_upper_bound() <= 1 + 1e-4
    assert "mine" not in LAYERS


def test_other_names_are_no_attributes() -> None:
    with pytest.raises(AttributeError, match="no attribute 'SocksConv2d'"):
        layers.SocksConv2d  # noqa: B018
