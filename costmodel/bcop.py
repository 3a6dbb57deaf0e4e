"""BCOP: cost of ``lipcost.layers.BCOPConv2d``."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from ._kernels import pointwise
from ._method import KernelMethod
from ._ops import filled, matmul
from ._polar import Trail, iterate, polar_factor, trail_gradient
from ._tape import Size
from ._tensor import Tensor


class BCOP(KernelMethod):
    """Li et al., NeurIPS 2019, Algorithm 1: an orthogonal matrix times 2(k-1) orthogonal kernels of two taps."""

    name = "bcop"
    title = "BCOP"
    options = {"iterations": 7}
    unrolled = True

    def register(self) -> None:
        """2k-1 free matrices."""
        self.flipped = self.holds(self.c_in > self.c_out)
        self.n: Size = self.c_in if self.flipped else self.c_out
        self.weight = self.parameter(2 * self.k - 1, self.n, self.n)

    def parameter_transform(self) -> tuple[Tensor]:
        """The kernel, from its blocks."""
        blocks = self.orthogonal_blocks(self.weight)
        return (blocks.permute(2, 3, 0, 1) if self.flipped else blocks.permute(3, 2, 0, 1),)

    def orthogonal_blocks(self, w: Tensor) -> Tensor:
        """The blocks (k, k, min, max), saving w alone."""
        return w.tape.function([w], lambda: self.forward(w), lambda _: [w], self.backward)

    def forward(self, w: Tensor) -> Tensor:
        """Orthogonalise, build the projectors, grow the kernel."""
        factors = polar_factor(w, self.option["iterations"])
        x = self.corner(factors)
        if factors.shape[0] == 1:
            return x.clone()
        for i, p in enumerate(projectors(halves(factors))):
            x = grown(x, p, 1 - i % 2)
        return x

    def backward(self, saved: Sequence[Tensor], g: Tensor) -> list[Tensor]:
        """Compute all but the weight anew."""
        (w,) = saved
        trail: Trail = []
        factors, scale = iterate(w, self.option["iterations"], trail)
        of_factors = self.factors_gradient(g, factors)
        return [trail_gradient(of_factors, factors, trail) / scale]

    def factors_gradient(self, g: Tensor, factors: Tensor) -> Tensor:
        """The gradient of the polar factors."""
        g = g.clone()
        out = filled("zeros_like", factors.tape, factors.shape)
        if factors.shape[0] > 1:
            half = halves(factors)
            ps = projectors(half)
            blocks = [self.corner(factors)]
            for i, p in enumerate(ps[:-1]):
                blocks.append(grown(blocks[-1], p, 1 - i % 2))
            for i in reversed(range(len(ps))):
                g, of_p = grown_gradient(g, blocks.pop(), ps[i], 1 - i % 2)
                target = out.select(0)
                target.copy_(of_p)
                target.add_(of_p.t())
            out.window(half.shape).copy_(masked(matmul(out.window(half.shape), half)))
        self.corner(out).copy_(g)
        return out

    def corner(self, factors: Tensor) -> Tensor:
        """The first rows or columns of the first matrix (1, 1, min, max)."""
        corner = factors.select(0).slice(0, self.c_in).slice(1, self.c_out)
        corner = corner.t() if self.flipped else corner
        return corner.reshape(1, 1, *corner.shape)


def halves(factors: Tensor) -> Tensor:
    """The matrices but the first, half of their columns zero."""
    return masked(factors.window((factors.shape[0] - 1, *factors.shape[1:])))


def masked(x: Tensor) -> Tensor:
    """The first half of the columns."""
    return pointwise("mul", x, pointwise("lt", filled("arange", x.tape, x.shape[2:], "int64"), kind="bool"))


def projectors(half: Tensor) -> list[Tensor]:
    """H Hᵀ of each."""
    return matmul(half, half.transpose(1, 2)).unbind()


def grown(x: Tensor, p: Tensor, axis: int) -> Tensor:
    """Y_i = X_i P + X_{i-1} (I - P)."""
    product = matmul(flat(x), p).reshape(*x.shape)
    y = padded(x - product, axis)
    y.window(x.shape).add_(product)
    return y


def grown_gradient(g: Tensor, x: Tensor, p: Tensor, axis: int) -> tuple[Tensor, Tensor]:
    """The gradients of x and P."""
    later = g.window(x.shape)
    differences = flat(g.window(x.shape) - later)
    of_p = matmul(flat(x).t(), differences)
    return later + matmul(differences, p).reshape(*x.shape), of_p


def flat(x: Tensor) -> Tensor:
    """The rows of all blocks below each other."""
    return x.reshape(prod(x.shape[:3]), x.shape[3])


def padded(x: Tensor, axis: int) -> Tensor:
    """One more block, of zeros, along an axis."""
    out = x.new(tuple(size + 1 if i == axis else size for i, size in enumerate(x.shape)))
    x.tape.kernel("constant_pad_nd", "pointwise", [x, out], flops=0)
    return out
