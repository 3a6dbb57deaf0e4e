"""The table of claims, and the verdict on what is measured."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

from lipcost.layers import LAYERS
from lipcost.validate.compare.claims import claim
from lipcost.validate.compare.soundness import Outcome
from lipcost.validate.compare.subjects import SHAPES, Case, own

DOUBLE: dict[str, Any] = {"dtype": torch.float64, "training": False}


def test_what_is_claimed() -> None:
    assert [claim("lot", k, **DOUBLE).promise for k in (1, 3)] == ["orthogonal", "1-Lipschitz"]
    assert claim("lot", 3, **DOUBLE, padding_mode="circular").promise == "orthogonal"
    assert claim("lot", 3, **DOUBLE, padding_mode="circular", degenerate=True).promise == "1-Lipschitz"
    assert claim("bcop", 3, **DOUBLE | {"training": True}).promise == "orthogonal"
    assert claim("bcop", 3, **DOUBLE, padding_mode="zeros").promise == "1-Lipschitz"
    assert [claim("soc", 3, torch.float64, training=t).promise for t in (True, False)] == ["none", "orthogonal"]
    assert claim("soc/published", 3, **DOUBLE).promise == claim("standard", 3, **DOUBLE).promise == "none"


@pytest.mark.parametrize("method", LAYERS)
def test_a_claim_is_the_classs(method: str) -> None:
    cls = LAYERS[method]
    for k in (1, 3):
        for training in (True, False):
            promise = claim(method, k, torch.float64, training=training).promise
            stronger = not training and cls.padding_modes[0] in cls.orthogonal_paddings
            assert promise == cls.promises(k, training) or (stronger and promise == "orthogonal")


def outcome(method: str, state: str, dtype: torch.dtype = torch.float64, kind: str = "initial") -> Outcome:
    """All singular values 1."""
    return Outcome(Case(own(method), SHAPES[0], dtype, kind, state), 1.0, 1.0, 1.0, 1.0)


def figure(name: str, value: float) -> dict[str, Any]:
    return {name: value}


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.float64, 1e-6)])
def test_verdicts(dtype: torch.dtype, tolerance: float) -> None:
    good = outcome("bcop", "train", dtype)
    assert good.holds
    for name in ("largest", "pairs"):
        assert replace(good, **figure(name, 1 + 0.99 * tolerance)).holds
        assert replace(good, **figure(name, 1 + 1.01 * tolerance)).holds is False
    assert replace(good, smallest=1 - 0.99 * tolerance).holds
    assert replace(good, smallest=1 - 1.01 * tolerance).holds is False
    assert replace(good, error="ValueError: no").holds is False
    assert replace(good, finite=False).holds is False


def test_degenerate_weights_need_not_be_orthogonal() -> None:
    assert replace(outcome("bcop", "train", kind="rank one"), smallest=0.5).holds
    assert replace(outcome("aol", "eval first"), smallest=0.5).holds


def test_what_paddings_make_orthogonal_is_held_to_less() -> None:
    soc = outcome("soc", "eval first")
    assert replace(soc, smallest=1 - 0.99e-5).holds
    assert replace(soc, smallest=1 - 1.01e-5).holds is False
    assert replace(soc, largest=1 + 1.01e-6).holds is False


def test_nothing_is_claimed_of_soc_in_training() -> None:
    assert replace(outcome("soc", "train"), largest=2.0).holds is None
    assert replace(outcome("soc", "train"), finite=False).holds is False


def test_a_residual_layer_is_held_to_its_bound() -> None:
    assert replace(outcome("sll", "train"), largest=0.9, bound=1.1).holds is False
    assert replace(outcome("aol", "train"), largest=0.9, bound=1.1).holds
