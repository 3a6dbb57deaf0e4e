"""Rules of pooling."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from ..graph import attach
from ..table import rule
from ..tensor import Tensor
from .kernels import moved


@rule("torch.nn.functional.adaptive_max_pool2d")
def adaptive_max_pool2d(x: Tensor, output_size: Any, return_indices: bool = False) -> Any:
    """The maximum of each part of an image; saves x and where it was found."""
    asked = output_size if isinstance(output_size, (tuple, list)) else (output_size,) * 2
    sides = tuple(have if side is None else side for side, have in zip(asked, x.sizes[-2:], strict=True))
    sizes = (*x.sizes[:-2], *sides)
    out, indices = x.new(sizes), x.new(sizes, torch.int64)
    x.tape.kernel("adaptive_max_pool2d", "pointwise", [x, out, indices], flops=x.elements)

    def backward(saved: Sequence[Tensor], g: Tensor) -> list[Tensor]:
        return [moved("adaptive_max_pool2d_backward", [g, *saved], saved[0].sizes)]

    attach([out], [x], [x, indices], backward)
    return (out, indices) if return_indices else out
