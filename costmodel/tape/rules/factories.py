"""Rules of functions that make tensors of nothing but sizes."""

from __future__ import annotations

from typing import Any

import torch

from ..errors import refused
from ..sizes import halved
from ..table import active, rule
from ..tape import DType, Shape, Storage, Tape, pinned
from ..tensor import Tensor
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


def _factory(name: str, kernel: bool = True) -> Any:
    @rule(f"torch.{name}", factory=True)
    def make(*sizes: Any, size: Any = None, dtype: DType = None, requires_grad: bool = False, **_: Any) -> Tensor:
        shape = tuple(size) if size is not None else _shape(sizes)
        out = Tensor(active(), shape, dtype or _default())
        if kernel:
            out.tape.kernel(name, "pointwise", [out], flops=0)
        return out.require_grad() if requires_grad else out

    return make


empty = _factory("empty", kernel=False)
zeros, ones, rand, randn = (_factory(name) for name in ("zeros", "ones", "rand", "randn"))


@rule("torch.full", factory=True)
def full(size: Any, fill_value: Operand, *, dtype: DType = None, **_: Any) -> Tensor:
    return filled("full", active(), tuple(size), dtype or torch.tensor(fill_value, device="meta").dtype)


@rule("torch.tensor", factory=True)
def tensor(
    data: Any, *, dtype: DType = None, device: Any = None, requires_grad: bool = False, pin_memory: bool = False
) -> Tensor:
    if _holds_tensors(data):
        raise refused("torch.tensor of tensors: it reads their values")
    out = of_numbers(data, dtype)
    return out.require_grad() if requires_grad else out


@rule("torch.as_tensor", "torch.asarray", factory=True)
def as_tensor(data: Any, dtype: DType = None, device: Any = None) -> Tensor:
    if type(data) is Tensor:
        from .copies import to  # noqa: PLC0415

        return data if dtype is None else to(data, dtype)
    return tensor(data, dtype=dtype)


@rule("Tensor.new_tensor")
def new_tensor(x: Tensor, data: Any, *, dtype: DType = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    return tensor(data, dtype=dtype or x.dtype, requires_grad=requires_grad)


def _holds_tensors(data: Any) -> bool:
    if isinstance(data, (list, tuple)):
        return any(map(_holds_tensors, data))
    return isinstance(data, torch.Tensor)


@rule("torch.eye", factory=True)
def eye(n: Any, m: Any = None, *, dtype: DType = None, **_: Any) -> Tensor:
    return filled("eye", active(), (n, n if m is None else m), dtype or _default())


@rule("torch.arange", factory=True)
def arange(*bounds: Any, start: Any = 0, end: Any = None, step: Any = 1, dtype: DType = None, **_: Any) -> Tensor:
    if len(bounds) == 1:
        (end,) = bounds
    elif bounds:
        start, end, step = (*bounds, 1)[:3]
    length = end - start if step == 1 else -(-(end - start) // step)
    integers = all(not isinstance(value, float) for value in (start, end, step))
    return filled("arange", active(), (length,), dtype or (_int64() if integers else _default()))


def _int64() -> DType:
    return torch.int64


@rule("torch.linspace", factory=True)
def linspace(start: Any, end: Any, steps: Any, *, dtype: DType = None, **_: Any) -> Tensor:
    return filled("linspace", active(), (steps,), dtype or _default())


@rule("torch.fft.fftfreq", factory=True)
def fftfreq(n: Any, d: float = 1.0, *, dtype: DType = None, **_: Any) -> Tensor:
    return filled("fft_fftfreq", active(), (n,), dtype or _default())


@rule("torch.fft.rfftfreq", factory=True)
def rfftfreq(n: Any, d: float = 1.0, *, dtype: DType = None, **_: Any) -> Tensor:
    return filled("fft_rfftfreq", active(), (halved(n) + 1,), dtype or _default())


def _like(name: str, kernel: bool = True) -> Any:
    @rule(f"torch.{name}_like")
    def make(x: Tensor, *_: Any, dtype: DType = None, **__: Any) -> Tensor:
        out = x.new(x.sizes, dtype, strides_for(x))
        if kernel:
            x.tape.kernel(f"{name}_like", "pointwise", [out], flops=0)
        return out

    return make


empty_like = _like("empty", kernel=False)
zeros_like, ones_like, full_like, rand_like, randn_like = (_like(n) for n in ("zeros", "ones", "full", "rand", "randn"))


def _new(name: str, kernel: bool = True) -> Any:
    @rule(f"Tensor.new_{name}")
    def make(x: Tensor, *sizes: Any, dtype: DType = None, **_: Any) -> Tensor:
        shape = tuple(sizes[0]) if isinstance(sizes[0], (tuple, list)) else sizes
        out = x.new(shape, dtype)
        if kernel:
            x.tape.kernel(f"new_{name}", "pointwise", [out], flops=0)
        return out

    return make


new_empty = _new("empty", kernel=False)
new_zeros, new_ones, new_full = (_new(name) for name in ("zeros", "ones", "full"))


# Initial values are none of a recording's: a module that is built on a tape has none.
INITIALISATIONS = (
    "constant_", "dirac_", "eye_", "kaiming_normal_", "kaiming_uniform_", "normal_", "ones_", "orthogonal_", "sparse_",
    "trunc_normal_", "uniform_", "xavier_normal_", "xavier_uniform_", "zeros_",
)  # fmt: skip


@rule(*(f"torch.nn.init.{name}" for name in INITIALISATIONS))
def initialise(tensor: Tensor, *_: Any, **__: Any) -> Tensor:
    return tensor
