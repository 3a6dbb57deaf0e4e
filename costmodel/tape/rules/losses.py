"""Rules of losses."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..errors import refused
from ..graph import attach
from ..table import rule
from ..tensor import Tensor


def _plain(name: str, x: Tensor, *others: Tensor) -> Tensor:
    """A kernel whose output lies without gaps, the last axis innermost, however x lies."""
    out = x.new(x.sizes)
    x.tape.kernel(name, "pointwise", [x, *others, out], flops=out.elements)
    return out


@rule("torch.nn.functional.log_softmax", "torch.log_softmax", "Tensor.log_softmax")
def log_softmax(x: Tensor, dim: int | None = None, **_: Any) -> Tensor:
    out = _plain("_log_softmax", x)
    attach([out], [x], [out], lambda saved, g: [_plain("_log_softmax_backward_data", g, saved[0])])
    return out


@rule("torch.nn.functional.softmax", "torch.softmax", "Tensor.softmax")
def softmax(x: Tensor, dim: int | None = None, **_: Any) -> Tensor:
    out = _plain("_softmax", x)
    attach([out], [x], [out], lambda saved, g: [_plain("_softmax_backward_data", g, saved[0])])
    return out


@rule("torch.nn.functional.cross_entropy")
def cross_entropy(x: Tensor, target: Tensor, weight: Tensor | None = None, **how: Any) -> Tensor:
    """The mean negative log-likelihood () of the labels (b,) under softmax of x (b, classes)."""
    kept = {name: value for name, value in how.items() if value is not None}
    plain = {"reduction": "mean", "label_smoothing": 0.0, "ignore_index": -100}
    if weight is not None or x.rank != 2 or any(value != plain.get(name) for name, value in kept.items()):
        raise refused("cross_entropy but the plain mean over rows of scores")
    return _nll_loss(log_softmax(x, 1), target)


def _nll_loss(logarithms: Tensor, target: Tensor) -> Tensor:
    tape = logarithms.tape
    out, total = logarithms.new(()), logarithms.new(())
    tape.kernel("nll_loss_forward", "pointwise", [logarithms, target, out, total], flops=1)

    def backward(saved: Sequence[Tensor], g: Tensor) -> list[Tensor]:
        gradient = g.new(saved[0].sizes)
        tape.kernel("nll_loss_backward", "pointwise", [g, *saved, gradient], flops=gradient.elements)
        return [gradient]

    attach([out], [logarithms], [logarithms, target, total], backward)
    return out
