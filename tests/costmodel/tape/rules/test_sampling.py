"""Rules of the family sampling beside torch itself."""

from __future__ import annotations

from collections.abc import Callable

import torch.nn.functional as F
from one_function import STACK, Case, check, check_refused, parametrized, refusals
from torch import nn

VOLUMES = (2, 3, 4, 4, 4)


CASES: dict[str, Case] = {
    "affine_grid 1": Case(
        lambda x, g: F.affine_grid(g, (3, 4, 5, 5), align_corners=False) + x.sum(),
        parameters=((3, 2, 3),),
        layouts="plain",
    ),
    "affine_grid 2": Case(
        lambda x, g: F.affine_grid(g, (3, 4, 5, 4), align_corners=True) + x.sum(),
        parameters=((3, 2, 3),),
        layouts="plain",
    ),
    "affine_grid 3": Case(
        lambda x, g: F.affine_grid(g, (3, 4, 5, 4, 3), align_corners=True) + x.sum(),
        parameters=((3, 3, 4),),
        layouts="plain",
    ),
    "affine_grid 4": Case(
        lambda x, g: F.affine_grid(g, (3, 4, 5, 4, 3), align_corners=False) + x.sum(),
        parameters=((3, 3, 4),),
        layouts="plain",
    ),
    "grid_sample 1": Case(
        lambda x, g: F.grid_sample(x, F.affine_grid(g, x.shape, align_corners=False)), parameters=((3, 2, 3),)
    ),
    "grid_sample(x, g)": Case(F.grid_sample, parameters=((3, 5, 5, 2),), layouts="plain cl t step"),
    "grid_sample 2": Case(
        lambda x, g: F.grid_sample(x, g.detach()) * g.sum(), parameters=((3, 5, 5, 2),), layouts="plain cl t step"
    ),
    "grid_sample 3": Case(
        lambda x, g: F.grid_sample(x.detach(), g) * x.sum(), parameters=((3, 5, 5, 2),), layouts="plain cl t step"
    ),
    "grid_sample 4": Case(
        lambda x, g: F.grid_sample(x, g, mode="bicubic", padding_mode="border", align_corners=True),
        parameters=((3, 5, 5, 2),),
        layouts="plain cl t step",
    ),
    "grid_sample(x, g) of 5 axes": Case(F.grid_sample, VOLUMES, ((2, 5, 5, 5, 3),)),
    "grid_sample 5": Case(lambda x, g: F.grid_sample(x, g.detach()) * g.sum(), VOLUMES, ((2, 5, 5, 5, 3),)),
    "grid_sample 6": Case(lambda x, g: F.grid_sample(x.detach(), g) * x.sum(), VOLUMES, ((2, 5, 5, 5, 3),)),
}

REFUSED: dict[str, list[Case]] = {
    "grid_sample of an input of shape": [Case(lambda x: F.grid_sample(x, x), STACK)],
    "coordinates": [Case(lambda x: F.grid_sample(x, x), (3, 4, 6, 6))],
    "a side of one pixel": [Case(lambda x: F.affine_grid(x, (3, 1, 1, 4)), (3, 2, 3))],
}


@parametrized(CASES)
def test_a_rule_is_what_torch_does(make: Callable[[], nn.Module] | None, case: Case, layout: str) -> None:
    check(make, case, layout)


@refusals(REFUSED)
def test_what_is_refused(message: str, case: Case) -> None:
    check_refused(message, case)
