"""Rules of matrix products, inverses and factorisations."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod
from typing import NamedTuple

import torch

from ..errors import refused
from ..graph import attach
from ..sizes import fit
from ..table import rule
from ..tape import Shape, Size
from ..tensor import Tensor
from .arithmetic import add_
from .copies import contiguous
from .kernels import alike, broadcast, by_columns, fits, pointwise
from .pointwise import add, mul, neg
from .reductions import sum as sum_over
from .views import adjoint, conj, expand, reshape, squeeze, t, transpose, unsqueeze, view

OfFactor = Callable[[Tensor, Tensor], Tensor]  # one factor's gradient from that of the product and the other factor


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

    attach([out], [a, b], _kept(a, b), backward)
    return out


def _kept(a: Tensor, b: Tensor) -> list[Tensor | None]:
    """Of two factors each that the other's gradient needs."""
    return [a if b.is_followed else None, b if a.is_followed else None]


def _by_columns(x: Tensor) -> bool:
    """Whether a matrix lies column by column: its gradient is then computed so."""
    return x._strides is not None and x.strides == (1, x.hints[0])


def _of_first(g: Tensor, b: Tensor, columns: bool) -> Tensor:
    return t(mm(conj(b), t(g))) if columns else mm(g, conj(t(b)))


def _of_second(g: Tensor, a: Tensor, columns: bool) -> Tensor:
    return t(mm(t(g), conj(a))) if columns else mm(conj(t(a)), g)


@rule("torch.addmm", "Tensor.addmm")
def addmm(added: Tensor, a: Tensor, b: Tensor, *, beta: complex = 1, alpha: complex = 1) -> Tensor:
    """β·added + α·(a @ b) in one kernel; the sum is not counted."""
    (n, m), p = a.sizes, b.sizes[1]
    _check(a, b)
    columns = _by_columns(a), _by_columns(b)
    return _added(
        "addmm", added, a, b, (n, p), _macs(a, n, m, p), beta, alpha,
        lambda g, b: _of_first(g, b, columns[0]),
        lambda g, a: _of_second(g, a, columns[1]),
    )  # fmt: skip


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

    attach([out], [a, b], _kept(a, b), backward)
    return out


@rule("torch.baddbmm", "Tensor.baddbmm")
def baddbmm(added: Tensor, a: Tensor, b: Tensor, *, beta: complex = 1, alpha: complex = 1) -> Tensor:
    """β·added + α·(a @ b) of stacks, in one kernel; the sum is not counted."""
    (count, n, m), p = a.sizes, b.sizes[2]
    _check(a, b)
    return _added(
        "baddbmm", added, a, b, (count, n, p), _macs(a, count, n, m, p), beta, alpha,
        lambda g, b: bmm(g, adjoint(b)),
        lambda g, a: bmm(adjoint(a), g),
    )  # fmt: skip


@rule("torch.addbmm", "Tensor.addbmm")
def addbmm(added: Tensor, a: Tensor, b: Tensor, *, beta: complex = 1, alpha: complex = 1) -> Tensor:
    """β·added + α·(the sum of a @ b over the stack), in one kernel."""
    (count, n, m), p = a.sizes, b.sizes[2]
    _check(a, b)

    def every(g: Tensor) -> Tensor:
        return expand(unsqueeze(g, 0), (count, n, p))

    return _added(
        "addbmm", added, a, b, (n, p), _macs(a, count, n, m, p), beta, alpha,
        lambda g, b: bmm(every(g), adjoint(b)),
        lambda g, a: bmm(adjoint(a), every(g)),
    )  # fmt: skip


@rule("torch.addmv", "Tensor.addmv")
def addmv(added: Tensor, a: Tensor, v: Tensor, *, beta: complex = 1, alpha: complex = 1) -> Tensor:
    """β·added + α·(a @ v) in one kernel."""
    n, m = a.sizes
    fit(m, v.sizes[0], "columns of a matrix and a vector's entries")
    return _added(
        "addmv", added, a, v, (n,), _macs(a, n, m), beta, alpha,
        lambda g, v: outer(g, conj(v)),
        lambda g, a: mv(conj(t(a)), g),
        order="asb", lazy=False,
    )  # fmt: skip


