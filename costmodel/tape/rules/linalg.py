"""Rules of matrix products, inverses and factorisations."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any, NamedTuple

import torch

from ..errors import refused
from ..graph import attach
from ..sizes import fit
from ..table import rule
from ..tape import Size
from ..tensor import Tensor
from .copies import contiguous
from .kernels import alike, broadcast, by_columns, fits
from .pointwise import add, mul, neg
from .reductions import sum as sum_over
from .views import adjoint, conj, expand, permute, reshape, squeeze, t, transpose, unsqueeze, view


def _macs(x: Tensor, *sizes: Size) -> Size:
    """A complex product takes four real ones."""
    return prod(sizes) * (4 if x.dtype.is_complex else 1)


def _check(a: Tensor, b: Tensor) -> None:
    """Raise Mismatch where two matrices, or two stacks of as many, have no product."""
    alike(a, b, "factors of a matrix product")
    fit(a.rank, b.rank, "axes of a matrix product's factors")
    if a.rank > 2:
        fit(a.sizes[0], b.sizes[0], "stacks of a matrix product")
    fit(a.sizes[-1], b.sizes[-2], "columns and rows of a matrix product")


@rule("torch.mm", "Tensor.mm")
def mm(a: Tensor, b: Tensor) -> Tensor:
    """(n, m) @ (m, p) in n·m·p MACs."""
    (n, m), p = a.sizes, b.sizes[1]
    _check(a, b)
    out = a.new((n, p))
    a.tape.kernel("mm", "matmul", [a, b, out], macs=_macs(a, n, m, p))
    columns = _by_columns(a), _by_columns(b)

    def backward(saved: Sequence[Tensor | None], g: Tensor) -> list[Tensor | None]:
        a, b = saved
        of_b = None if a is None else _of_second(g, a, columns[1])
        return [None if b is None else _of_first(g, b, columns[0]), of_b]

    attach([out], [a, b], [a if b.requires_grad else None, b if a.requires_grad else None], backward)
    return out


def _by_columns(x: Tensor) -> bool:
    """Whether a matrix lies column by column: its gradient is then computed so."""
    return x._strides is not None and x.strides == (1, x.hints[0])


def _of_first(g: Tensor, b: Tensor, columns: bool) -> Tensor:
    return t(mm(conj(b), t(g))) if columns else mm(g, conj(t(b)))


def _of_second(g: Tensor, a: Tensor, columns: bool) -> Tensor:
    return t(mm(t(g), conj(a))) if columns else mm(conj(t(a)), g)


@rule("torch.addmm", "Tensor.addmm")
def addmm(added: Tensor, a: Tensor, b: Tensor, *, beta: float = 1, alpha: float = 1) -> Tensor:
    """added + a @ b in one kernel; the sum is not counted."""
    if (beta, alpha) != (1, 1):
        raise refused("addmm with factors")
    (n, m), p = a.sizes, b.sizes[1]
    _check(a, b)
    broadcast(added.sizes, (n, p))
    out = a.new((n, p))
    a.tape.kernel("addmm", "matmul", [added, a, b, out], macs=_macs(a, n, m, p))
    columns = _by_columns(a), _by_columns(b)
    needs = added.requires_grad

    def backward(saved: Sequence[Tensor | None], g: Tensor) -> list[Tensor | None]:
        a, b = saved
        of_a = None if b is None else _of_first(g, b, columns[0])
        return [g if needs else None, of_a, None if a is None else _of_second(g, a, columns[1])]

    saved = [a if b.requires_grad else None, b if a.requires_grad else None]
    attach([out], [added, a, b], saved, backward)
    return out


@rule("torch.bmm", "Tensor.bmm")
def bmm(a: Tensor, b: Tensor) -> Tensor:
    """(count, n, m) @ (count, m, p) in count·n·m·p MACs."""
    (count, n, m), p = a.sizes, b.sizes[2]
    _check(a, b)
    out = a.new((count, n, p))
    a.tape.kernel("bmm", "matmul", [a, b, out], macs=_macs(a, count, n, m, p))

    def backward(saved: Sequence[Tensor | None], g: Tensor) -> list[Tensor | None]:
        a, b = saved
        of_b = None if a is None else bmm(adjoint(a), g)
        return [None if b is None else bmm(g, adjoint(b)), of_b]

    attach([out], [a, b], [a if b.requires_grad else None, b if a.requires_grad else None], backward)
    return out


@rule("torch.baddbmm", "Tensor.baddbmm")
def baddbmm(added: Tensor, a: Tensor, b: Tensor, *, beta: float = 1, alpha: float = 1) -> Tensor:
    """β·added + α·(a @ b) in one kernel; the sum is not counted."""
    (count, n, m), p = a.sizes, b.sizes[2]
    _check(a, b)
    broadcast(added.sizes, (count, n, p))
    out = a.new((count, n, p))
    a.tape.kernel("baddbmm", "matmul", [added, a, b, out], macs=_macs(a, count, n, m, p))
    needs = added.requires_grad

    def backward(saved: Sequence[Tensor | None], g: Tensor) -> list[Tensor | None]:
        a, b = saved
        of_b = None if a is None else _times(bmm(adjoint(a), g), alpha)
        of_a = None if b is None else _times(bmm(g, adjoint(b)), alpha)
        return [_times(g, beta) if needs else None, of_a, of_b]

    saved = [a if b.requires_grad else None, b if a.requires_grad else None]
    attach([out], [added, a, b], saved, backward)
    return out


def _times(g: Tensor, factor: float) -> Tensor:
    return g if factor == 1 else mul(g, factor)


@rule("torch.mv", "Tensor.mv")
def mv(a: Tensor, v: Tensor) -> Tensor:
    """(n, m) @ (m,) in n·m MACs."""
    n, m = a.sizes
    out = a.new((n,))
    a.tape.kernel("mv", "matmul", [a, v, out], macs=_macs(a, n, m))

    def backward(saved: Sequence[Tensor | None], g: Tensor) -> list[Tensor | None]:
        a, v = saved
        of_v = None if a is None else mv(t(conj(a)), g)
        return [None if v is None else mul(view(g, (n, 1)), conj(v)), of_v]

    attach([out], [a, v], [a if v.requires_grad else None, v if a.requires_grad else None], backward)
    return out


def _inner(name: str) -> Any:
    @rule(f"torch.{name}", f"Tensor.{name}")
    def inner(u: Tensor, v: Tensor) -> Tensor:
        """(n,) times (n,) in n MACs."""
        if u.dtype.is_complex:
            raise refused(f"torch.{name} of complex vectors")
        out = u.new(())
        u.tape.kernel(name, "matmul", [u, v, out], macs=u.elements)

        def backward(saved: Sequence[Tensor | None], g: Tensor) -> list[Tensor | None]:
            u, v = saved
            of_v = None if u is None else mul(g, u)
            return [None if v is None else mul(g, v), of_v]

        attach([out], [u, v], [u if v.requires_grad else None, v if u.requires_grad else None], backward)
        return out

    return inner


dot, vdot = _inner("dot"), _inner("vdot")


@rule("torch.matmul", "Tensor.matmul", "Tensor.__matmul__")
def matmul(a: Tensor, b: Tensor) -> Tensor:
    """A product of matrices, vectors or stacks of matrices, by torch's own reduction to dot, mv, mm and bmm.

    Source: at::matmul in aten/src/ATen/native/LinearAlgebra.cpp.
    """
    ranks = a.rank, b.rank
    if ranks == (2, 2):
        return mm(a, b)
    if ranks == (1, 1):
        return dot(a, b)  # type: ignore[no-any-return]
    if ranks == (2, 1):
        return mv(a, b)
    if ranks == (1, 2):
        return view(mm(unsqueeze(a, 0), b), (b.sizes[1],))
    if ranks == (3, 3) and a.sizes[0] == b.sizes[0] and not (a.requires_grad or b.requires_grad):
        out = bmm(a, b)
        return out.view_of(out.sizes, None)
    if _is_tall(a, b):
        return _as_tall(a, b)
    if ranks == (3, 3) and not fits(a.sizes[:1], b.sizes[:1]):
        if a.sizes[0] == 1 and a.requires_grad:
            return matmul(squeeze(a, 0), b)
        if b.sizes[0] == 1 and b.requires_grad:
            return matmul(a, squeeze(b, 0))
    lead = broadcast(a.sizes[:-2], b.sizes[:-2])
    count = prod(lead)
    rows = a.sizes[-2:] if a.rank > 1 else (1, *a.sizes)
    left = reshape(expand(a, (*lead, *rows)), (count, *rows))
    if b.rank > 1:
        right = reshape(expand(b, (*lead, *b.sizes[-2:])), (count, *b.sizes[-2:]))
    else:
        right = unsqueeze(reshape(expand(b, (*lead, *b.sizes)), (count, *b.sizes)), 2)
    sizes = (*lead, *a.sizes[-2:-1], *(b.sizes[-1:] if b.rank > 1 else ()))
    return view(bmm(left, right), sizes)


def _is_tall(a: Tensor, b: Tensor) -> bool:
    """Whether the stack is taken as one tall matrix: where the other one needs a gradient, or no copy is needed."""
    stack, other = (a, b) if a.rank >= b.rank else (transpose(b.alias(), -2, -1), a)
    if stack.rank <= 2 or other.rank > 2:
        return False
    if other.requires_grad:
        return True
    if a.rank == 2:
        return False
    hints, strides = stack.hints, stack.strides
    return all(strides[i] == strides[i + 1] * hints[i + 1] for i in range(stack.rank - 2))


def _as_tall(a: Tensor, b: Tensor) -> Tensor:
    turned = b.rank > a.rank
    stack, other = (transpose(b, -2, -1), t(a)) if turned else (a, b)
    lead = stack.sizes[:-1]
    tall = reshape(stack, (prod(lead), stack.sizes[-1]))
    if other.rank == 1:
        return view(mv(tall, other), lead)
    product = view(mm(tall, other), (*lead, other.sizes[1]))
    return contiguous(transpose(product, -2, -1)) if turned else product


@rule("torch.einsum")
def einsum(equation: str, *operands: Any) -> Tensor:
    """Two tensors by one batched matrix product, or by a pointwise one where no axis is summed.

    Source: at::einsum and sumproduct_pair in aten/src/ATen/native/Linear.cpp.
    """
    tensors = list(operands[0]) if len(operands) == 1 and isinstance(operands[0], (list, tuple)) else list(operands)
    given, arrow, result = equation.replace(" ", "").partition("->")
    labels = given.split(",")
    distinct = all(len(set(each)) == len(each) for each in (*labels, result))
    if len(tensors) != 2 or not arrow or "." in equation or not distinct:
        raise refused(f"einsum {equation!r}: only of two tensors, with each axis named once and the result's after ->")
    summed = sorted(set("".join(labels)) - set(result))
    order = [*result, *summed]
    a, b = (_aligned(x, own, order) for x, own in zip(tensors, labels, strict=True))
    for i, own in enumerate(labels):  # axes of only one of them are summed beforehand
        other = labels[1 - i]
        alone = [axis for axis in range(len(result), len(order)) if order[axis] in own and order[axis] not in other]
        if alone:
            a, b = (sum_over(a, alone, True), b) if i == 0 else (a, sum_over(b, alone, True))
    if not any(order[i] in labels[0] and order[i] in labels[1] for i in range(len(result), len(order))):
        return _without(mul(a, b), len(result))
    return _without(_contracted(a, b, len(result)), len(result))


def _aligned(x: Tensor, own: str, order: Sequence[str]) -> Tensor:
    """x with its axes in an order, those that it lacks of size 1."""
    x = permute(x, [own.index(label) for label in order if label in own])
    for i, label in enumerate(order):
        if label not in own:
            x = unsqueeze(x, i)
    return x


def _without(x: Tensor, kept: int) -> Tensor:
    """x without its last axes, which have one element."""
    return x if x.rank == kept else view(x, x.sizes[:kept])


def _contracted(a: Tensor, b: Tensor, kept: int) -> Tensor:
    """The product of two tensors of as many axes, summed over the axes from ``kept`` on, which both have."""
    holds = a.tape.holds
    long_a, long_b = ([not _is_one(size) and holds(size > 1) for size in x.sizes] for x in (a, b))
    summed = list(range(kept, a.rank))
    both = [i for i in range(kept) if long_a[i] and long_b[i]]
    of_a = [i for i in range(kept) if long_a[i] and not long_b[i]]
    of_b = [i for i in range(kept) if not long_a[i]]
    batch, rows = prod(a.sizes[i] for i in both), prod(a.sizes[i] for i in of_a)
    inner, columns = prod(a.sizes[i] for i in summed), prod(b.sizes[i] for i in of_b)
    left = reshape(permute(a, both + of_a + summed + of_b), (batch, rows, inner))
    right = reshape(permute(b, both + summed + of_b + of_a), (batch, inner, columns))
    product = bmm(left, right)
    order = both + of_a + summed + of_b
    ones = [1] * len(summed)
    sizes = [a.sizes[i] for i in both + of_a] + ones + [b.sizes[i] for i in of_b]
    return permute(view(product, sizes), [order.index(i) for i in range(a.rank)])


def _is_one(size: Size) -> bool:
    return isinstance(size, int) and size == 1


@rule("Tensor.__rmatmul__")
def rmatmul(b: Tensor, a: Tensor) -> Tensor:
    return matmul(a, b)


@rule("torch.nn.functional.linear")
def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """x (…, n) with weight (m, n): (…, m) in n·m MACs each; the bias is not counted."""
    if bias is None:
        if x.rank <= weight.rank:
            return matmul(x, t(weight))
        return view(mm(reshape(x, (-1, x.sizes[-1])), t(weight)), (*x.sizes[:-1], weight.sizes[0]))
    if x.rank == 2:
        return addmm(bias, x, t(weight))
    if x.is_plain:
        return view(addmm(bias, reshape(x, (-1, x.sizes[-1])), t(weight)), (*x.sizes[:-1], weight.sizes[0]))
    return add(matmul(x, t(weight)), bias)


class Inverse(NamedTuple):
    """What torch.linalg.inv_ex returns."""

    inverse: Tensor
    info: Tensor


@rule("torch.linalg.inv_ex")
def inv_ex(a: Tensor, *, check_errors: bool = False) -> Inverse:
    """The inverses of (…, m, m) matrices: 2 m³ FLOPs each by LU, four times that if complex.

    Source of the count: LU factorisation 2/3 m³ and triangular solves against the identity 4/3 m³ (Golub & Van Loan,
    Matrix Computations, 4th ed., 3.2 and 3.1).
    """
    tape, m = a.tape, a.sizes[-1]
    out, info = by_columns(a, a.sizes), a.new(a.sizes[:-2], torch.int32)
    tape.kernel("linalg_inv_ex", "inverse", [a, out, info], flops=2 * _macs(a, a.elements, m), steps=m)

    def backward(saved: Sequence[Tensor], g: Tensor) -> list[Tensor]:
        right = matmul(g, adjoint(saved[0]))
        both = matmul(adjoint(saved[0]), right)
        return [neg(both)]

    attach([out], [a], [out], backward)
    return Inverse(out, info)


@rule("torch.linalg.inv", "torch.inverse", "Tensor.inverse")
def inv(a: Tensor) -> Tensor:
    return inv_ex(a)[0]
