"""The correlation of a kernel with itself: the mirror of ``lipcost.layers._correlation``."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from ._kernels import pointwise
from ._ops import conv2d
from ._tensor import Tensor


def absolute_correlation(p: Tensor) -> Tensor:
    """The sums (c, c) over displacements of |P⋆P|, P (c, d, k, k); saves P."""

    def backward(saved: Sequence[Tensor], g: Tensor) -> list[Tensor]:
        (p,) = saved
        c = p.shape[0]
        of_correlation = pointwise("sgn", correlation(p)) * (g + g.t()).reshape(c, c, 1, 1)
        out = p.new(p.shape)
        macs = prod(of_correlation.shape) * prod(p.shape[1:])
        variant = "1x1" if of_correlation.shape[2:] == (1, 1) else ""
        p.tape.kernel("convolution_backward", "conv", [of_correlation, p, p, out], macs=macs, variant=variant)
        return [out]

    return p.tape.function([p], lambda: correlation(p).abs().sum((2, 3)), lambda _: [p], backward)


def correlation(p: Tensor) -> Tensor:
    """P⋆P (c, c, 2k-1, 2k-1)."""
    return conv2d(p, p, padding=p.shape[2] - 1)
