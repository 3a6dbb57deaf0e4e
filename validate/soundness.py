"""Whether layers keep their promises for any weights and in any state of use: exact Jacobians, figures, verdicts."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import product
from typing import NamedTuple

import torch
from torch import Tensor, nn

from lipcost.layers import LAYERS, LipschitzConv2d
from lipcost.layers.base.conv2d import Conv2d
from lipcost.layers.base.layer import NONE
from lipcost.layers.methods.registry import DEFAULTS

from .measure.lipschitz import jacobian, lipschitz_upper_bound

TOLERANCES = {torch.float32: 1e-4, torch.float64: 1e-5}  # of a Lipschitz constant, above 1
DEFECT = 1e-5  # of an orthogonal layer's singular values
CLAIMED = tuple(name for name in DEFAULTS if LAYERS[name].promise != NONE)  # the methods that promise something in eval
STATES = ("train", "eval after train", "eval first", "eval after load_state_dict")
STEPS = 5
LEARNING_RATE = 10.0
POINTS = 2  # random ones, at which the Jacobian of a residual layer is taken; the others' is the same everywhere
MESSAGE = 160  # characters of an error that are kept
STALE = 0.01  # how far a layer may be from the one whose state it loaded, relative


class Shape(NamedTuple):
    """A layer's arguments and the image's sides."""

    c_in: int
    c_out: int
    k: int
    h: int
    w: int

    def __str__(self) -> str:
        return f"{self.c_in}→{self.c_out} k={self.k} on {self.h}×{self.w}"


SHAPES = (
    Shape(3, 3, 3, 6, 6),
    Shape(4, 4, 1, 4, 4),
    Shape(3, 3, 5, 5, 5),
    Shape(2, 2, 3, 3, 6),
    Shape(2, 2, 7, 3, 3),  # circular padding allows no larger kernel
    Shape(2, 5, 3, 4, 4),
    Shape(5, 2, 3, 4, 4),
)


def _zero_channel(w: Tensor) -> Tensor:
    """The first channel of input and output; ``w`` is a kernel or, with three axes, a stack of matrices."""
    w = w.clone()
    for axis in (1, 2) if w.dim() == 3 else (0, 1):
        w.select(axis, 0).zero_()
    return w


def _rank_one(w: Tensor) -> Tensor:
    """A kernel as the matrix with a row per output channel, or each matrix of a stack."""
    matrices = w if w.dim() == 3 else w.flatten(1)
    outer = torch.randn_like(matrices[..., :, :1]) @ torch.randn_like(matrices[..., :1, :])
    return (outer * (float(w.norm()) / float(outer.norm()))).reshape(w.shape)


SGD = f"{STEPS} SGD steps"
WEIGHTS: dict[str, Callable[[Tensor], Tensor]] = {
    "initial": lambda w: w,
    "× 1e-4": lambda w: w * 1e-4,
    "× 1e2": lambda w: w * 1e2,
    "zero": torch.zeros_like,
    "zero channel": _zero_channel,
    "rank one": _rank_one,
    "all equal": lambda w: torch.full_like(w, float(w.norm()) / math.sqrt(w.numel())),
    SGD: lambda w: w,
}
DEGENERATE = ("zero", "zero channel", "rank one", "all equal")


@dataclass(frozen=True)
class Subject:
    """A layer under test.

    Attributes:
        name: what tables call it.
        method: key of LAYERS, whose claims it is held to.
        build: the layer for c_in, c_out, k, in torch's default dtype.
        orthogonal: whether weights that are not degenerate should give an orthogonal layer.
    """

    name: str
    method: str
    build: Callable[[int, int, int], nn.Module]
    orthogonal: bool = False


@dataclass(frozen=True)
class Case:
    """One layer with one kind of weights, in one state.

    Attributes:
        subject: the layer.
        shape: its arguments and the image's.
        dtype: its type.
        kind: key of WEIGHTS: what every learned tensor but vectors, such as a bias, is set to.
        state: one of STATES. In training mode the next forward is measured; "eval after train" follows a training
            forward, "eval first" none, and "eval after load_state_dict" loads the weights into a layer that was in use.
    """

    subject: Subject
    shape: Shape
    dtype: torch.dtype
    kind: str
    state: str

    @property
    def residual(self) -> bool:
        """Whether the layer is linear on pieces of its domain only."""
        return LAYERS[self.subject.method].residual

    def __str__(self) -> str:
        return f"{self.shape}, {str(self.dtype).removeprefix('torch.')}, {self.kind}, {self.state}"


@dataclass(frozen=True)
class Outcome:
    """What a case gave.

    Attributes:
        case: the case.
        largest, smallest: singular values of the exact Jacobian, for a residual layer at several points.
        bound: an upper bound of the Lipschitz constant, for the layers of this library.
        finite: whether outputs, the Jacobian and all gradients are.
        error: what was raised, or another fault: a wrong shape, an old state, a bound below a singular value.
    """

    case: Case
    largest: float = math.nan
    smallest: float = math.nan
    bound: float = math.nan
    finite: bool = True
    error: str | None = None

    @property
    def sigma(self) -> float:
        """The largest singular value; for residual layers the bound, where that is larger."""
        return max(self.largest, self.bound) if self.case.residual and self.bound == self.bound else self.largest

    @property
    def exceeds(self) -> bool:
        """Whether the layer is not 1-Lipschitz, claimed or not."""
        return self.sigma > 1 + TOLERANCES[self.case.dtype]

    @property
    def claimed(self) -> bool:
        """Whether the method promises to be 1-Lipschitz here."""
        case = self.case
        return LAYERS[case.subject.method].promises(case.shape.k, training=case.state == "train") != NONE

    @property
    def defect(self) -> float:
        """How far the singular values are from 1 in eval, where an orthogonal layer is expected; else NaN."""
        case = self.case
        if not case.subject.orthogonal or case.state == "train" or case.kind in DEGENERATE:
            return math.nan
        return max(abs(self.largest - 1), abs(self.smallest - 1))

    @property
    def fails(self) -> bool:
        """Whether a promise is broken.

        Example:
            >>> soc = own("soc/published"), SHAPES[0], torch.float32, "initial"
            >>> [Outcome(Case(*soc, state), 1.1, 1.0).fails for state in ("train", "eval first")]
            [False, True]
        """
        return (self.exceeds and self.claimed) or not self.finite or self.error is not None or self.defect > DEFECT


def own(key: str, padding_mode: str | None = None) -> Subject:
    """A layer of this library.

    Args:
        key: of LAYERS.
        padding_mode: one of the class's; its default where not given.

    Example:
        >>> own("lot").orthogonal, own("lot", "circular").orthogonal
        (False, True)
    """
    layer, method = LAYERS[key], key.partition("/")[0]
    orthogonal = LAYERS[method].orthogonal_paddings
    if not issubclass(layer, Conv2d):
        return Subject(key, method, layer, bool(orthogonal))
    mode = padding_mode or layer.padding_modes[0]
    name = key if mode == layer.padding_modes[0] else f"{key}, {mode}"
    return Subject(name, method, partial(layer, padding_mode=mode), mode in orthogonal)


def cases(
    subject: Subject, shapes: Sequence[Shape] = SHAPES, dtypes: Sequence[torch.dtype] = tuple(TOLERANCES)
) -> list[Case]:
    """Every kind of weights in every state, for each shape and type."""
    return [Case(subject, *each) for each in product(shapes, dtypes, WEIGHTS, STATES)]


def measure(case: Case, seed: int = 0) -> Outcome:
    """Build the layer, bring it into its state and measure it there, on itself and no copy, as caches are part of it.

    Args:
        case: the case.
        seed: of everything random. Torch's own random state is left alone.

    Example:
        >>> measure(Case(own("aol"), Shape(2, 3, 3, 4, 5), torch.float64, "rank one", "eval first")).fails
        False
    """
    with torch.random.fork_rng(devices=[]), _default_dtype(case.dtype):
        torch.manual_seed(seed)
        try:
            return _measure(case)
        except Exception as error:  # whatever it is, it is shown, and the run goes on
            return Outcome(case, error=" ".join(f"{type(error).__name__}: {error}".split())[:MESSAGE])


def _measure(case: Case) -> Outcome:
    c_in, c_out, _, h, w = case.shape
    points = torch.randn(POINTS, c_in, h, w)
    weighted = _weighted(case)
    layer = _in_state(case, weighted, points)

    def call(x: Tensor) -> Tensor:
        y: Tensor = layer(x)
        if y.shape[1:] != (c_out, h, w):
            raise ValueError(f"the output has shape {tuple(y.shape[1:])} instead of {(c_out, h, w)}")
        return y

    image, stale = (c_in, h, w), False
    if layer.training:
        bounds = _bounds(layer, image)  # of the next forward, which is the one that is measured
    else:
        with torch.no_grad():
            stale = case.state == STATES[-1] and _differs(call(points), weighted.eval()(points))
    with _frozen(layer):
        matrices = _jacobians(case, call, layer, points)
    if not layer.training:
        bounds = _bounds(layer, image)  # only now, as it fills the cache
    if not matrices.isfinite().all():
        return Outcome(case, finite=False)
    values = torch.linalg.svdvals(matrices)
    return Outcome(
        case,
        largest=(largest := float(values.max())),
        smallest=float(values.min()),
        bound=max(bounds, default=math.nan),
        finite=_gradients_are_finite(call, layer, points),
        error=_fault(largest * (1 - TOLERANCES[case.dtype]), bounds, stale),
    )


def _fault(least: float, bounds: list[float], stale: bool) -> str | None:
    """What is wrong although nothing was raised; bounds must be at least ``least``."""
    if any(bound < least for bound in bounds):
        return f"the bound {min(bounds):.7g} is below the largest singular value"
    return "after load_state_dict the output is not that of the weights loaded" if stale else None


def _jacobians(case: Case, call: Callable[[Tensor], Tensor], layer: nn.Module, points: Tensor) -> Tensor:
    outputs = case.shape.c_out * case.shape.h * case.shape.w
    if not case.residual:
        return jacobian(call, points[0], outputs)[None]
    found = [jacobian(call, point, outputs) for point in points]
    with torch.no_grad():
        layer.get_parameter("bias").fill_(1.0)
    # Now every unit is active at zero: of all biases and points the one with the largest norm.
    return torch.stack([*found, jacobian(call, torch.zeros_like(points[0]), outputs)])


def _in_state(case: Case, weighted: nn.Module, points: Tensor) -> nn.Module:
    """A layer with the weights of ``weighted``, which it may be, in the case's state."""
    if case.state == "train":
        return weighted.train()
    if case.state == "eval after train":
        weighted.train()(points)
        return weighted.eval()
    layer = case.subject.build(*case.shape[:3]).eval()
    if case.state == "eval first":
        _copy_weights(weighted, layer)
        return layer
    _change(layer, lambda w: w + torch.randn_like(w))
    with torch.no_grad():
        layer(points)
    layer.load_state_dict(weighted.state_dict())
    return layer


