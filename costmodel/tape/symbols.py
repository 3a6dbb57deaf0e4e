"""Symbolic sizes in torch code: SymPy expressions behind torch.SymInt, which torch's argument parsers let pass."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import sympy

from .errors import NeedsNumber

if TYPE_CHECKING:
    from .tape import Tape


def floored(ratio: Any) -> Any:
    """The floor of a ratio of integers; ⌊(n+1)/2⌋ is written as n - ⌊n/2⌋, and likewise for every odd number."""

    def written(argument: Any) -> Any:
        offset, rest = argument.as_coeff_Add()
        if (2 * offset).is_integer and not offset.is_integer and (2 * rest).is_integer:
            return offset - sympy.Rational(1, 2) + 2 * rest - sympy.floor(rest)
        return sympy.floor(argument)

    return sympy.floor(ratio).replace(sympy.floor, written)


class Node:
    """What torch.SymInt, SymBool and SymFloat compute on: an expression and the tape that decides its truth."""

    def __init__(self, expression: Any, tape: Tape, kind: str = "int") -> None:
        self.expr, self._tape, self._kind = sympy.sympify(expression), tape, kind

    def _new(self, expression: Any, kind: str | None = None) -> Node:
        return Node(expression, self._tape, kind or self._kind)

    def is_int(self) -> bool:
        """Whether it is an integer."""
        return self._kind == "int"

    def is_bool(self) -> bool:
        """Whether it is a truth."""
        return self._kind == "bool"

    def is_float(self) -> bool:
        """Whether it is a float."""
        return self._kind == "float"

    def is_symbolic(self) -> bool:
        """Always."""
        return True

    def is_nested_int(self) -> bool:
        """Never; nor is it a constant, or has a hint."""
        return False

    is_constant = has_hint = is_nested_int

    def maybe_as_int(self) -> int | None:
        """The number, if it is one."""
        return int(self.expr) if self.expr.is_Integer else None

    constant_int = maybe_as_int

    def wrap_int(self, number: int) -> Node:
        """A number beside it."""
        return self._new(number, "int")

    def wrap_bool(self, truth: bool) -> Node:
        """A truth beside it."""
        return self._new(truth, "bool")

    def wrap_float(self, number: float) -> Node:
        """A float beside it."""
        return self._new(number, "float")

    def str(self) -> Any:
        """How it is printed."""
        return str(self.expr)

    __str__ = __repr__ = _graph_repr = str

    def clone(self) -> Node:
        """Itself."""
        return self

    def bool_(self, *_: Any) -> bool:
        """The truth of a condition."""
        return self._tape.holds(self.expr)

    guard_bool = expect_true = guard_size_oblivious = guard_or_false = guard_or_true = bool_
    statically_known_true = bool_

    def expect_size(self, *_: Any) -> bool:
        """A size is not negative."""
        return True

    def int_(self, *_: Any) -> int:
        """The number, where it is one."""
        number = self.maybe_as_int()
        if number is None:
            raise NeedsNumber(
                f"a program takes {self.expr} as a number (a loop, a table), so no symbol can stand there"
            )
        return number

    guard_int = int_

    def sym_float(self) -> Node:
        """As a float."""
        return self._new(self.expr, "float")

    def neg(self) -> Node:
        """Its negative."""
        return self._new(-self.expr)

    def sym_not(self) -> Node:
        """The opposite truth."""
        return self._new(sympy.Not(self.expr), "bool")


def _binary(operation: Any, kind: str | None = None) -> Any:
    def compute(self: Node, other: Node) -> Node:
        return self._new(operation(self.expr, other.expr), kind)

    return compute


for _name, _operation in {
    "add": lambda a, b: a + b,
    "sub": lambda a, b: a - b,
    "mul": lambda a, b: a * b,
    "mod": sympy.Mod,
    "pow": lambda a, b: a**b,
    "pow_by_natural": lambda a, b: a**b,
    "float_pow": lambda a, b: a**b,
    "floordiv": lambda a, b: floored(a / b),
    "int_floordiv": lambda a, b: floored(a / b),
    "truediv": lambda a, b: a / b,
    "float_truediv": lambda a, b: a / b,
    "int_truediv": lambda a, b: a / b,
    "sym_max": sympy.Max,
    "sym_min": sympy.Min,
}.items():
    setattr(Node, _name, _binary(_operation))
for _name, _operation in {
    "eq": sympy.Eq, "ne": sympy.Ne, "lt": sympy.Lt, "le": sympy.Le, "gt": sympy.Gt, "ge": sympy.Ge,
    "and_": sympy.And, "or_": sympy.Or,
}.items():  # fmt: skip
    setattr(Node, _name, _binary(_operation, "bool"))
