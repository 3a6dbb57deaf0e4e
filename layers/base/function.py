"""Operations with a backward of their own, which save less than autograd would."""

from __future__ import annotations

from functools import wraps
from typing import Any

import torch
from torch import Tensor

from .checks import full_precision


class Function(torch.autograd.Function):
    """An operation that says itself what its backward keeps.

    A subclass defines ``forward``, ``setup_context`` and ``backward``. ``forward`` runs without a graph, in plain
    operators, and returns the result, or a tuple of it and of tensors that ``setup_context`` saves and marks as not
    differentiable. ``backward`` gets the result's gradient. Called by :meth:`of`, which leaves autograd out where no
    gradient is wanted and under torch.jit.trace: fvcore, for one, sees the plain operators.
    """

    def __init_subclass__(cls) -> None:
        """A backward that is called under autocast must compute as its forward did, in full precision."""
        super().__init_subclass__()
        backward = cls.backward

        @wraps(backward)
        def in_full_precision(ctx: Any, g: Tensor | None, *_: None) -> Any:
            if g is None:  # nothing depends on the result
                return (None,) * len(ctx.needs_input_grad)
            with full_precision(g.device.type):
                return backward(ctx, g)

        cls.backward = staticmethod(in_full_precision)  # type: ignore[method-assign]

    @classmethod
    def of(cls, *args: Any) -> Tensor:
        """Apply to ``args``, of which some are tensors."""
        traced = torch.jit.is_tracing()  # type: ignore[attr-defined, no-untyped-call]
        differentiable = torch.is_grad_enabled() and any(isinstance(a, Tensor) and a.requires_grad for a in args)
        wanted = differentiable and not traced
        result: Any = cls.apply(*args) if wanted else cls.forward(*args)  # type: ignore[no-untyped-call]
        first: Tensor = result[0] if isinstance(result, tuple) else result
        return first
