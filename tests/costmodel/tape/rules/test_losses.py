"""Rules of losses beside torch itself, as functions of what a network gives; targets are constants."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from one_function import IMAGES, ROWS, STACK, Case, Of, check, check_refused, parametrized, predicted, refusals
from torch import Tensor, nn

from lipcost.costmodel.tape.errors import Mismatch
from lipcost.costmodel.tape.versions import since

REDUCTIONS = ("none", "mean", "sum")
LABELS = torch.tensor([1, 0, 3])
PIXELS = torch.ones(3, 6, 6, dtype=torch.int64)
WEIGHTS = torch.ones(6)
SIGNS = torch.tensor([1.0, -1.0, 1.0])


def of_elements(name: str, *others: Any, **how: Any) -> Iterator[tuple[str, Case]]:
    """A loss of x and a target of its shape, reduced in every way; of rows and of images."""
    function = getattr(F, name)
    label = " ".join([name, *how])
    for reduction in REDUCTIONS:
        for shape in (ROWS, IMAGES)[: 2 if reduction == "none" else 1]:
            target = torch.rand(shape, generator=torch.Generator().manual_seed(1))
            yield (
                f"{label} {reduction} {len(shape)}",
                Case(
                    lambda x, t=target, r=reduction: function(x / 2, t, *others, reduction=r, **how), shape,
                    layouts="plain cl t" if len(shape) > 2 else "plain t step",
                ),
            )  # fmt: skip


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


def reduced(name: str, case: Callable[[str], Any], shape: tuple[int, ...] = ROWS) -> Iterator[tuple[str, Case]]:
    """A loss reduced in every way."""
    for reduction in REDUCTIONS:
        yield f"{name} {reduction}", Case(case(reduction), shape, layouts="plain t" if reduction == "none" else "plain")


OTHERS = {
    shape: torch.rand(shape, generator=torch.Generator().manual_seed(2)) for shape in (ROWS, (3,), (3, 1), (3, 6, 4, 5))
}


def other(shape: tuple[int, ...] = ROWS) -> Tensor:
    """Something that lies beside x."""
    return OTHERS[shape]


def distances() -> Iterator[tuple[str, Case]]:
    a, b = other(), other() + 0.1
    yield from reduced("cosine_embedding_loss", lambda r: lambda x: F.cosine_embedding_loss(x, a, SIGNS, reduction=r))
    yield from reduced(
        "cosine_embedding_loss of both", lambda r: lambda x: F.cosine_embedding_loss(x, 2 * x, SIGNS, 0.1, reduction=r)
    )
    yield from reduced("margin_ranking_loss", lambda r: lambda x: F.margin_ranking_loss(x, a, b.sign(), reduction=r))
    yield from reduced(
        "margin_ranking_loss of both", lambda r: lambda x: F.margin_ranking_loss(x, 2 * x, b.sign(), 0.1, reduction=r)
    )
    yield from reduced("hinge_embedding_loss", lambda r: lambda x: F.hinge_embedding_loss(x, a.sign(), reduction=r))
    yield from reduced("triplet_margin_loss", lambda r: lambda x: F.triplet_margin_loss(x, a, b, reduction=r))
    yield from reduced(
        "triplet_margin_loss swap", lambda r: lambda x: F.triplet_margin_loss(a, x, 2 * x, swap=True, reduction=r)
    )
    yield from reduced(
        "triplet with distance", lambda r: lambda x: F.triplet_margin_with_distance_loss(x, a, b, reduction=r)
    )
    yield (
        "triplet of a function",
        Case(
            lambda x: F.triplet_margin_with_distance_loss(
                a, x, 2 * x, swap=True, distance_function=lambda u, v: 1 - F.cosine_similarity(u, v)
            ),
            ROWS,
        ),
    )
    yield "cosine_similarity", Case(lambda x: F.cosine_similarity(x, 2 * x), STACK)
    yield "cosine_similarity to a constant", Case(lambda x: F.cosine_similarity(x, a, dim=-1), ROWS)
    yield "cosine_similarity broadcast", Case(lambda x, w: F.cosine_similarity(x, w, dim=1), ROWS, ((6,),))
    yield "pairwise_distance", Case(F.pairwise_distance, ROWS, (ROWS,))
    yield "pairwise_distance kept", Case(lambda x: F.pairwise_distance(x, a, keepdim=True), ROWS)


def probabilities() -> Iterator[tuple[str, Case]]:
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
    yield from reduced("kl_div", lambda r: lambda x: F.kl_div(x, soft, reduction=r))
    yield from reduced("kl_div logarithm", lambda r: lambda x: F.kl_div(x, soft, log_target=True, reduction=r))
    yield "kl_div batchmean", Case(lambda x: F.kl_div(x, soft, reduction="batchmean"), ROWS)
    yield "kl_div of both", Case(lambda x: F.kl_div(x.log(), x, reduction="sum"), ROWS)
    yield "kl_div of both logarithm", Case(lambda x: F.kl_div(x.log(), x, reduction="sum", log_target=True), ROWS)
    yield from reduced("poisson", lambda r: lambda x: F.poisson_nll_loss(x, soft, reduction=r))
    yield from reduced("poisson full", lambda r: lambda x: F.poisson_nll_loss(x, soft, full=True, reduction=r))
    yield from reduced("poisson plain", lambda r: lambda x: F.poisson_nll_loss(x, soft, log_input=False, reduction=r))
    yield from reduced("gaussian", lambda r: lambda x: F.gaussian_nll_loss(x, soft, other(), reduction=r))
    yield from reduced("gaussian full", lambda r: lambda x: F.gaussian_nll_loss(x, soft, x, full=True, reduction=r))
    yield "gaussian rows", Case(lambda x: F.gaussian_nll_loss(x, soft, other((3,))), ROWS)
    yield "gaussian number", Case(lambda x: F.gaussian_nll_loss(x, soft, 0.5), ROWS)


CASES: dict[str, Case] = dict(
    [
        *of_elements("mse_loss"), *of_elements("l1_loss"), *of_elements("smooth_l1_loss"),
        *of_elements("smooth_l1_loss", beta=0.0), *of_elements("huber_loss", delta=0.5),
        *of_elements("soft_margin_loss"), *of_elements("binary_cross_entropy"),
        *of_elements("binary_cross_entropy_with_logits"),
        *reduced("mse_loss weight", lambda r: lambda x: F.mse_loss(x, other(), weight=other(), reduction=r)),
        *reduced("huber_loss weight", lambda r: lambda x: F.huber_loss(x, other(), weight=other(), reduction=r)),
        *(
            reduced("bce weight", lambda r: lambda x: F.binary_cross_entropy(x / 2, other(), WEIGHTS, reduction=r))
            if since(2, 13)  # before, fvcore's tracer cannot follow it
            else ()
        ),
        *reduced(
            "bce logits weights",
            lambda r: lambda x: F.binary_cross_entropy_with_logits(
                x, other(), WEIGHTS, pos_weight=WEIGHTS, reduction=r
            ),
        ),
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
        *probabilities(), *distances(),
        *(
            (f"{name} of both", Case(getattr(F, name), ROWS, (ROWS,)))
            for name in ("mse_loss", "smooth_l1_loss", "l1_loss", "huber_loss")
        ),
        ("bfloat16", Case(lambda x: F.cross_entropy(x, LABELS), ROWS, dtype=torch.bfloat16)),
        ("mse broadcast", Case(F.mse_loss, ROWS, ((6,),))),
        ("mse of a column", Case(lambda x: F.mse_loss(x, other((3, 1))), (3, 1))),
    ]
)  # fmt: skip

TARGET = torch.rand(3, 4, 6, 6)
IMAGE_LABELS = torch.ones(3, 6, 6, dtype=torch.int64)


class Loss(nn.Module):
    """A network that ends in a loss."""

    def __init__(self, criterion: nn.Module, target: Tensor) -> None:
        super().__init__()
        self.net, self.criterion, self.target = nn.Conv2d(4, 4, 1), criterion, target

    def forward(self, x: Tensor) -> Tensor:
        return self.criterion(self.net(x).sigmoid(), self.target)  # type: ignore[no-any-return]


MODULES: dict[str, Callable[[], nn.Module]] = {
    **{
        criterion.__name__: lambda criterion=criterion: Loss(criterion(), TARGET)
        for criterion in (
            nn.MSELoss, nn.L1Loss, nn.SmoothL1Loss, nn.HuberLoss, nn.BCELoss, nn.BCEWithLogitsLoss, nn.KLDivLoss,
            nn.PoissonNLLLoss, nn.SoftMarginLoss, nn.MultiLabelSoftMarginLoss, nn.HingeEmbeddingLoss,
        )
    },
    "CrossEntropyLoss": lambda: Loss(nn.CrossEntropyLoss(weight=torch.ones(4)), IMAGE_LABELS),
    "CrossEntropyLoss smooth": lambda: Loss(nn.CrossEntropyLoss(label_smoothing=0.1), IMAGE_LABELS),
    "CrossEntropyLoss soft": lambda: Loss(nn.CrossEntropyLoss(), TARGET),
}  # fmt: skip


@parametrized(CASES, MODULES)
def test_a_rule_is_what_torch_does(make: Callable[[], nn.Module] | None, case: Case, layout: str) -> None:
    check(make, case, layout)


REFUSED: dict[str, list[Case]] = {
    "ctc_loss": [Case(lambda x: F.ctc_loss(x[None], LABELS[None], LABELS, LABELS), ROWS)],
    "label_smoothing and weights": [Case(lambda x: F.cross_entropy(x, LABELS, WEIGHTS, label_smoothing=0.1), ROWS)],
    "size_average or reduce": [Case(lambda x: F.mse_loss(x, x, size_average=True), ROWS)],
    "gradient of the target of binary_cross_entropy": [Case(lambda x: F.binary_cross_entropy(x, x), ROWS)],
    "gradient of the target of binary_cross_entropy_with_logits": [
        Case(lambda x: F.binary_cross_entropy_with_logits(x, x), ROWS)
    ],
}


@refusals(REFUSED)
def test_other_uses_are_refused_by_name(message: str, case: Case) -> None:
    check_refused(message, case)


def test_scores_of_images_lie_without_gaps_where_torch_asks_for_it() -> None:
    with pytest.raises(Mismatch, match="without gaps"):
        predicted(Of(lambda x: F.nll_loss(x.mT, PIXELS), dtype=torch.float32), IMAGES, "train")


def test_targets_fit() -> None:
    for loss in (F.nll_loss, F.binary_cross_entropy):
        with pytest.raises(Mismatch, match="do"):
            predicted(Of(lambda x, loss=loss: loss(x, LABELS[:2]), dtype=torch.float32), ROWS, "train")
