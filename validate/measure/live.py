"""The bytes of storages: of tensors that are there, and of all that live while operators run."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

Event = tuple[str, int]


class LiveStorage(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Follows the bytes of every storage that an operator returns, from that operator to the moment it is freed.

    It sees what the dispatcher returns to a caller: no operator-internal scratch, no Python scalar. A storage is
    counted once, however many tensors view it, so views and in-place operators leave no event.

    Args:
        tensors: what exists before; their storages are the base that live bytes start from.

    Attributes:
        live: live bytes now.
        peak: the most that ``live`` has been.
        events: (operator, +bytes) and ("free", -bytes), in order.

    Example:
        >>> import torch
        >>> from lipcost.validate.measure.live import LiveStorage
        >>> x = torch.ones(8)  # 32 bytes
        >>> with LiveStorage([x]) as tracker:
        ...     y = (x + 1).relu_()
        >>> tracker.live, tracker.peak, tracker.events
        (64, 64, [('aten.add.Tensor', 32)])
    """

    def __init__(self, tensors: Iterable[Tensor] = ()) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.live = 0
        self.peak = 0
        self.events: list[Event] = []
        self._sizes: dict[int, int] = {}
        for tensor in tensors:
            self._register(tensor, None)

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        out = func(*args, **(kwargs or {}))
        # A view of a storage that no operator returned: autograd conjugates the Python scalars that it keeps.
        for leaf in () if func.is_view else tree_leaves(out):
            if isinstance(leaf, Tensor):
                self._register(leaf, str(func))
        return out

    def knows(self, tensor: Tensor) -> bool:
        """Whether an operator returned this tensor's storage, or it was there before."""
        return tensor.untyped_storage()._cdata in self._sizes

    def _register(self, tensor: Tensor, name: str | None) -> None:
        storage = tensor.untyped_storage()
        key, size = storage._cdata, storage.nbytes()
        if key in self._sizes:
            return
        self._sizes[key] = size
        # The storage's Python object lives exactly as long as the C++ one, so this runs when the memory is freed.
        weakref.finalize(storage, self._free, key).atexit = False
        self.live += size
        self.peak = max(self.peak, self.live)
        if name is not None and size:
            self.events.append((name, size))

    def _free(self, key: int) -> None:
        size = self._sizes.pop(key)
        self.live -= size
        if size:
            self.events.append(("free", -size))


@contextmanager
def prompt_frees() -> Iterator[None]:
    """Free by reference count alone: a cycle collected at a random moment would move bytes about."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def storage_bytes(tensors: Iterable[Tensor], rounding: int = 1) -> int:
    """Bytes of the distinct storages of ``tensors``, each rounded up to a multiple of ``rounding``.

    Example:
        >>> import torch
        >>> from lipcost.validate.measure.live import storage_bytes
        >>> x = torch.ones(8)
        >>> storage_bytes([x, x[:4], torch.ones(1)]), storage_bytes([x, x[:4], torch.ones(1)], rounding=512)
        (36, 1024)
    """
    return sum(-(-storage.nbytes() // rounding) * rounding for storage in storages(tensors))


def storages(tensors: Iterable[Tensor]) -> list[torch.UntypedStorage]:
    """The distinct ones of ``tensors``."""
    found = (tensor.untyped_storage() for tensor in tensors)
    return list({storage._cdata: storage for storage in found}.values())
