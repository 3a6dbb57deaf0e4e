"""Rules of losses whose targets are classes."""

from __future__ import annotations

from ..errors import Mismatch, refused
from ..tensor import Tensor
from .activations import log_softmax, logsigmoid
from .arithmetic import add, div, mul, neg
from .comparisons import bitwise_not, eq, masked_fill_
from .copies import contiguous
from .formulas import Term, expressed
from .kernels import fits
from .losses import fused, loss_of, reduced_by, with_gradient
from .reductions import sum
from .views import view


@loss_of("nll_loss")
def nll_loss(
    x: Tensor, target: Tensor, weight: Tensor | None = None, *, ignore_index: int = -100, reduction: str
) -> Tensor:
    """Of logarithms x (b, classes, …) and labels (b, …); or of one row."""
    if x.rank in (1, 2):
        return _nll(x, target, weight, reduction, "nll_loss")
    if x.rank == 4:
        return _nll(x, target, weight, reduction, "nll_loss2d")
    sizes = (x.sizes[0], *x.sizes[2:])
    flat = view(contiguous(x), (*x.sizes[:2], 1, -1))
    loss = _nll(flat, view(contiguous(target), (x.sizes[0], 1, -1)), weight, reduction, "nll_loss2d")
    return loss if reduction != "none" else view(loss, sizes)


def _nll(x: Tensor, target: Tensor, weight: Tensor | None, reduction: str, name: str) -> Tensor:
    classes = 0 if x.rank == 1 else 1
    sizes = (*x.sizes[:classes], *x.sizes[classes + 1 :])
    if not fits(sizes, target.sizes):
        raise Mismatch(f"labels of shape {target.sizes} do not fit scores of shape {x.sizes}")
    if x.rank > 2 and x.requires_grad and not x.is_plain:
        raise Mismatch(
            "nll_loss of images has a gradient only of scores that lie without gaps, by torch.contiguous_format"
        )
    weights = [] if weight is None else [weight]
    total = x.new(())
    out = fused(f"{name}_forward", x, [target, *weights], reduction, sizes, total)
    return with_gradient(out, f"{name}_backward", x, target, *weights, total)


@loss_of("cross_entropy")
def cross_entropy(
    x: Tensor, target: Tensor, weight: Tensor | None = None, *, ignore_index: int = -100, reduction: str,
    label_smoothing: float = 0.0,
) -> Tensor:  # fmt: skip
    """Of scores x (b, classes, …) and labels (b, …), or probabilities of the shape of x; or of one row."""
    classes = 0 if x.rank == 1 else 1
    logarithms = log_softmax(x, classes)
    if fits(x.sizes, target.sizes):
        return _of_probabilities(logarithms, target, weight, reduction, classes, label_smoothing)
    loss = nll_loss(logarithms, target, weight, reduction=reduction)
    if label_smoothing == 0:
        return loss
    if weight is not None and reduction == "mean":
        raise refused("cross_entropy with label_smoothing and weights, as a mean: labels decide what is divided by")
    smooth = _summed(logarithms, weight, classes)
    ignored = eq(target, ignore_index)
    masked_fill_(smooth, ignored, 0.0)
    total = _mean_of_others(smooth, ignored) if reduction == "mean" else reduced_by(reduction, smooth)
    scaled = mul(total, label_smoothing)
    return add(mul(loss, 1 - label_smoothing), scaled)


def _mean_of_others(smooth: Tensor, ignored: Tensor) -> Tensor:
    used = bitwise_not(ignored)
    return expressed(lambda smooth, used: used.sum().by(_quotient, smooth), smooth, used)


def _quotient(number: Tensor, loss: Tensor) -> Tensor:
    return div(sum(loss), number)


def _summed(logarithms: Tensor, weight: Tensor | None, classes: int) -> Tensor:
    if weight is None:
        return neg(sum(logarithms, classes))
    return expressed(lambda x, w: -(x * w).sum(classes), logarithms, _weights(logarithms, weight, classes))


def _weights(x: Tensor, weight: Tensor, classes: int) -> Tensor:
    return view(weight, tuple(weight.sizes[0] if axis == classes else 1 for axis in range(x.rank)))


def _of_probabilities(
    logarithms: Tensor, target: Tensor, weight: Tensor | None, reduction: str, classes: int, label_smoothing: float
) -> Tensor:
    if label_smoothing > 0:
        target = expressed(lambda t: t * (1 - label_smoothing) + label_smoothing, target)
    if weight is not None and logarithms.rank > 1:
        weight = _weights(logarithms, weight, classes)

    def loss(x: Term, t: Term, *w: Term) -> Term:
        product = x * t * w[0] if w else x * t
        total = -product.sum((classes,) if reduction == "none" else ())
        return total / 2 if reduction == "mean" else total

    return expressed(loss, logarithms, target, *([] if weight is None else [weight]))


@loss_of("multi_margin_loss")
def multi_margin_loss(
    x: Tensor, target: Tensor, p: int = 1, margin: float = 1.0, weight: Tensor | None = None, *, reduction: str
) -> Tensor:
    weights = [] if weight is None else [weight]
    out = fused("multi_margin_loss", x, [target, *weights], reduction, target.sizes)
    return with_gradient(out, "multi_margin_loss_backward", x, target, *weights)


@loss_of("multilabel_margin_loss")
def multilabel_margin_loss(x: Tensor, target: Tensor, *, reduction: str) -> Tensor:
    found = x.new(target.sizes)
    out = fused("multilabel_margin_loss_forward", x, [target], reduction, x.sizes[:-1], found)
    return with_gradient(out, "multilabel_margin_loss_backward", x, target, found)


@loss_of("multilabel_soft_margin_loss")
def multilabel_soft_margin_loss(x: Tensor, target: Tensor, weight: Tensor | None = None, *, reduction: str) -> Tensor:
    one = mul(target, logsigmoid(x))
    other = mul(target.__rsub__(1), logsigmoid(neg(x)))
    both = add(one, other)
    del one, other
    loss = neg(both)
    del both
    if weight is not None:
        loss = mul(loss, weight)
    loss = div(sum(loss, -1), 2)
    return reduced_by(reduction, loss)
