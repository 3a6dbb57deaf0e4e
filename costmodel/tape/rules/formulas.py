"""Derivatives as torch's table of them states them: an expression for each input, of the gradient and what is kept.

A formula is a function whose parameters say what it reads: ``grad``, ``result`` and the operands, by the names that
torch's schemas give them. From these names follows what a node keeps, as torch's code generator has it, and the order
in which the gradients are computed: that of the names.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch

from ..errors import Mismatch, refused
from ..graph import attach
from ..table import RULES, Declared, rule
from ..tape import DType
from ..tensor import Tensor
from .copies import clone
from .factories import filled
from .kernels import Operand, broadcast, fits, in_place, pointwise
from .strided import changed_in_graph

Formula = Callable[..., Any]  # of Terms and numbers: a Term; a sequence where the key names several inputs
Formulas = Mapping[str, Formula]  # by the input's name
Operands = Mapping[str, Operand]


class Term:
    """A tensor in an expression of C++, where every intermediate result lives until the expression ends."""

    def __init__(self, tensor: Tensor, results: list[Tensor]) -> None:
        self.tensor, self._results = tensor, results

    def by(self, function: Callable[..., Tensor], *others: Any, **how: Any) -> Term:
        """What a rule makes of it and of others."""
        out = function(self.tensor, *map(_bare, others), **how)
        self._results.append(out)
        return Term(out, self._results)

    def named(self) -> Term:
        """It at the end of a statement, where what has no name goes."""
        self._results.clear()
        return self

    def kernel(self, name: str, *others: Any, dtype: DType = None) -> Term:
        """What a kernel over the elements makes of it and of others."""
        return self.by(lambda *operands: pointwise(name, *operands, dtype=dtype or operands[0].dtype), *others)

    def constant(self, name: str = "scalar_tensor") -> Term:
        """A number as a tensor of its type without axes, made by a kernel of this name."""
        out = filled(name, self.tensor.tape, (), self.tensor.dtype)
        self._results.append(out)
        return Term(out, self._results)

    def __getattr__(self, name: str) -> Callable[..., Term]:
        method = RULES.named(name)
        return lambda *others, **how: self.by(method, *others, **how)

    def __neg__(self) -> Term:
        return self.neg()

    def __add__(self, other: Any) -> Term:
        return self.add(other)

    def __sub__(self, other: Any) -> Term:
        return self.sub(other)

    def __mul__(self, other: Any) -> Term:
        return self.mul(other)

    def __truediv__(self, other: Any) -> Term:
        return self.div(other)

    def __rsub__(self, number: complex) -> Term:
        return self._filled().sub_(self)

    def __rtruediv__(self, number: complex) -> Term:
        return self._filled().div_(self)

    def __rpow__(self, base: complex) -> Term:
        return self.by(RULES.named("__rpow__"), base)

    def _filled(self) -> Term:
        """A number in every element: C++ has no kernel for a number minus a tensor."""
        return self.empty_like().fill_(0)

    __radd__, __rmul__ = __add__, __mul__


def _bare(value: Any) -> Any:
    return value.tensor if type(value) is Term else value


def expressed(formula: Formula, *operands: Tensor) -> Tensor:
    """What an expression of C++ makes of tensors."""
    results: list[Tensor] = []
    out: Tensor = formula(*(Term(operand, results) for operand in operands)).tensor
    return out


def function(*names: str) -> Callable[[Declared], Declared]:
    """Declare a rule for functions of torch ("sin" is the method too), and for those that work in place."""

    def declare(of_function: Declared) -> Declared:
        def in_its_place(x: Tensor, *others: Any, **how: Any) -> Tensor:
            return of_function(x, *others, inplace=True, **how)  # type: ignore[no-any-return]

        for name in names:
            full = (name,) if "." in name else (f"torch.{name}", f"Tensor.{name}")
            rule(*full)(of_function)
            rule(*(f"{each}_" for each in full))(in_its_place)
        return of_function

    return declare


def elementwise(
    name: str,
    operands: Operands,
    formulas: Formulas | None,
    *,
    dtype: DType = None,
    inplace: bool = False,
    out: Tensor | None = None,
    order: Sequence[str] | None = None,
    plain: bool = False,
) -> Tensor:
    """A differentiable kernel over the elements.

    Args:
        name: of the kernel.
        operands: by the names of torch's schema; what changes in place is the first one.
        formulas: of the operands that have a derivative; None where torch has none, so that a gradient is refused.
        dtype: of the output; by default the type in which torch computes with the operands.
        inplace: whether the first operand is overwritten.
        out: what is written to instead of a new tensor.
        order: in which the kernel reads the operands, by name, if in another.
        plain: whether the output lies without gaps, the last axis innermost, however the operands lie.
    """
    if formulas is None:
        formulas = {}
        if _recorded(operands):
            raise refused(f"the gradient of {name}")
    if out is not None:
        return _into(out, name, operands)
    if not inplace:
        out = pointwise(name, *(operands[each] for each in order or operands), dtype=dtype, plain=plain)
        differentiable(out, operands, formulas)
        return out
    x, *others = operands.values()
    return overwritten(x, operands, formulas, lambda: in_place(f"{name}_", x, *others))


def overwritten(x: Tensor, operands: Operands, formulas: Formulas, kernel: Callable[[], object]) -> Tensor:
    """x, the first operand, changed by a kernel; differentiable by formulas."""
    sizes = broadcast(*(each.sizes for each in operands.values() if type(each) is Tensor))
    if not fits(sizes, x.sizes):
        raise Mismatch(f"a tensor of shape {x.sizes} cannot hold one of {sizes} in its place")
    if not _recorded(operands):
        kernel()
        return x
    check_changeable(x)
    name = next(iter(operands))
    before = clone(x.alias()) if _is_kept(name, formulas, _needing(operands)) else x
    kernel()
    differentiable(x, operands, formulas, before)
    return x


def check_changeable(x: Tensor) -> None:
    """Raise unless a tensor may be changed in place as a step of a graph."""
    root = x if x.base is None else x.base
    if root.requires_grad and root.is_leaf:
        raise Mismatch("a leaf that requires a gradient, or a view of one, is changed in place")


def differentiable(result: Tensor, operands: Operands, formulas: Formulas, before: Tensor | None = None) -> None:
    """Make a result differentiable.

    Args:
        result: of the operation.
        operands: by name.
        formulas: by the operands' names, several of one formula with a blank between them.
        before: where the result is the first operand, changed: what is kept in its place.
    """
    if not _recorded(operands):
        return
    needs = _needing(operands)
    chosen = [names for names in sorted(formulas) if any(type(operands[name]) is Tensor for name in names.split())]
    of_formulas = " ".join(chosen).split()
    inputs = [name for name, each in operands.items() if name in of_formulas and type(each) is Tensor]
    values = {**operands, "result": result}
    if before is not None:
        values[next(iter(operands))] = before
    kept = {name: x for name, x in values.items() if type(x) is Tensor and _is_kept(name, formulas, needs)}
    numbers = {name: x for name, x in values.items() if type(x) is not Tensor}

    def backward(of_node: Sequence[Tensor], g: Tensor) -> list[Tensor | None]:
        known = {**numbers, **dict(zip(names_kept, of_node, strict=True)), "grad": g}
        found: dict[str, Tensor | None] = {}
        for names in chosen:
            wanted = [name in needs for name in names.split()]
            if any(wanted):
                found |= zip(names.split(), _evaluated(formulas[names], known, wanted), strict=True)
        return [found.get(name) for name in inputs]

    names_kept = list(kept)
    tensors = [operands[name] for name in inputs]
    if before is None:
        attach([result], tensors, list(kept.values()), backward)
    else:
        changed_in_graph(result, tensors[1:], list(kept.values()), backward)


def _evaluated(formula: Formula, known: Mapping[str, Operand], wanted: list[bool]) -> list[Tensor | None]:
    """One gradient for each input of a formula; only those that are wanted of one that has several."""
    results: list[Tensor] = []
    values = {name: Term(x, results) if type(x) is Tensor else x for name, x in known.items()}
    found = formula(*(wanted if name == "wanted" else values[name] for name in _parameters(formula)))
    return [None if each is None else each.tensor for each in (found if len(wanted) > 1 else [found])]


def _recorded(operands: Operands) -> bool:
    return torch.is_grad_enabled() and any(type(each) is Tensor and each.requires_grad for each in operands.values())


def _needing(operands: Operands) -> set[str]:
    return {name for name, each in operands.items() if type(each) is Tensor and each.is_followed}


def _is_kept(name: str, formulas: Formulas, needs: set[str]) -> bool:
    """Whether a node keeps what formulas read: what one alone reads, of an input, only if that is wanted."""
    readers = [names for names, formula in formulas.items() if name in _parameters(formula)]
    return (
        len(readers) > 1
        or (len(formulas) == 1 and bool(readers))
        or any(" " in names or names in needs or name == "result" for names in readers)
    )


def _parameters(formula: Formula) -> tuple[str, ...]:
    return formula.__code__.co_varnames[: formula.__code__.co_argcount]


def _into(out: Tensor, name: str, operands: Operands) -> Tensor:
    """``out``, written by a kernel; torch has no gradients for that."""
    tensors = [each.resolved() for each in operands.values() if type(each) is Tensor]
    if _recorded(operands) or out.requires_grad:
        raise refused(f"{name} with out= in a graph")
    if not fits(broadcast(*(each.sizes for each in tensors)), out.sizes):
        raise refused(f"{name} with out= of another shape")
    out.tape.kernel(name, "pointwise", [*tensors, out], flops=out.elements)
    out.memory.version += 1
    return out
