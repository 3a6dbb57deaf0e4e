"""Rules of the family spectra beside torch itself."""

from __future__ import annotations

from collections.abc import Callable

import torch
from matrices import STACK, each_of, product
from one_function import Case, check, check_refused, parametrized, refusals
from torch import Tensor, nn

svd, eigh = torch.linalg.svd, torch.linalg.eigh


def scaled(u: Tensor, s: Tensor, v: Tensor | None = None) -> Tensor:
    columns = u * s.unsqueeze(-2)
    return columns if v is None else columns @ v


FUNCTIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "singular values": lambda x: torch.linalg.svdvals(x) * 2,
    "singular values with vectors": lambda x: svd(x)[1] * 2,
    "left vectors": lambda x: svd(x, full_matrices=False)[0] * 2,
    "right vectors": lambda x: svd(x, full_matrices=False)[2] * 2,
    "left vectors of all": lambda x: svd(x)[0][..., :3] * 2,
    "right vectors of all": lambda x: svd(x)[2][..., :3, :] * 2,
    "both vectors": lambda x: product(*svd(x, full_matrices=False)),
    "vectors and values": lambda x: scaled(*svd(x, full_matrices=False)),
    "left vectors and values": lambda x: scaled(*svd(x, full_matrices=False)[:2]),
    "spectral norm": lambda x: torch.linalg.matrix_norm(x, 2) * 2,
    "least singular value": lambda x: torch.linalg.matrix_norm(x, -2, keepdim=True) * x,
    "nuclear norm": lambda x: torch.linalg.matrix_norm(x, "nuc", dim=(-1, -2)) * 2,
    "Frobenius norm": lambda x: torch.linalg.matrix_norm(x) * 2,
    "condition": lambda x: torch.linalg.cond(x) * 2,
    "inverse condition": lambda x: torch.linalg.cond(x, -2) * 2,
    "old vectors": lambda x: torch.svd(x)[0] @ torch.svd(x)[2].mH,
}

OF_SQUARES: dict[str, Callable[[Tensor], Tensor]] = {
    "eigenvalues": lambda x: torch.linalg.eigvalsh(x) * 2,
    "eigenvalues with vectors": lambda x: eigh(x)[0] * 2,
    "eigenvectors": lambda x: eigh(x)[1] * 2,
    "eigenvectors and values": lambda x: scaled(*reversed(eigh(x))),
    "eigenvalues of one": lambda x: torch.linalg.eigvalsh(x[0], UPLO="U")[:, None] * x,
}

CASES = each_of(FUNCTIONS, OF_SQUARES)


@parametrized(CASES)
def test_a_rule_is_what_torch_does(make: Callable[[], nn.Module] | None, case: Case, layout: str) -> None:
    check(make, case, layout)


REFUSED: dict[str, list[Case]] = {
    "cond of order fro": [Case(lambda x: torch.linalg.cond(x, "fro"), STACK)],
    "torch.linalg.eig: how many steps": [Case(lambda x: torch.linalg.eigvals(x).real, STACK)],
    "torch.svd without vectors": [Case(lambda x: torch.svd(x, compute_uv=False)[1], STACK)],
}


@refusals(REFUSED)
def test_what_has_no_rule_is_refused(message: str, case: Case) -> None:
    check_refused(message, case)
