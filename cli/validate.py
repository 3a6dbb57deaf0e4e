"""``lipcost validate``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from .formatting import print_table
from .options import check_early, integer_option
from .progress import progress_bar

DEVICES = ("cpu", "cuda")


def validate(
    *,
    methods: Annotated[
        list[str] | None, typer.Option(metavar="NAME[,NAME]...", help="Methods; default: all. May be repeated.")
    ] = None,
    seed: Annotated[int, integer_option(help="Seed of weights, inputs and drawn configurations.")] = 0,
    output: Annotated[Path, typer.Option(help="Folder of the report.")] = Path("report"),
    quick: Annotated[bool, typer.Option("--quick", help="A few configurations only.")] = False,
    device: Annotated[
        str, typer.Option(help="cpu, or cuda: writes cuda.json, for --cuda, in place of a report.")
    ] = "cpu",
    cuda: Annotated[
        list[Path] | None,
        typer.Option(metavar="FILE.json", help="Add what --device cuda wrote to the report. May be repeated."),
    ] = None,
) -> None:
    """Measure every method here and compare with the formulas; the report goes to a folder.

    The exit code is 1 if anything differs or a claimed guarantee is broken.
    """
    from lipcost.costmodel import METHODS

    names = [name for names in methods or [] for name in names.split(",")] or list(METHODS)
    check_early(names)
    if device not in DEVICES:
        raise ValueError(f"unknown device {device!r}; valid: {', '.join(DEVICES)}")
    if device == "cuda":
        if seed or cuda:
            raise ValueError(f"--{'seed' if seed else 'cuda'} is for --device cpu: no figure of a GPU depends on it")
        passed = _validate_cuda(output, names, quick)
    else:
        passed = _validate_cpu(output, names, seed, quick, cuda)
    if not passed:
        raise typer.Exit(1)


def _validate_cpu(output: Path, names: list[str], seed: int, quick: bool, cuda: list[Path] | None) -> bool:
    from lipcost.costmodel.tape.versions import outside
    from lipcost.validate.report.run import run_validation

    with progress_bar() as advance:
        results = run_validation(output, names, seed, quick, advance, cuda=cuda or [])
    _print(results.summary())
    print(results.verdict)
    if warning := outside(results.environment["torch"]):
        print(warning)
    print(f"Report: {output / 'index.html'}")
    return results.passed


def _validate_cuda(output: Path, names: list[str], quick: bool) -> bool:
    from lipcost.validate.cuda.results import problems, summary
    from lipcost.validate.cuda.run import run_cuda

    with progress_bar() as advance:
        data = run_cuda(output, names, quick, advance)
    wrong = problems(data)
    _print(summary(data))
    for problem in wrong or ["Nothing contradicts the cost model."]:
        print(problem)
    print(f"Measurements: {output / 'cuda.json'}")
    return not wrong


def _print(lines: Sequence[Mapping[str, Any]]) -> None:
    print_table(list(lines[0]), [[str(cell) for cell in line.values()] for line in lines])
