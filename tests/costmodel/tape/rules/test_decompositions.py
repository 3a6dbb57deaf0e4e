"""Rules of the family decompositions beside torch itself."""

from __future__ import annotations

from collections.abc import Callable

import torch
from one_function import Case, check, check_refused, parametrized, refusals
from torch import Tensor, nn

from lipcost.costmodel.tape.versions import since

STACK = (2, 3, 3)
TALL = (2, 4, 3)
WIDE = (2, 3, 4)
LAYOUTS = "plain t step wide"
COMPLEX = torch.complex128

qr, svd, eigh = torch.linalg.qr, torch.linalg.svd, torch.linalg.eigh


def product(*factors: Tensor) -> Tensor:
    return factors[0] @ factors[-1]


def scaled(u: Tensor, s: Tensor, v: Tensor | None = None) -> Tensor:
    columns = u * s.unsqueeze(-2)
    return columns if v is None else columns @ v


reflected = torch.linalg.householder_product
SIDES = {"square": STACK, "tall": TALL, "wide": WIDE}

FUNCTIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "Q": lambda x: qr(x)[0] * 2,
    "R": lambda x: qr(x)[1] * 2,
    "Q and R": lambda x: qr(x)[0] @ qr(x)[1],
    "Q with R": lambda x: product(*qr(x)),
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
}  # fmt: skip

if not since(2, 14):  # which has it no more
    FUNCTIONS["old Q"] = lambda x: torch.qr(x)[0] * 2

OF_SQUARES: dict[str, Callable[[Tensor], Tensor]] = {
    "complete Q": lambda x: qr(x, mode="complete")[0] * 2,
    "eigenvalues": lambda x: torch.linalg.eigvalsh(x) * 2,
    "eigenvalues with vectors": lambda x: eigh(x)[0] * 2,
    "eigenvectors": lambda x: eigh(x)[1] * 2,
    "eigenvectors and values": lambda x: scaled(*reversed(eigh(x))),
    "eigenvalues of one": lambda x: torch.linalg.eigvalsh(x[0], UPLO="U")[:, None] * x,
}  # fmt: skip

CASES: dict[str, Case] = {}
for _suffix, _layouts, _dtype in (("", "plain step", torch.float32), (" of complex", "t", COMPLEX)):
    for _name, _function in FUNCTIONS.items():
        for _side, _shape in SIDES.items():
            CASES[f"{_name}, {_side}{_suffix}"] = Case(_function, _shape, (), _layouts, _dtype)
    for _name, _function in OF_SQUARES.items():
        CASES[f"{_name}{_suffix}"] = Case(_function, STACK, (), _layouts, _dtype)
CASES["complete Q, wide"] = Case(OF_SQUARES["complete Q"], WIDE)
CASES["complete Q, tall"] = Case(OF_SQUARES["complete Q"], TALL, modes=("inference",))
CASES["R alone"] = Case(lambda x: qr(x, mode="r")[1], TALL, modes=("inference",))
for _name, _shape in {"square": STACK, "tall": TALL}.items():
    CASES[f"reflections, {_name}"] = Case(reflected, _shape, ((2, 3),), LAYOUTS)
CASES["reflections of one"] = Case(reflected, (4, 3), ((3,),))
CASES["reflections of complex"] = Case(reflected, STACK, ((2, 3),), dtype=COMPLEX, modes=("inference",))
CASES["fewer reflections"] = Case(reflected, STACK, ((2, 2),), modes=("inference",))


@parametrized(CASES)
def test_a_rule_is_what_torch_does(make: Callable[[], nn.Module] | None, case: Case, layout: str) -> None:
    check(make, case, layout)


REFUSED: dict[str, list[Case]] = {
    "gradient of torch.linalg.qr without Q": [Case(lambda x: qr(x, mode="r")[1], STACK)],
    "more columns of it than there are in R": [Case(lambda x: qr(x, mode="complete")[0], TALL)],
    "complex or of fewer reflections": [Case(lambda x: reflected(x, x[:, 0, :2]), STACK)],
    "cond of order fro": [Case(lambda x: torch.linalg.cond(x, "fro"), STACK)],
    "torch.linalg.eig: how many steps": [Case(lambda x: torch.linalg.eigvals(x).real, STACK)],
    "torch.svd without vectors": [Case(lambda x: torch.svd(x, compute_uv=False)[1], STACK)],
}


@refusals(REFUSED)
def test_what_has_no_rule_is_refused(message: str, case: Case) -> None:
    check_refused(message, case)
