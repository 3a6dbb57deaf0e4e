"""Bad arguments and inputs raise at once, with the rule, the value and the options in the message."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from lipcost.layers import LAYERS, FirstChannels, MaxMin, ZeroChannelPad

COUNTS = [(method, name) for method, cls in LAYERS.items() for name in (*cls.counts, *cls.sizes)]
PUBLISHED = [name for name in LAYERS if name.endswith("/published")]
OWN = [name for name in LAYERS if name not in PUBLISHED]
CIRCULAR = [f"{name}{which}" for name in ("standard", "aol", "bcop") for which in ("", "/published")]
FOURIER = [name for name, cls in LAYERS.items() if torch.bfloat16 not in cls.dtypes]
SQUARE = [name for name, cls in LAYERS.items() if cls.square]


def assert_message(error: pytest.ExceptionInfo[Exception], *parts: str) -> None:
    for part in parts:
        assert part in str(error.value)


@pytest.mark.parametrize("name", ["padding", "dilation", "groups", "nonsense"])
def test_unknown_argument(method: str, name: str) -> None:
    with pytest.raises(TypeError, match=name):
        LAYERS[method](4, 4, 3, **dict[str, Any]({name: 1}))


@pytest.mark.parametrize("name", ["stride", "padding_mode"])
@pytest.mark.parametrize("method", PUBLISHED)
def test_the_published_layers_have_one_stride_and_padding(method: str, name: str) -> None:
    with pytest.raises(TypeError, match=name):
        LAYERS[method](4, 4, 3, **dict[str, Any]({name: 1}))


@pytest.mark.parametrize("value", ["reflect", "same", 1])
@pytest.mark.parametrize("method", OWN)
def test_padding_mode(method: str, value: Any) -> None:
    with pytest.raises(ValueError) as error:
        LAYERS[method](4, 4, 3, padding_mode=value)
    assert_message(error, method, "padding_mode", repr(value), *LAYERS[method].padding_modes)


@pytest.mark.parametrize("method", OWN)
def test_stride(method: str) -> None:
    with pytest.raises(ValueError) as error:
        LAYERS[method](4, 4, 3, stride=0)
    assert_message(error, "stride", "positive integer", "0")
    with pytest.raises(ValueError) as error:
        LAYERS[method](4, 4, 3, stride=2)(torch.zeros(1, 4, 8, 7))
    assert_message(error, "stride must divide", "stride=2", "8x7")


@pytest.mark.parametrize("value", [0, -1, 2.0, "4", True, None])
@pytest.mark.parametrize("position", [0, 1, 2])
def test_arguments_are_positive_integers(method: str, position: int, value: Any) -> None:
    arguments: list[Any] = [4, 4, 3]
    arguments[position] = value
    with pytest.raises(ValueError) as error:
        LAYERS[method](*arguments)
    name = ("in_channels", "out_channels", "kernel_size")[position]
    assert_message(error, name, "positive integer", repr(value))


@pytest.mark.parametrize("value", [0, -3, 1.5])
@pytest.mark.parametrize(("method", "name"), COUNTS)
def test_counts_are_positive_integers(method: str, name: str, value: Any) -> None:
    with pytest.raises(ValueError) as error:
        LAYERS[method](4, 4, 3, **dict[str, Any]({name: value}))
    assert_message(error, name, "positive integer", repr(value))


@pytest.mark.parametrize("kernel_size", [2, 4])
@pytest.mark.parametrize("method", [name for name, cls in LAYERS.items() if not cls.even_kernels])
def test_even_kernel(method: str, kernel_size: int) -> None:
    with pytest.raises(ValueError) as error:
        LAYERS[method](4, 4, kernel_size)
    assert_message(error, "kernel_size", "odd", str(kernel_size))


@pytest.mark.parametrize("method", SQUARE)
def test_residual_methods_are_square(method: str) -> None:
    with pytest.raises(ValueError) as error:
        LAYERS[method](4, 6, 3)
    assert_message(error, method, "in_channels == out_channels", "4 and 6", method.removesuffix("/published"))


@pytest.mark.parametrize("method", FOURIER)
def test_dtype_without_fft(method: str) -> None:
    parts = (method, "torch.bfloat16", "torch.float32", "torch.float64")
    with pytest.raises(ValueError) as error:
        LAYERS[method](4, 4, 3, dtype=torch.bfloat16)
    assert_message(error, *parts)
    moved = LAYERS[method](4, 4, 3).to(torch.bfloat16)
    with pytest.raises(ValueError) as error:
        moved(torch.zeros(1, 4, 8, 8, dtype=torch.bfloat16))
    assert_message(error, *parts)


@pytest.mark.parametrize("dtype", [torch.float16, torch.int32, torch.complex64])
def test_unsupported_dtype(method: str, dtype: torch.dtype) -> None:
    with pytest.raises(ValueError) as error:
        LAYERS[method](4, 4, 3, dtype=dtype)
    assert_message(error, method, str(dtype), "torch.float32", "torch.float64")


@pytest.mark.parametrize("shape", [(2, 3, 8, 8), (4, 8, 8), (2, 4, 8), (2, 4, 8, 8, 1)])
def test_input_shape(method: str, shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError) as error:
        LAYERS[method](4, 4, 3)(torch.zeros(shape))
    assert_message(error, "(b, 4, h, w)", str(shape))


@pytest.mark.parametrize("size", [(1, 8), (8, 1)])
@pytest.mark.parametrize("method", CIRCULAR)
def test_circular_padding_wraps_once(method: str, size: tuple[int, int]) -> None:
    with pytest.raises(ValueError) as error:
        LAYERS[method](4, 4, 5)(torch.zeros(1, 4, *size))
    assert_message(error, "kernel_size // 2 <= image side", "kernel_size=5", "{}x{}".format(*size))


@pytest.mark.parametrize("size", [(4, 8), (8, 4)])
def test_the_published_cayley_kernel_fits_the_image(size: tuple[int, int]) -> None:
    with pytest.raises(ValueError) as error:
        LAYERS["cayley/published"](4, 4, 5)(torch.zeros(1, 4, *size))
    assert_message(error, "kernel_size <= image side", "kernel_size=5", "{}x{}".format(*size))


@pytest.mark.parametrize("cls", [ZeroChannelPad, FirstChannels])
@pytest.mark.parametrize("value", [0, -2, 1.5])
def test_channels_are_a_positive_integer(cls: type, value: Any) -> None:
    with pytest.raises(ValueError) as error:
        cls(value)
    assert_message(error, "channels", "positive integer", repr(value))


@pytest.mark.parametrize(
    ("layer", "shape", "rule"),
    [
        (ZeroChannelPad(3), (2, 4, 5, 5), "c <= 3"),
        (ZeroChannelPad(3), (2, 2), "h, w"),
        (FirstChannels(3), (2, 2, 5, 5), "c >= 3"),
        (MaxMin(), (4,), "(b, c, ...)"),
    ],
)
def test_shapes_that_do_not_fit(layer: torch.nn.Module, shape: tuple[int, ...], rule: str) -> None:
    with pytest.raises(ValueError) as error:
        layer(torch.zeros(shape))
    assert_message(error, rule, str(shape))
