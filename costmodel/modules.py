"""What networks are made of, on the tape: the layers, what stands between them, and how torch's own are read.

A module class is called like the torch class of its name, with the same arguments behind the tape, the shape of its
input and whether it trains; ``shape`` is then that of its output.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from math import prod
from typing import Any

from ._bits import converted, pack, unpack
from ._checks import check_configuration, resolve_options
from ._kernels import in_place, pointwise
from ._method import Config, Method
from ._methods import METHODS
from ._ops import adaptive_max_pool2d, cat, extremum, pad_channels, pixel_unshuffle
from ._tape import Shape, Tape
from ._tensor import Tensor
from .published.heads import HEADS

Factory = Callable[[Tape, Shape, bool], "Module"]


class Module:
    """A module without parameters that keeps the shape.

    Attributes:
        shape: of its output, batch first.
        parameters, buffers: its tensors.
    """

    def __init__(self, tape: Tape, shape: Shape, train: bool) -> None:
        self.tape, self.shape = tape, shape
        self.parameters: list[Tensor] = []
        self.buffers: list[Tensor] = []

    def cache(self) -> list[Tensor]:
        """Pay, once, what inference keeps: the transformed parameters."""
        return []

    def forward(self, x: Tensor) -> Tensor:
        """The output for ``x``."""
        raise NotImplementedError


class Layer(Module):
    """A layer of one method; a convolution's arguments, or a dense layer's without the kernel size."""

    def __init__(
        self,
        tape: Tape,
        shape: Shape,
        train: bool,
        *,
        cls: type[Method],
        c_in: int,
        c_out: int,
        k: int | None,
        bias: bool = True,
        **options: int,
    ) -> None:
        super().__init__(tape, shape, train)
        expect(shape, 2 if k is None else 4, f"{cls.title} takes", c_in=c_in)
        if tape.width not in cls.dtypes.values():
            raise ValueError(f"{cls.name} takes no elements of {tape.width} bytes; its dtypes: {', '.join(cls.dtypes)}")
        side = 1 if k is None else shape[2]
        check_configuration(cls, b=shape[0], s=side, c_in=c_in, c_out=c_out, k=k or 1)
        option = resolve_options(cls, options)
        self.method = cls(tape, Config(shape[0], side, c_in, c_out, k or 1, option, bias, train, tape.width))
        self.parameters, self.buffers = self.method.parameters, self.method.buffers
        self.shape = (shape[0], c_out, *shape[2:])
        self._weights: tuple[Tensor, ...] | None = None

    def cache(self) -> list[Tensor]:
        """The transformed parameters."""
        self._weights = self._transform()
        return list(self._weights)

    def forward(self, x: Tensor) -> Tensor:
        """Transform the parameters, unless cached, and then the input."""
        weights = self._transform() if self._weights is None else self._weights
        return self.method.input_transform(x, *weights)

    def _transform(self) -> tuple[Tensor, ...]:
        self.tape.part = "parameter"
        weights = self.method.parameter_transform()
        self.tape.part = "input"
        return weights


class OnVectors(Module):
    """A convolution with kernel size 1 on vectors (b, c), images of one pixel."""

    def __init__(self, tape: Tape, shape: Shape, train: bool, *, layer: Factory, c_in: int) -> None:
        super().__init__(tape, shape, train)
        expect(shape, 2, "a linear layer takes", c_in=c_in)
        self.layer = layer(tape, (*shape, 1, 1), train)
        self.parameters, self.buffers = self.layer.parameters, self.layer.buffers
        self.shape = self.layer.shape[:2]

    def cache(self) -> list[Tensor]:
        """That of the convolution."""
        return self.layer.cache()

    def forward(self, x: Tensor) -> Tensor:
        """Views around the convolution."""
        return self.layer.forward(x.reshape(*x.shape, 1, 1)).reshape(*self.shape)


class MaxMin(Module):
    """Channel pairs sorted; an odd last channel passes through. It saves a bit per pair."""

    def forward(self, x: Tensor) -> Tensor:
        """Maximum and minimum of the pairs, written over a copy."""
        if x.shape[1] == 1:
            return x
        half = (x.shape[0], x.shape[1] // 2, *x.shape[2:])

        def forward() -> Tensor:
            y = x.clone()
            for name in ("clamp_min_", "clamp_max_"):
                larger, other = y.window(half), x.window(half)
                x.tape.kernel(name, "pointwise", [larger, other, larger], flops=larger.numel)
            return y

        def swapped() -> Tensor:
            return pack(pointwise("gt", x.window(half), x.window(half), kind="bool"))

        def backward(saved: Sequence[Tensor], g: Tensor) -> list[Tensor]:
            out = g.clone()
            pairs = out.window(half)
            change = in_place("neg_", converted(unpack(saved[0], half), "real"))
            in_place("bitwise_and_", change, pointwise("bitwise_xor", pairs, pairs))
            for _ in range(2):
                in_place("bitwise_xor_", pairs, change)
            return [out]

        return x.tape.function([x], forward, lambda _: [swapped()], backward)


class PublishedMaxMin(Module):
    """The same as published: maximum and minimum save where they were found."""

    def forward(self, x: Tensor) -> Tensor:
        """Maximum and minimum of the pairs, joined."""
        b, c, *rest = x.shape
        if c == 1:
            return x
        pairs = x.slice(1, c // 2 * 2).reshape(b, c // 2, 2, *rest)
        y = cat(extremum("max", pairs, 2), extremum("min", pairs, 2), axis=2).reshape(b, c // 2 * 2, *rest)
        return cat(y, x.slice(1, 1), axis=1) if c % 2 else y


class ZeroChannelPad(Module):
    """Zero channels appended up to ``channels``."""

    def __init__(self, tape: Tape, shape: Shape, train: bool, channels: int) -> None:
        super().__init__(tape, shape, train)
        expect(shape, 4, f"ZeroChannelPad({channels}) takes", c_max=channels)
        self.shape = (shape[0], channels, *shape[2:])

    def forward(self, x: Tensor) -> Tensor:
        """Pad."""
        return pad_channels(x, self.shape[1])


class FirstChannels(Module):
    """The first ``channels`` channels."""

    def __init__(self, tape: Tape, shape: Shape, train: bool, channels: int) -> None:
        super().__init__(tape, shape, train)
        if channels > shape[1]:
            raise ValueError(f"FirstChannels({channels}) takes inputs of at least {channels} channels, got {shape[1]}")
        self.shape = (shape[0], channels, *shape[2:])

    def forward(self, x: Tensor) -> Tensor:
        """Cut, without a copy."""
        return x.slice(1, self.shape[1])


class PixelUnshuffle(Module):
    """Squares of ``factor``² pixels to channels."""

    def __init__(self, tape: Tape, shape: Shape, train: bool, factor: int) -> None:
        super().__init__(tape, shape, train)
        expect(shape, 4, f"PixelUnshuffle({factor}) takes")
        if shape[2] % factor:
            raise ValueError(f"PixelUnshuffle({factor}) takes images whose side is a multiple of it, got {shape[2]}")
        self.factor = factor
        self.shape = (shape[0], shape[1] * factor**2, shape[2] // factor, shape[3] // factor)

    def forward(self, x: Tensor) -> Tensor:
        """Move the pixels."""
        return pixel_unshuffle(x, self.factor)


class AdaptiveMaxPool2d(Module):
    """The maximum of each channel's image."""

    def __init__(self, tape: Tape, shape: Shape, train: bool) -> None:
        super().__init__(tape, shape, train)
        expect(shape, 4, "AdaptiveMaxPool2d(1) takes")
        self.shape = (*shape[:2], 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Pool."""
        return adaptive_max_pool2d(x)


class Flatten(Module):
    """All axes behind the batch in one."""

    def __init__(self, tape: Tape, shape: Shape, train: bool) -> None:
        super().__init__(tape, shape, train)
        self.shape = (shape[0], prod(shape[1:]))

    def forward(self, x: Tensor) -> Tensor:
        """Reshape."""
        return x.flatten()


class Sequential(Module):
    """Modules in turn. As in torch, the input lives until its last user has returned."""

    def __init__(self, tape: Tape, shape: Shape, train: bool, factories: Iterable[Factory]) -> None:
        super().__init__(tape, shape, train)
        self.modules: list[Module] = []
        for i, factory in enumerate(factories):
            try:
                self.modules.append(factory(tape, self.shape, train))
            except ValueError as error:
                raise ValueError(f"module {i}: {error}") from None
            self.shape = self.modules[-1].shape
        self.parameters = [p for module in self.modules for p in module.parameters]
        self.buffers = [b for module in self.modules for b in module.buffers]

    def cache(self) -> list[Tensor]:
        """That of all modules."""
        return [t for module in self.modules for t in module.cache()]

    def forward(self, x: Tensor) -> Tensor:
        """Apply each to the output of the one before."""
        for module in self.modules:
            x = module.forward(x)
        return x


def expect(shape: Shape, rank: int, what: str, c_in: int | None = None, c_max: int | None = None) -> None:
    """Raise ValueError unless an input has that rank, and channels as told."""
    fits = len(shape) == rank and c_in in (None, shape[1]) and (c_max is None or shape[1] <= c_max)
    if not fits:
        channels = c_in or (f"c <= {c_max}" if c_max else "c")
        raise ValueError(f"{what} inputs of shape (b, {channels}{', s, s' if rank == 4 else ''}), got {shape}")


def convolution(method: str, c_in: int, c_out: int, k: int, **arguments: Any) -> Factory:
    """``LAYERS[method](c_in, c_out, k, …)``."""
    return partial(Layer, cls=METHODS[method], c_in=c_in, c_out=c_out, k=k, **arguments)


def dense(method: str, c_in: int, c_out: int, **arguments: Any) -> Factory:
    """The dense layer of ``method``."""
    return partial(Layer, cls=HEADS[method], c_in=c_in, c_out=c_out, k=None, **arguments)


def read(module: Any) -> Factory:
    """The tape's counterpart of a torch module, by its class's name; torch itself is not needed.

    Args:
        module: a layer of ``lipcost.layers``, or one of READERS, or an nn.Sequential of such.

    Raises:
        ValueError: for a module that the tape has no counterpart of, or with arguments that it has not.
    """
    name = type(module).__name__
    if name in READERS:
        return READERS[name](module)
    if hasattr(module, "in_features") and hasattr(module, "kernel_size") and module.name in METHODS:
        arguments = _arguments(module, METHODS[module.name])
        layer = convolution(module.name, module.in_channels, module.out_channels, 1, **arguments)
        return partial(OnVectors, layer=layer, c_in=module.in_channels)
    if hasattr(module, "parameter_transform") and hasattr(module, "kernel_size") and module.name in METHODS:
        arguments = _arguments(module, METHODS[module.name])
        return convolution(module.name, module.in_channels, module.out_channels, module.kernel_size, **arguments)
    if hasattr(module, "parameter_transform") and module.name in HEADS:
        arguments = _arguments(module, HEADS[module.name])
        return dense(module.name, module.in_features, module.out_features, **arguments)
    raise ValueError(f"no cost is known of the module {name}; known: the layers of LAYERS, {', '.join(READERS)}")


def _arguments(layer: Any, cls: type[Method]) -> dict[str, Any]:
    stride, padding_mode = getattr(layer, "stride", 1), getattr(layer, "padding_mode", None)
    if stride != 1 or padding_mode not in (None, cls.padding_mode):
        raise ValueError(
            f"the cost of {cls.name} is known for stride 1 and padding_mode {cls.padding_mode!r}, "
            f"got {stride} and {padding_mode!r}"
        )
    return {"bias": layer.bias is not None} | {name: getattr(layer, name) for name in cls.options}


def _pool(module: Any) -> Factory:
    if module.output_size not in (1, (1, 1)) or module.return_indices:
        raise ValueError(f"of AdaptiveMaxPool2d only AdaptiveMaxPool2d(1) has a cost here, got {module}")
    return AdaptiveMaxPool2d


def _flatten(module: Any) -> Factory:
    if (module.start_dim, module.end_dim) != (1, -1):
        raise ValueError(f"of Flatten only Flatten() has a cost here, got {module}")
    return Flatten


def _children(module: Any) -> Sequence[Factory]:
    return [read(child) for child in module]


READERS: dict[str, Callable[[Any], Factory]] = {
    "Sequential": lambda module: partial(Sequential, factories=_children(module)),
    "MaxMin": lambda module: MaxMin,
    "PublishedMaxMin": lambda module: PublishedMaxMin,
    "ZeroChannelPad": lambda module: partial(ZeroChannelPad, channels=module.channels),
    "FirstChannels": lambda module: partial(FirstChannels, channels=module.channels),
    "PixelUnshuffle": lambda module: partial(PixelUnshuffle, factor=module.downscale_factor),
    "AdaptiveMaxPool2d": _pool,
    "Flatten": _flatten,
}
