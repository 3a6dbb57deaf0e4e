"""How tables look on a terminal, and in a pipe."""

from __future__ import annotations

from collections.abc import Sequence

import typer


def print_table(header: Sequence[str], rows: Sequence[Sequence[str]], *, numbers: bool = True) -> None:
    """Print a Markdown table, its header bold on a terminal; columns after the first align right if ``numbers``.

    >>> print_table(["method", "GMAC"], [["soc", "48.32"], ["aol", "9.66"]])
    | method |  GMAC |
    |--------|------:|
    | soc    | 48.32 |
    | aol    |  9.66 |
    """
    widths = [max(map(len, cells)) for cells in zip(header, *rows, strict=True)]
    right = [numbers and i > 0 for i in range(len(header))]

    def line(cells: Sequence[str]) -> str:
        padded = (c.rjust(w) if r else c.ljust(w) for c, w, r in zip(cells, widths, right, strict=True))
        return f"| {' | '.join(padded)} |"

    typer.echo(typer.style(line(header), bold=True))
    typer.echo(f"|{'|'.join('-' * (w + 1) + ('-:'[r]) for w, r in zip(widths, right, strict=True))}|")
    for row in rows:
        typer.echo(line(row))
