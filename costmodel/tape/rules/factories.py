"""Rules of functions that make tensors of nothing but sizes."""

from __future__ import annotations

from math import ceil
from typing import Any

import torch

from .. import layout
from ..errors import NeedsNumber, refused
from ..sizes import halved
from ..table import active, rule
from ..tape import DType, Shape, Storage, Tape, pinned
from ..tensor import Tensor
from .copies import check_device, to
from .kernels import Operand, strides_for


def filled(name: str, tape: Tape, sizes: Shape, dtype: DType) -> Tensor:
    """A new tensor of constants."""
    out = Tensor(tape, sizes, dtype)
    tape.kernel(name, "pointwise", [out], flops=0)
    return out


def of_numbers(data: Any, dtype: DType = None) -> Tensor:
    """A tensor of the numbers of the program's code.

    No operator makes it, so that a dispatch mode does not know its memory, while plain eager allocates it; what
    autograd keeps of it is in no figure.
    """
    with torch._C.DisableTorchFunction():
        like = torch.tensor(data, dtype=dtype, device="meta")
    tape, sizes = active(), tuple(like.shape)
    nbytes = tape.nbytes(sizes, like.dtype.itemsize)
    memory = tape.allocate(nbytes) if tape.in_place else pinned(Storage(nbytes))
    memory.constant = True
    return Tensor(tape, sizes, like.dtype, memory)


def _default() -> DType:
    return torch.get_default_dtype()


def _shape(sizes: tuple[Any, ...]) -> Shape:
    return tuple(sizes[0]) if len(sizes) == 1 and isinstance(sizes[0], (tuple, list)) else sizes


def _made(
    name: str, sizes: Shape, dtype: DType, *, kernel: bool = True, tape: Tape | None = None,
    strides: layout.Strides | None = None, device: Any = None, requires_grad: bool = False, memory_format: Any = None,
    **_: Any,
) -> Tensor:  # fmt: skip
    """A new tensor.

    Args:
        name: of the kernel.
        sizes: of its axes.
        dtype: of its elements.
        kernel: whether one writes it.
        tape: where it is recorded; that of the recording that runs by default.
        strides: of its axes.
        device: where torch code wants it.
        requires_grad: whether it should be a leaf of the graph.
        memory_format: by which it lies.
        **_: what else torch's factories take, which costs nothing: layout, pin_memory.
    """
    check_device(device)
    if sizes != (0,):  # torch before 2.13 makes a leaf without entries for each checkpoint
        check_no_leaf(requires_grad)
    tape = tape or active()
    out = Tensor(tape, sizes, dtype, None, strides)
    if requires_grad:
        out.require_grad()
    if str(memory_format).endswith("channels_last"):
        out._strides = layout.contiguous(out.hints, layout.CHANNELS_LAST)
    if kernel:
        tape.kernel(name, "pointwise", [out], flops=0)
    return out


def check_no_leaf(requires_grad: bool) -> None:
    """Refuse a leaf that a program makes: torch.autograd.grad computes no gradient of it, ``backward()`` does."""
    if requires_grad:
        raise refused("a tensor that a program makes and whose gradient it wants")


def _factory(name: str, kernel: bool = True) -> Any:
    @rule(f"torch.{name}", factory=True)
    def make(*sizes: Any, size: Any = None, dtype: DType = None, **how: Any) -> Tensor:
        shape = tuple(size) if size is not None else _shape(sizes)
        return _made(name, shape, dtype or _default(), kernel=kernel, **how)

    return make


empty = _factory("empty", kernel=False)
zeros, ones, rand, randn = (_factory(name) for name in ("zeros", "ones", "rand", "randn"))


@rule("torch.empty_strided", factory=True)
def empty_strided(size: Any, stride: Any, *, dtype: DType = None, **how: Any) -> Tensor:
    shape = tuple(size)
    strides = tuple(stride)
    if not layout.is_dense(tuple(map(active().hint, shape)), strides):
        raise refused("empty_strided with gaps or repetitions")
    return _made("empty_strided", shape, dtype or _default(), kernel=False, strides=strides, **how)


@rule("torch.full", factory=True)
def full(size: Any, fill_value: Operand, *, dtype: DType = None, **how: Any) -> Tensor:
    return _made("full", tuple(size), dtype or _of_number(fill_value), **how)


@rule("torch.scalar_tensor", factory=True)
def scalar_tensor(s: Operand, *, dtype: DType = None, **how: Any) -> Tensor:
    return _made("scalar_tensor", (), dtype or _default(), **how)


def _of_number(number: Any) -> DType:
    if type(number) is Tensor:
        return number.dtype
    with torch._C.DisableTorchFunction():
        return torch.tensor(number, device="meta").dtype


