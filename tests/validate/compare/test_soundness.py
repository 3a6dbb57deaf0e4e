"""Layers keep their claims for any weights in any state of use; and whatever does not is found."""

from __future__ import annotations

import json

import pytest
import torch
from torch import Tensor, nn

from benchmarks.soundness import published, row
from lipcost.costmodel import METHODS
from lipcost.layers import LAYERS, AOLConv2d
from lipcost.validate.compare.claims import CLAIMED
from lipcost.validate.compare.soundness import Outcome, measure
from lipcost.validate.compare.subjects import SHAPES, STATES, Case, Shape, Subject, cases, own, reported
from lipcost.validate.compare.weights import SGD, WEIGHTS

SQUARE, RECTANGULAR = Shape(3, 3, 3, 4, 4), Shape(2, 3, 3, 3, 4)
EVAL = STATES[1:]


@pytest.fixture(autouse=True)
def one_core() -> None:
    torch.set_num_threads(1)


def of(subject: Subject, kind: str, state: str, dtype: torch.dtype = torch.float64, shape: Shape = SQUARE) -> Outcome:
    return measure(Case(subject, shape, dtype, kind, state))


# What we promise


@pytest.mark.parametrize("which", [0, 1])
@pytest.mark.parametrize("method", CLAIMED)
def test_our_layers_keep_their_promises(method: str, which: int) -> None:
    subject = own(method, LAYERS[method].padding_modes[which])
    found = [measure(case) for case in cases(subject, shapes=[(SQUARE, RECTANGULAR)[which]])]
    assert len(found) == 2 * len(WEIGHTS) * len(STATES)
    assert [f"{each.case}: {each}" for each in found if each.holds is False] == []
    assert all(each.sigma > 0 for each in found if each.case.kind == "initial")


@pytest.mark.parametrize("method", METHODS)
def test_what_the_report_says_of_a_method(method: str) -> None:
    for case in reported(method, quick=True):
        found = measure(case, seed=5)
        assert found.holds is (None if case.claim.promise == "none" else True), found
        assert found.smallest <= found.largest <= found.sigma + 1e-9 and found.pairs <= found.sigma + 1e-9


# What must be found


@pytest.mark.parametrize(("method", "kind"), [("soc", "initial"), ("soc", SGD), ("cpl", "rank one")])
def test_published_layers_exceed_1_in_eval(method: str, kind: str) -> None:
    case = Case(published(method), SHAPES[0], torch.float64, kind, "eval first")
    found = [measure(case, seed) for seed in range(5)]
    assert max(each.largest for each in found) > 1.001
    assert all(each.claimed and each.holds is False for each in found if each.exceeds)


@pytest.mark.parametrize("method", ["sll", "cpl/published"])
def test_the_largest_norm_of_a_residual_layer_is_its_bound(method: str) -> None:
    found = [of(own(method), kind, "eval first") for kind in WEIGHTS]
    assert all(each.bound == pytest.approx(max(1, each.largest), abs=1e-9) for each in found)


@pytest.mark.parametrize("method", ["cpl/published", "soc/published"])
def test_without_a_claim_there_is_no_verdict(method: str) -> None:
    found = [of(own(method), kind, "train") for kind in ("initial", "rank one")]
    assert any(each.exceeds and each.excess > 1e-3 for each in found)
    assert [(each.claimed, each.holds) for each in found] == [(False, None)] * 2


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("method", ["bcop/published", "cayley/published", "soc/published"])
def test_published_layers_give_nan_for_zero_weights(method: str, state: str) -> None:
    outcome = of(own(method), "zero", state)
    assert outcome.error is None
    assert not outcome.finite
    assert outcome.holds is False


@pytest.mark.parametrize("state", EVAL)
def test_a_crop_is_not_orthogonal(state: str) -> None:
    outcome = of(published("lot"), SGD, state)
    assert not outcome.exceeds
    assert outcome.defect > 0.1
    assert outcome.holds is False


class Kept(AOLConv2d):
    """Keeps the weights of the first eval call."""

    def _weights(self, size: tuple[int, ...]) -> tuple[Tensor, ...]:
        if self.training:
            return super()._weights(size)
        if not hasattr(self, "kept"):
            self.kept = tuple(w.detach() for w in super()._weights(size))
        return self.kept


class Underestimated(AOLConv2d):
    """Claims a bound that it exceeds."""

    def lipschitz_upper_bound(self, input_shape: tuple[int, int, int]) -> float:
        return 0.5 * super().lipschitz_upper_bound(input_shape)


