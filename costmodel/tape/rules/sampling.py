"""Rules of sampling an image or a volume at given places."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..errors import Mismatch
from ..graph import attach
from ..sizes import fit
from ..table import rule
from ..tensor import Tensor


@rule("torch.nn.functional.grid_sample", "torch.grid_sampler")
def grid_sample(input: Tensor, grid: Tensor, *_: Any, **__: Any) -> Tensor:
    """x (b, c, …) at the places of a grid (b, …, sides): (b, c, …); the places' gradient is computed in any case."""
    sides = input.rank - 2
    if grid.rank != input.rank or sides not in (2, 3):
        raise Mismatch(f"grid_sample of an input of shape {input.sizes} by a grid of shape {grid.sizes}")
    fit(grid.sizes[-1], sides, "a grid's coordinates and the sides of what is sampled")
    fit(grid.sizes[0], input.sizes[0], "batches of an input and its grid")
    name = f"grid_sampler_{sides}d"
    out = input.new((*input.sizes[:2], *grid.sizes[1:-1]))
    input.tape.kernel(name, "pointwise", [input, grid, out], flops=out.elements)
    of_input = input.requires_grad

    def backward(saved: Sequence[Tensor], g: Tensor) -> list[Tensor | None]:
        gradients = [g.new(each.sizes) if need else None for each, need in zip(saved, (of_input, True), strict=True)]
        written = [each for each in gradients if each is not None]
        g.tape.kernel(f"{name}_backward", "pointwise", [g, *saved, *written], flops=written[0].elements)
        return gradients

    attach([out], [input, grid], [input, grid], backward)
    return out
