"""The table of the O(·) costs, as published; the library's own algorithms keep it."""

from __future__ import annotations

from typing import Any

import pytest
import sympy

from lipcost.costmodel import METHODS, leading_order
from lipcost.costmodel.formulas.symbols import B, C, S

# Prach, Brau, Buttazzo & Lampert, CVPR 2024 (arXiv 2311.16833), the table of one layer's cost.
PUBLISHED = {
    "standard": (B * S**2 * C**2, B * S**2 * C + C**2),
    "aol": (B * S**2 * C**2 + C**3, B * S**2 * C + C**2),
    "bcop": (B * S**2 * C**2 + C**3, B * S**2 * C + C**2),
    "cayley": (B * S**2 * C**2 + S**2 * C**3, B * S**2 * C + S**2 * C**2),
    "cpl": (B * S**2 * C**2, B * S**2 * C + C**2),
    "lot": (B * S**2 * C**2 + S**2 * C**3, B * S**2 * C + S**2 * C**2),
    "sll": (B * S**2 * C**2 + C**3, B * S**2 * C + C**2),
    "soc": (B * S**2 * C**2, B * S**2 * C + C**2),
}


@pytest.mark.parametrize("method", [name for name in METHODS if name.removesuffix("/published") in PUBLISHED])
def test_published_table(method: str) -> None:
    flops, memory = PUBLISHED[method.removesuffix("/published")]
    assert leading_order(method, "flops_forward") == flops
    assert leading_order(method, "memory") == memory


def test_it_is_read_off_the_tape(monkeypatch: pytest.MonkeyPatch) -> None:
    """A layer that does something else has another order: a second correlation per input pixel, say."""
    aol = METHODS["aol"]
    original = aol.parameter_transform

    def once_more(self: Any, size: tuple[int, ...]) -> Any:
        (kernel,) = original(self, size)
        (kernel[..., None, None].expand(*kernel.shape, *size) * 2).sum()
        return (kernel,)

    monkeypatch.setattr(aol, "parameter_transform", once_more)
    assert leading_order("aol", "memory") != PUBLISHED["aol"][1]


def test_unknown_names() -> None:
    with pytest.raises(ValueError, match="unknown method 'foo'; methods: standard, aol"):
        leading_order("foo", "memory")
    with pytest.raises(ValueError, match="unknown quantity 'flops'; quantities: macs_forward"):
        leading_order("aol", "flops")


def test_leading_terms_have_no_coefficients() -> None:
    terms = sympy.Add.make_args(leading_order("lot", "traffic_backward"))
    assert all(term.as_coeff_Mul()[0] == 1 for term in terms)
