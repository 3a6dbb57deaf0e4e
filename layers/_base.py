"""What every 1-Lipschitz layer shares: argument checks, the one cache rule, the split in two transformations."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

FLOATS = (torch.float32, torch.float64, torch.bfloat16)
FFT_FLOATS = (torch.float32, torch.float64)


class _WithAlgorithms(type):
    """Lets ``algorithm`` choose the class that is built: ``LOTConv2d(..., algorithm="published")``."""

    def __call__(cls, *args: Any, algorithm: str | None = None, **arguments: Any) -> Any:
        options: dict[str, type] = {"lipcost": cls, **cls.__dict__.get("algorithms", {})}
        if algorithm is not None and algorithm not in options:
            raise ValueError(f"{cls.__name__} has no algorithm {algorithm!r}; algorithms: {', '.join(options)}")
        chosen = cls if algorithm is None else options[algorithm]
        return type.__call__(chosen, *args, **arguments)


class LipschitzLayer(nn.Module, metaclass=_WithAlgorithms):
    """A layer in two functions, the split that the cost model follows.

    * ``parameter_transform(size)``: the weights that the input meets (orthogonalisation, rescaling, power iteration),
      for images of ``size = (h, w)``; () where the input is no image.
    * ``input_transform(x, *weights)``: the output for the input ``x``.

    Laws, for every subclass:

    * ``layer(x) == layer.input_transform(x, *layer.parameter_transform(size))``.
    * Parameters, buffers and state_dict keys are those present after construction.
    * In training mode the parameter transformation runs at every call. In eval mode it runs once per state: its result
      is kept for as long as no parameter or buffer changed, moved or was replaced, and only when no parameter gradient
      is wanted (no_grad, or no parameter requires grad), so a cached call never hides a gradient. An edit through
      ``.data`` goes unseen, as PyTorch keeps no record of it: edit under ``torch.no_grad()`` instead. A compiled or
      exported graph holds the transformation and no cache.

    Args:
        bias: whether a bias is learned.
        device: where the parameters are created.
        dtype: their floating-point type, one of the class's ``dtypes``.

    Raises:
        ValueError: if ``dtype`` is none of them.
    """

    method: ClassVar[str]
    dtypes: ClassVar[tuple[torch.dtype, ...]] = FLOATS
    depends_on_size: ClassVar[bool] = False

    weight: nn.Parameter
    bias: nn.Parameter | None

    def __init__(self, bias: bool, device: torch.device | str | None, dtype: torch.dtype | None) -> None:
        super().__init__()
        self._check_dtype(torch.get_default_dtype() if dtype is None else dtype)
        self._cache: tuple[object, tuple[Tensor, ...], list[torch.UntypedStorage]] | None = None
        self._register({"device": device, "dtype": dtype}, bias)
        self.reset_parameters()

    def _register(self, factory: dict[str, Any], bias: bool) -> None:
        """Create every parameter and buffer."""
        raise NotImplementedError

    def reset_parameters(self) -> None:
        """Initialise as torch.nn.Conv2d and torch.nn.Linear do: weight and bias uniform in ±1/√fan_in."""
        bound = self.weight[0].numel() ** -0.5
        nn.init.uniform_(self.weight, -bound, bound)
        if self.bias is not None:
            nn.init.uniform_(self.bias, -bound, bound)

    def parameter_transform(self, size: tuple[int, ...]) -> tuple[Tensor, ...]:
        """The weights that ``input_transform`` takes."""
        raise NotImplementedError

    def input_transform(self, x: Tensor, *weights: Tensor) -> Tensor:
        """The output for ``x`` and the weights of ``parameter_transform``."""
        raise NotImplementedError

    def forward(self, x: Tensor) -> Tensor:
        """Apply the layer to ``x``."""
        self._check_input(x)
        return self.input_transform(x, *self._weights(self._size(x)))

    def _size(self, x: Tensor) -> tuple[int, ...]:
        """The ``size`` of the parameter transformation for an input."""
        return tuple(x.shape[2:])

    def _weights(self, size: tuple[int, ...]) -> tuple[Tensor, ...]:
        wants_grad = torch.is_grad_enabled() and any(p.requires_grad for p in self.parameters())
        if torch.compiler.is_compiling():  # a graph holds the transformation itself: it cannot check a cache's state
            return self._full_precision_transform(size)
        if self.training or wants_grad:
            self._cache = None
            return self._full_precision_transform(size)
        state = [*self.parameters(), *self.buffers()]
        key = (
            size if self.depends_on_size else None,
            tuple((t.data_ptr(), t._version, t.dtype, t.device, t.shape) for t in state),
        )
        if self._cache is None or self._cache[0] != key:
            self._cache = None
            # Out of inference mode, as the result must serve outside it too. The state's memory is kept with the
            # result: else it could become another tensor's, which would then have the same key.
            with torch.inference_mode(False), torch.no_grad():
                self._cache = (key, self._full_precision_transform(size), [t.untyped_storage() for t in state])
        return self._cache[1]

    def _full_precision_transform(self, size: tuple[int, ...]) -> tuple[Tensor, ...]:
        # Autocast would run the orthogonalisation's products in half precision, which costs the guarantee.
        with full_precision(next(self.parameters()).device.type):
            return self.parameter_transform(size)

    def __getstate__(self) -> dict[str, object]:
        return {**self.__dict__, "_cache": None}

    def _check_dtype(self, dtype: torch.dtype) -> None:
        if dtype not in self.dtypes:
            options = ", ".join(str(d) for d in self.dtypes)
            raise ValueError(f"{self.method} does not work in {dtype}; supported: {options}")

    def _check_input(self, x: Tensor) -> None:
        """Refuse an input of another shape, or parameters that were moved to a dtype that the method cannot treat."""
        raise NotImplementedError


class LipschitzConv2d(LipschitzLayer):
    r"""Base class of the layers :math:`R^{c_{in} \times h \times w} \to R^{c_{out} \times h \times w}`.

    Args:
        in_channels: c_in, a positive integer.
        out_channels: c_out, a positive integer.
        kernel_size: k, a positive odd integer.
        bias: whether a bias of shape (c_out,) is learned.
        device: where the parameters are created.
        dtype: their floating-point type, one of the class's ``dtypes``.

    Raises:
        ValueError: if an argument breaks a rule above or one of the method's own.
    """

    square: ClassVar[bool] = False
    residual: ClassVar[bool] = False
    even_kernels: ClassVar[bool] = False

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        *,
        bias: bool = True,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        self.in_channels = positive("in_channels", in_channels)
        self.out_channels = positive("out_channels", out_channels)
        self.kernel_size = positive("kernel_size", kernel_size)
        if kernel_size % 2 == 0 and not self.even_kernels:
            raise ValueError(f"kernel_size must be odd (an even kernel has no centre), got {kernel_size}")
        if self.square and in_channels != out_channels:
            raise ValueError(
                f"{self.method} adds its input to its output and needs in_channels == out_channels, "
                f"got {in_channels} and {out_channels}; {self.method.partition('/')[0]} takes any"
            )
        super().__init__(bias, device, dtype)

    def _register(self, factory: dict[str, Any], bias: bool) -> None:
        """Create every parameter and buffer; a method with more of them, or other shapes, extends this."""
        c_out, c_in, k = self.out_channels, self.in_channels, self.kernel_size
        self.weight = nn.Parameter(torch.empty(c_out, c_in, k, k, **factory))
        self.register_parameter("bias", nn.Parameter(torch.empty(c_out, **factory)) if bias else None)

    def _check_input(self, x: Tensor) -> None:
        if x.dim() != 4 or x.shape[1] != self.in_channels:
            raise ValueError(
                f"{type(self).__name__} takes inputs of shape (b, {self.in_channels}, h, w), got {tuple(x.shape)}"
            )
        self._check_dtype(next(self.parameters()).dtype)
        self._check_size(x.shape[-2], x.shape[-1])

    def residual_branch(self, x: Tensor) -> tuple[Tensor, str, tuple[int, int, int]]:
        """Of a ``residual`` layer x - Vᵀ relu(Vx + b): the kernel V, its padding mode, the (c, h, w) that V meets."""
        raise NotImplementedError

    def _check_size(self, h: int, w: int) -> None:
        """Refuse an image that the method cannot treat; every size is fine unless a method says otherwise."""

    def extra_repr(self) -> str:
        return f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}, bias={self.bias is not None}"


class LipschitzLinear(LipschitzLayer):
    r"""Base class of the dense layers :math:`R^{n_{in}} \to R^{n_{out}}`, whose one transformed weight is a matrix.

    Args:
        in_features: n_in, a positive integer.
        out_features: n_out, a positive integer.
        bias: whether a bias of shape (n_out,) is learned.
        device: where the parameters are created.
        dtype: their floating-point type, one of the class's ``dtypes``.

    Raises:
        ValueError: if an argument breaks a rule above.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        *,
        bias: bool = True,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        self.in_features = positive("in_features", in_features)
        self.out_features = positive("out_features", out_features)
        super().__init__(bias, device, dtype)

    def _register(self, factory: dict[str, Any], bias: bool) -> None:
        self.weight = nn.Parameter(torch.empty(self.out_features, self.in_features, **factory))
        self.register_parameter("bias", nn.Parameter(torch.empty(self.out_features, **factory)) if bias else None)

    def input_transform(self, x: Tensor, weight: Tensor) -> Tensor:  # type: ignore[override]
        return nn.functional.linear(x, weight, self.bias)

    def _check_input(self, x: Tensor) -> None:
        if x.dim() != 2 or x.shape[1] != self.in_features:
            raise ValueError(
                f"{type(self).__name__} takes inputs of shape (b, {self.in_features}), got {tuple(x.shape)}"
            )
        self._check_dtype(next(self.parameters()).dtype)

    def extra_repr(self) -> str:
        return f"{self.in_features}, {self.out_features}, bias={self.bias is not None}"


