"""The polar factor of matrices: the mirror of ``lipcost.layers._polar``."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from ._kernels import in_place, pointwise, reduction
from ._ops import adjoint, matmul
from ._tensor import Tensor

Trail = list[tuple[Tensor, Tensor, Tensor]]


def polar(w: Tensor, iterations: int) -> Tensor:
    """The polar factors of matrices (b, n, m), saving w alone."""

    def backward(saved: Sequence[Tensor], g: Tensor) -> list[Tensor]:
        return [polar_gradient(g, saved[0], iterations)]

    return w.tape.function([w], lambda: polar_factor(w, iterations), lambda _: [w], backward)


def polar_factor(w: Tensor, iterations: int) -> Tensor:
    """The factors outside the graph."""
    if w.tape.holds(w.shape[1] < w.shape[2]):
        return adjoint(polar_factor(adjoint(w), iterations))
    return iterate(w, iterations)[0]


def polar_gradient(g: Tensor, w: Tensor, iterations: int) -> Tensor:
    """The gradient of w."""
    if w.tape.holds(w.shape[1] < w.shape[2]):
        return adjoint(polar_gradient(adjoint(g), adjoint(w), iterations))
    trail: Trail = []
    factor, scale = iterate(w, iterations, trail)
    return trail_gradient(g, factor, trail) / scale


def iterate(w: Tensor, iterations: int, trail: Trail | None = None) -> tuple[Tensor, Tensor]:
    """The polar factor of w and its scale; ``trail`` gets what the gradient takes of each step."""
    x, gram, square, scale = scaled(w)
    for i in range(iterations + 1):
        if i == 0:
            inner = in_place("mul_", square).add_(gram)
        else:
            gram = matmul(adjoint(x), x)
            inner = baddbmm(gram, gram, gram) if i < iterations else gram * 0.5
        if trail is not None:
            trail.append((x, gram, inner))
        x = baddbmm(x, x, inner)
    return x, scale


def trail_gradient(g: Tensor, factor: Tensor, trail: Trail) -> Tensor:
    """The gradient of the scaled x; each step leaves the trail behind."""
    last = len(trail)
    while trail:
        is_guard = len(trail) == last
        x, gram, inner = trail.pop()
        s = matmul(adjoint(x), g)
        s = s + adjoint(s)
        g = baddbmm(g, g, inner)
        s = s * 0.5 if is_guard else baddbmm(s, s, gram)
        g = baddbmm(g, x, s + adjoint(s))
    s = matmul(adjoint(factor), g)
    return baddbmm(g, factor, s + adjoint(s))


def scaled(w: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """X = w / scale, G = X*X, G² and the scale, the Schatten 8-norms (b, 1, 1)."""
    largest = reduction("amax", pointwise("abs", w, kind="real"), (w.shape[0], 1, 1))
    largest = pointwise("add", largest, pointwise("lt", largest, kind="bool"))
    x = w / largest
    gram = matmul(adjoint(x), x)
    square = matmul(gram, gram)
    norm = square.norm((1, 2)).sqrt().sqrt().clamp_min()
    x = x / norm
    gram = gram / norm.square()
    square = square / norm.square()
    return x, gram, square, largest * norm


def baddbmm(added: Tensor, a: Tensor, b: Tensor) -> Tensor:
    """added + a @ b in one kernel, both scaled; used without gradient only."""
    out = a.new(added.shape)
    macs = prod(added.shape) * a.shape[-1] * (4 if a.kind == "complex" else 1)
    a.tape.kernel("baddbmm", "matmul", [added, a, b, out], macs=macs)
    return out
