"""torch.autocast on the tape: which functions compute in the lower type, which in float32, and the casts before them.

Source: aten/src/ATen/autocast_mode.{h,cpp}. The dispatcher knows the operators that a CPU's autocast treats: those
named here in the lower type or in the widest type among their tensors, all others in float32.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import lru_cache, wraps
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .tensor import Tensor

LOWER = {
    "_addmm_activation", "_native_multi_head_attention", "addbmm", "addmm", "baddbmm", "bmm", "conv1d", "conv2d",
    "conv3d", "conv_tbc", "conv_transpose1d", "conv_transpose2d", "conv_transpose3d", "linalg_vecdot", "linear",
    "matmul", "mkldnn_rnn_layer", "mm", "prelu", "scaled_dot_product_attention",
}  # fmt: skip
WIDEST = {"cat", "index_copy", "stack"}
PREFIXES = {"torch.fft.": "fft_", "torch.linalg.": "linalg_"}
OTHERWISE = {
    "__matmul__": "matmul", "concat": "cat", "concatenate": "cat", "cross_entropy": "cross_entropy_loss",
    "grid_sample": "grid_sampler",
}  # fmt: skip


def treated(rule: Callable[..., Any], names: Iterable[str]) -> Callable[..., Any]:
    """A rule of torch functions as autocast treats them; itself if it does not."""
    operator = next((name for name in map(_operator, names) if name in _operators()), None)
    if operator is None:
        return rule

    @wraps(rule)
    def cast_first(*args: Any, **kwargs: Any) -> Any:
        dtype = _active()
        if dtype is None:
            return rule(*args, **kwargs)
        tensors = [each for each in _leaves((*args, *kwargs.values())) if _is_eligible(each)]
        target = dtype if operator in LOWER else _widest(tensors, dtype) if operator in WIDEST else _torch().float32
        # The casts are arguments of one call of C++, which are evaluated from the last to the first.
        kwargs = {name: _cast(value, target) for name, value in reversed(kwargs.items())}
        args = tuple([_cast(value, target) for value in reversed(args)][::-1])
        with _disabled():
            return rule(*args, **kwargs)

    return cast_first


def _operator(name: str) -> str:
    """The operator behind a torch function."""
    last = name.rpartition(".")[2]
    prefix = next((prefix for where, prefix in PREFIXES.items() if name.startswith(where)), "")
    return prefix + OTHERWISE.get(last, last)


@lru_cache(maxsize=1)
def _operators() -> set[str]:
    """What autocast treats on a CPU in this version of torch."""
    kernel = _torch()._C._dispatch_has_kernel_for_dispatch_key
    names = [name for name in _torch()._C._dispatch_get_all_op_names() if name.startswith("aten::")]
    return {name.removeprefix("aten::").partition(".")[0] for name in names if kernel(name, "AutocastCPU")}


def _torch() -> Any:
    return sys.modules["torch"]


def _active() -> Any:
    """The lower type, None outside autocast."""
    torch = _torch()
    return torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else None


@contextmanager
def _disabled() -> Iterator[None]:
    """What runs inside an operator is cast no more."""
    torch = _torch()
    torch.set_autocast_enabled("cpu", False)
    try:
        yield
    finally:
        torch.set_autocast_enabled("cpu", True)


def _leaves(values: Iterable[Any]) -> Iterator[Any]:
    for value in values:
        if isinstance(value, (list, tuple)):
            yield from _leaves(value)
        else:
            yield value


def _is_eligible(value: Any) -> bool:
    """Whether it is a tensor of a real type but float64, which autocast leaves alone."""
    dtype = getattr(value, "dtype", None) if hasattr(value, "tape") else None
    return dtype is not None and dtype.is_floating_point and dtype is not _torch().float64


def _widest(tensors: list[Tensor], lower: Any) -> Any:
    return _torch().float32 if any(tensor.dtype is not lower for tensor in tensors) else lower


def _cast(value: Any, dtype: Any) -> Any:
    """A tensor in another type; a parameter's copy is kept until the outermost autocast ends."""
    if isinstance(value, (list, tuple)):
        return type(value)(_cast(each, dtype) for each in value)
    if not _is_eligible(value) or value.dtype is dtype:
        return value
    torch = _torch()
    kept = torch.is_autocast_cache_enabled() and dtype is _lower() and value.dtype is torch.float32
    if not (kept and value.requires_grad and value.is_leaf and not value.is_view):
        return value.to(dtype)
    copies = value.tape.copies
    key = id(value.edge[0]), dtype
    if key not in copies:
        copies[key] = value.to(dtype)
    return copies[key]


def _lower() -> Any:
    return _torch().get_autocast_dtype("cpu")