class NanGradient(AOLConv2d):
    """A fine output with a gradient that is NaN for zero weights."""

    def parameter_transform(self, size: tuple[int, ...]) -> tuple[Tensor]:
        (kernel,) = super().parameter_transform(size)
        return (kernel / (1 + self.weight.square().sum().sqrt()),)


def stand_in(layer: type[nn.Module]) -> Subject:
    return Subject(layer.__name__, "aol", layer)


def test_a_stale_cache_is_found() -> None:
    assert [of(stand_in(Kept), SGD, state).error for state in STATES] == [
        *(None,) * 3,
        "after load_state_dict the output is not that of the weights loaded",
    ]


@pytest.mark.parametrize("state", STATES)
def test_a_bound_that_is_none_is_found(state: str) -> None:
    error = of(stand_in(Underestimated), "initial", state).error
    assert error is not None
    assert "is below the largest singular value" in error


@pytest.mark.parametrize("state", STATES)
def test_a_gradient_that_is_nan_is_found(state: str) -> None:
    assert of(stand_in(NanGradient), "initial", state).finite
    assert not of(stand_in(NanGradient), "zero", state).finite


@pytest.mark.parametrize("state", STATES)
def test_a_wrong_shape_is_found(state: str) -> None:
    subject = Subject("unpadded", "aol", nn.Conv2d)
    assert of(subject, "zero", state).error == "ValueError: the output has shape (3, 2, 2) instead of (3, 4, 4)"


@pytest.mark.parametrize("state", STATES)
def test_an_exception_is_an_outcome(state: str) -> None:
    outcome = of(own("sll/published"), "initial", state, shape=RECTANGULAR)
    assert outcome.holds is False
    assert str(outcome.error).startswith("ValueError: sll/published adds its input")


# How it is measured


@pytest.mark.parametrize("shape", [(3, 4, 3, 3), (5, 4, 4), (3, 4)])
def test_weights_are_what_they_are_called(shape: tuple[int, ...]) -> None:
    w = torch.randn(shape, dtype=torch.float64)
    kinds = {name: change(w.clone()) for name, change in WEIGHTS.items()}
    assert {each.shape for each in kinds.values()} == {w.shape}
    matrices = kinds["rank one"] if len(shape) == 3 else kinds["rank one"].flatten(1)
    assert (torch.linalg.matrix_rank(matrices) == 1).all()
    assert not kinds["zero"].any()
    assert len(kinds["all equal"].unique()) == 1
    for kind in ("rank one", "all equal"):
        torch.testing.assert_close(kinds[kind].norm(), w.norm())
    channels = kinds["zero channel"].movedim((0, 1), (-2, -1)) if len(shape) == 4 else kinds["zero channel"]
    assert not channels[..., 0, :].any()
    assert not channels[..., :, 0].any()
    assert channels[..., 1:, 1:].all()


def test_every_case_is_there_once() -> None:
    found = cases(own("aol"))
    assert len({str(case) for case in found}) == len(found) == 8 * len(SHAPES) * 2 * 4


def test_random_state_and_type_are_left_alone() -> None:
    torch.manual_seed(0)
    before = torch.get_rng_state()
    subject = own("soc")
    first, second = (of(subject, SGD, "eval after train") for _ in range(2))
    assert first == second
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.get_default_dtype() == torch.float32


def test_an_outcome_is_read_back() -> None:
    cases = [
        Case(own("soc", "circular"), RECTANGULAR, torch.float32, "zero", "eval first"),
        reported("lot", quick=True)[0],
    ]
    for found in [*map(measure, cases), Outcome(cases[0], error="ValueError: no")]:
        data = json.loads(json.dumps(found.to_dict(), allow_nan=False))
        assert data["claim"] == found.case.claim.promise
        again = Outcome.from_dict(data)
        assert again.to_dict() == found.to_dict()
        assert (str(again.case), again.holds) == (str(found.case), found.holds)


# What `make soundness` prints


def test_a_row_of_the_table() -> None:
    soc = published("soc")
    found = [of(soc, kind, state) for kind in ("initial", "zero") for state in ("train", "eval first")]
    name, count, in_eval, worst, in_train, _, nan, errors, _ = row(soc.name, found)
    assert (name, count, in_eval, nan, errors) == ("soc/published", "4", "1", "2", "0")
    assert float(worst) > 1
    assert in_train.startswith("(")
