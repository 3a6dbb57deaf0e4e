"""Rules of the family matrices beside torch itself."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from one_function import Case, Of, check, parametrized, predicted
from torch import Tensor, nn

N = 3
STACK = (2, N, N)
LAYOUTS = "plain t step wide"
COMPLEX = torch.complex128


def regular(x: Tensor) -> Tensor:
    return x + 3 * torch.eye(N, dtype=x.dtype)


FUNCTIONS: dict[str, tuple[Callable[..., Tensor], tuple[tuple[int, ...], ...]]] = {
    "det": (lambda x: torch.linalg.det(regular(x)), ()),
    "det as given": (lambda x, p: torch.det(x) * p, ((2,),)),
    "det of one": (lambda x: torch.det(x[0]), ()),
    "slogdet": (lambda x: torch.linalg.slogdet(regular(x))[1], ()),
    "slogdet as given": (lambda x: torch.slogdet(x)[1] * 2, ()),
    "matrix_exp": (torch.matrix_exp, ()),
    "matrix_exp of one": (lambda x, p: torch.linalg.matrix_exp(x[0] - x[0].mH) @ p, ((N, N),)),
}  # fmt: skip

CASES: dict[str, Case] = {
    f"{name}{suffix}": Case(function, STACK, parameters, layouts, dtype)
    for name, (function, parameters) in FUNCTIONS.items()
    for suffix, layouts, dtype in (("", LAYOUTS, torch.float32), (" of complex", "plain t", COMPLEX))
}
CASES |= {
    "trace": Case(torch.trace, (N, 4), (), "plain t step"),
    "trace of a tall one": Case(lambda x, p: torch.trace(x) * p, (4, N), ((2,),)),
    "trace of complex": Case(torch.trace, (N, N), (), "plain t", COMPLEX),
    "logdet": Case(lambda x: torch.logdet(regular(x)), STACK, (), LAYOUTS),
    "the sign of a determinant": Case(lambda x: torch.slogdet(x)[0].detach()[:, None, None] * x, STACK, (), LAYOUTS),
}


@parametrized(CASES)
def test_a_rule_is_what_torch_does(make: Callable[[], nn.Module] | None, case: Case, layout: str) -> None:
    check(make, case, layout)


def test_the_gradient_of_a_complex_sign_is_refused() -> None:
    net = Of(lambda x: torch.slogdet(x)[0], dtype=COMPLEX)
    with pytest.raises(ValueError, match="gradient of the sign"):
        predicted(net, STACK, "train", COMPLEX)
