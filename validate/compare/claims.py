"""What each method promises, read off its class, and how near a measurement must come: the one table of claims."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch

from lipcost.layers import LAYERS
from lipcost.layers.base.layer import LIPSCHITZ, NONE, ORTHOGONAL
from lipcost.layers.methods.registry import DEFAULTS

TOLERANCES = {torch.float32: 1e-5, torch.float64: 1e-6}  # of a Lipschitz constant above 1, and of a promised 1
IN_EVAL = 1e-5  # of the singular values where only the paddings say that a layer is orthogonal, in eval
CLAIMED = tuple(name for name in DEFAULTS if LAYERS[name].promise != NONE)  # the methods that promise something in eval


class Claim(NamedTuple):
    """What a layer promises.

    Attributes:
        promise: "none", "1-Lipschitz" or "orthogonal".
        above: by how much its Lipschitz constant may exceed 1.
        off: how far its singular values may be from 1; infinite unless it is to be orthogonal.
    """

    promise: str
    above: float
    off: float = math.inf


def claim(
    method: str,
    k: int,
    dtype: torch.dtype,
    *,
    training: bool,
    padding_mode: str | None = None,
    degenerate: bool = False,
) -> Claim:
    """What a method promises: as its class says for its default padding, and where its paddings make it orthogonal.

    Args:
        method: key of LAYERS.
        k: kernel size.
        dtype: of the layer.
        training: whether it is in training mode.
        padding_mode: of the layer; None for the class's default.
        degenerate: whether its weights are, so that it need not be orthogonal.

    Example:
        >>> import torch
        >>> from lipcost.validate.compare.claims import claim
        >>> for how in ({"training": False}, {"training": True}, {"training": False, "padding_mode": "circular"}):
        ...     print(claim("lot", 3, torch.float64, **how))
        Claim(promise='1-Lipschitz', above=1e-06, off=inf)
        Claim(promise='1-Lipschitz', above=1e-06, off=inf)
        Claim(promise='orthogonal', above=1e-06, off=1e-05)
    """
    cls, above = LAYERS[method], TOLERANCES[dtype]
    padding = padding_mode or cls.padding_modes[0]
    promise = cls.promises(k, training)
    if promise == NONE:
        return Claim(NONE, math.inf)
    if not degenerate and promise == ORTHOGONAL and padding == cls.padding_modes[0]:
        return Claim(ORTHOGONAL, above, above)
    if not degenerate and not training and padding in cls.orthogonal_paddings:
        return Claim(ORTHOGONAL, above, IN_EVAL)
    return Claim(LIPSCHITZ, above)
