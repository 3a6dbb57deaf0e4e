"""Rules of the family factorisations beside torch itself."""

from __future__ import annotations

from collections.abc import Callable

import torch
from one_function import Case, Of, check, check_refused, parametrized, refusals
from torch import Tensor, nn

from lipcost.costmodel.tape import Tape
from lipcost.costmodel.tape.program import Program, record_call

N = 3
STACK = (2, N, N)
SQUARE = (N, N)
RIGHT = (2, N, 4)
LAYOUTS = "plain t step wide"
COMPLEX = torch.complex128

solve = torch.linalg.solve
solve_triangular = torch.linalg.solve_triangular


def regular(x: Tensor) -> Tensor:
    return x + 3 * torch.eye(N, dtype=x.dtype)


def positive(x: Tensor, p: Tensor) -> Tensor:
    return x @ x.mH + p @ p.mH + 4 * torch.eye(N, dtype=x.dtype)


def flat(x: Tensor, p: Tensor) -> Tensor:
    """A product of a result's rows, which shows how it lies."""
    return x.reshape(-1, N * N) @ p.reshape(N * N, 1)


def product(x: Tensor, y: Tensor) -> Tensor:
    return x @ y


FUNCTIONS: dict[str, tuple[Callable[..., Tensor], tuple[tuple[int, ...], ...]]] = {
    "cholesky_ex": (lambda x, p: torch.linalg.cholesky_ex(positive(x, p))[0] * 2, (SQUARE,)),
    "cholesky_ex upper": (lambda x, p: torch.linalg.cholesky_ex(positive(x, p), upper=True)[0] * 2, (SQUARE,)),
    "cholesky": (lambda x, p: flat(torch.linalg.cholesky(positive(x, p)), p), (SQUARE,)),
    "cholesky of one": (lambda x, p: torch.linalg.cholesky(positive(x[0], p)) @ x, (SQUARE,)),
    "cholesky_solve": (lambda x, p: torch.cholesky_solve(x, regular(p)), (SQUARE,)),
    "cholesky_solve of a stack": (lambda x, p: torch.cholesky_solve(x, regular(p), upper=True), (STACK,)),
    "cholesky_solve of one": (lambda x, p: torch.cholesky_solve(p, regular(x)), ((N, 4),)),
    "cholesky_solve, fixed": (lambda x: torch.cholesky_solve(x, torch.eye(N, dtype=x.dtype)), ()),
    "cholesky_inverse": (lambda x: torch.cholesky_inverse(regular(x)), ()),
    "cholesky_inverse upper": (lambda x: torch.cholesky_inverse(regular(x), upper=True), ()),
    "triangular, one matrix": (lambda x, p: flat(solve_triangular(regular(p), x, upper=False), p), (SQUARE,)),
    "triangular, one right side": (lambda x, p: solve_triangular(x + p, p, upper=False) * 2, (SQUARE,)),
    "triangular, identity": (
        lambda x, p: solve_triangular(x + p, torch.eye(N, dtype=x.dtype), upper=False) @ p, (SQUARE,)
    ),
    "triangular, unit": (lambda x, p: solve_triangular(p, x, upper=True, unitriangular=True) * 2, (SQUARE,)),
    "triangular, right": (lambda x, p: solve_triangular(x + p, x * p, upper=True, left=False) * 2, (SQUARE,)),
    "triangular, right, wide": (lambda x, p: solve_triangular(x, p, upper=False, left=False), ((2, 4, N),)),
    "triangular, adjoint": (lambda x, p: solve_triangular((x + p).mH, x[:, :, :2], upper=True) @ p[:2], (SQUARE,)),
    "triangular, transposed": (lambda x, p: solve_triangular(x.mT, p, upper=True), (RIGHT,)),
    "triangular, of one": (lambda x, p: solve_triangular(x[0], p, upper=True), (RIGHT,)),
    "triangular, fixed": (lambda x, p: solve_triangular((x + p).detach(), x * p, upper=True) * 2, (SQUARE,)),
    "solve": (lambda x, p: solve(x + p, x[:, :, :2] * 2) @ p[:2], (SQUARE,)),
    "solve as given": (solve, (RIGHT,)),
    "solve, fixed matrix": (lambda x, p: solve((x + p).detach(), x * p) * 2, (SQUARE,)),
    "solve, fixed right side": (lambda x, p: torch.linalg.solve_ex(x + p, (x * p).detach())[0] * 2, (SQUARE,)),
    "solve, right": (lambda x, p: solve(regular(x), p, left=False), ((2, 4, N),)),
    "solve, right, fixed": (lambda x, p: solve(regular(x).detach(), x @ p, left=False), (SQUARE,)),
    "solve, one matrix": (lambda x, p: solve(regular(p), x), (SQUARE,)),
    "solve, one right side": (lambda x, p: solve(regular(x), p), ((N, 4),)),
    "solve, vectors": (lambda x, p: solve(regular(x), p), ((2, N),)),
    "solve, a vector": (lambda x, p: solve(regular(x)[0], p), ((N,),)),
    "solve, a vector for each": (lambda x, p: solve(regular(x), p), ((N,),)),
    "inverse": (lambda x, p: flat(torch.linalg.inv(x + p), p), (SQUARE,)),
    "inverse as given": (torch.inverse, ()),
    "lu_factor": (lambda x: torch.linalg.lu_factor(regular(x))[0], ()),
    "lu_factor as given": (lambda x: torch.linalg.lu_factor_ex(x)[0] * 2, ()),
    "lu, lower": (lambda x: torch.linalg.lu(regular(x))[1] * 2, ()),
    "lu, upper": (lambda x: torch.linalg.lu(regular(x))[2] * 2, ()),
    "lu, both": (lambda x: product(*torch.linalg.lu(regular(x))[1:]), ()),
    "lu_solve": (lambda x, p: torch.linalg.lu_solve(*torch.linalg.lu_factor(regular(x)), p), (RIGHT,)),
    "lu_solve of the adjoint": (
        lambda x, p: torch.linalg.lu_solve(*torch.linalg.lu_factor(regular(p).detach()), x, adjoint=True) @ p, (SQUARE,)
    ),
    "lu_solve from the right": (
        lambda x, p: torch.linalg.lu_solve(*torch.linalg.lu_factor(regular(p).detach()), x, left=False) @ p, (SQUARE,)
    ),
    "triangles": (lambda x, p: (torch.tril(x) + torch.triu(p, 1)) * 2, (SQUARE,)),
    "triangles with other diagonals": (lambda x, p: (x.tril(-1) + x.triu(2)) @ p, (SQUARE,)),
    "triangle of a conjugate": (lambda x, p: torch.tril(x.mH) @ p, (SQUARE,)),
    "where, number last": (lambda x, p: torch.where(x == 0, x * p, 0) * 2, (SQUARE,)),
    "where, number first": (lambda x, p: torch.where(x == 0, 1.5, x * p) * 2, (SQUARE,)),
    "where, broadcast": (lambda x, p: torch.where(x[:, :1, :1] == 0, p, x * p) * 2, (SQUARE,)),
    "power by a number": (lambda x, p: torch.pow(x, 2) * p, (SQUARE,)),
    "mean of the diagonal": (lambda x, p: (x @ p).diagonal(dim1=1, dim2=2).mean(1)[:, None, None] * p, (SQUARE,)),
}  # fmt: skip

