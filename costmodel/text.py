"""Numbers, units and polynomials as people read them: for the command line and the reports."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import sympy

SI = ("", "k", "M", "G", "T", "P", "E")
BINARY = ("", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei")
# How plots look, as matplotlib's rcParams: a plain table, so that nothing here waits for matplotlib.
PLOT_STYLE = {
    "font.size": 11,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#e4e4e4",
    "axes.axisbelow": True,
    "legend.frameon": False,
    "svg.hashsalt": "lipcost",  # the same data give the same file
}
SUPERSCRIPTS = str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")


def unit(quantity: str) -> str:
    """The unit of a quantity of the cost model, by its name: MAC, FLOP, B, or none for a plain count."""
    if quantity.startswith("macs"):
        return "MAC"
    if quantity.startswith("flops"):
        return "FLOP"
    return "" if quantity.startswith("launches") else "B"


def scale(value: int, unit: str) -> tuple[int, str]:
    """Size and name of the prefixed unit in which ``value`` is readable: powers of 1024 for bytes, of 1000 else.

    >>> scale(3 * 2**20, "B")
    (1048576, 'MiB')
    """
    base, prefixes = (1024, BINARY) if unit == "B" else (1000, SI)
    power = 0
    while value >= base ** (power + 1) and power + 1 < len(prefixes):
        power += 1
    return base**power, prefixes[power] + unit


def readable(value: int, unit: str) -> str:
    """``value`` to four digits, in the unit that suits it.

    >>> readable(9_663_676_416, "MAC"), readable(16 * 2**20, "B")
    ('9.664 GMAC', '16 MiB')
    """
    if not unit:
        return f"{value:,}"
    size, name = scale(value, unit)
    return f"{value / size:.4g} {name}"


def column(values: Sequence[int], unit: str) -> tuple[str, list[str]]:
    """Many values in one unit, so that a column can be compared by eye: the smallest value's; and the unit's name.

    >>> column([1500 * 2**20, 3 * 2**20, 0], "B")
    ('MiB', ['1,500.00', '3.00', '0.00'])
    """
    size, name = scale(min((value for value in values if value > 0), default=0), unit)
    return name, [f"{value / size:,.2f}" for value in values]


def polynomial(expression: sympy.Expr) -> str:
    """A sum of monomials as papers print them, b first.

    >>> import sympy
    >>> b, s, c = sympy.symbols("b s c")
    >>> polynomial(c**3 + b * s**2 * c**2)
    'b s² c² + c³'
    """
    ranks = {name: rank for rank, name in enumerate("bsc")}
    terms = []
    for term in expression.as_ordered_terms():
        coefficient, monomial = term.as_coeff_Mul()
        powers = {str(base): power for base, power in monomial.as_powers_dict().items() if power != 0 and base != 1}
        names = sorted(powers, key=lambda name: (ranks.get(name, len(ranks)), name))
        factors = [name + (str(powers[name]).translate(SUPERSCRIPTS) if powers[name] != 1 else "") for name in names]
        if coefficient != 1 or not factors:
            factors.insert(0, str(coefficient))
        terms.append(([-powers.get(name, 0) for name in ranks], " ".join(factors)))
    return " + ".join(text for _, text in sorted(terms))
