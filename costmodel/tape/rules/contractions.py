"""Rules of sums of products over named axes: einsum, tensordot, bilinear forms, Kronecker products, chains.

Source: aten/src/ATen/native/Linear.cpp and LinearAlgebra.cpp.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from importlib import import_module
from math import prod
from typing import Any

import torch

from ..errors import Mismatch, NeedsNumber, refused
from ..graph import attach
from ..sizes import as_int, fit
from ..table import rule
from ..tape import Size
from ..tensor import Tensor
from .copies import clone
from .kernels import broadcast, promoted
from .linalg import bmm, dot, inv, matmul, mm
from .parts import diagonal
from .pointwise import add, mul
from .reductions import sum as sum_over
from .views import conj, movedim, permute, reshape, squeeze, unsqueeze, view


@rule("torch.einsum", "torch.functional.einsum")
def einsum(*arguments: Any) -> Tensor:
    """Operands contracted in pairs, in their order or in opt_einsum's.

    Every operand gets all axes: those of the result, then those that are summed, of size 1 where it lacks them.
    """
    equation, operands = _arguments(arguments)
    given, arrow, result = equation.replace(" ", "").partition("->")
    labels = given.split(",")
    if len(labels) != len(operands):
        raise Mismatch(f"einsum {equation!r} of {len(operands)} operands")
    hidden = max((x.rank - len(own.replace("...", "")) for x, own in zip(operands, labels, strict=True)), default=0)
    named = [_named(own, x.rank, hidden) for x, own in zip(operands, labels, strict=True)]
    order, kept = _order(named, result if arrow else None, hidden)
    _check_named(operands, named)
    path = _path(equation, operands)
    aligned = [_aligned(x, own, order) for x, own in zip(operands, named, strict=True)]
    if len(aligned) == 1:
        return sum_over(aligned[0], tuple(range(kept, len(order)))) if kept < len(order) else aligned[0]
    while len(aligned) > 1:
        i, j = sorted((next(path), next(path))) if path else (0, 1)
        b, a = aligned.pop(j), aligned.pop(i)
        aligned.insert(len(aligned) if path else 0, _pair(a, b, kept, aligned))
        del a, b
    out = aligned[0]
    return out if out.rank == kept else view(out, out.sizes[:kept])


def _arguments(arguments: Sequence[Any]) -> tuple[str, list[Tensor]]:
    """The equation and the operands, also where axes are lists of numbers behind each operand."""
    first, *rest = arguments
    if isinstance(first, str):
        many = len(rest) == 1 and isinstance(rest[0], (list, tuple))
        return first, list(rest[0] if many else rest)
    operands, lists = list(arguments[: len(arguments) // 2 * 2 : 2]), list(arguments[1::2])
    equation = ",".join(map(_letters, lists))
    return (f"{equation}->{_letters(arguments[-1])}" if len(arguments) % 2 else equation), operands


def _letters(axes: Sequence[Any]) -> str:
    return "".join("..." if axis is ... else chr(axis + (ord("A") if axis < 26 else ord("a") - 26)) for axis in axes)


def _named(own: str, rank: int, hidden: int) -> list[str]:
    """The names of an operand's axes; those of an ellipsis are numbers, counted from the first of the longest one."""
    before, dots, after = own.partition("...")
    covered = rank - len(before) - len(after)
    if covered < 0 or (covered and not dots):
        raise Mismatch(f"einsum: {own!r} does not name {rank} axes")
    return [*before, *(str(i) for i in range(hidden - covered, hidden) if dots), *after]


def _check_named(operands: Sequence[Tensor], named: Sequence[Sequence[str]]) -> None:
    """Raise Mismatch where axes of one name have several sizes; those of one entry broadcast."""
    known: dict[str, Size] = {}
    for x, names in zip(operands, named, strict=True):
        for axis, (name, size) in enumerate(zip(names, x.sizes, strict=True)):
            if _long(x, axis):
                fit(known.setdefault(name, size), size, f"axes {name!r} of einsum's operands")


def _order(named: Sequence[Sequence[str]], result: str | None, hidden: int) -> tuple[list[str], int]:
    """The names of all axes, those of the result first, and how many these are."""
    every = [name for names in named for name in names]
    ellipsis = [str(i) for i in range(hidden)] if any(name.isdigit() for name in every) else []
    if result is None:
        kept = [*ellipsis, *sorted(name for name in every if name.isalpha() and every.count(name) == 1)]
    else:
        before, dots, after = result.partition("...")
        kept = [*before, *(ellipsis if dots else ()), *after]
    if not set(kept) <= set(every) or len(set(kept)) < len(kept):
        raise Mismatch(f"einsum: the result's axes {kept} are not those of its operands, each once")
    return [*kept, *(i for i in ellipsis if i not in kept), *sorted(set(every) - set(kept) - set(ellipsis))], len(kept)