def _weighted(case: Case) -> nn.Module:
    """A layer with the case's kind of weights."""
    layer = case.subject.build(*case.shape[:3])
    _change(layer, WEIGHTS[case.kind])
    if case.kind == SGD:
        _train(layer, torch.randn(4, case.shape.c_in, case.shape.h, case.shape.w))
    return layer


def _train(layer: nn.Module, x: Tensor) -> None:
    """Push the outputs of a random batch along a random direction, anew at each step."""
    layer.train()(x)  # some layers have all their parameters after a forward only
    optimizer = torch.optim.SGD(layer.parameters(), lr=LEARNING_RATE)
    for _ in range(STEPS):
        optimizer.zero_grad()
        y = layer(torch.randn_like(x))
        ((y * torch.randn_like(y)).sum() / len(y)).backward()
        optimizer.step()


@torch.no_grad()
def _change(layer: nn.Module, change: Callable[[Tensor], Tensor]) -> None:
    for parameter in layer.parameters():
        if parameter.requires_grad and sum(side > 1 for side in parameter.shape) > 1:
            parameter.copy_(change(parameter))


@torch.no_grad()
def _copy_weights(source: nn.Module, target: nn.Module) -> None:
    learned = {name: parameter for name, parameter in source.named_parameters() if parameter.requires_grad}
    for name, parameter in target.named_parameters():
        if name in learned:
            parameter.copy_(learned[name])


