"""``lipcost table``."""

from __future__ import annotations

from lipcost.costmodel.text import polynomial

from .formatting import print_table
from .options import Json, print_json


def table(json: Json = False) -> None:
    """The asymptotic cost of every method, derived from its formulas.

    Batch b, image s × s × c, c = c_in = c_out; kernel size and inner iterations constant.
    """
    from lipcost.costmodel import METHODS, leading_order  # sympy takes longer than the rest

    quantities = ("flops_forward", "memory")
    cells = {name: [polynomial(leading_order(name, quantity)) for quantity in quantities] for name in METHODS}
    if json:
        print_json({name: dict(zip(quantities, row, strict=True)) for name, row in cells.items()})
    else:
        rows = [[METHODS[name].title, *row] for name, row in cells.items()]
        print_table(["method", "FLOPs O(·)", "memory O(·)"], rows, numbers=False)
