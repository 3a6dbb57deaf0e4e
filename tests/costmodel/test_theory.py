"""Each algorithm's cost, derived by hand in theory/, is what the cost model says.

So a layer that drops a convolution or iterates otherwise differs from its theory.
"""

from __future__ import annotations

from itertools import product
from typing import Any

import pytest
import sympy
from theory import THEORY, Layer, Pair, Theory

from lipcost.costmodel import METHODS, formula, leading_order, predict

BYTES = 4  # of an element
B, S, C, K = (sympy.Symbol(name, integer=True, positive=True) for name in ("b", "s", "c", "k"))
M, R = sympy.symbols("m r", integer=True, positive=True)
LARGE = {K: 2 * M + 1, S: 2 * M + 1 + R, C: C + 1}  # an odd k above 1, an image larger than the kernel, c above 1
MANY = 2**10  # channels
ENOUGH = 3  # times that a loop runs at least, from where on every pass costs the same


def counts(method: str) -> dict[str, sympy.Symbol]:
    """The method's iteration counts, as formulas name them."""
    return {name: sympy.Symbol(name, integer=True, positive=True) for name in METHODS[method].counts}


def own_sizes(method: str) -> dict[str, sympy.Symbol]:
    """Likewise the method's own sizes."""
    return {name: sympy.Symbol(name, integer=True, positive=True) for name in METHODS[method].sizes}


def in_symbols(method: str, **own: Any) -> Theory:
    """In symbols, at large sizes and counts, c_in = c_out; ``own``: what the method's own sizes are, else above 1."""
    large = {name: symbol + ENOUGH for name, symbol in counts(method).items()}
    large |= {name: own.get(name, symbol + 1) for name, symbol in own_sizes(method).items()}
    return THEORY[method](Layer(B, LARGE[S], LARGE[C], LARGE[C], LARGE[K]), **large)


def by_default(method: str) -> Theory:
    """With the method's own sizes as its default has them for many channels: as parts of these."""
    return in_symbols(
        method, **{n: C * sympy.Rational(size(MANY, MANY), MANY) for n, size in METHODS[method].sizes.items()}
    )


def recorded(method: str, quantity: str, **arguments: Any) -> sympy.Expr:
    """The formula there: no condition is left of it."""
    large = LARGE | {symbol: symbol + ENOUGH for symbol in counts(method).values()}
    large |= {symbol: symbol + 1 for symbol in own_sizes(method).values()}
    return formula(method, quantity, **arguments).subs(large, simultaneous=True)


def difference(one: Any, other: Any) -> sympy.Expr:
    return sympy.expand(one - other)


def with_logarithm(expression: sympy.Expr) -> sympy.Expr:
    """The terms with one, which are Fourier transforms."""
    return sympy.Add(*(term for term in sympy.Add.make_args(sympy.expand(expression)) if term.has(sympy.log)))


def leading(expression: sympy.Expr) -> dict[tuple[int, int, int], sympy.Expr]:
    """The powers of b, s and c that no other term exceeds in all three, with coefficients; ⌊x⌋ is x, log x is 1."""
    expression = expression.replace(sympy.floor, lambda x: x).replace(sympy.log, lambda _: sympy.Integer(1))
    terms = dict(sympy.Poly(sympy.expand(expression), B, R, C).terms())
    return {p: terms[p] for p in terms if not any(p != q and all(map(int.__le__, p, q)) for q in terms)}


def order(expression: sympy.Expr) -> sympy.Expr:
    return sympy.Add(*(B**b * S**s * C**c for b, s, c in leading(expression)))


def test_every_method_has_a_theory() -> None:
    assert set(THEORY) == set(METHODS)


@pytest.mark.parametrize("part", ["input", "parameter"])
@pytest.mark.parametrize("method", METHODS)
def test_macs_in_symbols(method: str, part: str) -> None:
    expected, i = in_symbols(method), ["input", "parameter"].index(part)
    assert difference(recorded(method, "macs_forward", part=part), expected.forward[i]) == 0
    assert difference(recorded(method, "macs_backward", part=part), expected.backward[i]) == 0
    in_inference = (expected.inference or expected.forward)[i]
    assert difference(recorded(method, "macs_forward", mode="inference", part=part), in_inference) == 0


