"""Dense 1-Lipschitz layers: the classification heads of the published networks of Cayley and BCOP."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from ..base.layer import LipschitzLinear
from ..methods.published.bcop import bjorck, spectral_norms
from ..methods.published.cayley import cayley


class PublishedCayleyLinear(LipschitzLinear):
    r"""Orthogonal dense layer: the Cayley transform of αW/‖W‖, α learned and ‖W‖ at first.

    Source: Trockman & Kolter, "Orthogonalizing Convolutional Layers with the Cayley Transform", ICLR 2021.

    Args and errors: those of :class:`LipschitzLinear`.

    Example:
        >>> import torch
        >>> from lipcost.layers.networks.heads import PublishedCayleyLinear
        >>> q = PublishedCayleyLinear(4, 4).parameter_transform(())[0]
        >>> torch.allclose(q @ q.T, torch.eye(4), atol=1e-5)
        True
    """

    name = "cayley/published"
    title = "Cayley, dense, published"
    dtypes = (torch.float32, torch.float64)  # matrix inverses know no bfloat16

    def _register(self, factory: dict[str, Any], bias: bool) -> None:
        super()._register(factory, bias)
        self.alpha = nn.Parameter(torch.empty((), **factory))

    def reset_parameters(self) -> None:
        """As torch.nn.Linear; α = ‖W‖."""
        super().reset_parameters()
        with torch.no_grad():
            self.alpha.copy_(self.weight.norm())

    def parameter_transform(self, size: tuple[int, ...]) -> tuple[Tensor]:
        w = self.alpha * self.weight / self.weight.norm()
        return (cayley(w[None])[0],)


class PublishedBjorckLinear(LipschitzLinear):
    r"""Orthogonal dense layer: Björck–Bowie iterations on W over a power-iteration estimate of its spectral norm.

    Source: Anil, Lucas & Grosse, "Sorting out Lipschitz function approximation", ICML 2019; the head of BCOP's networks
    in the published comparison.

    Args:
        in_features: n_in.
        out_features: n_out.
        iterations: Björck–Bowie iterations in training, t (3 in the published comparison).
        eval_iterations: the same in eval mode (15 there).
        power_iterations: of the norm's estimate, t_power; they start from the buffer ``u``, which every training step
            updates.
        bias: whether a bias is learned.
        device: where the parameters are created.
        dtype: their type.

    Raises:
        ValueError: as :class:`LipschitzLinear`, or if an iteration count is not a positive integer.

    Example:
        >>> import torch
        >>> from lipcost.layers.networks.heads import PublishedBjorckLinear
        >>> PublishedBjorckLinear(6, 4)(torch.zeros(2, 6)).shape
        torch.Size([2, 4])
    """

    name = "bcop/published"
    title = "Björck, dense, published"
    counts = {"iterations": 3, "eval_iterations": 15, "power_iterations": 10}
    iterations: int
    eval_iterations: int
    power_iterations: int
    u: Tensor

    def _register(self, factory: dict[str, Any], bias: bool) -> None:
        super()._register(factory, bias)
        self.register_buffer("u", torch.empty(self.out_features, 1, **factory))

    def reset_parameters(self) -> None:
        """A random orthogonal matrix, a random power vector, torch.nn.Linear's bias."""
        super().reset_parameters()
        weight = self.weight.detach()
        precise = weight.to(torch.promote_types(weight.dtype, torch.float32))  # QR knows no bfloat16
        weight.copy_(nn.init.orthogonal_(precise))
        nn.init.normal_(self.u)

    def parameter_transform(self, size: tuple[int, ...]) -> tuple[Tensor]:
        iterations = self.iterations if self.training else self.eval_iterations
        return (bjorck(self.weight / self._spectral_norm(), iterations),)

    def _spectral_norm(self) -> Tensor:  # (1, 1)
        norm, u = spectral_norms(self.weight, self.u, self.power_iterations)
        if self.training:
            self.u.copy_(u)
        return norm
