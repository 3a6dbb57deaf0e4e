"""BCOP: cost of ``lipcost.layers.BCOPConv2d``."""

from __future__ import annotations

from itertools import product

from .._kernels import stack
from .._method import CircularMethod
from .._ops import adjoint, filled, matmul
from .._tape import Size
from .._tensor import Tensor

Blocks = dict[tuple[int, int], Tensor]


class PublishedBCOP(CircularMethod):
    """Li et al., NeurIPS 2019, Algorithm 1: the block convolution of k-1 orthogonal 2×2 kernels and a matrix."""

    name = "bcop/published"
    title = "BCOP, published"
    options = {"iterations": 20, "power_iterations": 10}
    unrolled = True

    def register(self) -> None:
        """2k-1 free matrices, their power vectors and the mask that halves the projectors' rank."""
        self.n: Size = self.c_in if self.holds(self.c_in > self.c_out) else self.c_out
        count = 2 * self.k - 1
        self.weight = self.parameter(count, self.n, self.n)
        self.u = self.buffer(count, self.n, 1)
        self.mask = self.buffer(self.n)

    def parameter_transform(self) -> tuple[Tensor]:
        """Orthogonalise, build the projectors, convolve the blocks."""
        flipped = self.holds(self.c_in > self.c_out)
        orthogonal = bjorck(self.weight / self.spectral_norms(), self.option["iterations"])
        h = orthogonal.select(0).slice(0, self.c_in).slice(1, self.c_out)
        if flipped:
            h = h.t()
        if self.k == 1:
            blocks = {(0, 0): h}
        else:
            halves = orthogonal.window((2 * self.k - 2, self.n, self.n)) * self.mask
            projectors = matmul(halves, halves.transpose(1, 2)).unbind()
            blocks = block_orthogonal(projectors[0], projectors[1])
            for i in range(2, len(projectors), 2):
                blocks = block_convolution(blocks, block_orthogonal(projectors[i], projectors[i + 1]))
            blocks = {position: matmul(h, block) for position, block in blocks.items()}
        rows = range(self.k)
        kernel = stack([stack([blocks[i, j] for j in rows]) for i in rows])
        if flipped:
            return (kernel.permute(2, 3, 1, 0),)
        return (kernel.permute(3, 2, 1, 0),)

    def spectral_norms(self) -> Tensor:  # (2k-1, 1, 1)
        """The power iterations, outside the graph."""
        with self.tape.no_grad():
            norms, u = spectral_norms(self.weight, self.u, self.option["power_iterations"])
            if self.training:
                self.u.copy_(u)
            return norms


def spectral_norms(w: Tensor, u: Tensor, iterations: int) -> tuple[Tensor, Tensor]:
    """The estimates and the last power vectors."""
    rows = len(w.shape) - 2
    for _ in range(iterations):
        v = matmul(adjoint(w), u)
        v = v / v.norm((rows,))
        u = matmul(w, v)
        u = u / u.norm((rows,))
    return matmul(matmul(adjoint(u), w), v), u


def bjorck(w: Tensor, iterations: int) -> Tensor:
    """W ← 3/2 W - 1/2 W WᵀW."""
    for _ in range(iterations):
        gram = matmul(adjoint(w), w)
        w = 1.5 * w - matmul(0.5 * w, gram)
    return w


def block_orthogonal(p1: Tensor, p2: Tensor) -> Blocks:
    """The orthogonal 2×2 kernel of two projectors."""
    identity = filled("eye", p1.tape, p1.shape)
    q1, q2 = identity - p1, identity - p2
    return {(0, 0): matmul(p1, p2), (0, 1): matmul(p1, q2), (1, 0): matmul(q1, p2), (1, 1): matmul(q1, q2)}


def block_convolution(a: Blocks, b: Blocks) -> Blocks:
    """The full convolution of two kernels of matrices."""
    result: Blocks = {}
    for (i, j), (di, dj) in product(a, b):
        term, at = matmul(a[i, j], b[di, dj]), (i + di, j + dj)
        result[at] = result[at] + term if at in result else term
    return result