def _path(equation: str, operands: Sequence[Tensor]) -> Iterator[int] | None:
    """Which two are contracted next, where opt_einsum decides."""
    chooses = torch.backends.opt_einsum
    if len(operands) <= 2 or not chooses.is_available() or not chooses.enabled:
        return None
    sizes = [tuple(map(as_int, x.sizes)) for x in operands]
    if any(size is None for own in sizes for size in own):
        raise NeedsNumber("the order in which opt_einsum contracts depends on the sizes")
    opt_einsum: Any = import_module("opt_einsum")  # it need not be there

    path = opt_einsum.contract_path(equation, *sizes, shapes=True, optimize=chooses.strategy)[0]
    return iter([i for pair in path for i in pair])


def _aligned(x: Tensor, own: Sequence[str], order: Sequence[str]) -> Tensor:
    """x with its axes in an order, those that it lacks of size 1; of an axis named twice the diagonal."""
    places: dict[str, int] = {}
    for name in own:
        if name in places:
            x = movedim(diagonal(x, 0, places[name], len(places)), -1, places[name])
        else:
            places[name] = len(places)
    axes = []
    for name in order:
        if name not in places:
            x = unsqueeze(x, x.rank)
        axes.append(places.get(name, x.rank - 1))
    return permute(x, axes)


def _long(x: Tensor, axis: int) -> bool:
    """Whether an axis has more than one entry."""
    size = x.sizes[axis]
    return not (isinstance(size, int) and size == 1) and x.tape.holds(_is_more(size))


def _is_more(size: Size) -> Any:
    return size > 1


def _pair(a: Tensor, b: Tensor, kept: int, others: Sequence[Tensor]) -> Tensor:
    """The product of two operands, summed over what neither the result nor another operand needs."""
    done = [i for i in range(kept, a.rank) if not any(_long(x, i) for x in others)]
    summed = [i for i in done if _long(a, i) and _long(b, i)]
    alone_a = [i for i in done if i not in summed and _long(a, i)]
    alone_b = [i for i in done if i not in summed and _long(b, i)]
    if alone_a:
        a = sum_over(a, alone_a, True)
    if alone_b:
        b = sum_over(b, alone_b, True)
    return _contracted(a, b, summed) if summed else mul(a, b)


def _contracted(a: Tensor, b: Tensor, summed: Sequence[int]) -> Tensor:
    """The product of two tensors of as many axes, summed over axes that both have, which are kept of size 1."""
    rest = [i for i in range(a.rank) if i not in summed]
    both = [i for i in rest if _long(a, i) and _long(b, i)]
    of_a = [i for i in rest if _long(a, i) and i not in both]
    of_b = [i for i in rest if i not in both and i not in of_a]
    if of_a and of_b and of_b[-1] < of_a[0]:  # the other way about, the product is already in order
        a, b, of_a, of_b = b, a, of_b, of_a
    order = [*both, *of_a, *summed, *of_b]
    batch, rows = prod(a.sizes[i] for i in both), prod(a.sizes[i] for i in of_a)
    inner, columns = prod(a.sizes[i] for i in summed), prod(b.sizes[i] for i in of_b)
    left = reshape(permute(a, order), (batch, rows, inner))
    right = reshape(permute(b, [*both, *summed, *of_b, *of_a]), (batch, inner, columns))
    sizes = [*(a.sizes[i] for i in both + of_a), *(1 for _ in summed), *(b.sizes[i] for i in of_b)]
    return permute(view(bmm(left, right), sizes), [order.index(i) for i in range(a.rank)])


@rule("torch.tensordot", "torch.functional.tensordot")
def tensordot(a: Tensor, b: Tensor, dims: Any = 2, out: None = None) -> Tensor:
    """One matrix product over the axes ``dims`` of both."""
    if isinstance(dims, int):
        dims = list(range(a.rank - dims, a.rank)), list(range(dims))
    of_a, of_b = (
        [x.axis(i) for i in ((own,) if isinstance(own, int) else own)] for x, own in zip((a, b), dims, strict=True)
    )
    inner: Size = 1
    for i, j in zip(of_a, of_b, strict=True):
        if not _long(b, j):
            a = sum_over(a, i, True)
        elif not _long(a, i):
            b = sum_over(b, j, True)
        else:
            inner = inner * a.sizes[i]
    rows, columns = [i for i in range(a.rank) if i not in of_a], [j for j in range(b.rank) if j not in of_b]
    sizes = [*(a.sizes[i] for i in rows), *(b.sizes[j] for j in columns)]
    left, right = permute(a, [*rows, *of_a]), permute(b, [*of_b, *columns])
    height, width = prod(a.sizes[i] for i in rows), prod(b.sizes[j] for j in columns)
    if not a.tape.holds(height * width > 1):
        return reshape(_of_one_number(left, right, inner), sizes)
    return reshape(mm(reshape(left, (height, inner)), reshape(right, (inner, width))), sizes)


