"""The ``lipcost`` command itself: the list of subcommands, and how errors reach the user."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import typer

from .calibrate import calibrate
from .cost import cost
from .formula import formula
from .network import network
from .plan import plan
from .predict import predict
from .report import report
from .table import table
from .validate import validate

app = typer.Typer(
    name="lipcost",
    help="What 1-Lipschitz convolutions cost, before you train: exact formulas, and the proof that they hold here.",
    add_completion=False,
    pretty_exceptions_enable=False,
)
for command in (table, formula, predict, cost, network, plan, calibrate, validate, report):
    app.command()(command)

# Typer carries a copy of click from some version on, and uses the click package before; this is its base of every
# complaint about the command line in both.
UsageError: type[Exception] = typer.BadParameter.__mro__[1]


def run(args: Sequence[str] | None = None) -> int:
    """Run the command line ``args`` (default: the process's own) and return the exit code.

    0: done; 1: ``validate`` found a mismatch; 2: bad input, reported in one line on stderr.
    """
    args = sys.argv[1:] if args is None else args
    try:
        code = app(list(args) or ["--help"], prog_name="lipcost", standalone_mode=False)
    except UsageError as error:
        return _fail(error.format_message())  # type: ignore[attr-defined]
    except (ValueError, OSError) as error:
        return _fail(str(error))
    except typer.Abort:
        return 130
    return code if isinstance(code, int) else 0


def _fail(message: str) -> int:
    print("error:", " ".join(message.split()), file=sys.stderr)
    return 2