@rule("torch.addr", "Tensor.addr")
def addr(added: Tensor, u: Tensor, v: Tensor, *, beta: complex = 1, alpha: complex = 1) -> Tensor:
    """β·added + α·(u vᵀ): a pointwise kernel, as nothing is summed."""
    alike(u, v, "factors of an outer product")
    out = pointwise("addr", added, view(u.alias(), (u.sizes[0], 1)), v.alias())
    return _differentiable(
        out, added, u, v, beta, alpha, lambda g, v: mv(g, conj(v)), lambda g, u: mv(t(g), conj(u)), order="sab"
    )


def _added(
    name: str, added: Tensor, a: Tensor, b: Tensor, sizes: Shape, macs: Size, beta: complex, alpha: complex,
    of_first: OfFactor, of_second: OfFactor, *, order: str = "abs", lazy: bool = True,
) -> Tensor:  # fmt: skip
    """β·added + α·(a product of a and b) in one kernel, which may know lazy conjugates."""
    alike(a, b, "factors of a product")
    alike(added, a, "what is added to a product")
    broadcast(added.sizes, sizes)
    operands = [x if lazy else x.resolved() for x in (added, a, b)]
    out = a.new(sizes)
    a.tape.kernel(name, "matmul", [*operands, out], macs=macs)
    del operands
    return _differentiable(out, added, a, b, beta, alpha, of_first, of_second, order=order)


def _differentiable(
    out: Tensor, added: Tensor, a: Tensor, b: Tensor, beta: complex, alpha: complex,
    of_first: OfFactor, of_second: OfFactor, *, order: str,
) -> Tensor:  # fmt: skip
    """``out`` with the gradients of a, b and what is added (s), which torch computes in the order of their names."""
    needs = added.is_followed

    def backward(saved: Sequence[Tensor | None], g: Tensor) -> list[Tensor | None]:
        a, b = saved
        found: dict[str, Tensor | None] = {}
        for which in order:
            if which == "s":
                found["s"] = _times(g, beta) if needs else None
            elif which == "a":
                found["a"] = None if b is None else _times(of_first(g, b), alpha)
            else:
                found["b"] = None if a is None else _times(of_second(g, a), alpha)
        return [found["s"], found["a"], found["b"]]

    attach([out], [added, a, b], _kept(a, b), backward)
    return out


def _times(g: Tensor, factor: complex) -> Tensor:
    return g if factor == 1 else mul(g, factor)


@rule("torch.mv", "Tensor.mv")
def mv(a: Tensor, v: Tensor) -> Tensor:
    """(n, m) @ (m,) in n·m MACs."""
    n, m = a.sizes
    fit(m, v.sizes[0], "columns of a matrix and a vector's entries")
    out = a.new((n,))
    a.tape.kernel("mv", "matmul", [a.resolved(), v.resolved(), out], macs=_macs(a, n, m))

    def backward(saved: Sequence[Tensor | None], g: Tensor) -> list[Tensor | None]:
        a, v = saved
        of_a = None if v is None else outer(g, conj(v))
        return [of_a, None if a is None else mv(t(conj(a)), g)]

    attach([out], [a, v], _kept(a, v), backward)
    return out


@rule("torch.outer", "Tensor.outer", "torch.ger", "Tensor.ger")
def outer(u: Tensor, v: Tensor) -> Tensor:
    """A pointwise product: nothing is summed."""
    return mul(reshape(u, (u.sizes[0], 1)), v)


@rule("torch.dot", "Tensor.dot")
def dot(u: Tensor, v: Tensor) -> Tensor:
    """(n,) times (n,) in n MACs."""
    out = _inner("dot", u, v)

    def backward(saved: Sequence[Tensor | None], g: Tensor) -> list[Tensor | None]:
        u, v = saved
        of_u = None if v is None else mul(g, conj(v))
        return [of_u, None if u is None else mul(g, conj(u))]

    attach([out], [u, v], _kept(u, v), backward)
    return out


