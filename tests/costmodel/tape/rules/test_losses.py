"""Rules of losses beside torch itself, as functions of what a network gives; targets are constants."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from one_function import IMAGES, ROWS, STACK, Case, Of, check, check_refused, parametrized, predicted, refusals
from targets import LABELS, REDUCTIONS, WEIGHTS, Loss, other, reduced
from torch import nn

from lipcost.costmodel.tape.errors import Mismatch
from lipcost.costmodel.tape.versions import since

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
        *probabilities(), *distances(),
        *(
            (f"{name} of both", Case(getattr(F, name), ROWS, (ROWS,)))
            for name in ("mse_loss", "smooth_l1_loss", "l1_loss", "huber_loss")
        ),
        ("mse broadcast", Case(F.mse_loss, ROWS, ((6,),))),
        ("mse of a column", Case(lambda x: F.mse_loss(x, other((3, 1))), (3, 1))),
    ]
)  # fmt: skip

TARGET = torch.rand(3, 4, 6, 6)
MODULES: dict[str, Callable[[], nn.Module]] = {
    **{
        criterion.__name__: lambda criterion=criterion: Loss(criterion(), TARGET)
        for criterion in (
            nn.MSELoss, nn.L1Loss, nn.SmoothL1Loss, nn.HuberLoss, nn.BCELoss, nn.BCEWithLogitsLoss, nn.KLDivLoss,
            nn.PoissonNLLLoss, nn.SoftMarginLoss, nn.MultiLabelSoftMarginLoss, nn.HingeEmbeddingLoss,
        )
    },
}  # fmt: skip


@parametrized(CASES, MODULES)
def test_a_rule_is_what_torch_does(make: Callable[[], nn.Module] | None, case: Case, layout: str) -> None:
    check(make, case, layout)


REFUSED: dict[str, list[Case]] = {
    "size_average or reduce": [Case(lambda x: F.mse_loss(x, x, size_average=True), ROWS)],
    "gradient of the target of binary_cross_entropy": [Case(lambda x: F.binary_cross_entropy(x, x), ROWS)],
    "gradient of the target of binary_cross_entropy_with_logits": [
        Case(lambda x: F.binary_cross_entropy_with_logits(x, x), ROWS)
    ],
}


@refusals(REFUSED)
def test_other_uses_are_refused_by_name(message: str, case: Case) -> None:
    check_refused(message, case)


def test_targets_fit() -> None:
    with pytest.raises(Mismatch, match="do"):
        predicted(Of(lambda x: F.binary_cross_entropy(x, LABELS[:2]), dtype=torch.float32), ROWS, "train")
