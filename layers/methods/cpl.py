"""CPL: convex potential layers."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from ..base.function import Function
from ..base.layer import CIRCULAR, LIPSCHITZ, NONE
from .families.residual import ResidualConv2d
from .parts.convolution import correlate, correlate_adjoint, kernel_gradient
from .parts.norms import GRAM_ITERATIONS, gram_bound, kernel_spectrum
from .published.cpl import PublishedCPLConv2d


class CPLConv2d(ResidualConv2d):
    r"""The residual layer :math:`x \mapsto x - \frac{2}{\sigma^2 + \varepsilon} W^\top \mathrm{relu}(W x + b)`.

    Source: Meunier, Delattre, Araujo & Allauzen, "A Dynamical System Perspective for Lipschitz Neural Networks",
    ICML 2022, Corollary 1. 1-Lipschitz where :math:`\sigma \ge \|W\|_2`; ε = 10⁻⁶.

    In eval σ is an upper bound for images of the given size, so the layer is 1-Lipschitz: Gram iteration (see
    :func:`~lipcost.layers.methods.parts.norms.gram_bound`) at every frequency. In training σ is an estimate from
    below, by ``iterations`` steps of the power method from the buffer ``u``, as published, but on an image of a size of
    its own and with circular padding: nearly the largest norm over all frequencies, which those on images do not
    exceed. It is computed as :math:`x - V^\top \mathrm{relu}(V x + b')`, V and b' being W and b times
    :math:`(2/(\sigma^2 + \varepsilon))^{1/2}`, and saves x and the relu's output.

    Args:
        iterations: power iterations per training step.
        eval_iterations: Gram iterations in eval, each of which halves the logarithm of the bound's error.

    Other arguments and errors: those of :class:`Conv2d`, or a ValueError if an iteration count is no positive integer.

    Example:
        >>> import torch
        >>> from lipcost.layers import CPLConv2d
        >>> CPLConv2d(3, 8, 3)(torch.zeros(2, 3, 16, 16)).shape
        torch.Size([2, 8, 16, 16])
    """

    name = "cpl"
    title = "CPL"
    colour, marker = "#D55E00", "v"
    counts = {"iterations": 1, "eval_iterations": GRAM_ITERATIONS}
    promise, train_promise = LIPSCHITZ, NONE
    algorithms: ClassVar = {"published": PublishedCPLConv2d}
    depends_on_size = True
    first_iterations = 20
    iterations: int
    eval_iterations: int

    u: Tensor

    def _register(self, factory: dict[str, Any], bias: bool) -> None:
        super()._register(factory, bias)
        # The norm at a frequency changes little between neighbours on a grid of a few times k.
        side = 1 if self.kernel_size == 1 else 4 * self.kernel_size
        self.register_buffer("u", torch.empty(1, self.channels[0], side, side, **factory))

    def reset_parameters(self) -> None:
        """Kernel Xavier normal, bias uniform in ±1/√fan_in, the power vector after some iterations from a fixed one."""
        super().reset_parameters()
        nn.init.xavier_normal_(self.weight)
        # sin(i²) looks random and is a function of i.
        i = torch.arange(self.u.numel(), dtype=torch.float64, device=self.u.device)
        self.u.copy_(i.square().add(1).sin().reshape(self.u.shape))
        self._power_method(self.first_iterations)

    def _squared_norm(self, size: tuple[int, ...]) -> Tensor:
        if self.training:
            sigma = Product.of(self.weight, *self._power_method(self.iterations))
        else:
            sigma = gram_bound(self._matrices(size), self.eval_iterations).amax()
        return sigma**2

    @torch.no_grad()
    def _power_method(self, iterations: int) -> tuple[Tensor, Tensor, Tensor]:
        """Directions u and v, both as ``self.u``, and <Wu, v>."""
        u, tiny = self.u, torch.finfo(self.u.dtype).tiny
        for _ in range(iterations):
            v = correlate(u, self.weight, None, CIRCULAR)
            v = v / v.norm().clamp_min(tiny)
            image = correlate_adjoint(v, self.weight, CIRCULAR)
            norm = image.norm()
            u = torch.where(norm > 0, image / norm.clamp_min(tiny), u)  # zero weights leave the vector as it is
        self.u.copy_(u)
        return u, v, norm

    def _matrices(self, size: tuple[int, ...]) -> Tensor:
        """The matrices (m, n, n) whose largest norm is at least the convolution's."""
        weight = self.weight.to(torch.promote_types(self.weight.dtype, torch.float32))
        return weight.flatten(1)[None] if self.kernel_size == 1 else kernel_spectrum(weight, size, self.padding_mode)


class Product(Function):
    """<Wu, v> with circular padding, already known: the norm of Wᵀv, of which u is the direction."""

    @staticmethod
    def forward(weight: Tensor, u: Tensor, v: Tensor, product: Tensor) -> Tensor:
        return product.clone()

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        ctx.save_for_backward(*inputs[:3])

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor | None, ...]:
        weight, u, v = ctx.saved_tensors
        return g * kernel_gradient(u, v, weight, CIRCULAR), None, None, None
