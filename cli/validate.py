"""``lipcost validate``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from .formatting import print_table
from .options import integer_option


def validate(
    methods: Annotated[
        list[str] | None, typer.Option(metavar="NAME[,NAME]...", help="Methods; default: all. May be repeated.")
    ] = None,
    seed: Annotated[int, integer_option(help="Seed of weights, inputs and drawn configurations.")] = 0,
    output: Annotated[Path, typer.Option(help="Folder of the report.")] = Path("report"),
    quick: Annotated[bool, typer.Option("--quick", help="A few configurations only.")] = False,
) -> None:
    """Measure every method here and compare with the formulas; the report goes to a folder.

    The exit code is 1 if anything differs or a claimed guarantee is broken.
    """
    from rich.console import Console  # torch and rich load only for this command
    from rich.progress import Progress

    from lipcost.costmodel import METHODS
    from lipcost.validate.report import run_validation

    names = [name for names in methods or [] for name in names.split(",")] or list(METHODS)
    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("starting", total=None)

        def advance(description: str, done: int, total: int) -> None:
            progress.update(task, description=description, completed=done, total=total)

        passed = run_validation(output, names, seed, quick, advance)

    report = json.loads((output / "report.json").read_text(encoding="utf-8"))
    print_table(list(report["summary"][0]), [[str(cell) for cell in row.values()] for row in report["summary"]])
    print(report["verdict"])
    print(f"Report: {output / 'index.html'}")
    if not passed:
        raise typer.Exit(1)
