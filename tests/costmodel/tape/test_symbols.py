"""Symbols as sizes on the tape."""

from __future__ import annotations

from typing import Any

import pytest
import sympy
import torch
from torch.nn import functional as F

from lipcost.costmodel.formulas.symbols import B, C, S, hint
from lipcost.costmodel.tape import Tape, Tensor, run_backward, running


def given(tape: Tape, *sizes: Any) -> Tensor:
    return Tensor(tape, sizes, torch.float32)


def symbolic(decide: Any = None) -> Tape:
    return Tape(True, decide or in_the_limit, hint)


def in_the_limit(condition: Any) -> bool:
    return bool(condition) if condition in (True, False) else bool(condition.subs(dict.fromkeys((B, C, S), 10**6)))


def test_sizes_may_be_symbols() -> None:
    tape = symbolic()
    with running(tape):
        x, w = given(tape, B, C, S, S).require_grad(), given(tape, C, C, 1, 1).require_grad()
        y: Any = F.conv2d(x, w)
        run_backward([y], [given(tape, B, C, S, S)])
        z: Any = x.flatten(1)[:, : C * S]
    forward, backward = tape.operations
    assert sympy.expand(forward.macs - B * C**2 * S**2) == 0
    assert sympy.expand(backward.macs - 2 * B * C**2 * S**2) == 0
    assert z.sizes == (B, C * S)
    assert z.shape[0] * 2 == z.shape[0] + z.shape[0]


def test_torch_code_computes_with_symbols() -> None:
    tape = symbolic()
    with running(tape):
        x: Any = given(tape, S)
        n = x.shape[0]
        assert x.new_zeros(n // 2 + 1, 2 * n).sizes == (sympy.floor(S / 2) + 1, 2 * S)
        assert x.new_zeros((n + 1) // 2).sizes == (S - sympy.floor(S / 2),)
        larger: Any = given(tape, S + 2)
        assert larger.new_zeros((larger.shape[0] + 1) // 2).sizes == (S - sympy.floor(S / 2) + 1,)


def test_a_branch_between_symbols_asks() -> None:
    asked = []

    def decide(condition: Any) -> bool:
        if condition in (True, False):
            return bool(condition)
        asked.append(condition)
        return True

    tape = symbolic(decide)
    with running(tape):
        x, y = given(tape, B), given(tape, S)
        assert x.shape[0] > y.shape[0]
    assert asked == [B > S]


def test_without_an_answer_a_branch_between_symbols_is_an_error() -> None:
    with pytest.raises(TypeError):
        Tape().holds(B < S)


def test_a_loop_over_a_symbol_is_an_error() -> None:
    tape = symbolic()
    with running(tape), pytest.raises(ValueError, match=r"takes s as a number"):
        range(given(tape, S).shape[0])