class CircularConv2d(LipschitzConv2d):
    """A method whose parameter transformation yields a kernel that is applied with circular padding."""

    def input_transform(self, x: Tensor, kernel: Tensor) -> Tensor:  # type: ignore[override]
        if self.kernel_size > 1:
            x = nn.functional.pad(x, (self.kernel_size // 2,) * 4, mode="circular")
        return nn.functional.conv2d(x, kernel, self.bias)

    def _check_size(self, h: int, w: int) -> None:
        if self.kernel_size // 2 > min(h, w):
            raise ValueError(
                f"circular padding wraps at most once: kernel_size // 2 <= image side, "
                f"got kernel_size={self.kernel_size} on {h}x{w}"
            )


def autocast_enabled(device_type: str) -> bool:
    """Whether autocast is on for a device; some, like "meta", know none."""
    return torch.amp.is_autocast_available(device_type) and torch.is_autocast_enabled(device_type)


def full_precision(device_type: str) -> AbstractContextManager[Any]:
    """No autocast inside."""
    return torch.autocast(device_type, enabled=False) if autocast_enabled(device_type) else nullcontext()


def positive(name: str, value: int) -> int:
    """``value`` if it is a positive integer; else a ValueError that names it."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ValueError(f"{name} must be a positive integer, got {value!r}")
    return value
