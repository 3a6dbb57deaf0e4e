"""Mutants of the rules' text: what a backward does in another order, and names that are kept for longer."""

from __future__ import annotations

import ast
import gc
from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from functools import cache
from pathlib import Path
from types import CodeType, FunctionType
from typing import Any

from lipcost.costmodel.tape import table

from .probe import Mutant

RULES = Path(table.__file__).resolve().parent / "rules"
SIMPLE = (ast.Assign, ast.AnnAssign, ast.AugAssign, ast.Expr, ast.Delete)


class _Edit(ast.NodeTransformer):
    """Finds the edits of one file, or does the one with a number.

    Statements are swapped where neither reads or writes what the other writes, in functions inside of others and in
    those named after the backward; the gradients of a list that a ``return`` makes are computed from the last on.
    """

    def __init__(self, wanted: int | None = None) -> None:
        self.wanted = wanted
        self.found: list[tuple[str, int, int, str]] = []  # kind, first and last line of its function, place
        self._around: list[ast.FunctionDef] = []

    def visit_FunctionDef(self, node: ast.FunctionDef) -> Any:
        self._around.append(node)
        self.generic_visit(node)
        backward = len(self._around) > 1 or "backward" in node.name
        self._edit_bodies(node, backward)
        self._around.pop()
        return node

    def _edit_bodies(self, function: ast.FunctionDef, backward: bool) -> None:
        for node in _own(function):
            for field in ("body", "orelse"):
                body = getattr(node, field, None)
                if isinstance(body, list):
                    setattr(node, field, self._edited(body, backward))

    def _edited(self, body: list[ast.stmt], backward: bool) -> list[ast.stmt]:
        out = list(body)
        for i, statement in enumerate(body):
            if isinstance(statement, ast.Delete) and self._is_wanted("del dropped", statement):
                out[i] = ast.copy_location(ast.Pass(), statement)
            after = body[i + 1] if i + 1 < len(body) else None
            if backward and after is not None and _independent(statement, after):
                if self._is_wanted("statements swapped", statement):
                    out[i], out[i + 1] = after, statement
            elif isinstance(statement, ast.Return) and isinstance(statement.value, ast.List):
                elements = statement.value.elts
                if sum(any(isinstance(n, (ast.Call, ast.BinOp)) for n in ast.walk(each)) for each in elements) < 2:
                    continue
                if self._is_wanted("gradients reversed", statement):
                    return [*out[:i], *_reversed(statement, elements), *out[i + 1 :]]
        return out

    def _is_wanted(self, kind: str, node: ast.stmt) -> bool:
        around = self._around[-1]
        self.found.append((kind, around.lineno, around.end_lineno or 0, f"{self._around[0].name}:{node.lineno}"))
        return len(self.found) - 1 == self.wanted


def _own(function: ast.FunctionDef) -> Iterator[ast.AST]:
    """The nodes with statements of a function, without those of functions inside."""
    stack: list[ast.AST] = [function]
    while stack:
        node = stack.pop()
        yield node
        stack += [each for each in ast.iter_child_nodes(node) if isinstance(each, (ast.If, ast.For, ast.With))]


def _names(node: ast.AST, written: bool) -> set[str]:
    kinds = (ast.Store, ast.Del) if written else (ast.Load,)
    names = {each.id for each in ast.walk(node) if isinstance(each, ast.Name) and isinstance(each.ctx, kinds)}
    if isinstance(node, ast.AugAssign) and isinstance(node.target, ast.Name):
        names.add(node.target.id)
    return names


def _independent(a: ast.stmt, b: ast.stmt) -> bool:
    if not (isinstance(a, SIMPLE) and isinstance(b, SIMPLE)):
        return False
    of_a, of_b = _names(a, True), _names(b, True)
    return not (of_a & (of_b | _names(b, False)) or of_b & _names(a, False))


def _reversed(statement: ast.Return, elements: list[ast.expr]) -> list[ast.stmt]:
    names = [f"_gradient_{i}" for i in range(len(elements))]
    steps: list[ast.stmt] = [
        ast.Assign([ast.Name(name, ast.Store())], element)
        for name, element in reversed(list(zip(names, elements, strict=True)))
    ]
    steps.append(ast.Return(ast.List([ast.Name(name, ast.Load()) for name in names], ast.Load())))
    return [ast.fix_missing_locations(ast.copy_location(step, statement)) for step in steps]


@cache
def _tree(file: str) -> ast.Module:
    return ast.parse((RULES / file).read_text())


def found() -> dict[Mutant, tuple[str, int, int]]:
    """Every mutant of the text, with the lines of its function."""
    mutants = {}
    for path in sorted(RULES.glob("*.py")):
        edit = _Edit()
        edit.visit(deepcopy(_tree(path.name)))
        for i, (kind, first, last, place) in enumerate(edit.found):
            mutants[Mutant(path.name, "text", kind, place, i)] = (path.name, first, last)
    return mutants


@contextmanager
def applied(mutant: Mutant) -> Iterator[None]:
    """Let the rules be of the changed text for a while."""
    if mutant.phase != "text":
        yield
        return
    path, name = RULES / mutant.rule, mutant.place.partition(":")[0]
    tree = _Edit(mutant.which).visit(deepcopy(_tree(path.name)))
    codes = [each for each in compile(tree, str(path), "exec").co_consts if isinstance(each, CodeType)]
    before = _functions(path.name, name)
    code = next(each for each in codes if each.co_name == name and each.co_firstlineno == before[0][1].co_firstlineno)
    for function, _ in before:
        function.__code__ = code
    try:
        yield
    finally:
        for function, old in before:
            function.__code__ = old


@cache
def _functions(file: str, name: str) -> list[tuple[FunctionType, CodeType]]:
    """The functions of this name at a file's top, and what they run."""
    return [
        (each, each.__code__)
        for each in gc.get_objects()
        if isinstance(each, FunctionType)
        and each.__code__.co_qualname == name
        and Path(each.__code__.co_filename).name == file
        and Path(each.__code__.co_filename).parent.name == "rules"
    ]
