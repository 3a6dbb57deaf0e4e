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
    for _ in range(iterations + 1):
        gram = matmul(adjoint(x), x)
        x = baddbmm(x, x, baddbmm(gram, gram, gram))
    return x


def polar_gradient(g: Tensor, w: Tensor, iterations: int) -> Tensor:
    """The gradient of w."""
    if w.tape.holds(w.shape[1] < w.shape[2]):
        return adjoint(polar_gradient(adjoint(g), adjoint(w), iterations))
    scale = upper_bound(w)
    factor, trail = iterate(w / scale, iterations)
    return trail_gradient(g, factor, trail) / scale


def iterate(x: Tensor, iterations: int) -> tuple[Tensor, Trail]:
    """The polar factor of a scaled x, and what the gradient takes of each step."""
    trail = []
    for _ in range(iterations + 1):
        gram = matmul(adjoint(x), x)
        inner = baddbmm(gram, gram, gram)
        trail.append((x, gram, inner))
        x = baddbmm(x, x, inner)
    return x, trail


def trail_gradient(g: Tensor, factor: Tensor, trail: Trail) -> Tensor:
    """The gradient of the scaled x; each step leaves the trail behind."""
    for _ in range(len(trail)):
        x, gram, inner = trail.pop()
        s = matmul(adjoint(x), g)
        s = s + adjoint(s)
        g = baddbmm(g, g, inner)
        s = baddbmm(s, s, gram)
        g = baddbmm(g, x, s + adjoint(s))
    s = matmul(adjoint(factor), g)
    return baddbmm(g, factor, s + adjoint(s))


def upper_bound(w: Tensor) -> Tensor:
    """The Schatten 4-norms (b, 1, 1)."""
    largest = reduction("amax", pointwise("abs", w, kind="real"), (w.shape[0], 1, 1))
    largest = pointwise("add", largest, pointwise("lt", largest, kind="bool"))
    x = w / largest
    norm = matmul(adjoint(x), x).norm((1, 2))
    return largest * norm.sqrt().clamp_min()


def baddbmm(added: Tensor, a: Tensor, b: Tensor) -> Tensor:
    """added + a @ b in one kernel, both scaled; used without gradient only."""
    out = a.new(added.shape)
    macs = prod(added.shape) * a.shape[-1] * (4 if a.kind == "complex" else 1)
    a.tape.kernel("baddbmm", "matmul", [added, a, b, out], macs=macs)
    return out
