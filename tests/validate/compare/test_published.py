"""The published epoch counts: how well the model holds, and that the other predictors are what they say."""

from __future__ import annotations

import json

import numpy as np
import pytest

from lipcost.costmodel import predict_network
from lipcost.validate.compare.published import COUNTS, HOURS, Predictor, Published, published, step_times


@pytest.fixture(scope="module")
def found() -> Published:
    return published()


def test_the_counts_are_those_of_the_paper(found: Published) -> None:
    text = COUNTS.read_text(encoding="utf-8")
    assert "CVPR 2024" in text.splitlines()[1] and text.count("\n") == 17
    counts = {(row.count.size, row.count.method): row.count.epochs for row in found.fit.rows}
    assert len(counts) == 14
    assert (counts["XS", "bcop"], counts["M", "lot"], counts["M", "cpl"]) == (127, 11, 522)


def test_seconds_per_step() -> None:
    assert step_times([1, 2]).tolist() == [HOURS * 3600 / 196, HOURS * 1800 / 196]


def test_the_model_predicts_what_simpler_predictors_do_not(found: Published) -> None:
    model, held_out, flops, orders = found.predictors
    assert [each.free for each in found.predictors] == [6, 6, 1, 1]
    assert model.median_error < 0.05 and model.largest_error < 0.2 and model.correlation > 0.97
    assert held_out.median_error < 0.1 and held_out.largest_error < 0.26 and held_out.correlation > 0.95
    for naive in (flops, orders):
        assert naive.median_error > 5 * held_out.median_error
        assert naive.correlation < 0.8
    np.testing.assert_allclose(model.seconds, step_times([row.epochs for row in found.fit.rows]))
    np.testing.assert_allclose(held_out.seconds, step_times([row.held_out for row in found.fit.rows]))


def test_one_rate_is_the_median(found: Published) -> None:
    for naive in found.predictors[2:]:
        ratios = np.log(np.array(naive.seconds) / naive.measured)
        assert np.median(ratios) == pytest.approx(0, abs=1e-12)


def test_flops_are_those_of_a_step(found: Published) -> None:
    flops = found.predictors[2]
    amounts = []
    for row in found.fit.rows[:2]:
        p = predict_network(row.count.size, row.count.algorithm, b=256)
        amounts.append(p.flops_forward + p.flops_backward + p.flops_optimizer)
    assert flops.seconds[0] / flops.seconds[1] == pytest.approx(amounts[0] / amounts[1])


def test_orders_by_hand(found: Published) -> None:
    times = {
        (r.count.size, r.count.method): t for r, t in zip(found.fit.rows, found.predictors[3].seconds, strict=True)
    }
    # b s² c² for CPL, and c³ more for AOL: a first layer, five per block of 2^i w channels and sides 32 / 2^i, a head.
    layers = [(16, 32), *[(16 * 2**i, 32 // 2**i) for i in range(5) for _ in range(5)], (512, 1)]
    cpl = sum(256 * s**2 * c**2 for c, s in layers)
    aol = cpl + sum(c**3 for c, _ in layers)
    assert times["XS", "aol"] / times["XS", "cpl"] == pytest.approx(aol / cpl)


def test_figures_by_hand() -> None:
    p = Predictor("made up", 1, (1.0, 3.0, 8.0), (2.0, 3.0, 4.0))
    assert p.errors.tolist() == [-0.5, 0.0, 1.0]
    assert (p.median_error, p.largest_error) == (0.5, 1.0)
    assert p.correlation == pytest.approx(1)


def test_json(found: Published) -> None:
    data = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert len(data["rows"]) == 14 and list(data["rows"][0])[:3] == ["size", "method", "published"]
    assert data["parameters"]["loading"]["anchor"] == 0
    assert data["predictors"][0]["name"] == "the model"
