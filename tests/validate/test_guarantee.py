"""Claims and their verdicts."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import torch

from lipcost.costmodel import METHODS
from lipcost.validate.guarantee import NONE, Guarantee, check, claim, shapes

GOOD = Guarantee("bcop", 3, 3, 3, 6, "initial", "train", "orthogonal", 1.0, 1.0, 1.0, 1.0)


@pytest.mark.parametrize("method", METHODS)
def test_claims_hold(method: str) -> None:
    for shape in shapes(method, quick=True):
        rows = check(method, shape, seed=5)
        assert [(row.state, row.mode) for row in rows] == [
            (state, mode) for state in ("initial", "after 10 SGD steps") for mode in ("train", "eval")
        ]
        assert all(row.holds is (None if claim(method, row.k, row.mode) == NONE else True) for row in rows)
        assert all(row.smallest <= row.largest <= row.bound + 1e-9 and row.pairs <= row.bound + 1e-9 for row in rows)


def test_excess_of_cpl_is_shown() -> None:
    first = check("cpl/published", (3, 3, 3, 6))[0]
    assert (first.claim, first.holds) == ("none", None)
    assert first.excess > 0.1


def test_verdicts() -> None:
    assert GOOD.holds
    assert replace(GOOD, smallest=1 - 2e-6).holds is False
    assert replace(GOOD, smallest=0.5, claim="1-Lipschitz").holds
    assert all(replace(GOOD, **{name: 1 + 2e-6}).holds is False for name in ("largest", "bound", "pairs"))
    assert replace(GOOD, bound=2.0, claim="none").holds is None
    assert replace(GOOD, smallest=float("nan")).holds is False


def test_lot_is_orthogonal_only_without_a_crop() -> None:
    assert [claim("lot", k, "eval") for k in (1, 3)] == ["orthogonal", "1-Lipschitz"]
    assert {row.claim for row in check("lot", (2, 2, 1, 3))} == {"orthogonal"}


def test_an_exception_is_a_row(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> float:
        raise RuntimeError("out of luck")

    monkeypatch.setattr("lipcost.validate.guarantee.lipschitz_upper_bound", fail)
    rows = check("soc", (2, 2, 3, 4))
    assert [(row.holds, row.error) for row in rows] == [(False, "RuntimeError: out of luck")] * 4
    assert json.loads(json.dumps(rows[0].to_dict(), allow_nan=False))["bound"] is None


def test_random_state_is_left_alone() -> None:
    torch.manual_seed(0)
    before = torch.get_rng_state()
    check("aol", (2, 2, 1, 3))
    assert torch.equal(torch.get_rng_state(), before)
