"""Our layers keep their promises for any weights in any state of use; and whatever does not is found."""

from __future__ import annotations

import json

import pytest
import torch
from soundness import row, to_dict
from torch import Tensor, nn

from lipcost.layers import LAYERS, AOLConv2d
from lipcost.validate.soundness import (
    CLAIMED,
    SGD,
    SHAPES,
    STATES,
    WEIGHTS,
    Case,
    Outcome,
    Shape,
    Subject,
    cases,
    measure,
    own,
)

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
    assert [f"{each.case}: {each}" for each in found if each.fails] == []
    assert all(each.sigma > 0 for each in found if each.case.kind == "initial")


# What must be found


@pytest.mark.parametrize(
    ("method", "kind"), [("soc/published", "initial"), ("soc/published", SGD), ("cpl/published", "rank one")]
)
def test_published_layers_exceed_1_in_eval(method: str, kind: str) -> None:
    case = Case(own(method), SHAPES[0], torch.float64, kind, "eval first")
    found = [measure(case, seed) for seed in range(5)]
    assert max(each.largest for each in found) > 1.001
    assert all(each.claimed and each.fails for each in found if each.exceeds)


@pytest.mark.parametrize("method", ["sll", "cpl/published"])
def test_the_largest_norm_of_a_residual_layer_is_its_bound(method: str) -> None:
    found = [of(own(method), kind, "eval first") for kind in WEIGHTS]
    assert all(each.bound == pytest.approx(max(1, each.largest), abs=1e-9) for each in found)


@pytest.mark.parametrize("method", ["cpl/published", "soc/published"])
def test_training_without_a_claim_does_not_fail(method: str) -> None:
    found = [of(own(method), kind, "train") for kind in ("initial", "rank one")]
    assert any(each.exceeds for each in found)
    assert not any(each.claimed or each.fails for each in found)


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("method", ["bcop/published", "cayley/published", "soc/published"])
def test_published_layers_give_nan_for_zero_weights(method: str, state: str) -> None:
    outcome = of(own(method), "zero", state)
    assert outcome.error is None
    assert not outcome.finite
    assert outcome.fails


@pytest.mark.parametrize("state", EVAL)
def test_a_crop_is_not_orthogonal(state: str) -> None:
    outcome = of(own("lot/published"), SGD, state)
    assert not outcome.exceeds
    assert outcome.defect > 0.1
    assert outcome.fails


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
    assert outcome.fails
    assert str(outcome.error).startswith("ValueError: sll/published adds its input")


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-4), (torch.float64, 1e-5)])
def test_tolerances(dtype: torch.dtype, tolerance: float) -> None:
    case = Case(own("aol"), SQUARE, dtype, "initial", "train")
    assert Outcome(case, 1 + 1.01 * tolerance, 0.5).fails
    assert not Outcome(case, 1 + 0.99 * tolerance, 0.5).fails


def test_a_residual_layer_is_held_to_its_bound() -> None:
    case = Case(own("sll"), SQUARE, torch.float64, "initial", "train")
    assert Outcome(case, 0.9, 0.5, bound=1.1).fails
    assert not Outcome(Case(own("aol"), SQUARE, torch.float64, "initial", "train"), 0.9, 0.5, bound=1.1).fails


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


# What `make soundness` prints


def test_row_and_json() -> None:
    soc = own("soc/published")
    found = [of(soc, kind, state) for kind in ("initial", "zero") for state in ("train", "eval first")]
    name, count, in_eval, worst, in_train, _, nan, errors, _ = row(soc.name, found)
    assert (name, count, in_eval, nan, errors) == ("soc/published", "4", "1", "2", "0")
    assert float(worst) > 1
    assert in_train.startswith("(")
    assert json.loads(json.dumps([to_dict(each) for each in found], allow_nan=False))[2]["largest"] is None
