"""Rules of what torch code asks a tensor about itself: no kernel runs."""

from __future__ import annotations

from typing import Any

from .. import layout
from ..errors import refused
from ..sizes import as_torch
from ..table import rule
from ..tensor import Tensor


@rule("Tensor.dim", "Tensor.ndimension")
def dim(x: Tensor) -> int:
    return x.rank


@rule("Tensor.ndim", attribute=True)
def ndim(x: Tensor) -> int:
    return x.rank


@rule("Tensor.size")
def size(x: Tensor, dim: int | None = None) -> Any:
    return x.shape if dim is None else x.shape[dim]


@rule("Tensor.numel", "torch.numel", "Tensor.nelement")
def numel(x: Tensor) -> Any:
    return as_torch(x.elements, x.tape)


@rule("Tensor.stride")
def stride(x: Tensor, dim: int | None = None) -> Any:
    if x.tape.symbolic:
        raise refused("strides of symbolic sizes")
    return x.strides if dim is None else x.strides[dim]


@rule("Tensor.storage_offset")
def storage_offset(x: Tensor) -> int:
    return 0


@rule("Tensor.element_size")
def element_size(x: Tensor) -> int:
    return int(x.dtype.itemsize)


@rule("Tensor.itemsize", attribute=True)
def itemsize(x: Tensor) -> int:
    return int(x.dtype.itemsize)


@rule("Tensor.is_contiguous")
def is_contiguous(x: Tensor, memory_format: Any = None) -> bool:
    order = layout.order_in(memory_format)
    return x.is_plain if order is None else layout.is_contiguous(x.hints, x.strides, order)


@rule("torch.is_complex", "Tensor.is_complex")
def is_complex(x: Tensor) -> bool:
    return bool(x.dtype.is_complex)


@rule("torch.is_floating_point", "Tensor.is_floating_point")
def is_floating_point(x: Tensor) -> bool:
    return bool(x.dtype.is_floating_point)


@rule("torch.is_conj", "Tensor.is_conj")
def is_conj(x: Tensor) -> bool:
    return x.conjugated


@rule("Tensor.is_cuda", attribute=True)
def is_cuda(x: Tensor) -> bool:
    return False


@rule("Tensor.is_nested", attribute=True)
def is_nested(x: Tensor) -> bool:
    return False


@rule("torch.is_tensor")
def is_tensor(x: Any) -> bool:
    return type(x) is Tensor


@rule("Tensor.requires_grad_")
def requires_grad_(x: Tensor, requires_grad: bool = True) -> Tensor:
    x.requires_grad = requires_grad
    return x