def _bounds(layer: nn.Module, image: tuple[int, int, int]) -> list[float]:
    """Proved by this library: the validator's for residual layers, and what the layer says itself."""
    bounds = [lipschitz_upper_bound(layer, image)] if isinstance(layer, LipschitzConv2d) and layer.residual else []
    return [*bounds, layer.lipschitz_upper_bound(image)] if isinstance(layer, Conv2d) else bounds


def _gradients_are_finite(call: Callable[[Tensor], Tensor], layer: nn.Module, points: Tensor) -> bool:
    layer.zero_grad()
    y = call(points)
    (y * torch.randn_like(y)).sum().backward()  # type: ignore[no-untyped-call]
    gradients = [parameter.grad for parameter in layer.parameters()]
    return bool(y.isfinite().all()) and all(bool(g.isfinite().all()) for g in gradients if g is not None)


def _differs(y: Tensor, expected: Tensor) -> bool:
    return bool((y - expected).norm() > STALE * expected.norm())


@contextmanager
def _frozen(layer: nn.Module) -> Iterator[None]:
    """No parameter wants a gradient, as in deployment: then caches are used."""
    learned = [parameter for parameter in layer.parameters() if parameter.requires_grad]
    for parameter in learned:
        parameter.requires_grad_(False)
    yield
    for parameter in learned:
        parameter.requires_grad_(True)


@contextmanager
def _default_dtype(dtype: torch.dtype) -> Iterator[None]:
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)
