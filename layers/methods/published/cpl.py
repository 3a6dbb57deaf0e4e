"""CPL: convex potential layers."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ...base.layer import ZEROS, LipschitzConv2d


class PublishedCPLConv2d(LipschitzConv2d):
    r"""The residual layer :math:`x \mapsto x - \frac{2}{\|W\|_2^2} W^\top \mathrm{relu}(W x + b)`, zero padding.

    Source: Meunier, Delattre, Araujo & Allauzen, "A Dynamical System Perspective for Lipschitz Neural Networks",
    ICML 2022, Corollary 1.

    :math:`\|W\|_2` is estimated by the convolutional power method, as published: in training by ``iterations`` steps
    from the buffer ``u`` (1, c, h, w), in eval by ``eval_iterations`` from there, cached. An estimate from below is no
    bound, so the layer may exceed 1-Lipschitz by the estimate's error. ``u`` has the shape of the last training image
    (1×1 at first); another size starts from a fixed pseudo-random vector.

    Args:
        in_channels: c.
        out_channels: c, the same.
        kernel_size: k, odd.
        iterations: power iterations per training step, t (1 in the published comparison).
        eval_iterations: power iterations in eval mode (100 there).
        bias: whether a bias is learned.
        device: where the parameters are created.
        dtype: their type.

    Raises:
        ValueError: as :class:`LipschitzConv2d`, if c_in ≠ c_out (the method adds input to output), or if an iteration
        count is not a positive integer.

    Example:
        >>> import torch
        >>> from lipcost.layers import LAYERS
        >>> LAYERS["cpl/published"](8, 8, 3)(torch.zeros(2, 8, 16, 16)).shape
        torch.Size([2, 8, 16, 16])
    """

    name = "cpl/published"
    title = "CPL, published"
    counts = {"iterations": 1, "eval_iterations": 100}
    padding_modes = (ZEROS,)
    square = True
    residual = True
    depends_on_size = True
    epsilon = 1e-6
    iterations: int
    eval_iterations: int

    def _register(self, factory: dict[str, Any], bias: bool) -> None:
        super()._register(factory, bias)
        self.register_buffer("u", torch.empty(1, self.in_channels, 1, 1, **factory))

    def reset_parameters(self) -> None:
        """Kernel Xavier normal, bias uniform in ±1/√fan_in, the power vector fixed pseudo-random."""
        super().reset_parameters()
        nn.init.xavier_normal_(self.weight)
        self.u = self._start((1, 1))

    def parameter_transform(self, size: tuple[int, ...]) -> tuple[Tensor]:
        u, v = self._power_vectors(size)
        sigma = (self._conv(u) * v).sum()
        return (2 / (sigma**2 + self.epsilon),)

    def residual_branch(self, x: Tensor) -> tuple[Tensor, str, tuple[int, int, int]]:
        self._check_input(x)
        (scale,) = self.parameter_transform(tuple(x.shape[2:]))  # () or (c,)
        c, h, w = x.shape[1:]
        return scale.sqrt().reshape(-1, 1, 1, 1) * self.weight, "zeros", (c, h, w)

    def input_transform(self, x: Tensor, scale: Tensor) -> Tensor:  # type: ignore[override]
        y = F.relu(self._conv(x, self.bias))
        return x - scale * self._conv_transpose(y)

    @torch.no_grad()
    def _power_vectors(self, size: tuple[int, ...]) -> tuple[Tensor, Tensor]:  # both (1, c, h, w)
        if self.training and self.u.shape[2:] != size:
            self.u = self._start(size)
        u = self.u if self.u.shape[2:] == size else self._start(size)
        epsilon = self.epsilon if self.training else 1e-12
        for _ in range(self.iterations if self.training else self.eval_iterations):
            v = self._conv(u)
            v = v / (v.norm() + epsilon)
            u = self._conv_transpose(v)
            u = u / (u.norm() + epsilon)
        if self.training:
            self.u.copy_(u)
        return u, v

    def _conv(self, x: Tensor, bias: Tensor | None = None) -> Tensor:
        return F.conv2d(x, self.weight, bias, padding=self.kernel_size // 2)

    def _conv_transpose(self, y: Tensor) -> Tensor:
        return F.conv_transpose2d(y, self.weight, padding=self.kernel_size // 2)

    def _start(self, size: tuple[int, ...]) -> Tensor:
        # sin(i²) looks random and is a function of i: forward must not move the global random state.
        i = torch.arange(self.in_channels * size[0] * size[1], dtype=torch.float64, device=self.weight.device)
        return i.square().add(1).sin().reshape(1, -1, *size).to(self.weight.dtype)

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *args: Any) -> None:
        saved = state_dict.get(prefix + "u")
        if saved is not None and saved.shape != self.u.shape:
            self.u = self.u.new_empty(saved.shape)
        super()._load_from_state_dict(state_dict, prefix, *args)
