"""The base of the eight methods: a layer without values, whose two transformations run on the tape."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from ._convolution import CIRCULAR, convolution, correlate
from ._ops import circular_pad, conv2d
from ._tape import Size, Tape
from ._tensor import Tensor

DTYPES = {"float32": 4, "float64": 8, "bfloat16": 2}
FFT_DTYPES = {"float32": 4, "float64": 8}


@dataclass(frozen=True)
class Config:
    """A layer and a call of it; sizes are ints or symbols.

    ``option`` holds the iteration counts, ``width`` is bytes per real element, ``in_place`` as for the Tape.
    """

    b: Size
    s: Size
    c_in: Size
    c_out: Size
    k: Size
    option: dict[str, int]
    bias: bool = True
    train: bool = True
    width: int = 4
    in_place: bool = True


class Method:
    """A layer's program: the mirror of ``lipcost.layers``' class of the same name, one line for one line.

    A method declares its ``name``, its ``options`` (iteration counts, by the keyword of the layer's constructor, with
    the published values), where it is restricted, and three functions: ``register`` creates parameters and buffers,
    ``parameter_transform`` the weights, ``input_transform`` the output.

    Attributes:
        b, s, c_in, c_out, k: batch, image side, channels, kernel size.
        training: whether the layer is in training mode.
        option: the iteration counts in force.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    options: ClassVar[dict[str, int]] = {}
    dtypes: ClassVar[dict[str, int]] = DTYPES
    square: ClassVar[bool] = False
    acts_on_larger: ClassVar[bool] = False
    padding_mode: ClassVar[str] = "circular"  # of the layer whose cost it is, which is that class's default
    alike_from: ClassVar[int] = 2  # the iteration count from which on a further iteration adds the same
    unrolled: ClassVar[bool] = False  # whether the program loops over k, so that k must be a number on the tape

    weight: Tensor

    def __init__(self, tape: Tape, config: Config) -> None:
        self.tape, self.training, self.option = tape, config.train, config.option
        self.b, self.s, self.k = config.b, config.s, config.k
        self.c_in, self.c_out = config.c_in, config.c_out
        self.parameters: list[Tensor] = []
        self.buffers: list[Tensor] = []
        self.bias: Tensor | None = None
        self.register()
        if config.bias:
            self.bias = self.parameter(self.channels[1])

    @property
    def channels(self) -> tuple[Size, Size]:
        """(c_in, c_out) that the method itself acts on."""
        if not self.acts_on_larger:
            return self.c_in, self.c_out
        return (self.c_in if self.holds(self.c_in > self.c_out) else self.c_out,) * 2

    @classmethod
    def check(cls, s: int, k: int) -> None:
        """Raise ValueError where the method cannot treat images of side ``s`` with kernels of size ``k``."""

    @classmethod
    def accepts(cls, s: int, k: int) -> bool:
        """Whether :meth:`check` lets them pass."""
        try:
            cls.check(s, k)
        except ValueError:
            return False
        return True

    def register(self) -> None:
        """Create the parameters (but the bias) and buffers."""
        c_in, c_out = self.channels
        self.weight = self.parameter(c_out, c_in, self.k, self.k)

    def parameter(self, *shape: Size) -> Tensor:
        """A new parameter."""
        self.parameters.append(Tensor(self.tape, shape).require_grad())
        return self.parameters[-1]

    def buffer(self, *shape: Size) -> Tensor:
        """A new buffer."""
        self.buffers.append(Tensor(self.tape, shape))
        return self.buffers[-1]

    def holds(self, condition: bool) -> bool:
        """Whether ``condition`` is true (see Tape.holds)."""
        return self.tape.holds(condition)

    def parameter_transform(self) -> tuple[Tensor, ...]:
        """The weights that the input meets."""
        raise NotImplementedError

    def input_transform(self, x: Tensor, *weights: Tensor) -> Tensor:
        """The output (b, c_out, s, s) for the input (b, c_in, s, s)."""
        raise NotImplementedError


class KernelMethod(Method):
    """A method whose kernel is applied by a convolution with circular padding, which saves its input unpadded."""

    @classmethod
    def check(cls, s: int, k: int) -> None:
        """Circular padding wraps at most once."""
        if k // 2 > s:
            raise ValueError(f"{cls.name} pads circularly and needs k // 2 <= s, got k={k} and s={s}")

    def input_transform(self, x: Tensor, kernel: Tensor) -> Tensor:  # type: ignore[override]
        """Convolve."""
        if self.holds(self.k > 1):
            return convolution(x, kernel, self.bias, CIRCULAR)
        return correlate(x, kernel, self.bias, CIRCULAR)


class CircularMethod(KernelMethod):
    """The same as published: autograd saves the padded input."""

    def input_transform(self, x: Tensor, kernel: Tensor) -> Tensor:  # type: ignore[override]
        """Pad, convolve."""
        if self.holds(self.k > 1):
            x = circular_pad(x, self.k // 2)
        return conv2d(x, kernel, self.bias)
