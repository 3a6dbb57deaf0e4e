"""What any module costs: numbers, or formulas in the symbols of its sizes."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from .checks import DTYPES, PARTS, check_mode, check_quantity, one_of, positive
from .layer_cost import PHASES, Mode
from .tape import Tape
from .tape.recording import CLASSES, COUNTED, QUANTITIES, Recording

if TYPE_CHECKING:
    import numpy as np

    from .formulas.module_forms import Forms
    from .tape.program import Program


class _Quantity:
    """One of QUANTITIES, read when it is asked for: a formula takes time."""

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name
        assert name in QUANTITIES

    def __get__(self, cost: Cost | None, owner: type | None = None) -> Any:
        return self if cost is None else cost.quantity(self.name)


class Cost:
    """The exact cost of one call of a module, by the protocol of docs/conventions.md.

    Every number is an int; with symbols among the sizes every quantity is a SymPy expression in them, exact for all
    sizes that the module takes, a Piecewise where it branches. A quantity is computed when it is asked for.

    Attributes:
        module, mode, dtype, shape, sizes: the configuration; ``sizes`` are the arguments of a factory.
        symbols: of the sizes, by name; empty where all are numbers.
        domain: the condition that the symbols meet where the module takes the sizes.
        macs_forward, macs_backward: multiply–accumulates of convolutions and matrix products; a complex one is four.
        flops_forward, flops_backward: 2·MACs and the FLOPs of what has no MAC.
        traffic_forward, traffic_backward: bytes that kernels read and write.
        launches_forward, launches_backward: kernels run.
        parameter_bytes, buffer_bytes: of the module.
        cache_bytes: of transformed parameters kept in inference.
        saved_bytes: kept by autograd for the backward pass, the input and the module's own tensors excluded.
        peak_bytes: most live bytes, with input, incoming gradient (training), parameters, buffers and cache.
        by_class: FLOPs by class of operation, forward and backward together.
        parts: the first eight, split into input and parameter transformation (of this library's layers).
    """

    macs_forward = _Quantity()
    macs_backward = _Quantity()
    flops_forward = _Quantity()
    flops_backward = _Quantity()
    traffic_forward = _Quantity()
    traffic_backward = _Quantity()
    launches_forward = _Quantity()
    launches_backward = _Quantity()
    parameter_bytes = _Quantity()
    buffer_bytes = _Quantity()
    cache_bytes = _Quantity()
    saved_bytes = _Quantity()
    peak_bytes = _Quantity()

    def __init__(
        self,
        source: Recording | Forms,
        *,
        module: str,
        mode: Mode,
        dtype: str,
        shape: tuple[Any, ...],
        sizes: dict[str, Any],
    ) -> None:
        self.module, self.mode, self.dtype, self.shape, self.sizes = module, mode, dtype, shape, sizes
        self._recording = source if isinstance(source, Recording) else None
        self._forms = None if isinstance(source, Recording) else source

    @property
    def symbols(self) -> dict[str, Any]:
        """Those of the sizes, by name."""
        return {} if self._forms is None else {str(symbol): symbol for symbol in self._forms.symbols}

    @property
    def domain(self) -> Any:
        """The condition that the symbols meet where the module takes the sizes."""
        return True if self._forms is None else self._forms.domain

    def quantity(self, name: str, part: str | None = None) -> Any:
        """One of QUANTITIES; of a part alone, "input" or "parameter", where it is a count."""
        check_quantity(name, part)
        if name == "cache_bytes" and self.mode == "train":
            return 0
        if self._forms is not None:
            return self._forms.quantity(name, part)
        assert self._recording is not None
        return self._recording.peak() if name == "peak_bytes" else round(self._recording.quantity(name, part))

    @property
    def by_class(self) -> dict[str, Any]:
        """FLOPs by class of operation, forward and backward together."""
        if self._forms is not None:
            return {cls: self._forms.quantity("flops", None, cls) for cls in CLASSES}
        assert self._recording is not None
        return self._recording.flops_by_class()

    @property
    def parts(self) -> dict[str, dict[str, Any]]:
        """The counts of the input and of the parameter transformation."""
        names = [f"{name}_{phase}" for name in COUNTED for phase in PHASES]
        return {part: {name: self.quantity(name, part) for name in names} for part in PARTS}

    def evaluate(self, quantity: str, **sizes: Any) -> np.ndarray:
        """A quantity at many sizes at once, by its formula.

        Args:
            quantity: one of QUANTITIES.
            **sizes: a number or an array of integers for each symbol; they broadcast.

        Returns:
            int64 (float64 where an FFT's logarithm is in the formula), of the broadcast shape.

        Raises:
            ValueError: for an unknown name, for sizes that the module does not take, or beyond an int64.

        Example:
            >>> import numpy as np
            >>> from torch import nn
            >>> from lipcost.costmodel import cost
            >>> cost(nn.Conv2d(3, 8, 3, padding=1), ("b", 3, "s", "s")).evaluate("saved_bytes", b=1, s=np.array([8, 9]))
            array([0, 0])
        """
        import numpy as np  # noqa: PLC0415

        from .formulas.vectorised import integers  # noqa: PLC0415

        check_quantity(quantity, None)
        known = self.symbols
        if self._forms is None or sizes.keys() != known.keys():
            raise ValueError(f"give a number or an array for each symbol: {', '.join(known) or 'there is none'}")
        arrays = np.broadcast_arrays(*(integers(name, value) for name, value in sizes.items()))
        return self._forms.evaluate(quantity, dict(zip(map(known.__getitem__, sizes), arrays, strict=True)))

    def leading_order(self, quantity: str) -> Any:
        """The leading terms of a quantity in the symbols, each with coefficient 1: its O(·)."""
        check_quantity(quantity, None)
        if self._forms is None:
            raise ValueError("a cost in numbers has no O(·); give names for sizes")
        return self._forms.leading(quantity)

    def to_dict(self) -> dict[str, Any]:
        """All of it, ready for JSON; formulas are strings."""

        def plain(value: Any) -> Any:
            if isinstance(value, dict):
                return {name: plain(each) for name, each in value.items()}
            return value if isinstance(value, int) else str(value)

        described = {"module": self.module, "mode": self.mode, "dtype": self.dtype}
        shape = {"shape": [plain(size) for size in self.shape], "sizes": plain(self.sizes)}
        figures = {name: plain(getattr(self, name)) for name in (*QUANTITIES, "by_class", "parts")}
        return described | shape | figures | ({"domain": str(self.domain)} if self.symbols else {})

    def __repr__(self) -> str:
        shape = ", ".join(map(str, self.shape))
        return f"Cost({self.module}, ({shape}), {self.mode!r}, {self.dtype})"


def cost(
    module: Any,
    shape: Sequence[int | str],
    mode: Mode = "train",
    *,
    dtype: Any = None,
    in_place: bool = True,
    **sizes: Any,
) -> Cost:
    """What any module costs: its own forward runs, on tensors without values.

    In training the call is ``y = module(x); torch.autograd.grad(y, [x, *parameters], g)``, the module in train mode; in
    inference ``module(x)`` in eval mode, without gradients and with what the module caches.

    Args:
        module: any torch module of functions that RULES covers, of one input and one output; or what makes one, a
            class or a function.
        shape: of the input. A name in place of a number is a symbol; the same name is the same size.
        mode: "train" or "inference".
        dtype: of the input, a torch type or its name; default: that of the module's first parameter. Integers, as
            tokens, get no gradient.
        in_place: whether autograd sums gradients in place; False is what it does under a TorchDispatchMode.
        **sizes: what the class or the function is called with. ``c="c"`` makes its argument c a symbol: the module is
            built at several numbers, its recordings are joined event by event, and checked at further ones. The name
            may be another, and stand in ``shape`` too: ``channels="c"`` with ("b", "c", "s", "s"). An argument that is
            declared as a string is none.

    Returns:
        The cost: ints, or expressions in the symbols.

    Raises:
        ValueError: for a function that no rule covers, which it names, with the module and the line; for sizes that the
            module does not take; where a program takes a symbol as a number, or runs something else at each number.

    Source: the protocol of docs/conventions.md.

    Example:
        >>> from torch import nn
        >>> from lipcost.costmodel import cost
        >>> net = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.GELU())
        >>> cost(net, (4, 3, 16, 16)).peak_bytes
        144256
        >>> cost(net, ("b", 3, "s", "s")).saved_bytes
        32*b*s**2
        >>> cost(nn.Linear, ("b", "n"), in_features="n", out_features="m").macs_forward
        b*m*n
    """
    train = check_mode(mode) == "train"
    given = [size if isinstance(size, str) else positive("shape", size) for size in shape]
    is_module = callable(getattr(module, "parameters", None)) and not isinstance(module, type)
    if is_module and sizes:
        raise ValueError(f"{next(iter(sizes))!r} is for a class or a function; a module has its own sizes")
    own = {name: value for name, value in sizes.items() if isinstance(value, str) and not _takes_text(module, name)}
    fixed = {name: value for name, value in sizes.items() if name not in own}
    names = dict.fromkeys([*(size for size in given if isinstance(size, str)), *own.values()])
    _check_names(names)

    def program(numbers: Mapping[Any, Any]) -> Program:
        """With numbers or symbols for the names."""
        from .tape.program import Program  # noqa: PLC0415  (it needs torch)

        built = module if is_module else module(**fixed, **{name: numbers[value] for name, value in own.items()})
        kind = _dtype(built, dtype)
        gradient = train and (kind.is_floating_point or kind.is_complex)
        return Program(built, tuple(numbers.get(size, size) for size in given), kind, train, gradient)

    name = type(module).__name__ if is_module else getattr(module, "__name__", type(module).__name__)

    def described(source: Recording | Forms, kind: Any) -> Cost:
        kind = str(kind).removeprefix("torch.")
        return Cost(source, module=name, mode=mode, dtype=kind, shape=tuple(given), sizes=sizes)

    if not names:
        from .tape.program import record_call  # noqa: PLC0415

        asked = program({})
        return described(record_call(asked, Tape(in_place))[0], asked.dtype)
    from .formulas.module_forms import forms  # noqa: PLC0415  (it needs SymPy, for which numbers must not wait)
    from .formulas.symbols import option_symbol  # noqa: PLC0415

    symbols = {name: option_symbol(name) for name in names}
    built_at = [symbols[name] for name in dict.fromkeys(own.values())]
    of_input = {name: symbol for name, symbol in symbols.items() if symbol not in built_at}

    def build(numbers: Mapping[Any, int]) -> Program:
        return program(of_input | {str(symbol): number for symbol, number in numbers.items()})

    found = forms(build, list(of_input.values()), built_at, in_place)
    return described(found, found.dtype)


def _takes_text(factory: Any, name: str) -> bool:
    """Whether an argument of a class or a function is declared as a string."""
    parameter = inspect.signature(factory).parameters.get(name)
    if parameter is None or parameter.kind is parameter.VAR_KEYWORD:
        return False
    return isinstance(parameter.default, str) or "str" in str(parameter.annotation)


def _check_names(names: Iterable[str]) -> None:
    for name in names:
        if not name.isidentifier():
            raise ValueError(f"a size is a positive integer or a name such as 'b', got {name!r}")


def _dtype(module: Any, dtype: Any) -> Any:
    """The torch type of the input."""
    import torch  # noqa: PLC0415

    if isinstance(dtype, torch.dtype):
        return dtype
    if dtype is not None:
        return getattr(torch, one_of("dtype", dtype, [*DTYPES, "float16", "complex64", "complex128", "int64"]))
    return next((p.dtype for p in module.parameters()), torch.get_default_dtype())