@rule("torch.vdot", "Tensor.vdot", "torch.linalg.vdot")
def vdot(u: Tensor, v: Tensor) -> Tensor:
    """The conjugate of (n,) times (n,) in n MACs."""
    out = _inner("vdot", u, v)

    def backward(saved: Sequence[Tensor | None], g: Tensor) -> list[Tensor | None]:
        u, v = saved
        of_v = None if u is None else mul(g, u)
        return [None if v is None else mul(conj(g), v), of_v]

    attach([out], [u, v], _kept(u, v), backward)
    return out


def _inner(name: str, u: Tensor, v: Tensor) -> Tensor:
    if u.conjugated or v.conjugated:
        raise refused(f"torch.{name} of lazy conjugates")
    alike(u, v, "factors of an inner product")
    fit(u.sizes[0], v.sizes[0], "entries of an inner product's factors")
    out = u.new(())
    u.tape.kernel(name, "matmul", [u, v, out], macs=_macs(u, u.elements))
    return out


@rule("torch.linalg.vecdot")
def vecdot(x: Tensor, y: Tensor, *, dim: int = -1) -> Tensor:
    if x.rank == 1 and y.rank == 1:
        return vdot(x, y)
    return sum_over(mul(conj(x), y), dim)


@rule("torch.matmul", "Tensor.matmul", "Tensor.__matmul__", "torch.linalg.matmul")
def matmul(a: Tensor, b: Tensor) -> Tensor:
    """A product of matrices, vectors or stacks of matrices, by torch's own reduction to dot, mv, mm and bmm.

    Source: at::matmul in aten/src/ATen/native/LinearAlgebra.cpp.
    """
    ranks = a.rank, b.rank
    if ranks == (2, 2):
        return mm(a, b)
    if ranks == (1, 1):
        return dot(a, b)
    if ranks == (2, 1):
        return mv(a, b)
    if ranks == (1, 2):
        return _unsafe_view(mm(unsqueeze(a, 0), b), (b.sizes[1],))
    if ranks == (3, 3) and a.sizes[0] == b.sizes[0] and not (a.requires_grad or b.requires_grad):
        out = bmm(a, b)
        return out.view_of(out.sizes, None)
    if _is_tall(a, b):
        return _as_tall(a, b)
    if ranks == (3, 3) and not fits(a.sizes[:1], b.sizes[:1]):
        every = not a.tape.in_place  # a dispatch mode takes all tensors for subclasses
        if a.sizes[0] == 1 and (every or a.requires_grad):
            return matmul(squeeze(a, 0), b)
        if b.sizes[0] == 1 and (every or b.requires_grad):
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
    return _unsafe_view(bmm(left, right), sizes)


def _unsafe_view(x: Tensor, sizes: Shape) -> Tensor:
    """The only view of x, which nothing else refers to: torch does not take it for one."""
    return view(x, sizes).unsafe()


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
        return _unsafe_view(mv(tall, other), lead)
    product = _unsafe_view(mm(tall, other), (*lead, other.sizes[1]))
    return contiguous(transpose(product, -2, -1)) if turned else product


@rule("Tensor.__rmatmul__")
def rmatmul(b: Tensor, a: Tensor) -> Tensor:
    return matmul(a, b)


@rule("torch.nn.functional.linear")
def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """x (…, n) with weight (m, n): (…, m) in n·m MACs each; the bias is not counted.

    Source: at::linear in aten/src/ATen/native/Linear.cpp.
    """
    if bias is None:
        return matmul(x, t(weight))
    if x.rank == 2:
        return addmm(bias, x, t(weight))
    if x.is_plain and (x.rank == 3 or bias.rank == 1):
        lead = x.sizes[:-1]
        product = addmm(bias, reshape(x, (prod(lead), x.sizes[-1])), t(weight))
        return view(product, (*lead, product.sizes[1]))
    product = matmul(x, t(weight))
    return add_(product, bias) if x.tape.in_place else add(product, bias)  # out of place under a dispatch mode


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
