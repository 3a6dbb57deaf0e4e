"""What PyTorch's CUDA caching allocator says, read: its statistics and its history. Nothing here needs a GPU."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, NamedTuple

import torch

Frame = Mapping[str, Any]
Entry = Mapping[str, Any]

TENSOR = "tensor"
SCRATCH = "operator scratch"
UNKNOWN = "unknown"
# By what the names of C++ functions on an allocation's stack contain.
LIBRARIES = {
    "cublas": ("cublas", "cuda::blas::"),
    "cudnn": ("cudnn",),
    "cufft": ("cufft",),
    "cusolver": ("cusolver", "magma", "linalg_inv", "linalg_lu", "linalg_solve"),
}
STORAGE = (
    "at::detail::empty_",
    "at::detail::_empty_",
    "resize_bytes",
    "resize_impl",
)  # what a tensor's memory is got by
OPERATOR = re.compile(r"at::_ops::(\w+)::(?:call|redispatch)\b")
FALLBACK = "at::native::MathOpFallback"  # calls an operator that knows no lazy conjugation with copies of such inputs


class Peaks(NamedTuple):
    """The most bytes during a call above those before it: as the program asked for, and as the allocator gave."""

    requested: int
    allocated: int


def above(before: Mapping[str, int], after: Mapping[str, int]) -> Peaks:
    """The peaks of a call, from ``torch.cuda.memory_stats()`` before, when peaks are reset, and after it.

    Example:
        >>> from lipcost.validate.cuda.allocator import above
        >>> before = {"requested_bytes.all.current": 700, "allocated_bytes.all.current": 1024}
        >>> above(before, {"requested_bytes.all.peak": 1000, "allocated_bytes.all.peak": 2048})
        Peaks(requested=300, allocated=1024)
    """
    found = (after[f"{kind}_bytes.all.peak"] - before[f"{kind}_bytes.all.current"] for kind in Peaks._fields)
    return Peaks(*found)


@dataclass(frozen=True)
class Owners:
    """Bytes that a call allocated, by whom they were for; nothing that was there before.

    Attributes:
        peak: the most live at once.
        without_libraries: the same but for the libraries' workspaces.
        largest: by owner, the most live at once: "tensor", "operator scratch", "cublas", "cudnn", "cufft", "cusolver"
            (or MAGMA), "unknown" (no C++ function on the stack).
    """

    peak: int
    without_libraries: int
    largest: dict[str, int]

    @property
    def tensors(self) -> int:
        """The most that was live in tensors alone, which is what the cost model is about."""
        return self.largest.get(TENSOR, 0)


def by_owner(trace: Iterable[Entry]) -> Owners:
    """Who owned what one call allocated, from the history of the allocator.

    An *operator* is what a dispatch mode sees as a unit, as in :func:`lipcost.validate.measure_memory`. What an
    operator allocates and frees again before it returns, both seen by the stacks, is scratch: that of a library if the
    stack runs through it, the innermost if there are several. What outlives its operator is a tensor, unless no tensor
    asked for it, as a library that keeps its workspace does. A tensor that was there before counts when it is freed.

    Args:
        trace: one device's entries of ``torch.cuda.memory._snapshot()["device_traces"]``, each a dict of action
            ("alloc", "free_completed", others are left out), addr, size (as requested) and frames, innermost first,
            recorded with ``context="all", stacks="all"``.

    Example:
        >>> from lipcost.validate.cuda.allocator import by_owner
        >>> call = {"name": "at::_ops::relu::call(at::Tensor const&)"}
        >>> relu = {"addr": 1, "size": 32, "frames": [{"name": "at::detail::empty_cuda(...)"}, call]}
        >>> by_owner([{"action": "alloc", **relu}]).largest
        {'tensor': 32}
        >>> by_owner([{"action": "alloc", **relu}, {"action": "free_completed", **relu}]).largest
        {'operator scratch': 32}
    """
    sizes: list[int] = []  # of each event, negative where it frees
    owners: list[str] = []
    born: dict[int, tuple[int, Sequence[Frame]]] = {}  # address -> index of its allocation, and its stack
    for entry in trace:
        size, address, frames = entry["size"], entry.get("addr", 0), entry.get("frames", ())
        if entry["action"] == "alloc":
            born[address] = len(sizes), frames
            sizes.append(size)
            owners.append(_kept(frames))
        elif entry["action"] == "free_completed":
            owner = TENSOR
            if address in born:
                index, allocated_by = born.pop(address)
                operator = _operator(allocated_by)
                if operator is not None and operator == _operator(frames):
                    owners[index] = _library(allocated_by) or SCRATCH
                owner = owners[index]
            sizes.append(-size)
            owners.append(owner)
    return _largest(sizes, owners)


def _largest(sizes: Sequence[int], owners: Sequence[str]) -> Owners:
    live: Counter[str] = Counter()
    largest: dict[str, int] = {}
    peak = without = 0
    for size, owner in zip(sizes, owners, strict=True):
        live[owner] += size
        largest[owner] = max(largest.get(owner, 0), live[owner])
        peak = max(peak, sum(live.values()))
        without = max(without, sum(live[name] for name in live if name not in LIBRARIES))
    return Owners(peak, without, largest)


def _kept(frames: Sequence[Frame]) -> str:
    """The owner of what outlives its operator."""
    names = [frame["name"] for frame in frames]
    if not any("::" in name for name in names):
        return UNKNOWN
    if any(part in name for name in names for part in STORAGE):
        return TENSOR
    return _library(frames) or SCRATCH


def _library(frames: Sequence[Frame]) -> str | None:
    """The innermost library on a stack."""
    return next(filter(None, (_named(frame["name"]) for frame in frames)), None)


@cache
def _named(name: str) -> str | None:
    """The library that a C++ function's name gives away."""
    lower = name.lower() if "::" in name else ""
    return next((library for library, parts in LIBRARIES.items() if any(part in lower for part in parts)), None)


def _operator(frames: Sequence[Frame]) -> str | None:
    """The outermost operator on a stack."""
    outermost, before = None, None
    for frame in frames:
        name = frame["name"]
        called = _called(name)
        # The copy that the fallback makes is an operator of its own, whatever it is made for.
        if before is not None and FALLBACK in name:
            break
        if called is not None and called not in _composites():
            outermost = called
        before = called
    return outermost


@cache
def _called(name: str) -> str | None:
    """The operator and overload that a C++ function is the entry of."""
    match = OPERATOR.match(name)
    return match[1] if match else None


@cache
def _composites() -> frozenset[str]:
    """The entries of operators that are made of others, which a dispatch mode sees instead."""
    names = [name for name in torch._C._dispatch_get_all_op_names() if name.startswith("aten::")]
    implicit = torch._C._dispatch_has_kernel_for_dispatch_key
    composite = (name for name in names if implicit(name, "CompositeImplicitAutograd"))
    return frozenset(name.removeprefix("aten::").replace(".", "_") for name in composite)
