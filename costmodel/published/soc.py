"""SOC: cost of ``lipcost.layers.SOCConv2d``."""

from __future__ import annotations

from .._method import Method
from .._ops import conv2d, pad_channels
from .._tape import Size
from .._tensor import Tensor

# The axes of the kernel over which each pair of power vectors (u, v) runs: the four reshapings of "fantastic four".
COLUMNS = ((1, 3), (1, 2), (1, 2, 3), (0, 2, 3))
ROWS = ((0, 2), (0, 3), (0,), (1,))


class PublishedSOC(Method):
    """Singla & Feizi, ICML 2021: the exponential of a skew-symmetric convolution, Σ_{i≤t} L^i x / i!."""

    name = "soc/published"
    title = "SOC, published"
    options = {"terms": 5, "eval_terms": 12}

    def register(self) -> None:
        """The free kernel and four pairs of power vectors."""
        n: Size = self.c_in if self.holds(self.c_in > self.c_out) else self.c_out
        shape = (n, n, self.k, self.k)
        self.weight = self.parameter(*shape)
        self.us, self.vs = (
            [self.buffer(*(shape[a] if a in axes else 1 for a in range(4))) for axes in group]
            for group in (COLUMNS, ROWS)
        )

    def parameter_transform(self) -> tuple[Tensor]:
        """The skew-symmetric kernel over the least of four spectral norms."""
        skew = self.skew()
        if self.training:
            self.update_power_vectors(skew)
        sigma = (skew * self.us[0] * self.vs[0]).sum()
        for u, v in zip(self.us[1:], self.vs[1:], strict=True):
            sigma = sigma.minimum((skew * u * v).sum())
        return (0.7 * skew / sigma,)

    def input_transform(self, x: Tensor, kernel: Tensor) -> Tensor:  # type: ignore[override]
        """The truncated exponential series."""
        if self.holds(self.c_out > self.c_in):
            x = pad_channels(x, self.c_out)
        y = term = x
        for i in range(1, self.option["terms" if self.training else "eval_terms"] + 1):
            term = conv2d(term, kernel, padding=self.k // 2) / i
            y = y + term
        y = y.slice(1, self.c_out)
        return y if self.bias is None else y + self.bias.reshape(self.c_out, 1, 1)

    def skew(self) -> Tensor:
        """(M - Mᵀ)/2."""
        return 0.5 * (self.weight - self.weight.transpose(0, 1).flip())

    def update_power_vectors(self, skew: Tensor) -> None:
        """One power iteration of each pair, outside the graph."""
        with self.tape.no_grad():
            for u, v, columns, rows in zip(self.us, self.vs, COLUMNS, ROWS, strict=True):
                v.copy_(normalise((skew * u).sum(columns, keepdim=True)))
                u.copy_(normalise((skew * v).sum(rows, keepdim=True)))


def normalise(vector: Tensor) -> Tensor:
    """A vector over its norm."""
    return vector / vector.norm().clamp_min()
