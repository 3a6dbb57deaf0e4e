"""Rules of losses of scores beside torch itself: of class labels, and of the classes' probabilities."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from one_function import IMAGES, ROWS, Case, Of, check, check_refused, parametrized, predicted, refusals
from targets import LABELS, REDUCTIONS, WEIGHTS, Loss, other, reduced
from torch import nn

from lipcost.costmodel.tape.errors import Mismatch

PIXELS = torch.ones(3, 6, 6, dtype=torch.int64)


def of_classes(name: str, **how: Any) -> Iterator[tuple[str, Case]]:
    """A loss of scores and labels, reduced in every way; of rows, one row, images, stacks and volumes."""
    function = getattr(F, name)
    label = " ".join([name, *how])
    for reduction in REDUCTIONS:
        for shape in (ROWS, (6,), (3, 6, 4, 5), (3, 6, 4), (2, 6, 3, 2, 2))[: None if reduction != "sum" else 1]:
            target = torch.ones((*shape[:1], *shape[2:]) if len(shape) > 1 else (), dtype=torch.int64)
            yield (
                f"{label} {reduction} {len(shape)}",
                Case(
                    lambda x, t=target, r=reduction: function(x, t, reduction=r, **how),
                    shape,
                    layouts="plain"
                    if (name == "nll_loss" and len(shape) == 4) or reduction != "mean"
                    else "plain cl t",
                ),
            )


def of_probabilities() -> Iterator[tuple[str, Case]]:
    soft = other()
    for smoothing in (0.0, 0.1):
        for weight in (None, WEIGHTS):
            yield from reduced(
                f"cross_entropy soft {smoothing} {weight is not None}",
                lambda r, s=smoothing, w=weight: lambda x: F.cross_entropy(x, soft, w, label_smoothing=s, reduction=r),
            )
    yield from reduced(
        "cross_entropy soft images",
        lambda r: lambda x: F.cross_entropy(x, other((3, 6, 4, 5)), reduction=r), (3, 6, 4, 5),
    )  # fmt: skip


CASES: dict[str, Case] = dict(
    [
        *of_classes("nll_loss"), *of_classes("nll_loss", weight=WEIGHTS, ignore_index=1), *of_classes("cross_entropy"),
        *of_classes("cross_entropy", weight=WEIGHTS), *of_classes("cross_entropy", label_smoothing=0.1),
        *reduced(
            "cross_entropy weight smoothing",
            lambda r: lambda x: F.cross_entropy(
                x, LABELS, WEIGHTS, label_smoothing=0.1, reduction="sum" if r == "mean" else r
            ),
        ),
        *reduced("multi_margin_loss", lambda r: lambda x: F.multi_margin_loss(x, LABELS, reduction=r)),
        *reduced(
            "multi_margin_loss weight",
            lambda r: lambda x: F.multi_margin_loss(x, LABELS, 2, 0.5, WEIGHTS, reduction=r),
        ),
        *reduced(
            "multilabel_margin_loss",
            lambda r: lambda x: F.multilabel_margin_loss(x, torch.ones(ROWS, dtype=torch.int64), reduction=r),
        ),
        *reduced(
            "multilabel_soft_margin_loss",
            lambda r: lambda x: F.multilabel_soft_margin_loss(x, other(), reduction=r),
        ),
        *reduced(
            "multilabel_soft_margin_loss weight",
            lambda r: lambda x: F.multilabel_soft_margin_loss(x, other(), WEIGHTS, reduction=r),
        ),
        *of_probabilities(),
        ("bfloat16", Case(lambda x: F.cross_entropy(x, LABELS), ROWS, dtype=torch.bfloat16)),
    ]
)  # fmt: skip

MODULES: dict[str, Callable[[], nn.Module]] = {
    "CrossEntropyLoss": lambda: Loss(nn.CrossEntropyLoss(weight=torch.ones(4)), PIXELS),
    "CrossEntropyLoss smooth": lambda: Loss(nn.CrossEntropyLoss(label_smoothing=0.1), PIXELS),
    "CrossEntropyLoss soft": lambda: Loss(nn.CrossEntropyLoss(), torch.rand(3, 4, 6, 6)),
}


@parametrized(CASES, MODULES)
def test_a_rule_is_what_torch_does(make: Callable[[], nn.Module] | None, case: Case, layout: str) -> None:
    check(make, case, layout)


REFUSED: dict[str, list[Case]] = {
    "ctc_loss": [Case(lambda x: F.ctc_loss(x[None], LABELS[None], LABELS, LABELS), ROWS)],
    "label_smoothing and weights": [Case(lambda x: F.cross_entropy(x, LABELS, WEIGHTS, label_smoothing=0.1), ROWS)],
}


@refusals(REFUSED)
def test_other_uses_are_refused_by_name(message: str, case: Case) -> None:
    check_refused(message, case)


def test_scores_of_images_lie_without_gaps_where_torch_asks_for_it() -> None:
    with pytest.raises(Mismatch, match="without gaps"):
        predicted(Of(lambda x: F.nll_loss(x.mT, PIXELS), dtype=torch.float32), IMAGES, "train")


def test_labels_fit() -> None:
    with pytest.raises(Mismatch, match="do"):
        predicted(Of(lambda x: F.nll_loss(x, LABELS[:2]), dtype=torch.float32), ROWS, "train")
