"""``lipcost report``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def report(
    file: Annotated[Path, typer.Argument(metavar="FILE", exists=True, dir_okay=False, help="A report.json.")],
    *,
    output: Annotated[Path | None, typer.Option(help="Folder of the report; default: the file's own.")] = None,
) -> None:
    """Draw the report of `lipcost validate` again, from its report.json alone.

    Nothing is measured or predicted; the same file gives the same pages.
    """
    from lipcost.validate.report.run import redraw

    results = redraw(file, output)
    print(results.verdict)
    print(f"Report: {(file.parent if output is None else output) / 'index.html'}")
