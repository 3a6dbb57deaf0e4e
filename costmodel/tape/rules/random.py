"""Rules of random draws that a network makes of a tensor: dropout."""

from __future__ import annotations

from ..errors import refused
from ..table import rule
from ..tensor import Tensor
from .inplace import changed
from .kernels import in_place, strides_for
from .pointwise import mul


def _dropped(x: Tensor, noise: Tensor, p: float, inplace: bool) -> Tensor:
    """x times a draw of zeros and ones, scaled."""
    in_place("bernoulli_", noise)
    in_place("div_", noise)
    return changed(x, [noise], "mul_") if inplace else mul(x, noise)


@rule("torch.nn.functional.dropout", "torch.dropout")
def dropout(x: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    if _nothing_happens(p, training):
        return x
    return _dropped(x, x.new(x.sizes, strides=strides_for(x, None)), p, inplace)


@rule("torch.nn.functional.dropout1d", "torch.nn.functional.dropout2d", "torch.nn.functional.dropout3d")
def feature_dropout(x: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """Of whole channels: one draw for each of (b, c)."""
    if _nothing_happens(p, training):
        return x
    return _dropped(x, x.new((*x.sizes[:2], *(1,) * (x.rank - 2))), p, inplace)


def _nothing_happens(p: float, training: bool) -> bool:
    if training and p == 1:
        raise refused("dropout of everything")
    return not training or p == 0
