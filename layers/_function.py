"""Operations with a backward of their own, which save less than autograd would."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


class Function(torch.autograd.Function):
    """An operation that says itself what its backward keeps.

    A subclass defines ``forward``, ``setup_context`` and ``backward``. ``forward`` runs without a graph, in plain
    operators, and ``setup_context`` saves tensors. Called by :meth:`of`, which leaves autograd out where no gradient is
    wanted: then tracers see the plain operators.
    """

    @classmethod
    def of(cls, *args: Any) -> Tensor:
        """Apply to ``args``, of which some are tensors."""
        wanted = torch.is_grad_enabled() and any(isinstance(a, Tensor) and a.requires_grad for a in args)
        result: Tensor = cls.apply(*args) if wanted else cls.forward(*args)  # type: ignore[no-untyped-call]
        return result
