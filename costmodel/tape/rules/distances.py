"""Rules of distances, and of the losses that are made of them."""

from __future__ import annotations

from typing import Any

import torch

from ..table import rule
from ..tensor import Tensor
from .arithmetic import add, div, sub
from .comparisons import clamp_min, eq, ne, where
from .copies import clone
from .factories import filled
from .formulas import Term, expressed
from .kernels import broadcast, fits, promoted
from .losses import loss_of, reduced_by
from .norms import norm, vector_norm
from .pointwise import minimum
from .views import expand

F = "torch.nn.functional"


@rule(f"{F}.cosine_similarity")
def cosine_similarity(x1: Tensor, x2: Tensor, dim: int = 1, eps: float = 1e-8) -> Tensor:
    x1, x2 = expanded(x1, x2)
    lengths = [clone(vector_norm(x, 2, dim, True)) for x in (x1, x2)]
    common = promoted((x1, x2))
    least = filled("scalar_tensor", x1.tape, (), torch.promote_types(common, torch.float32))  # it lives to the end
    for length in lengths:
        length.tape.kernel("clamp_min_", "pointwise", [length, least, length], flops=length.elements)

    def product(x1: Term, x2: Term, length1: Term, length2: Term) -> Term:
        second = x2 / length2
        return ((x1 / length1) * second).sum(dim)

    return expressed(product, x1, x2, *lengths)


def expanded(*tensors: Tensor) -> list[Tensor]:
    """As views of the common shape; those that have it as they are."""
    sizes = broadcast(*(x.sizes for x in tensors))
    return [x if fits(x.sizes, sizes) else expand(x, sizes) for x in tensors]


@rule(f"{F}.pairwise_distance")
def pairwise_distance(x1: Tensor, x2: Tensor, p: float = 2.0, eps: float = 1e-6, keepdim: bool = False) -> Tensor:
    return expressed(
        lambda x1, x2: (x1 - x2 + eps).by(norm, p, max(x1.tensor.rank, x2.tensor.rank) - 1, keepdim), x1, x2
    )


@loss_of("cosine_embedding_loss")
def cosine_embedding_loss(x1: Tensor, x2: Tensor, target: Tensor, margin: float = 0, *, reduction: str) -> Tensor:
    axis = target.rank
    product = expressed(lambda a, b: (a * b).sum(axis), x1, x2)
    squares = [expressed(lambda a: (a * a).sum(axis) + 1e-12, x) for x in (x1, x2)]
    length = expressed(lambda a, b: (a * b).sqrt_(), *squares)
    cosine = div(product, length)
    zeros = filled("zeros_like", x1.tape, cosine.sizes, cosine.dtype)
    positive = expressed(lambda c: 1 - c, cosine)
    negative = expressed(lambda c: (c - margin).clamp_min_(0), cosine)
    return _by_sign(target, eq, positive, negative, zeros, reduction)


def _by_sign(target: Tensor, holds: Any, x: Tensor, y: Tensor, zeros: Tensor, reduction: str) -> Tensor:
    """x where the target is (or is not) 1, and y where it is (or is not) -1."""
    first = where(holds(target, 1), x, zeros)
    second = where(holds(target, -1), y, zeros)
    both = add(first, second)
    return reduced_by(reduction, both)


@loss_of("hinge_embedding_loss")
def hinge_embedding_loss(x: Tensor, target: Tensor, margin: float = 1.0, *, reduction: str) -> Tensor:
    zeros = filled("zeros_like", x.tape, x.sizes, x.dtype)
    below = expressed(lambda x: margin - x, x)
    clamp_min(below, 0, inplace=True)
    return _by_sign(target, ne, below, x, zeros, reduction)


@loss_of("margin_ranking_loss")
def margin_ranking_loss(x1: Tensor, x2: Tensor, target: Tensor, margin: float = 0, *, reduction: str) -> Tensor:
    loss = expressed(lambda a, b, t: -t * (a - b) + margin, x1, x2, target)
    clamp_min(loss, 0, inplace=True)
    return reduced_by(reduction, loss)


@loss_of("triplet_margin_with_distance_loss")
def triplet_margin_with_distance_loss(
    anchor: Tensor, positive: Tensor, negative: Tensor, *, distance_function: Any = None, margin: float = 1.0,
    swap: bool = False, reduction: str,
) -> Tensor:  # fmt: skip
    distance = distance_function or pairwise_distance
    near, far = distance(anchor, positive), distance(anchor, negative)
    if swap:
        beside = distance(positive, negative)
        far = minimum(far, beside)
    loss = clamp_min(sub(add(near, margin), far), 0)
    return reduced_by(reduction, loss)


@loss_of("triplet_margin_loss")
def triplet_margin_loss(
    anchor: Tensor, positive: Tensor, negative: Tensor, margin: float = 1.0, p: float = 2, eps: float = 1e-6,
    swap: bool = False, *, reduction: str,
) -> Tensor:  # fmt: skip
    near = pairwise_distance(anchor, positive, p, eps)
    far = pairwise_distance(anchor, negative, p, eps)
    if swap:
        far = minimum(far, pairwise_distance(positive, negative, p, eps))
    loss = expressed(lambda near, far: (margin + near - far).clamp_min(0), near, far)
    return reduced_by(reduction, loss)
