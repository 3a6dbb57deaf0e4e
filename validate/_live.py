"""What the measurements share: the warmed-up copy of a layer, and a tracker of live storages."""

from __future__ import annotations

import copy
import gc
import weakref
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

Mode = Literal["train", "inference"]
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
        >>> from lipcost.validate._live import LiveStorage
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


def check_input(x: Tensor) -> None:
    """Raise a ValueError unless ``x`` is floating-point or complex, and on the CPU.

    Example:
        >>> import torch
        >>> from lipcost.validate._live import check_input
        >>> check_input(torch.ones(2))
    """
    if x.device.type != "cpu" or not (x.is_floating_point() or x.is_complex()):
        raise ValueError(f"x must be a floating-point or complex tensor on the CPU, got {x.dtype} on {x.device}")


def warmed_up(layer: nn.Module, x: Tensor, mode: Mode) -> tuple[nn.Module, Tensor, Tensor]:
    """Copies of ``layer`` and ``x`` after one call, which sizes lazy buffers or fills the eval cache, and a gradient.

    Args:
        layer: the module; it is left as it is.
        x: its input, floating-point or complex, on the CPU; the copy requires grad in "train".
        mode: "train" or "inference".

    Returns:
        The copy in its mode, the copy of x, and ones (contiguous) in the output's shape and type.

    Raises:
        ValueError: if ``mode`` is another, or x is integer or not on the CPU.

    Example:
        >>> import torch
        >>> from lipcost.validate._live import warmed_up
        >>> layer, x, gradient = warmed_up(torch.nn.ReLU(), torch.ones(2), "train")
        >>> layer.training, x.requires_grad, gradient
        (True, True, tensor([1., 1.]))
    """
    if mode not in get_args(Mode):
        raise ValueError(f"mode must be one of {', '.join(get_args(Mode))}, got {mode!r}")
    check_input(x)
    layer = copy.deepcopy(layer).train(mode == "train")
    x = x.detach().clone().requires_grad_(mode == "train")
    with torch.no_grad():
        y = layer(x)
    return layer, x, y.new_ones(y.shape)


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
