"""Programs of one torch function each: what is recorded is what autograd, the allocator and the dispatcher show."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from lipcost.costmodel.tape import Tape
from lipcost.costmodel.tape.program import Program, record_call
from lipcost.validate import measure_flops, measure_memory

N = 3
solve_triangular = torch.linalg.solve_triangular


def positive(x: Tensor, p: Tensor) -> Tensor:
    return x @ x.mH + p @ p.mH + 4 * torch.eye(N, dtype=x.dtype)


# x (4, N, N) and p (N, N), both with gradients; the last operation shows how the result lies in memory.
PROGRAMS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "cholesky_ex": lambda x, p: torch.linalg.cholesky_ex(positive(x, p))[0] * 2,
    "cholesky_ex upper": lambda x, p: torch.linalg.cholesky_ex(positive(x, p), upper=True)[0] * 2,
    "cholesky": lambda x, p: torch.linalg.cholesky(positive(x, p)).reshape(-1, N * N) @ p.reshape(N * N, 1),
    "triangular, one matrix": lambda x, p: solve_triangular(p, x, upper=False).reshape(-1, N * N) @ p.reshape(N * N, 1),
    "triangular, one right side": lambda x, p: solve_triangular(x + p, p, upper=False) * 2,
    "triangular, identity": lambda x, p: solve_triangular(x + p, torch.eye(N, dtype=x.dtype), upper=False) @ p,
    "triangular, unit": lambda x, p: solve_triangular(p, x, upper=True, unitriangular=True) * 2,
    "triangular, right": lambda x, p: solve_triangular(x + p, x * p, upper=True, left=False) * 2,
    "triangular, adjoint": lambda x, p: solve_triangular((x + p).mH, x[:, :, :2], upper=True) @ p[:2],
    "triangular, fixed": lambda x, p: solve_triangular((x + p).detach(), x * p, upper=True) * 2,
    "solve": lambda x, p: torch.linalg.solve(x + p, x[:, :, :2] * 2) @ p[:2],
    "solve, fixed matrix": lambda x, p: torch.linalg.solve((x + p).detach(), x * p) * 2,
    "solve, fixed right side": lambda x, p: torch.linalg.solve_ex(x + p, (x * p).detach())[0] * 2,
    "inverse": lambda x, p: torch.linalg.inv(x + p).reshape(-1, N * N) @ p.reshape(N * N, 1),
    "triangles": lambda x, p: (torch.tril(x) + torch.triu(p, 1)) * 2,
    "where, number last": lambda x, p: torch.where(x == 0, x * p, 0) * 2,
    "where, number first": lambda x, p: torch.where(x == 0, 1.5, x * p) * 2,
    "where, broadcast": lambda x, p: torch.where(x[:, :1, :1] == 0, p, x * p) * 2,
    "power by a number": lambda x, p: torch.pow(x, 2) * p,
    "mean of the diagonal": lambda x, p: (x @ p).diagonal(dim1=1, dim2=2).mean(1)[:, None, None] * p,
}


class Module(nn.Module):
    def __init__(self, program: str, dtype: torch.dtype) -> None:
        super().__init__()
        self.program = PROGRAMS[program]
        self.p = nn.Parameter(3 * torch.eye(N, dtype=dtype) + 0.1 * torch.randn(N, N, dtype=dtype))

    def forward(self, x: Tensor) -> Tensor:
        return self.program(x, self.p)


@pytest.mark.parametrize("dtype", [torch.float32, torch.complex128])
@pytest.mark.parametrize("program", PROGRAMS)
def test_a_rule_is_what_torch_does(program: str, dtype: torch.dtype) -> None:
    module, x = Module(program, dtype), 0.1 * torch.randn(4, N, N, dtype=dtype)
    call = Program(module, (4, N, N), dtype, True, True)
    in_place, out_of_place = (record_call(call, Tape(each))[0] for each in (True, False))
    memory, counts = measure_memory(module, x), measure_flops(module, x)
    found = in_place.saved_bytes, in_place.peak(), out_of_place.peak()
    assert found == (memory.saved_bytes, memory.profiler_peak_bytes, memory.tracker_peak_bytes)
    for phase in ("forward", "backward"):
        flops = out_of_place.count("flops", phase)
        assert float(flops) == pytest.approx(sum(getattr(counts, f"flops_{phase}").values()), rel=1e-12)
        for name, measured in (("macs", "macs"), ("launches", "launches"), ("traffic", "bytes_moved")):
            assert out_of_place.count(name, phase) == getattr(counts, f"{measured}_{phase}"), (name, phase)


def test_textbook_counts() -> None:
    """n³/3 and n²m, four times that if complex."""

    def program(x: Tensor, p: Tensor) -> Tensor:
        return solve_triangular(torch.linalg.cholesky(x), p, upper=False)

    for dtype, factor in ((torch.float32, 1), (torch.complex64, 4)):
        module = Module("cholesky", dtype)
        module.program = program
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
