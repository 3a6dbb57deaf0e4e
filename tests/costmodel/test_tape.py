"""The tape's own rules, on programs small enough to count by hand."""

from __future__ import annotations

from itertools import accumulate

import pytest

from lipcost.costmodel._tape import Tape
from lipcost.costmodel._tensor import Tensor


def peak(tape: Tape) -> int:
    return max(accumulate(sign * storage.nbytes for sign, storage in tape.events))


def test_a_tensor_lives_as_long_as_something_refers_to_it() -> None:
    tape = Tape(width=4)
    x = Tensor(tape, (10,))  # 40 bytes
    y = x * 2.0
    view = y.reshape(2, 5)
    del y
    assert sum(sign * storage.nbytes for sign, storage in tape.events) == 80
    del view
    assert sum(sign * storage.nbytes for sign, storage in tape.events) == 40


def test_a_graph_keeps_what_backward_needs() -> None:
    tape = Tape(width=4)
    x = Tensor(tape, (10,)).require_grad()
    y = x.abs().sqrt()  # abs saves x, sqrt its result
    assert {s.nbytes for s in tape.saved_storages(y)} == {40}
    assert tape.saved_storages(y) == {x.storage, y.storage}


def test_without_grad_nothing_is_kept() -> None:
    tape = Tape(width=4)
    x = Tensor(tape, (10,)).require_grad()
    with tape.no_grad():
        y = x.abs()
    assert not y.requires_grad


def test_no_grad_ends_with_an_error_too() -> None:
    tape = Tape(width=4)
    with pytest.raises(KeyError), tape.no_grad():
        raise KeyError
    assert tape.grad_enabled


@pytest.mark.parametrize(("in_place", "expected"), [(True, 5 * 40), (False, 6 * 40)])
def test_gradients_meet_in_place_or_not(in_place: bool, expected: int) -> None:
    """x·2 + x·3: at the second product's gradient live x, g, y, both gradients of x, and their sum if not in place."""
    tape = Tape(width=4, in_place=in_place)
    x = Tensor(tape, (10,)).require_grad()
    g = Tensor(tape, (10,))
    y = x * 2.0 + x * 3.0
    gradients = tape.backward(y, g)
    assert [t.shape for t in gradients.values()] == [(10,)]
    assert peak(tape) == expected


def test_a_broadcast_gradient_is_summed() -> None:
    tape = Tape(width=4)
    x = Tensor(tape, (2, 3))
    bias = Tensor(tape, (3,)).require_grad()
    (gradient,) = tape.backward(x + bias, Tensor(tape, (2, 3))).values()
    assert gradient.shape == (3,)
    assert [op.name for op in tape.operations] == ["add", "sum"]


def test_a_kernel_is_counted_once_with_its_traffic() -> None:
    tape = Tape(width=8)
    Tensor(tape, (4,)) + Tensor(tape, (3, 1))
    (op,) = tape.operations
    assert (op.cls, op.macs, op.flops, op.traffic) == ("pointwise", 0, 12, 8 * (4 + 3 + 12))


def test_a_branch_between_symbols_needs_an_answer() -> None:
    from lipcost.costmodel._symbols import B, S  # noqa: PLC0415

    with pytest.raises(TypeError):
        Tape(width=4).holds(B < S)