@rule("torch.tensor", factory=True)
def tensor(data: Any, *, dtype: DType = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    check_device(device)
    if _holds_tensors(data):
        raise refused("torch.tensor of tensors: it reads their values")
    check_no_leaf(requires_grad)
    return of_numbers(data, dtype)


def _holds_tensors(data: Any) -> bool:
    if isinstance(data, (list, tuple)):
        return any(map(_holds_tensors, data))
    return isinstance(data, torch.Tensor)


@rule("torch.as_tensor", "torch.asarray", factory=True)
def as_tensor(data: Any, dtype: DType = None, device: Any = None) -> Tensor:
    return to(data, dtype=dtype, device=device) if type(data) is Tensor else tensor(data, dtype=dtype, device=device)


@rule("Tensor.new_tensor")
def new_tensor(x: Tensor, data: Any, *, dtype: DType = None, **how: Any) -> Tensor:
    return tensor(data, dtype=dtype or x.dtype, **how)


@rule("torch.eye", factory=True)
def eye(n: Any, m: Any = None, *, dtype: DType = None, **how: Any) -> Tensor:
    return _made("eye", (n, n if m is None else m), dtype or _default(), **how)


@rule("torch.arange", factory=True)
def arange(*bounds: Any, start: Any = 0, end: Any = None, step: Any = 1, dtype: DType = None, **how: Any) -> Tensor:
    if len(bounds) == 1:
        (end,) = bounds
    elif bounds:
        start, end, step = (*bounds, step)[:3]
    numbers = (start, end, step)
    integers = not any(isinstance(value, float) for value in numbers)
    return _made("arange", (_count(*numbers),), dtype or (torch.int64 if integers else _default()), **how)


def _count(start: Any, end: Any, step: Any) -> Any:
    """How many numbers there are from start to end, without it."""
    if step == 1 and not isinstance(end - start, float):
        return end - start
    if isinstance(end - start, (int, float)):
        return ceil((end - start) / step)
    return -(-(end - start) // step)


@rule("torch.linspace", factory=True)
def linspace(start: Any, end: Any, steps: Any, *, dtype: DType = None, **how: Any) -> Tensor:
    return _made("linspace", (steps,), dtype or _default(), **how)


@rule("torch.logspace", factory=True)
def logspace(start: Any, end: Any, steps: Any, base: float = 10.0, *, dtype: DType = None, **how: Any) -> Tensor:
    return _made("logspace", (steps,), dtype or _default(), **how)


def _triangle(name: str, above: bool) -> Any:
    @rule(f"torch.{name}", factory=True)
    def make(row: Any, col: Any, offset: int = 0, *, dtype: DType = torch.int64, **how: Any) -> Tensor:
        if not isinstance(row, int) or not isinstance(col, int):
            raise NeedsNumber(f"{name} counts the entries of a triangle, so its sides must be numbers")
        below = sum(min(max(i + 1 + offset - above, 0), col) for i in range(row))
        return _made(name, (2, row * col - below if above else below), dtype, **how)

    return make


tril_indices, triu_indices = _triangle("tril_indices", above=False), _triangle("triu_indices", above=True)


def _window(name: str) -> Any:
    @rule(f"torch.{name}", factory=True)
    def make(window_length: Any, periodic: bool = True, *_: Any, dtype: DType = None, **how: Any) -> Tensor:
        # A periodic one is the beginning of a longer one.
        whole = _made(name, (window_length + periodic,), dtype or _default(), kernel=False, **how)
        out = whole.view_of((window_length,), None)
        out.is_view = False
        out.tape.kernel(name, "pointwise", [out], flops=0)
        return out

    return make


for _name in ("bartlett_window", "blackman_window", "hamming_window", "hann_window", "kaiser_window"):
    _window(_name)


@rule("torch.fft.fftfreq", factory=True)
def fftfreq(n: Any, d: float = 1.0, *, dtype: DType = None, **how: Any) -> Tensor:
    return _made("fft_fftfreq", (n,), dtype or _default(), **how)


@rule("torch.fft.rfftfreq", factory=True)
def rfftfreq(n: Any, d: float = 1.0, *, dtype: DType = None, **how: Any) -> Tensor:
    return _made("fft_rfftfreq", (halved(n) + 1,), dtype or _default(), **how)


def _like(name: str, kernel: bool = True) -> Any:
    @rule(f"torch.{name}_like")
    def make(x: Tensor, *_: Any, dtype: DType = None, memory_format: Any = None, **how: Any) -> Tensor:
        strides = strides_for(x, memory_format)
        return _made(f"{name}_like", x.sizes, dtype or x.dtype, kernel=kernel, tape=x.tape, strides=strides, **how)

    return make


empty_like = _like("empty", kernel=False)
zeros_like, ones_like, full_like, rand_like, randn_like = (_like(n) for n in ("zeros", "ones", "full", "rand", "randn"))


def _new(name: str, kernel: bool = True) -> Any:
    @rule(f"Tensor.new_{name}")
    def make(x: Tensor, *sizes: Any, size: Any = None, dtype: DType = None, **how: Any) -> Tensor:
        shape = tuple(size) if size is not None else _shape(sizes[:1]) if name == "full" else _shape(sizes)
        return _made(f"new_{name}", shape, dtype or x.dtype, kernel=kernel, tape=x.tape, **how)

    return make


new_empty = _new("empty", kernel=False)
new_zeros, new_ones, new_full = (_new(name) for name in ("zeros", "ones", "full"))


@rule("Tensor.new_empty_strided")
def new_empty_strided(x: Tensor, size: Any, stride: Any, *, dtype: DType = None, **how: Any) -> Tensor:
    return empty_strided(size, stride, dtype=dtype or x.dtype, **how)


# Initial values are none of a recording's: a module that is built on a tape has none.
INITIALISATIONS = (
    "constant_", "dirac_", "eye_", "kaiming_normal_", "kaiming_uniform_", "normal_", "ones_", "orthogonal_", "sparse_",
    "trunc_normal_", "uniform_", "xavier_normal_", "xavier_uniform_", "zeros_",
)  # fmt: skip


@rule(*(f"torch.nn.init.{name}" for name in INITIALISATIONS))
def initialise(tensor: Tensor, *_: Any, **__: Any) -> Tensor:
    return tensor
