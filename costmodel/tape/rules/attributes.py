"""Rules of what torch code asks a tensor about itself: no kernel runs."""

from __future__ import annotations

from typing import Any

import torch

from .. import layout
from ..errors import refused
from ..sizes import as_torch
from ..table import rule
from ..tensor import Tensor
from .kernels import fits

KINDS = (
    "cuda", "ipu", "maia", "mkldnn", "mps", "mtia", "nested", "quantized", "sparse", "sparse_csr", "vulkan", "xla",
    "xpu",
)  # fmt: skip


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
    if x.is_view:
        raise refused("the place of a view in its memory")
    return 0


@rule("Tensor.layout", attribute=True)
def layout_of(x: Tensor) -> Any:
    return torch.strided


@rule("Tensor.is_cpu", attribute=True)
def is_cpu(x: Tensor) -> bool:
    return True


@rule(*(f"Tensor.is_{kind}" for kind in KINDS), "Tensor.retains_grad", attribute=True)
def never_an_attribute(x: Tensor) -> bool:
    return False


@rule(
    "Tensor.has_names", "Tensor.is_shared", "Tensor.is_pinned", "torch.is_inference", "Tensor.is_inference",
    "torch.is_neg", "Tensor.is_neg", "torch.is_distributed", "Tensor.is_distributed",
)  # fmt: skip
def never(x: Tensor, *_: Any) -> bool:
    return False


@rule("Tensor.name", "Tensor._backward_hooks", attribute=True)
def nothing(x: Tensor) -> None:
    return None


@rule("Tensor.names", attribute=True)
def names(x: Tensor) -> tuple[None, ...]:
    return (None,) * x.rank


@rule("Tensor.output_nr", attribute=True)
def output_nr(x: Tensor) -> int:
    return 0 if x.edge is None else x.edge[1]


@rule("Tensor._base", attribute=True)
def base(x: Tensor) -> Tensor | None:
    return x.base


@rule("Tensor.get_device", "torch.get_device")
def get_device(x: Tensor) -> int:
    return -1


@rule("Tensor.dim_order")
def dim_order(x: Tensor, *, ambiguity_check: Any = False) -> tuple[int, ...]:
    return tuple(layout.order_of(x.strides))


@rule("torch.is_signed", "Tensor.is_signed")
def is_signed(x: Tensor) -> bool:
    return bool(x.dtype.is_signed)


@rule("torch.is_same_size", "Tensor.is_same_size")
def is_same_size(x: Tensor, other: Tensor) -> bool:
    return fits(x.sizes, other.sizes)


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


@rule("torch.is_storage")
def is_storage(x: Any) -> bool:
    return False


@rule("torch.is_tensor")
def is_tensor(x: Any) -> bool:
    return type(x) is Tensor


@rule("Tensor.requires_grad_")
def requires_grad_(x: Tensor, requires_grad: bool = True) -> Tensor:
    x.requires_grad = requires_grad
    return x


@rule("Tensor.detach_", "torch.detach_")
def detach_(x: Tensor) -> Tensor:
    if x.is_view:
        raise RuntimeError("a view is detached in place")
    x.requires_grad = False
    return x


def _refuses(name: str, why: str) -> None:
    @rule(name)
    def refuse(*_: Any, **__: Any) -> Any:
        raise refused(f"{name.replace('Tensor', 'torch.Tensor', 1)}: {why}")


REFUSED = {
    "hooks of the backward are not run": ("Tensor.register_hook", "Tensor.register_post_accumulate_grad_hook"),
    "gradients are kept of leaves only": ("Tensor.retain_grad",),
    "a gradient of a part of a graph": ("torch.autograd.grad",),
    "a value decides it": ("Tensor.__contains__",),
    "it copies memory": ("Tensor.__deepcopy__", "Tensor.__array__", "Tensor.__dlpack__", "Tensor.storage"),
}  # fmt: skip
for _why, _names in REFUSED.items():
    for _name in _names:
        _refuses(_name, _why)
