"""Options that several subcommands share, and their parsing."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Annotated, Any

import typer


def integer(text: str | int) -> int:
    """The parser of every integer option; Typer's own does not say what it got."""
    try:
        return int(text)
    except ValueError:
        raise typer.BadParameter(f"an integer is needed, got {text!r}") from None


def integer_option(*names: str, help: str) -> Any:
    """An option read by :func:`integer`."""
    return typer.Option(*names, parser=integer, metavar="INTEGER", help=help)


Mode = Annotated[str, typer.Option(help="train, or inference (parameter transformation paid once, kept).")]
Dtype = Annotated[str, typer.Option(help="float32, float64 or bfloat16, where the method allows it.")]
Bias = Annotated[bool, typer.Option(help="Whether the layer has a bias.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def settings(assignments: Sequence[str], methods: Sequence[str], others: Sequence[str] = ()) -> dict[str, Any]:
    """The assignments of ``--set``: iteration counts of ``methods``, or one of the ``others``.

    >>> settings(["terms=12"], ["soc"])
    {'terms': 12}
    """
    from lipcost.costmodel import lookup

    known = [*others, *dict.fromkeys(option for method in methods for option in lookup(method).options)]
    result = {}
    for assignment in assignments:
        name, _, value = assignment.partition("=")
        if name not in known:
            raise ValueError(
                f"--set has no name {name!r} for {', '.join(methods)}; valid: {', '.join(known) or 'none'}"
            )
        try:
            result[name] = int(value)
        except ValueError:
            raise ValueError(f"--set takes NAME=INTEGER, got {assignment!r}") from None
    return result


def print_json(data: object) -> None:
    """Print ``data`` as JSON, Unicode as it is."""
    print(json.dumps(data, indent=2, ensure_ascii=False))
