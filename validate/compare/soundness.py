"""Whether layers keep their claims for any weights and in any state of use: exact Jacobians, figures, verdicts."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from lipcost.layers import LipschitzConv2d
from lipcost.layers.base.conv2d import Conv2d
from lipcost.layers.base.layer import NONE

from ..measure.lipschitz import distance_ratio, jacobian, lipschitz_upper_bound
from .claims import TOLERANCES
from .subjects import STATES, Case, Shape, in_state, own, type_name, weighted

POINTS = 2  # random ones, at which the Jacobian of a residual layer is taken; the others' is the same everywhere
PAIRS = 32
NEAR = 1e-3  # of the distance of a pair: neighbours see one linear piece, distant points several
MESSAGE = 160  # characters of an error that are kept
STALE = 0.01  # how far a layer may be from the one whose state it loaded, relative


@dataclass(frozen=True)
class Outcome:
    """What a case gave.

    Attributes:
        case: the case.
        largest, smallest: singular values of the exact Jacobian, for a residual layer at several points.
        bound: an upper bound of the Lipschitz constant, for the layers of this library.
        pairs: the largest ‖f(x) - f(y)‖ / ‖x - y‖ seen, a lower bound of it; not in float32, which rounds the
            difference of neighbours too much.
        finite: whether outputs, the Jacobian and all gradients are.
        error: what was raised, or another fault: a wrong shape, an old state, a bound below a singular value.
    """

    case: Case
    largest: float = math.nan
    smallest: float = math.nan
    bound: float = math.nan
    pairs: float = math.nan
    finite: bool = True
    error: str | None = None

    @property
    def sigma(self) -> float:
        """The Lipschitz constant: the largest singular value; for residual layers the bound, where that is larger."""
        return max(self.largest, self.bound) if self.case.residual and self.bound == self.bound else self.largest

    @property
    def excess(self) -> float:
        """By how much it exceeds 1; 0 where it does not."""
        return self.sigma - 1 if self.sigma > 1 else 0.0

    @property
    def exceeds(self) -> bool:
        """Whether the layer is not 1-Lipschitz, claimed or not."""
        return max(self.sigma, self.pairs) > 1 + TOLERANCES[self.case.dtype]

    @property
    def claimed(self) -> bool:
        """Whether the method promises to be 1-Lipschitz here."""
        return self.case.claim.promise != NONE

    @property
    def defect(self) -> float:
        """How far the singular values are from 1, where an orthogonal layer is promised; else NaN."""
        if math.isinf(self.case.claim.off):
            return math.nan
        return max(abs(self.largest - 1), abs(self.smallest - 1))

    @property
    def holds(self) -> bool | None:
        """The verdict: whether everything is finite, without a fault and as claimed; None where nothing is claimed.

        Example:
            >>> import torch
            >>> from lipcost.validate.compare.soundness import Outcome
            >>> from lipcost.validate.compare.subjects import SHAPES, Case, own
            >>> soc = own("soc"), SHAPES[0], torch.float32, "initial"
            >>> [Outcome(Case(*soc, state), 1.1, 1.0).holds for state in ("train", "eval first")]
            [None, False]
        """
        if self.error is not None or not self.finite:
            return False
        if not self.claimed:
            return None
        return not self.exceeds and not self.defect > self.case.claim.off

    def to_dict(self) -> dict[str, Any]:
        """All of it, ready for JSON, which knows no NaN and no infinity."""
        case = self.case
        names = ("largest", "smallest", "bound", "pairs", "sigma", "defect")
        figures = {name: getattr(self, name) for name in names}
        return {
            "layer": case.subject.name,
            "method": case.subject.method,
            "padding_mode": case.subject.padding_mode,
            **case.shape._asdict(),
            "dtype": type_name(case.dtype),
            "weights": case.kind,
            "state": case.state,
            "claim": case.claim.promise,
            **{name: value if math.isfinite(value) else None for name, value in figures.items()},
            **{name: getattr(self, name) for name in ("finite", "error", "exceeds", "holds")},
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Outcome:
        """Of :meth:`to_dict`, for a layer of this library."""
        shape = Shape(**{name: data[name] for name in Shape._fields})
        subject = own(data["method"], data["padding_mode"])
        case = Case(subject, shape, getattr(torch, data["dtype"]), data["weights"], data["state"])
        figures = {name: data[name] for name in ("largest", "smallest", "bound", "pairs")}
        known = {name: math.nan if value is None else value for name, value in figures.items()}
        return cls(case, **known, finite=data["finite"], error=data["error"])


def measure(case: Case, seed: int = 0) -> Outcome:
    """Build the layer, bring it into its state and measure it there, on itself and no copy, as caches are part of it.

    Args:
        case: the case.
        seed: of everything random. Torch's own random state is left alone.

    Example:
        >>> import torch
        >>> from lipcost.validate.compare.soundness import measure
        >>> from lipcost.validate.compare.subjects import Case, Shape, own
        >>> measure(Case(own("aol"), Shape(2, 3, 3, 4, 5), torch.float64, "rank one", "eval first")).holds
        True
    """
    with torch.random.fork_rng(devices=[]), _default_dtype(case.dtype):
        torch.manual_seed(seed)
        try:
            return _measure(case)
        except Exception as error:  # whatever it is, it is shown, and the run goes on
            return Outcome(case, error=" ".join(f"{type(error).__name__}: {error}".split())[:MESSAGE])


def _measure(case: Case) -> Outcome:
    image, output = case.shape.image, (case.shape.c_out, case.shape.h, case.shape.w)
    points = torch.randn(POINTS, *image)
    source = weighted(case)
    layer = in_state(case, source, points)

    def call(x: Tensor) -> Tensor:
        y: Tensor = layer(x)
        if y.shape[1:] != output:
            raise ValueError(f"the output has shape {tuple(y.shape[1:])} instead of {output}")
        return y

    stale = False
    if layer.training:
        bounds = _bounds(layer, image)  # of the next forward, which is the one that is measured
    else:
        with torch.no_grad():
            stale = case.state == STATES[-1] and _differs(call(points), source.eval()(points))
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
        pairs=_pairs(call, image) if case.dtype == torch.float64 else math.nan,
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
    bias = layer.get_parameter("bias")
    before = bias.detach().clone()
    with torch.no_grad():
        bias.fill_(1.0)
    # Now every unit is active at zero: of all biases and points the one with the largest norm.
    found.append(jacobian(call, torch.zeros_like(points[0]), outputs))
    with torch.no_grad():
        bias.copy_(before)
    return torch.stack(found)


def _pairs(call: Callable[[Tensor], Tensor], image: tuple[int, int, int]) -> float:
    x, y = torch.randn(2, PAIRS, *image)
    return max(distance_ratio(call, x, y), distance_ratio(call, x, x + NEAR * y))


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
