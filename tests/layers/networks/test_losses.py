"""The loss against its formula, its published constants, its gradient."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from lipcost.layers import MarginCrossEntropy


def by_formula(scores: list[list[float]], labels: list[int], offset: float, temperature: float) -> float:
    """The mean of τ · (log Σ_i exp(z_i / τ) - z_y / τ), z being the scores less the offset of the right class."""
    losses = []
    for row, label in zip(scores, labels, strict=True):
        z = [(score - offset * (i == label)) / temperature for i, score in enumerate(row)]
        largest = max(z)
        losses.append(temperature * (largest + math.log(sum(math.exp(v - largest) for v in z)) - z[label]))
    return math.fsum(losses) / len(losses)


def random(b: int = 5, classes: int = 4) -> tuple[Tensor, Tensor]:
    return torch.randn(b, classes, dtype=torch.float64), torch.randint(classes, (b,))


def test_published_constants() -> None:
    loss = MarginCrossEntropy()
    assert round(loss.offset, 4) == 0.3993
    assert loss.offset == pytest.approx(2 * math.sqrt(2) * 36 / 255, rel=1e-15)
    assert loss.temperature == 0.25
    assert "offset=0.3993, temperature=0.25" in str(loss)


@settings(deadline=None)
@given(
    st.integers(1, 6),
    st.integers(1, 5),
    st.integers(0, 2**32 - 1),
    st.floats(-2, 2),
    st.floats(0.01, 10),
)
def test_against_the_formula(b: int, classes: int, seed: int, offset: float, temperature: float) -> None:
    torch.manual_seed(seed)
    scores, labels = random(b, classes)
    expected = by_formula(scores.tolist(), labels.tolist(), offset, temperature)
    loss = MarginCrossEntropy(offset, temperature)(scores, labels)
    assert loss.shape == ()
    assert loss.item() == pytest.approx(expected, rel=1e-12, abs=1e-12)


def test_the_default_against_the_formula() -> None:
    scores, labels = random()
    expected = by_formula(scores.tolist(), labels.tolist(), 2 * math.sqrt(2) * 36 / 255, 0.25)
    assert MarginCrossEntropy()(scores, labels).item() == pytest.approx(expected, rel=1e-14)


def test_a_margin_of_the_offset_counts_as_none() -> None:
    """The right class ahead by m: all z are equal and the loss is τ log n."""
    scores = torch.tensor([[1.5, 1.0, 1.0, 1.0]], dtype=torch.float64)
    loss = MarginCrossEntropy(offset=0.5, temperature=0.25)(scores, torch.tensor([0]))
    assert loss.item() == pytest.approx(0.25 * math.log(4), rel=1e-14)


def test_inputs_are_left_alone() -> None:
    scores, labels = random()
    before = scores.clone(), labels.clone()
    MarginCrossEntropy()(scores, labels)
    assert torch.equal(scores, before[0])
    assert torch.equal(labels, before[1])


def test_gradcheck() -> None:
    scores, labels = random()
    assert torch.autograd.gradcheck(lambda s: MarginCrossEntropy()(s, labels), scores.requires_grad_())


def test_it_has_no_state() -> None:
    assert not MarginCrossEntropy().state_dict()
    assert not list(MarginCrossEntropy().parameters())


@pytest.mark.parametrize("temperature", [0, 0.0, -0.25, float("nan")])
def test_temperature_is_positive(temperature: float) -> None:
    with pytest.raises(ValueError) as error:
        MarginCrossEntropy(temperature=temperature)
    assert str(error.value) == f"temperature must be positive, got {temperature!r}"
