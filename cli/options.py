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
PaddingMode = Annotated[
    str | None, typer.Option("--padding-mode", help="circular or zeros; default: the method's own.")
]
Bias = Annotated[bool, typer.Option(help="Whether the layer has a bias.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def check_early(methods: Sequence[str], *, mode: str = "train", dtype: str = "float32", **sizes: int | None) -> None:
    """Raise ValueError for a name or a size that no method can have, before torch is imported."""
    from lipcost.costmodel.checks import DTYPES, METHODS, check_mode, one_of, positive

    for method in methods:
        one_of("method", method, METHODS)
    check_mode(mode)
    one_of("dtype", dtype, DTYPES)
    for name, size in sizes.items():
        if size is not None:
            positive(name, size)


def settings(assignments: Sequence[str], methods: Sequence[str], others: Sequence[str] = ()) -> dict[str, Any]:
    """The assignments of ``--set``: iteration counts and own sizes of ``methods``, or one of the ``others``.

    >>> settings(["terms=12"], ["soc"])
    {'terms': 12}
    """
    result = dict(map(_assigned, assignments))
    strange = [name for name in result if name not in others]
    if strange:
        from lipcost.costmodel import lookup

        known = [*others, *dict.fromkeys(own for m in methods for own in (*lookup(m).counts, *lookup(m).sizes))]
        for name in strange:
            if name not in known:
                options = ", ".join(known) or "none"
                raise ValueError(f"--set has no name {name!r} for {', '.join(methods)}; valid: {options}")
    return result


def _assigned(assignment: str) -> tuple[str, int]:
    name, _, value = assignment.partition("=")
    try:
        return name, int(value)
    except ValueError:
        raise ValueError(f"--set takes NAME=INTEGER, got {assignment!r}") from None


def print_json(data: object) -> None:
    """Print ``data`` as JSON, Unicode as it is."""
    print(json.dumps(data, indent=2, ensure_ascii=False))
