"""``lipcost formula``."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from .options import Bias, Dtype, Json, Mode, PaddingMode, check_early, integer_option, print_json, settings

SYMBOLS = ("b", "s", "h", "w", "c", "c_in", "c_out", "k")


def formula(
    method: Annotated[str, typer.Argument(help="A method; `lipcost table` lists them.")],
    *,
    quantity: Annotated[str | None, typer.Option(help="One quantity, e.g. macs_forward; default: all.")] = None,
    mode: Mode = "train",
    part: Annotated[str | None, typer.Option(help="Only the input or the parameter transformation.")] = None,
    dtype: Dtype = "float32",
    bias: Bias = True,
    stride: Annotated[int, integer_option("--stride", help="Stride, of the library's own algorithms.")] = 1,
    padding_mode: PaddingMode = None,
    rectangular: Annotated[bool, typer.Option("--rectangular", help="Tell c_in and c_out apart.")] = False,
    fixed: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=INTEGER", help="Put a number for a symbol, e.g. k=3. May be repeated."),
    ] = None,
    latex: Annotated[bool, typer.Option("--latex", help="Print LaTeX.")] = False,
    json: Json = False,
) -> None:
    """The exact formulas of a method's cost, in b, s, c, k and its own iteration counts."""
    from lipcost.costmodel import QUANTITIES
    from lipcost.costmodel.checks import check_quantity

    check_early([method], mode=mode, dtype=dtype, stride=stride)
    if quantity is not None:
        names = [quantity]
    else:
        names = [name for name in QUANTITIES if part is None or not name.endswith("_bytes")]  # only counts have parts
    for name in names:
        check_quantity(name, part)
    values = settings(fixed or [], [method], others=SYMBOLS)
    for name, value in values.items():
        check_early([], **{name: value})

    import sympy  # takes longer than the rest of the command line

    from lipcost.costmodel import formula as expression

    how: dict[str, Any] = {"mode": mode, "part": part, "dtype": dtype, "bias": bias, "rectangular": rectangular}
    how |= {"stride": stride, "padding_mode": padding_mode}
    texts = {}
    for name in names:
        value = expression(method, name, **how, **values)
        texts[name] = sympy.latex(value) if latex else str(value)
        if not json:  # at once: some take seconds
            print(texts[name] if quantity is not None else f"{name} = {texts[name]}", flush=True)
    if json:
        del how["rectangular"]
        print_json({"method": method, **how, "formulas": texts})