CASES: dict[str, Case] = {
    f"{name}{suffix}": Case(function, STACK, parameters, layouts, dtype)
    for name, (function, parameters) in FUNCTIONS.items()
    for suffix, layouts, dtype in (("", LAYOUTS, torch.float32), (" of complex", "plain t", COMPLEX))
}


@parametrized(CASES)
def test_a_rule_is_what_torch_does(make: Callable[[], nn.Module] | None, case: Case, layout: str) -> None:
    check(make, case, layout)


REFUSED: dict[str, list[Case]] = {
    "an LU factorisation of matrices that are not square": [Case(lambda x: torch.linalg.lu(x)[1], (2, 4, 3))],
    r"torch\.lu_unpack": [Case(lambda x: torch.lu_unpack(*torch.linalg.lu_factor(x))[1], STACK)],
    "from the right, or of the adjoint": [
        Case(lambda x: torch.linalg.lu_solve(*torch.linalg.lu_factor(x), x, adjoint=True), STACK)
    ],
    r"torch\.triangular_solve": [Case(lambda x: torch.triangular_solve(x, x)[0], STACK)],
}


@refusals(REFUSED)
def test_what_has_no_rule_is_refused(message: str, case: Case) -> None:
    check_refused(message, case)


def test_textbook_counts() -> None:
    """n³/3 and n²m, four times that if complex."""

    def program(x: Tensor, p: Tensor) -> Tensor:
        return solve_triangular(torch.linalg.cholesky(x), p, upper=False)

    for dtype, factor in ((torch.float32, 1), (torch.complex64, 4)):
        module = Of(program, (N, N), dtype=dtype)
        recording, _ = record_call(Program(module, (4, N, N), dtype, True, True), Tape())
        assert recording.count("flops", "forward") == 4 * factor * (N**3 / 3 + N**2 * N)
        assert recording.count("flops", "forward", cls="inverse") == recording.count("flops", "forward")


def test_a_program_may_start_with_an_operator() -> None:
    """The rules are read at the first use of any of them, also where no torch function is called by its name."""
    code = (
        "import torch\nfrom lipcost.costmodel.tape import Tape\n"
        "from lipcost.costmodel.tape.program import Program, record_call\n"
        "class Scale(torch.nn.Module):\n"
        "    def __init__(self):\n        super().__init__()\n        self.p = torch.nn.Parameter(torch.ones(3))\n"
        "    def forward(self, x):\n        return x * self.p\n"
        "print(record_call(Program(Scale(), (2, 3), None, True), Tape())[0].saved_bytes)"
    )
    import subprocess  # noqa: PLC0415
    import sys  # noqa: PLC0415

    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout == "0\n"
