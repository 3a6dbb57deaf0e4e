"""The fit to epoch counts: what it reads, and what it recovers of a device that made the counts itself."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lipcost.costmodel import METHODS, Device, epochs_within, find_device
from lipcost.costmodel import PUBLISHED as PUBLISHED_ALGORITHM
from lipcost.costmodel.devices.fit import PARAMETERS, Count, EpochFit, fit_epochs, read_counts

PUBLISHED = Path(__file__).parents[3] / "validate" / "compare" / "data" / "epochs-2h.csv"
HEADER = "size,method,epochs\n"
HOURS = 2.0
ANCHOR = find_device("a100-40")
# Another device of the kind: each of the figures that are fitted, off the anchor's by a factor of its own.
FACTORS = {"conv": 0.6, "weight_conv": 1.7, "matmul": 0.7, "inverse": 1.5, "launch": 0.8}
MADE_UP = ANCHOR.with_figures(
    "estimated",
    "made up",
    conv=FACTORS["conv"] * ANCHOR["conv"],
    weight_conv=FACTORS["weight_conv"] * ANCHOR["weight_conv"],
    matmul=FACTORS["matmul"] * ANCHOR["matmul"],
    complex_matmul=FACTORS["matmul"] * ANCHOR["matmul"],
    inverse=FACTORS["inverse"] * ANCHOR["inverse"],
    launch=FACTORS["launch"] * ANCHOR["launch"],
    inverse_step=FACTORS["launch"] * ANCHOR["launch"],
    loading=0.04 / 256,  # a floor of 40 ms a step
)


# The methods whose published algorithm has a cost.
TIMED = [name.removesuffix(PUBLISHED_ALGORITHM) for name in METHODS if name.endswith(PUBLISHED_ALGORITHM)]


def counted(device: Device, *rows: tuple[str, str]) -> list[Count]:
    """What the rows' networks would reach on the device."""
    return [
        Count(size, method, epochs_within(size, method + PUBLISHED_ALGORITHM, hours=HOURS, device=device))
        for size, method in rows
    ]


@pytest.fixture(scope="module")
def counts() -> list[Count]:
    return counted(MADE_UP, *((size, method) for size in ("XS", "M") for method in TIMED))


@pytest.fixture(scope="module")
def fit(counts: list[Count]) -> EpochFit:
    return fit_epochs(counts, anchor=ANCHOR, hours=HOURS, source="a made-up device")


# Reading


def written(folder: Path, text: str) -> Path:
    path = folder / "counts.csv"
    path.write_text(text, encoding="utf-8")
    return path


def test_rows_are_read(tmp_path: Path) -> None:
    text = (
        f"# epochs in two hours\n\n{HEADER}XS,aol,837\n# measured again\n M , soc , 190.5 \n\nTConvNetL,standard,1e1\n"
    )
    assert read_counts(written(tmp_path, text)) == [
        Count("XS", "aol", 837),
        Count("M", "soc", 190.5),
        Count("TConvNetL", "standard", 10),
    ]


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", ": the first line must be size,method,epochs, got ''"),
        ("# nothing but a comment\n", ": the first line must be size,method,epochs, got ''"),
        ("size,method\nXS,aol\n", ": the first line must be size,method,epochs, got 'size,method'"),
        ("method,size,epochs\naol,XS,1\n", ": the first line must be size,method,epochs, got 'method,size,epochs'"),
        ("XS,aol,837\n", ": the first line must be size,method,epochs, got 'XS,aol,837'"),
        (HEADER, ": no row below the header"),
        (HEADER + "# XS,aol,1\n", ": no row below the header"),
        (HEADER + "XS,aol\n", ", line 2: a row has size, method, epochs, got 'XS,aol'"),
        (HEADER + "XS,aol,1,2\n", ", line 2: a row has size, method, epochs, got 'XS,aol,1,2'"),
        (HEADER + "XS,aol,1\nXS,cpl,many\n", ", line 3: epochs must be a number, got 'many'"),
        (HEADER + "XS,aol,\n", ", line 2: epochs must be a number, got ''"),
        (HEADER + "XS,aol,0\n", ", line 2: epochs must be positive and finite, got 0.0"),
        (HEADER + "XS,aol,-3\n", ", line 2: epochs must be positive and finite, got -3.0"),
        (HEADER + "XS,aol,nan\n", ", line 2: epochs must be positive and finite, got nan"),
        (HEADER + "XS,aol,inf\n", ", line 2: epochs must be positive and finite, got inf"),
        (HEADER + "XXL,aol,3\n", ", line 2: unknown network 'XXL'; networks: ConvNetXS, "),
        (HEADER + "XS,foo,3\n", ", line 2: unknown method 'foo'; methods: standard, "),
        (f"# comment\n\n{HEADER}# comment\nXS,aol,1\n\nM,foo,3\n", ", line 7: unknown method 'foo'; methods: "),
    ],
)
def test_what_is_wrong_is_named_by_its_line(text: str, complaint: str, tmp_path: Path) -> None:
    path = written(tmp_path, text)
    with pytest.raises(ValueError) as error:
        read_counts(path)
    assert str(error.value).startswith(f"{path}{complaint}")


