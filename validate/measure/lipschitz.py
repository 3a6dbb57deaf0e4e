"""Lipschitz constants, computed from a layer's dense Jacobian: singular values, an upper bound, a lower bound.

Everything here works on a copy of the layer, in the mode that it is in: nothing of the layer changes, not even the
power-iteration vectors that a training forward updates. The copy's one forward is what the layer's next would be.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lipcost.layers import LipschitzConv2d

Module = TypeVar("Module", bound=nn.Module)


def singular_values(layer: nn.Module, input_shape: tuple[int, int, int], at: Tensor | None = None) -> Tensor:
    r"""All singular values of a layer's Jacobian at one point, largest first.

    The Jacobian is dense, of c_out·h·w rows and c_in·h·w columns, from one forward on c_out·h·w copies of the point and
    one backward: for small images. At a kink of the activation it is the one that autograd takes.

    Args:
        layer: a module that maps (b, c, h, w) to b outputs of any shape, each depending on its own input only.
        input_shape: (c, h, w).
        at: the point, of shape (c, h, w); zero where not given. A linear layer's Jacobian is the same at every point.

    Returns:
        The min(c_out·h·w, c_in·h·w) singular values in float64; the Jacobian is computed in the layer's own type.

    Raises:
        ValueError: if ``at`` has another shape than ``input_shape``, or the Jacobian has an entry that is not finite.

    Example:
        >>> from lipcost.layers import CayleyConv2d
        >>> from lipcost.validate import singular_values
        >>> values = singular_values(CayleyConv2d(2, 3, 3, dtype=torch.float64), (2, 5, 4))
        >>> values.shape, bool((values - 1).abs().max() < 1e-12)
        (torch.Size([40]), True)
    """
    if at is None:
        like = next(layer.parameters(), torch.empty(()))
        at = torch.zeros(input_shape, dtype=like.dtype, device=like.device)
    if at.shape != input_shape:
        raise ValueError(f"the point must have the input's shape {tuple(input_shape)}, got {tuple(at.shape)}")
    with torch.no_grad():
        outputs = _frozen_copy(layer)(at[None]).numel()
    return _svdvals(jacobian(_frozen_copy(layer), at, outputs), type(layer).__name__)


def lipschitz_upper_bound(layer: LipschitzConv2d, input_shape: tuple[int, int, int]) -> float:
    r"""A number that the layer's Lipschitz constant on images of ``input_shape`` does not exceed, up to rounding.

    For the linear methods it is the constant itself, the largest singular value. CPL and SLL are
    :math:`f(x) = x - W^\top T \,\mathrm{relu}(W x + b)` with a diagonal :math:`T > 0`; for them it is

    .. math:: \max(1, \|T^{1/2} W\|_2^2 - 1)

    with the norm from the singular values of the dense matrix. Proof: wherever f has a Jacobian, that is
    :math:`I - W^\top T D W` with D diagonal in [0, 1]; as
    :math:`0 \preceq W^\top T D W \preceq \|T^{1/2} W\|_2^2 I`, its eigenvalues lie between
    :math:`1 - \|T^{1/2} W\|_2^2` and 1; and f is continuous and piecewise linear.

    Args:
        layer: one of the layers of ``lipcost.layers``.
        input_shape: (c, h, w).

    Returns:
        The bound; for CPL and SOC, whose own estimates may fail, it may exceed 1 (see :func:`excess`).

    Raises:
        ValueError: if a weight that meets the input is not finite.

    Example:
        >>> from lipcost.layers import SLLConv2d
        >>> from lipcost.validate import lipschitz_upper_bound
        >>> lipschitz_upper_bound(SLLConv2d(3, 3, 3), (3, 6, 5))
        1.0
    """
    if layer.residual:
        return _residual_bound(_frozen_copy(layer), input_shape)
    return float(singular_values(layer, input_shape)[0])


def excess(layer: LipschitzConv2d, input_shape: tuple[int, int, int]) -> float:
    """By how much :func:`lipschitz_upper_bound` exceeds 1; 0 where it does not.

    Args:
        layer: one of the layers of ``lipcost.layers``.
        input_shape: (c, h, w).

    Returns:
        max(0, upper bound - 1).

    Raises:
        ValueError: as :func:`lipschitz_upper_bound`.

    Example:
        >>> from lipcost.layers import StandardConv2d
        >>> from lipcost.validate import excess
        >>> layer = StandardConv2d(1, 1, 1)
        >>> _ = torch.nn.init.constant_(layer.weight, 1.5)
        >>> excess(layer, (1, 4, 4))
        0.5
    """
    return max(0.0, lipschitz_upper_bound(layer, input_shape) - 1)


def pair_ratio(layer: nn.Module, x: Tensor, y: Tensor) -> float:
    """The largest ‖f(x) - f(y)‖ / ‖x - y‖ over a batch of pairs: a lower bound of the Lipschitz constant.

    Both halves of the pairs go through one forward, so that they meet the same weights in training mode too.

    Args:
        layer: f, a module that maps (b, c, h, w) to b outputs of any shape.
        x: b first points, of shape (b, c, h, w).
        y: b second points, of the same shape, each unlike its first.

    Returns:
        The largest of the b ratios; the norms are computed in float64.

    Raises:
        ValueError: if the shapes differ, or a pair's points are equal, or an output is not finite.

    Example:
        >>> from lipcost.layers import MaxMin
        >>> from lipcost.validate import pair_ratio
        >>> x = torch.tensor([3.0, 0.0]).reshape(1, 2, 1, 1)
        >>> pair_ratio(MaxMin(), x, x / 2)
        1.0
    """
    return distance_ratio(_frozen_copy(layer), x, y)


def distance_ratio(function: Callable[[Tensor], Tensor], x: Tensor, y: Tensor) -> float:
    """:func:`pair_ratio` of a function of batches, or of a layer itself, in place of a copy.

    Example:
        >>> import torch
        >>> from lipcost.validate.measure.lipschitz import distance_ratio
        >>> distance_ratio(lambda x: 2 * x, torch.zeros(1, 3), torch.ones(1, 3))
        2.0
    """
    if x.shape != y.shape:
        raise ValueError(f"the points of the pairs must have one shape, got {tuple(x.shape)} and {tuple(y.shape)}")
    inputs = (x.double() - y.double()).flatten(1).norm(dim=1)
    if not bool((inputs > 0).all()):
        raise ValueError(f"the points of a pair must differ, got distances {inputs.tolist()}")
    with torch.no_grad():
        first, second = function(torch.cat((x, y))).double().chunk(2)
    ratio = float(((first - second).flatten(1).norm(dim=1) / inputs).max())
    if not math.isfinite(ratio):
        name = type(function).__name__ if isinstance(function, nn.Module) else "the function"
        raise ValueError(f"{name} gives outputs that are not finite")
    return ratio


def jacobian(function: Callable[[Tensor], Tensor], point: Tensor, outputs: int) -> Tensor:
    """The dense Jacobian (outputs, inputs) of ``function`` at ``point`` (c, h, w), in float64.

    Of as many copies of the point as there are outputs, the i-th yields the i-th row: one backward does for all.
    """
    with torch.enable_grad():
        points = point.detach().expand(outputs, *point.shape).clone().requires_grad_()
        rows = function(points).reshape(outputs, outputs)
        (matrix,) = torch.autograd.grad(rows.diagonal().sum(), points)
    return matrix.flatten(1).double()


def _residual_bound(layer: LipschitzConv2d, input_shape: tuple[int, int, int]) -> float:
    x = torch.zeros(1, *input_shape, dtype=layer.weight.dtype, device=layer.weight.device)
    with torch.no_grad():
        kernel, padding_mode, inner = layer.residual_branch(x)  # T^(1/2) W (n, c, k, k), and the shape that it meets
    k = kernel.shape[-1]
    pads = ((k - 1) // 2, k // 2) * 2

    def branch(x: Tensor) -> Tensor:
        return F.conv2d(F.pad(x, pads, mode="circular" if padding_mode == "circular" else "constant"), kernel)

    matrix = jacobian(branch, kernel.new_zeros(inner), kernel.shape[0] * inner[1] * inner[2])
    norm = float(_svdvals(matrix, type(layer).__name__)[0])
    return max(1.0, norm**2 - 1)


def _frozen_copy(layer: Module) -> Module:
    """A copy in the same mode whose parameters want no gradient, which spares their graph."""
    return copy.deepcopy(layer).requires_grad_(False)


def _svdvals(matrix: Tensor, name: str) -> Tensor:
    if not bool(matrix.isfinite().all()):
        raise ValueError(f"{name} has a Jacobian with entries that are not finite")
    values: Tensor = torch.linalg.svdvals(matrix)
    return values
