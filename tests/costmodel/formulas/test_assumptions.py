"""What a formula assumes, it checks: on methods that are made up for it."""

from __future__ import annotations

import sys
from collections.abc import Callable
from itertools import count
from types import ModuleType
from typing import Any

import pytest
import sympy
import torch
from values import at

from lipcost.costmodel import formula, predict
from lipcost.costmodel.formulas.symbols import C, option_symbol
from lipcost.layers import StandardConv2d
from lipcost.layers.methods import registry

NUMBER = count(1)


@pytest.fixture
def made_up(monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """Adds a method to the registry: a standard convolution that does something to its kernel first."""

    def add(transform: Callable[[Any, Any], Any], **attributes: Any) -> str:
        name = f"made-up-{next(NUMBER)}"  # formulas are remembered by the method's name

        def parameter_transform(self: Any, size: Any) -> Any:
            return (transform(self, self.weight),)

        body = {"name": name, "title": name, "parameter_transform": parameter_transform, **attributes}
        module = ModuleType(name)
        module.Made = type("Made", (StandardConv2d,), body)  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, f"lipcost.layers.methods.{name}", module)
        monkeypatch.setitem(registry.CLASSES, name, ("Made",))
        return name

    return add


def times(number: int, w: torch.Tensor) -> torch.Tensor:
    for _ in range(number):
        w = w * 2
    return w


def test_a_count_that_enters_linearly(made_up: Callable[..., str]) -> None:
    name = made_up(lambda self, w: times(2 * self.rounds + 1, w), counts={"rounds": 4})
    expression = formula(name, "launches_forward", k=3)
    assert sympy.expand(expression - 2 * option_symbol("rounds")).is_Integer
    for rounds in (1, 2, 5, 11):
        assert at(expression, rounds=rounds) == predict(name, b=2, s=5, c=3, rounds=rounds).launches_forward


@pytest.mark.parametrize("cap", [2, 3, 4])
def test_a_count_that_changes_its_slope_early(cap: int, made_up: Callable[..., str]) -> None:
    """Where two of the numbers that are tried are on a line and a third is not, the line starts later."""
    name = made_up(lambda self, w: times(min(self.rounds, cap), w), counts={"rounds": 4})
    expression = formula(name, "launches_forward", k=3)
    for rounds in (1, 2, 3, 4, 5, 11):
        assert at(expression, rounds=rounds) == predict(name, b=2, s=5, c=3, rounds=rounds).launches_forward


@pytest.mark.parametrize("number", [lambda n: n * n, lambda n: n // 2, lambda n: 2**n], ids=["square", "half", "power"])
def test_a_count_that_does_not_is_an_error(number: Callable[[int], int], made_up: Callable[..., str]) -> None:
    name = made_up(lambda self, w: times(number(self.rounds), w), counts={"rounds": 4})
    with pytest.raises(ValueError, match=f"launches_forward of {name} is not linear in rounds; give numbers for these"):
        formula(name, "launches_forward", k=3)
    given = formula(name, "launches_forward", k=3, rounds=5)
    assert given == predict(name, b=2, s=5, c=3, rounds=5).launches_forward


def test_counts_that_multiply_each_other_are_an_error(made_up: Callable[..., str]) -> None:
    name = made_up(lambda self, w: times(self.rounds * self.turns, w), counts={"rounds": 4, "turns": 3})
    with pytest.raises(ValueError, match="is not linear in rounds, turns; give numbers for these"):
        formula(name, "launches_forward", k=3)
    one = formula(name, "launches_forward", k=3, turns=2)
    assert at(one, rounds=7) == predict(name, b=2, s=5, c=3, rounds=7, turns=2).launches_forward


def test_a_loop_over_the_kernel_is_a_polynomial(made_up: Callable[..., str]) -> None:
    name = made_up(lambda self, w: times(self.kernel_size**3, w))
    expression = formula(name, "launches_forward")
    for k in (1, 3, 5, 9, 15):
        assert at(expression, k=k) == predict(name, b=2, s=20, c=3, k=k).launches_forward


def test_a_loop_that_is_no_polynomial_of_degree_three_is_an_error(made_up: Callable[..., str]) -> None:
    name = made_up(lambda self, w: times(self.kernel_size**4, w))
    with pytest.raises(ValueError, match="no polynomial in k; give a number for it"):
        formula(name, "launches_forward")
    assert formula(name, "launches_forward", k=5) == predict(name, b=2, s=20, c=3, k=5).launches_forward


def test_a_size_of_the_method_s_own_is_a_symbol(made_up: Callable[..., str]) -> None:
    """A factor (c_out, rank) of which the product with itself meets the kernel."""

    def register(self: Any, factory: Any, bias: bool) -> None:
        StandardConv2d._register(self, factory, bias)
        self.factor = torch.nn.Parameter(torch.zeros(self.out_channels, self.rank, **factory))

    def transform(self: Any, w: torch.Tensor) -> torch.Tensor:
        return ((self.factor @ self.factor.mT) @ w.flatten(1)).reshape(w.shape)

    sizes = {"rank": lambda c_in, c_out: max(1, c_out // 2)}
    name, rank = made_up(transform, sizes=sizes, _register=register), option_symbol("rank")
    assert sympy.expand(formula(name, "parameter_bytes", k=3) - 4 * (9 * C**2 + C * rank + C)) == 0
    part = formula(name, "macs_forward", k=3, part="parameter")
    assert sympy.expand(part - (C**2 * rank + 9 * C**3)) == 0
    for quantity in ("macs_forward", "launches_backward", "saved_bytes", "peak_bytes"):
        expression = formula(name, quantity, k=3)
        for own, c in ((1, 4), (2, 5), (7, 3), (40, 1)):
            p = predict(name, b=2, s=6, c=c, rank=own)
            assert at(expression, b=2, s=6, c=c, rank=own) == getattr(p, quantity), (quantity, own, c)
    assert predict(name, b=2, s=6, c=8).options == {"rank": 4}
    assert formula(name, "parameter_bytes", k=3, rank=3) == 4 * (9 * C**2 + 4 * C)