# Fitting


def test_few_parameters() -> None:
    assert len(PARAMETERS) <= 6
    figures = [figure for group in PARAMETERS.values() for figure in group]
    assert len(figures) == len(set(figures))


def test_a_made_up_device_is_recovered(fit: EpochFit) -> None:
    """AOL's and SLL's products of weights are a small part of any row, so that the anchor still shows in their rate."""
    for name, factor in FACTORS.items():
        tolerance = 0.1 if name == "weight_conv" else 0.04
        assert fit.device[name] == pytest.approx(factor * ANCHOR[name], rel=tolerance), name
    assert ANCHOR["weight_conv"] < fit.device["weight_conv"] < FACTORS["weight_conv"] * ANCHOR["weight_conv"]
    assert fit.device["loading"] == pytest.approx(0.04 / 256, rel=0.001)


def test_its_counts_are_recovered(fit: EpochFit, counts: list[Count]) -> None:
    assert [row.count for row in fit.rows] == counts
    assert all(abs(row.error) < 0.01 for row in fit.rows)
    assert fit.median_error <= fit.largest_error < 0.01
    for row in fit.rows:
        assert row.error == row.epochs / row.count.epochs - 1


def test_a_size_that_was_not_fitted_is_predicted(fit: EpochFit) -> None:
    for method in ("aol", "cpl", "lot", "soc"):
        fitted, made_up = (epochs_within("S", method, hours=HOURS, device=each) for each in (fit.device, MADE_UP))
        assert fitted == pytest.approx(made_up, rel=0.02), method


def test_the_fitted_device_gives_the_fit_s_epochs(fit: EpochFit) -> None:
    for row in (row for row in fit.rows if row.count.method in ("aol", "cayley", "lot")):
        epochs = epochs_within(row.count.size, row.count.algorithm, hours=HOURS, device=fit.device)
        assert row.epochs == pytest.approx(epochs, rel=1e-9)


def test_the_profile_says_what_is_fitted(fit: EpochFit) -> None:
    figures = {figure for group in PARAMETERS.values() for figure in group}
    for name, figure in fit.device.figures.items():
        if name in figures:
            assert figure.basis == "fitted"
            assert "a made-up device" in figure.source
            assert ANCHOR.name in figure.source
        else:
            assert figure == ANCHOR.figures[name]
    assert fit.parameters == {name: fit.device[name] for name in PARAMETERS}
    assert fit.device["matmul"] == fit.device["complex_matmul"]
    assert Device.from_dict(fit.device.to_dict()) == fit.device


def test_rows_at_the_loading_floor_are_flagged(fit: EpochFit) -> None:
    floor = HOURS * 3600 / (196 * 0.04)
    at_floor = {(row.count.size, row.count.method) for row in fit.rows if row.loading}
    assert at_floor == {(row.count.size, row.count.method) for row in fit.rows if row.count.epochs > floor * 0.999}
    assert 0 < len(at_floor) < len(fit.rows)


# Leaving one out

FEW = [("XS", "soc"), ("M", "aol"), ("M", "cpl"), ("M", "soc")]


def test_held_out_is_what_a_fit_without_the_row_predicts() -> None:
    """The fastest row is held out too: nothing of it may be left in the fit, not even as the start of a search."""
    counts = counted(MADE_UP, *FEW)
    fit = fit_epochs(counts, anchor=ANCHOR, hours=HOURS)
    for i, row in enumerate(fit.rows):
        others = fit_epochs(counts[:i] + counts[i + 1 :], anchor=ANCHOR, hours=HOURS)
        size, method = FEW[i]
        expected = epochs_within(size, f"{method}/published", hours=HOURS, device=others.device)
        assert row.held_out == pytest.approx(expected, rel=1e-4), row.count
        assert row.held_out_error == row.held_out / row.count.epochs - 1
        fitted = [r.epochs for r in fit.rows[:i] + fit.rows[i + 1 :]]
        shifts = [abs(other.epochs / before - 1) for other, before in zip(others.rows, fitted, strict=True)]
        assert row.shift == pytest.approx(max(shifts), rel=1e-2, abs=1e-5), row.count


