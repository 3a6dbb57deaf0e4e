"""MACs of operators that run several matrix products in one: real ones, of what the dispatcher hands them."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from torch import Tensor


def addbmm_macs(a: Tensor, b: Tensor, *_: Any) -> int:
    """Of a stack of products, summed."""
    return a.numel() * b.shape[-1]


def trilinear_macs(a: Tensor, b: Tensor, c: Tensor, *axes: Sequence[int]) -> int:
    """Of (the sum of a·b)·c, summed, each factor with axes of size 1 put in; entries of axis 1 are taken one by one."""
    *put_in, summed = axes[:4]
    shapes = []
    for factor, places in zip((a, b, c), put_in, strict=True):
        shape = list(factor.shape)
        for place in sorted(places):
            shape.insert(place, 1)
        shapes.append(shape)
    both = [max(pair) for pair in zip(*shapes[:2], strict=True)]
    contracted = [axis for axis in summed if axis != 1]
    early = [axis for axis in contracted if axis in put_in[2]]
    left = [1 if axis in early else n for axis, n in enumerate(both)]
    late = math.prod(max(pair) for pair in zip(left, shapes[2], strict=True))
    return (math.prod(both) if early else 0) + (late if len(early) < len(contracted) else 0)


def attention_macs(q: Tensor, k: Tensor, v: Tensor, *_: Any) -> int:
    """Of two products: scores of each query and key, and the values weighed by them, whatever a mask leaves out."""
    scores = q.numel() // q.shape[-1] * k.shape[-2]
    return scores * (q.shape[-1] + v.shape[-1])


def attention_backward_macs(gradient: Tensor, q: Tensor, k: Tensor, v: Tensor, *_: Any) -> int:
    """Of the scores anew, and of two gradients for each of both products."""
    return 2 * attention_macs(q, k, v) + q.numel() * k.shape[-2]


def multi_head_macs(q: Tensor, k: Tensor, v: Tensor, width: int, *_: Any) -> int:
    """Of three projections, the attention and a projection of its result; (batch, length, width) each."""
    return width * (2 * q.numel() + k.numel() + v.numel()) + attention_macs(q, k, v)


def encoder_layer_macs(x: Tensor, width: int, heads: int, *others: Any) -> int:
    """Of its attention and of two layers, from the width to another and back."""
    hidden = int(others[11].shape[0])
    return multi_head_macs(x, x, x, width) + 2 * x.numel() * hidden


def rnn_layer_macs(x: Tensor, of_input: Tensor, of_state: Tensor, *_: Any) -> int:
    """Of each step's input (steps, batch, entries) and state with their weights."""
    return x.shape[0] * x.shape[1] * (of_input.numel() + of_state.numel())


PRODUCTS: dict[str, Callable[..., int]] = {
    "addbmm": addbmm_macs,
    "attention": attention_macs,
    "attention_backward": attention_backward_macs,
    "encoder_layer": encoder_layer_macs,
    "multi_head": multi_head_macs,
    "rnn_layer": rnn_layer_macs,
    "trilinear": trilinear_macs,
}