@pytest.mark.parametrize("method", METHODS)
def test_bytes_in_symbols(method: str) -> None:
    expected = in_symbols(method)
    assert difference(recorded(method, "parameter_bytes"), BYTES * expected.parameters) == 0
    assert difference(recorded(method, "cache_bytes", mode="inference"), BYTES * expected.cache) == 0
    assert difference(recorded(method, "saved_bytes"), BYTES * expected.saved) == 0


@pytest.mark.parametrize("part", ["input", "parameter"])
@pytest.mark.parametrize("method", METHODS)
def test_fourier_transforms_in_symbols(method: str, part: str) -> None:
    expected, i = in_symbols(method), ["input", "parameter"].index(part)
    assert difference(with_logarithm(recorded(method, "flops_forward", part=part)), expected.fft_forward[i]) == 0
    assert difference(with_logarithm(recorded(method, "flops_backward", part=part)), expected.fft_backward[i]) == 0
    in_inference = (expected.fft_inference or expected.fft_forward)[i]
    flops = recorded(method, "flops_forward", mode="inference", part=part)
    assert difference(with_logarithm(flops), in_inference) == 0


@pytest.mark.parametrize("method", METHODS)
def test_leading_flops(method: str) -> None:
    """Two a MAC and the inverses; all else is of a lower order. For k = 3."""
    expected, k = in_symbols(method), {M: 1}
    forward = (2 * sum(expected.forward) + expected.inverses[0]).subs(k)
    backward = (2 * sum(expected.backward) + expected.inverses[1]).subs(k)
    assert leading(recorded(method, "flops_forward").subs(k)) == leading(forward)
    assert leading(recorded(method, "flops_backward").subs(k)) == leading(backward)
    expected = by_default(method)
    forward = (2 * sum(expected.forward) + expected.inverses[0]).subs(k)
    assert leading_order(method, "flops_forward") == order(forward)


@pytest.mark.parametrize("method", METHODS)
def test_order_of_memory(method: str) -> None:
    """Activations of the batch, the weights and what they are transformed to."""
    expected = by_default(method)
    assert leading_order(method, "memory") == order(B * C * LARGE[S] ** 2 + expected.parameters + expected.cache)


@pytest.mark.parametrize("k", [1, 3, 5])
@pytest.mark.parametrize("method", METHODS)
def test_numbers(method: str, k: int) -> None:
    """Where sizes coincide, c_in and c_out differ, and loops run once or twice."""
    channels = [(4, 4)] if METHODS[method].square else [(4, 4), (3, 5), (6, 2)]
    passes = [1, 2, ENOUGH + 1] if METHODS[method].counts or METHODS[method].sizes else [1]
    for (c_in, c_out), s, count in product(channels, [5, 8], passes):
        numbers: dict[str, Any] = {name: count + i for i, name in enumerate(METHODS[method].counts)}
        numbers |= dict.fromkeys(METHODS[method].sizes, min(count, max(c_in, c_out)))
        sizes: dict[str, Any] = {"b": 3, "s": s, "c_in": c_in, "c_out": c_out, "k": k}
        expected = THEORY[method](Layer(**sizes), **numbers)
        train = predict(method, **sizes, **numbers)
        inference = predict(method, mode="inference", **sizes, **numbers)
        assert {
            "forward": by_part(train, "macs_forward"),
            "backward": by_part(train, "macs_backward"),
            "inference": by_part(inference, "macs_forward"),
            "inverses": train.by_class["inverse"],
            "parameters": train.parameter_bytes,
            "saved": train.saved_bytes,
            "cache": inference.cache_bytes,
        } == {
            "forward": expected.forward,
            "backward": expected.backward,
            "inference": expected.inference or expected.forward,
            "inverses": sympy.floor(sum(expected.inverses) + sympy.Rational(1, 2)),  # thirds are rounded
            "parameters": BYTES * expected.parameters,
            "saved": BYTES * expected.saved,
            "cache": BYTES * expected.cache,
        }, (sizes, numbers)


def by_part(prediction: Any, quantity: str) -> Pair:
    return prediction.parts["input"][quantity], prediction.parts["parameter"][quantity]