def test_the_order_of_the_rows_does_not_matter() -> None:
    counts = counted(MADE_UP, *FEW)
    given, turned = (fit_epochs(rows, anchor=ANCHOR, hours=HOURS).rows for rows in (counts, counts[::-1]))
    assert [row.epochs for row in turned[::-1]] == pytest.approx([row.epochs for row in given], rel=1e-6)


def test_every_row_is_held_out_once(fit: EpochFit) -> None:
    assert all(math.isfinite(row.held_out) and row.held_out > 0 for row in fit.rows)
    assert all(row.shift >= 0 for row in fit.rows)
    busy = [row for row in fit.rows if not row.loading]
    assert any(abs(row.held_out_error) > abs(row.error) for row in busy)
    assert np.median([abs(row.held_out_error) for row in fit.rows]) < 0.02  # counts without noise


@pytest.mark.parametrize("factor", [0.5, 1.0, 1.5])
def test_a_single_row(factor: float) -> None:
    """The fit bends to the row; without it there is nothing left but the anchor."""
    (at_anchor,) = counted(ANCHOR, ("M", "aol"))
    (row,) = fit_epochs([Count("M", "aol", factor * at_anchor.epochs)], anchor=ANCHOR, hours=HOURS).rows
    assert row.error == pytest.approx(0, abs=0.02)
    assert row.held_out == pytest.approx(at_anchor.epochs, rel=1e-6)
    assert row.shift == 0


def test_figures_that_no_row_depends_on_stay_the_anchor_s() -> None:
    """AOL has no matrix product and no inverse."""
    fitted = fit_epochs(counted(MADE_UP, ("M", "aol")), anchor=ANCHOR, hours=HOURS).device
    for name in ("matmul", "inverse"):
        assert fitted[name] == pytest.approx(ANCHOR[name], rel=1e-6)


def test_a_fit_at_the_anchor_stays_there() -> None:
    anchor = ANCHOR.with_figures("estimated", "made up", loading=1e-4, inverse_step=ANCHOR["launch"])
    anchor = anchor.with_figures("estimated", "made up", complex_matmul=anchor["matmul"])
    fit = fit_epochs(counted(anchor, *FEW), anchor=anchor, hours=HOURS)
    assert fit.largest_error < 1e-6
    assert fit.parameters == pytest.approx({name: anchor[name] for name in PARAMETERS}, rel=1e-6)


# Errors


def test_no_counts() -> None:
    with pytest.raises(ValueError, match="a fit needs at least one epoch count"):
        fit_epochs([], anchor=ANCHOR, hours=HOURS)


@pytest.mark.parametrize("hours", [0, -1, math.nan, math.inf])
def test_hours_are_positive_and_finite(hours: float) -> None:
    with pytest.raises(ValueError, match=f"hours must be positive and finite, got {hours!r}"):
        fit_epochs([Count("XS", "aol", 800)], anchor=ANCHOR, hours=hours)


@pytest.mark.parametrize("name", ["b", "images"])
def test_sizes_are_positive_integers(name: str) -> None:
    with pytest.raises(ValueError, match=f"{name} must be a positive integer, got 0"):
        fit_epochs([Count("XS", "aol", 800)], anchor=ANCHOR, hours=HOURS, **dict[str, Any]({name: 0}))


@pytest.mark.parametrize("epochs", [0, -3, math.nan, math.inf])
def test_counts_are_positive(epochs: float) -> None:
    with pytest.raises(ValueError, match=f"epochs must be positive and finite, got {epochs!r}"):
        Count("XS", "aol", epochs)


@pytest.mark.parametrize(
    ("size", "method", "message"), [("XXL", "aol", "unknown network 'XXL'"), ("XS", "foo", "unknown method 'foo'")]
)
def test_counts_are_of_known_networks(size: str, method: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Count(size, method, 1)


# The published counts


def test_published_counts() -> None:
    """Two sizes of every method of the comparison. What loading does not hide comes out in the published order."""
    counts = read_counts(PUBLISHED)
    assert {count.size for count in counts} == {"XS", "M"}
    assert {count.method for count in counts} == {"aol", "bcop", "cayley", "cpl", "lot", "sll", "soc"}
    fit = fit_epochs(counts, anchor=ANCHOR, hours=HOURS)
    assert fit.median_error < 0.1
    assert fit.largest_error < 0.2
    assert max(abs(row.held_out_error) for row in fit.rows) < 0.3
    assert {row.count.method for row in fit.rows if row.loading} >= {"aol", "cpl"}
    for size in ("XS", "M"):
        rows = [row for row in fit.rows if row.count.size == size and not row.loading]
        assert sorted(rows, key=lambda row: row.epochs) == sorted(rows, key=lambda row: row.count.epochs)
