"""Rules of parts of a tensor that are no slices: diagonals, and windows."""

from __future__ import annotations

from ..errors import NeedsNumber
from ..graph import attach
from ..sizes import inside
from ..table import rule
from ..tape import Size
from ..tensor import Tensor
from .copies import contiguous
from .kernels import fits, moved
from .views import scattered, view


@rule("torch.diagonal", "Tensor.diagonal")
def diagonal(x: Tensor, offset: int = 0, dim1: int = 0, dim2: int = 1) -> Tensor:
    a, b = x.axis(dim1), x.axis(dim2)
    rest = [axis for axis in range(x.rank) if axis not in (a, b)]
    strides = (*(x.strides[axis] for axis in rest), x.strides[a] + x.strides[b])
    out = x.view_of((*(x.sizes[axis] for axis in rest), _on_diagonal(x, x.sizes[a], x.sizes[b], offset)), strides)
    before = x.sizes
    attach([out], [x], [], lambda _, g: [scattered(g, before, "diagonal_backward")])
    return out


def _on_diagonal(x: Tensor, rows: Size, columns: Size, offset: int) -> Size:
    """How many entries a diagonal has, ``offset`` columns beside the main one."""
    if offset > 0:
        columns = columns - offset
    elif offset < 0:
        rows = rows + offset
    least = rows if fits((rows,), (columns,)) or x.tape.holds(columns > rows) else columns
    return max(least, 0) if isinstance(least, int) else least


@rule("torch.linalg.diagonal")
def linalg_diagonal(x: Tensor, *, offset: int = 0, dim1: int = -2, dim2: int = -1) -> Tensor:
    return diagonal(x, offset, dim1, dim2)


@rule("torch.diag", "Tensor.diag")
def diag(x: Tensor, diagonal: int = 0) -> Tensor:
    """The matrix of a diagonal, or a copy of the diagonal of a matrix."""
    if x.rank == 1:
        return diag_embed(x, diagonal)
    rows, columns = before = x.sizes
    out = moved("diagonal_copy", [x.resolved()], (_on_diagonal(x, rows, columns, diagonal),))
    attach([out], [x], [], lambda _, g: [scattered(g, before, "diagonal_backward")])
    return out


@rule("torch.diag_embed", "Tensor.diag_embed")
def diag_embed(x: Tensor, offset: int = 0, dim1: int = -2, dim2: int = -1) -> Tensor:
    rank = x.rank + 1
    a, b = sorted((dim1 % rank, dim2 % rank))
    side = x.sizes[-1] + abs(offset)
    sizes = list(x.sizes[:-1])
    sizes.insert(a, side)
    sizes.insert(b, side)
    out = moved("diag_embed", [x.resolved()], tuple(sizes))
    attach([out], [x], [], lambda _, g: [diagonal(g, offset, dim1, dim2)])
    return out


@rule("torch.diagflat", "Tensor.diagflat")
def diagflat(x: Tensor, offset: int = 0) -> Tensor:
    return diag(view(contiguous(x), -1), offset)


@rule("Tensor.unfold")
def unfold(x: Tensor, dimension: int, size: int, step: int) -> Tensor:
    """Windows of ``size`` entries of an axis, as a last axis; their gradients are summed."""
    axis, before = x.axis(dimension), x.sizes
    length = before[axis]
    if not isinstance(length, int):
        raise NeedsNumber("the number of windows of an axis depends on its size, so it must be a number")
    inside(size - 1, length)
    sizes = (*before[:axis], (length - size) // step + 1, *before[axis + 1 :], size)
    own = x.strides[axis]
    out = x.view_of(sizes, (*x.strides[:axis], own * step, *x.strides[axis + 1 :], own))

    def backward(_: object, g: Tensor) -> list[Tensor]:
        total = g.new(before)
        g.tape.kernel("unfold_backward", "pointwise", [g, total], flops=g.elements)
        return [total]

    attach([out], [x], [], backward)
    return out
