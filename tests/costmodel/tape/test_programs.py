"""Programs of several rules, drawn at random, as recorded and as measured."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from programs import compared, drawn

FEW, MANY = 40, 2000
AS_LONG_AS_IT_TAKES = settings(deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)


def check(random: Random) -> None:
    program = drawn(random)
    outcome = compared(program)
    assert outcome.kind != "mismatch", f"{outcome.what}\n{program.source}"


@settings(AS_LONG_AS_IT_TAKES, max_examples=FEW)
@given(st.randoms(use_true_random=False))
def test_programs_are_recorded_as_torch_runs_them(random: Random) -> None:
    check(random)


@pytest.mark.slow
@settings(AS_LONG_AS_IT_TAKES, max_examples=MANY)
@given(st.randoms(use_true_random=False))
def test_many_programs_are_recorded_as_torch_runs_them(random: Random) -> None:
    check(random)


def test_few_programs_are_refused() -> None:
    kinds = [compared(drawn(Random(seed))).kind for seed in range(FEW)]
    assert kinds.count("refused") <= FEW / 10
