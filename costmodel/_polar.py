"""The polar factor of matrices: the mirror of ``lipcost.layers._polar``."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from ._kernels import pointwise, reduction
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
    x = w / upper_bound(w)
    for _ in range(iterations):
        gram = matmul(adjoint(x), x)
        x = baddbmm(x, x, baddbmm(gram, gram, gram))
    return guard(x)


def polar_gradient(g: Tensor, w: Tensor, iterations: int) -> Tensor:
    """The gradient of w."""
    if w.tape.holds(w.shape[1] < w.shape[2]):
        return adjoint(polar_gradient(adjoint(g), adjoint(w), iterations))
    scale = upper_bound(w)
    x, trail = iterate(w / scale, iterations)
    return trail_gradient(guard_gradient(g, x), trail) / scale


def iterate(x: Tensor, iterations: int) -> tuple[Tensor, Trail]:
    """X behind the last polynomial, and what the gradient takes of each."""
    trail = []
    for _ in range(iterations):
        gram = matmul(adjoint(x), x)
        inner = baddbmm(gram, gram, gram)
        trail.append((x, gram, inner))
        x = baddbmm(x, x, inner)
    return x, trail


def trail_gradient(g: Tensor, trail: Trail) -> Tensor:
    """The gradient of the first X; each step leaves the trail behind."""
    for _ in range(len(trail)):
        x, gram, inner = trail.pop()
        s = matmul(adjoint(x), g)
        s = s + adjoint(s)
        g = baddbmm(g, g, inner)
        s = baddbmm(s, s, gram)
        g = baddbmm(g, x, s + adjoint(s))
    return g


def upper_bound(w: Tensor) -> Tensor:
    """The Schatten 4-norms (b, 1, 1)."""
    largest = reduction("amax", pointwise("abs", w, kind="real"), (w.shape[0], 1, 1))
    largest = pointwise("add", largest, pointwise("lt", largest, kind="bool"))
    x = w / largest
    return largest * matmul(adjoint(x), x).norm((1, 2)).sqrt().clamp_min()


def guard(x: Tensor) -> Tensor:
    """X (3/2 I - 1/2 G)."""
    return baddbmm(x, x, matmul(adjoint(x), x))


def guard_gradient(g: Tensor, x: Tensor) -> Tensor:
    """The gradient of x."""
    out = baddbmm(g, g, matmul(adjoint(x), x))
    s = matmul(adjoint(x), g)
    return baddbmm(out, x, s + adjoint(s))


def baddbmm(added: Tensor, a: Tensor, b: Tensor) -> Tensor:
    """added + a @ b in one kernel, both scaled; used without gradient only."""
    out = a.new(added.shape)
    macs = prod(added.shape) * a.shape[-1] * (4 if a.kind == "complex" else 1)
    a.tape.kernel("baddbmm", "matmul", [added, a, b, out], macs=macs)
    return out
