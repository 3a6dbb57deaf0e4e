"""What every 1-Lipschitz layer shares: what a class says of its method, the one cache rule, two transformations."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from .checks import FLOATS, check_dtype, full_precision, positive
from .options import Configurable

CIRCULAR, ZEROS = "circular", "zeros"  # padding modes
ORTHOGONAL, LIPSCHITZ, NONE = "orthogonal", "1-Lipschitz", "none"  # promises


class LipschitzLayer(Configurable):
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
        device: where the parameters are created. On "meta" they have no values, and are not initialised.
        dtype: their floating-point type, one of the class's ``dtypes``.
        options: the counts and sizes that are given.

    Attributes:
        name: the method's key in the registry, "bcop", or "bcop/published" for the algorithm of its authors.
        title: what tables and plots call it.
        dtypes: the types of its parameters that it can treat; in any other the layer raises.
        depends_on_size: whether the transformed weights are for images of one size.

    Raises:
        ValueError: if ``dtype`` is none of them, or an option is no positive integer.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    dtypes: ClassVar[tuple[torch.dtype, ...]] = FLOATS
    depends_on_size: ClassVar[bool] = False

    weight: nn.Parameter
    bias: nn.Parameter | None

    def __init__(
        self, bias: bool, device: torch.device | str | None, dtype: torch.dtype | None, options: Mapping[str, int]
    ) -> None:
        super().__init__()
        self._configure(options)
        self._check_dtype(torch.get_default_dtype() if dtype is None else dtype)
        self._cache: tuple[object, tuple[Tensor, ...], list[torch.UntypedStorage]] | None = None
        self._register({"device": device, "dtype": dtype}, bias)
        if not self.weight.is_meta:
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
        check_dtype(self.name, dtype, self.dtypes)

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
        **options: the method's own ``counts`` and ``sizes``.

    Attributes:
        square: whether c_in must equal c_out.
        acts_on_larger: whether the method has as many channels in as out, the larger number of the two.
        even_kernels: whether k may be even.
        padding_modes: how the image's border may be treated; the first is the default, and the only one where the
            constructor has no ``padding_mode``.
        residual: whether the layer is :math:`x - V^\top \mathrm{relu}(V x + b)`, V its :meth:`residual_branch`. The
            Lipschitz constant is then at most :math:`\max(1, \|V\|_2^2 - 1)`. Any other layer is linear in x but for
            its bias, and the constant is the largest singular value of its Jacobian.
        promise: what holds in eval with the default padding and k > 1, to 1e-6 in float64: NONE; LIPSCHITZ, at most 1;
            or ORTHOGONAL, all singular values 1, for weights as training leaves them.
        train_promise: the same in training mode, where it differs.
        orthogonal_paddings: the padding modes with which the layer is orthogonal in eval, to 1e-5 and for any k, where
            the weights are not degenerate.
        colour, marker: matplotlib's, of the method in plots; the published algorithm is drawn as the library's own,
            but hollow and dashed. The colours are told apart by colour-blind people too.

    Raises:
        ValueError: if an argument breaks a rule above or one of the method's own.
    """

    square: ClassVar[bool] = False
    acts_on_larger: ClassVar[bool] = False
    even_kernels: ClassVar[bool] = False
    padding_modes: ClassVar[tuple[str, ...]]
    residual: ClassVar[bool] = False
    promise: ClassVar[str] = NONE
    train_promise: ClassVar[str | None] = None
    orthogonal_paddings: ClassVar[tuple[str, ...]] = ()
    colour: ClassVar[str] = "#777777"
    marker: ClassVar[str] = "o"

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        *,
        bias: bool = True,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        **options: int,
    ) -> None:
        self.in_channels = positive("in_channels", in_channels)
        self.out_channels = positive("out_channels", out_channels)
        self.kernel_size = positive("kernel_size", kernel_size)
        if kernel_size % 2 == 0 and not self.even_kernels:
            raise ValueError(f"kernel_size must be odd (an even kernel has no centre), got {kernel_size}")
        if self.square and in_channels != out_channels:
            raise ValueError(
                f"{self.name} adds its input to its output and needs in_channels == out_channels, "
                f"got {in_channels} and {out_channels}; {self.name.partition('/')[0]} takes any"
            )
        super().__init__(bias, device, dtype, options)

    @classmethod
    def promises(cls, kernel_size: int, training: bool) -> str:
        """What a layer with the default padding keeps in a mode: "orthogonal", "1-Lipschitz" or "none".

        Example:
            >>> from lipcost.layers import LAYERS
            >>> LAYERS["soc"].promises(3, training=False), LAYERS["soc"].promises(3, training=True)
            ('1-Lipschitz', 'none')
        """
        return cls.train_promise if training and cls.train_promise is not None else cls.promise

    @property
    def channels(self) -> tuple[int, int]:
        return self._acted_on(self.in_channels, self.out_channels)

    def _acted_on(self, c_in: int, c_out: int) -> tuple[int, int]:
        return (max(c_in, c_out),) * 2 if self.acts_on_larger else (c_in, c_out)

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
        sizes = f"kernel_size={self.kernel_size}{self._stated_sizes()}"
        return f"{self.in_channels}, {self.out_channels}, {sizes}, bias={self.bias is not None}"


class LipschitzLinear(LipschitzLayer):
    r"""Base class of the dense layers :math:`R^{n_{in}} \to R^{n_{out}}`, whose one transformed weight is a matrix.

    Args:
        in_features: n_in, a positive integer.
        out_features: n_out, a positive integer.
        bias: whether a bias of shape (n_out,) is learned.
        device: where the parameters are created.
        dtype: their floating-point type, one of the class's ``dtypes``.
        **options: the method's own ``counts`` and ``sizes``.

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
        **options: int,
    ) -> None:
        self.in_features = positive("in_features", in_features)
        self.out_features = positive("out_features", out_features)
        super().__init__(bias, device, dtype, options)

    @property
    def channels(self) -> tuple[int, int]:
        return self.in_features, self.out_features

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

    padding_modes = (CIRCULAR,)

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