def _of_one_number(left: Tensor, right: Tensor, inner: Size) -> Tensor:
    """A contraction to one number: a dot product, unless an operand lies otherwise than it is read."""
    if left.is_plain and right.is_plain:
        return dot(reshape(left, (inner,)), reshape(right, (inner,)))
    return sum_over(mul(squeeze(left), squeeze(right)))


@rule("torch.inner", "Tensor.inner")
def inner(a: Tensor, b: Tensor) -> Tensor:
    if a.rank == 0 or b.rank == 0:
        return mul(a, b)
    return dot(a, b) if a.rank == b.rank == 1 else tensordot(a, b, ([-1], [-1]))


# Bilinear forms.

ROWS, OUTPUTS, FIRST, SECOND = range(4)  # the axes of a bilinear form: its rows, outputs, and those of its two inputs


@rule("torch.nn.functional.bilinear", "torch.bilinear")
def bilinear(x: Tensor, y: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """x (…, i), weight (o, i, j) and y (…, j): (…, o)."""
    fit(x.sizes[-1], weight.sizes[1], "a bilinear form and its first input")
    fit(y.sizes[-1], weight.sizes[2], "a bilinear form and its second input")
    rows = prod(x.sizes[:-1])
    flat = reshape(x, (rows, x.sizes[-1])), weight, reshape(y, (rows, y.sizes[-1]))
    out = reshape(_trilinear(flat, ((OUTPUTS, SECOND), (ROWS,), (OUTPUTS, FIRST)), (FIRST, SECOND)),
                  (*x.sizes[:-1], weight.sizes[0]))  # fmt: skip
    return out if bias is None else add(out, bias)


def _trilinear(factors: Sequence[Tensor], lacking: Sequence[Sequence[int]], summed: Sequence[int]) -> Tensor:
    """The sum over axes of a product of three, in one kernel that goes through the outputs one by one.

    Args:
        factors: the three.
        lacking: of each, which of the four axes it does not have.
        summed: over which axes the product is summed.
    """
    a, b, c = factors
    sizes: dict[int, Size] = {}
    for x, absent in zip(factors, lacking, strict=True):
        sizes |= dict(zip((axis for axis in range(4) if axis not in absent), x.sizes, strict=True))
    out = a.new(tuple(size for axis, size in sorted(sizes.items()) if axis not in summed))
    inner = [axis for axis in summed if axis != OUTPUTS]
    first = [axis for axis in inner if axis in lacking[2]]  # summed with the product of the first two
    macs: Size = 0
    if first:
        macs = prod(sizes[axis] for axis in range(4) if axis not in lacking[0] or axis not in lacking[1])
    if len(first) < len(inner):
        macs = macs + prod(size for axis, size in sizes.items() if axis not in first)
    a.tape.kernel("_trilinear", "matmul", [a, b, c, out], macs=macs * _reals(a))
    needs = [x.is_followed for x in factors]

    def backward(saved: Sequence[Tensor], g: Tensor) -> list[Tensor | None]:
        found: list[Tensor | None] = []
        for i, wanted in enumerate(needs):
            others, without = list(saved), list(lacking)
            others[i], without[i] = g, tuple(summed)
            found.append(_trilinear(others, without, lacking[i]) if wanted else None)
        return found

    attach([out], list(factors), list(factors), backward)
    return out


def _reals(x: Tensor) -> int:
    return 4 if x.dtype.is_complex else 1


# Chains and products of matrices.


@rule("torch.linalg.multi_dot")
def multi_dot(tensors: Sequence[Tensor], *, out: None = None) -> Tensor:
    """A chain of matrix products in the order of the fewest MACs; the first and the last may be vectors."""
    chain = list(tensors)
    sizes = (*chain[0].sizes[:-1], *chain[-1].sizes[1:])
    if chain[0].rank == 1:
        chain[0] = unsqueeze(chain[0], 0)
    if chain[-1].rank == 1:
        chain[-1] = unsqueeze(chain[-1], -1)
    if len(chain) < 3:
        return view(mm(chain[0], chain[1]), sizes)
    if len(chain) == 3:
        (a, b), c, d = chain[0].sizes, chain[2].sizes[0], chain[2].sizes[1]
        if chain[0].tape.holds(a * c * (b + d) > b * d * (a + c)):
            return view(mm(chain[0], mm(chain[1], chain[2])), sizes)
        return view(mm(mm(chain[0], chain[1]), chain[2]), sizes)
    return view(_chained(chain, _cheapest(chain), 0, len(chain) - 1), sizes)


def _cheapest(chain: Sequence[Tensor]) -> dict[tuple[int, int], int]:
    """Where each part of a chain is cut (Cormen et al., Introduction to Algorithms, 15.2)."""
    sides = [chain[0].sizes[0], *(x.sizes[1] for x in chain)]
    cost: dict[tuple[int, int], Size] = {(i, i): 0 for i in range(len(chain))}
    cuts: dict[tuple[int, int], int] = {}
    for length in range(1, len(chain)):
        for i in range(len(chain) - length):
            j = i + length
            for k in range(i, j):
                found = cost[i, k] + cost[k + 1, j] + sides[i] * sides[k + 1] * sides[j + 1]
                if (i, j) not in cost or chain[0].tape.holds(found < cost[i, j]):
                    cost[i, j], cuts[i, j] = found, k
    return cuts


def _chained(chain: Sequence[Tensor], cuts: dict[tuple[int, int], int], i: int, j: int) -> Tensor:
    if i == j:
        return chain[i]
    right = _chained(chain, cuts, cuts[i, j] + 1, j)  # C++ computes the right side first
    return mm(_chained(chain, cuts, i, cuts[i, j]), right)


@rule("torch.chain_matmul", "torch.functional.chain_matmul")
def chain_matmul(*matrices: Tensor, out: None = None) -> Tensor:
    return matrices[0] if len(matrices) == 1 else multi_dot(matrices)


@rule("torch.linalg.matrix_power", "torch.matrix_power", "Tensor.matrix_power")
def matrix_power(a: Tensor, n: int) -> Tensor:
    """By squares."""
    if n == 0:
        raise refused("torch.linalg.matrix_power with the power 0")
    if n in (1, -1):
        return clone(a, memory_format="contiguous") if n == 1 else inv(a)
    base = inv(a) if n < 0 else a
    if abs(n) == 3:
        return matmul(matmul(base, base), base)
    square = result = None
    for bit in reversed(f"{abs(n):b}"):
        square = base if square is None else matmul(square, square)
        if bit == "1":
            result = square if result is None else matmul(result, square)
    assert result is not None
    return result


@rule("torch.kron", "Tensor.kron")
def kron(a: Tensor, b: Tensor) -> Tensor:
    """A pointwise product of all pairs of entries."""
    rank = max(a.rank, b.rank)
    of_a, of_b = ((1,) * (rank - x.rank) + x.sizes for x in (a, b))
    left = view(a, tuple(size for each in of_a for size in (each, 1)))
    right = view(b, tuple(size for each in of_b for size in (1, each)))
    return view(mul(left, right), tuple(x * y for x, y in zip(of_a, of_b, strict=True))).unsafe()


@rule("torch.linalg.cross")
def cross(a: Tensor, b: Tensor, *, dim: int = -1) -> Tensor:
    """A pointwise kernel of vectors of three."""
    sizes = broadcast(a.sizes, b.sizes)
    out = a.new(sizes, promoted((a, b)))
    fit(sizes[out.axis(dim)], 3, "entries of a vector product's factors")
    read = [a.resolved(), b.resolved()]
    a.tape.kernel("linalg_cross", "pointwise", [*read, out], flops=out.elements)
    del read

    def backward(saved: Sequence[Tensor | None], g: Tensor) -> list[Tensor | None]:
        a, b = saved
        of_b = None if a is None else cross(g, conj(a), dim=dim)
        return [None if b is None else cross(conj(b), g, dim=dim), of_b]

    attach([out], [a, b], [a if b.is_followed else None, b if a.is_followed else None], backward)
    return out


@rule("torch.cross", "Tensor.cross")
def old_cross(a: Tensor, b: Tensor, dim: int | None = None) -> Tensor:
    """Along the first axis of three, unless told."""
    return cross(a, b, dim=[*broadcast(a.sizes, b.sizes)].index(3) if dim is None else dim)
