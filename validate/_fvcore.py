"""fvcore, with a handler for every operator that the layers use and that it lacks or counts wrongly."""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

import torch
from fvcore.nn import FlopCountAnalysis
from fvcore.nn.jit_handles import conv_flop_count, conv_flop_jit, get_shape
from torch import Tensor, nn

# Operators of a traced forward without a MAC; fvcore knows more of them (views, relu, copies).
ZERO_MACS = (
    "_conj",
    "abs",
    "adaptive_max_pool2d",
    "add",
    "add_",
    "amax",
    "arange",
    "clamp_max_",
    "clamp_min",
    "clamp_min_",
    "clone",
    "diagonal",
    "div",
    "eq",
    "eye",
    "fft_fft2",
    "fft_fftfreq",
    "fft_ifft2",
    "fft_irfft2",
    "fft_rfft2",
    "fft_rfftfreq",
    "flip",
    "linalg_cholesky",
    "linalg_cholesky_ex",
    "linalg_inv",
    "linalg_inv_ex",
    "linalg_solve",
    "linalg_solve_ex",
    "linalg_solve_triangular",
    "linalg_vector_norm",
    "lt",
    "mH",
    "mT",
    "mean",
    "min",
    "minimum",
    "mul",
    "mul_",
    "neg",
    "ones_like",
    "pad",
    "pixel_unshuffle",
    "polar",
    "pow",
    "real",
    "reciprocal",
    "rsub",
    "sqrt",
    "sub",
    "sub_",
    "sum",
    "tril",
    "triu",
    "unflatten",
    "view_as_real",
    "where",
)


def reals_per_mac(dtype: torch.dtype) -> int:
    """Real MACs in one MAC of a type: 4 if it is complex.

    Example:
        >>> import torch
        >>> from lipcost.validate._fvcore import reals_per_mac
        >>> reals_per_mac(torch.complex64)
        4
    """
    return 4 if dtype.is_complex else 1


def fvcore_macs(layer: nn.Module, x: Tensor) -> dict[str, int]:
    """Forward MACs by fvcore, as "conv" and "matmul", in the mode that is set.

    Raises:
        ValueError: if fvcore meets an operator that neither it nor this module knows.

    Source: fvcore.nn.FlopCountAnalysis, with handlers that weigh complex products by 4 and broadcast batches.

    Example:
        >>> import torch
        >>> from lipcost.validate._fvcore import fvcore_macs
        >>> fvcore_macs(torch.nn.Linear(4, 8), torch.ones(2, 4))
        {'conv': 0, 'matmul': 64}
    """
    analysis = FlopCountAnalysis(layer, (x,)).unsupported_ops_warnings(False)
    analysis.uncalled_modules_warnings(False).tracer_warnings("none")
    analysis.clear_op_handles()
    analysis.set_op_handle(
        **{"aten::_convolution": _traced_conv, "aten::_convolution_mode": _traced_conv_mode},
        **{f"aten::{name}": _traced_matmul for name in ("linear", "matmul", "mm", "bmm")},
        **{"aten::baddbmm": lambda inputs, outputs: _traced_matmul(inputs[1:], outputs)},  # what is added comes first
        **{f"aten::{name}": None for name in ZERO_MACS},
    )
    with torch.no_grad():  # where the layers' own autograd functions are plain operators, which a trace shows
        counted = analysis.by_operator()
    unsupported = sorted(analysis.unsupported_ops())
    if unsupported:
        raise ValueError(f"fvcore has no handler for {', '.join(unsupported)}; see lipcost.validate._fvcore")
    return {name: int(counted[name]) for name in ("conv", "matmul")}


def _traced_conv(inputs: list[Any], outputs: list[Any]) -> Counter[str]:
    macs = conv_flop_jit(inputs, outputs)["conv"]
    return Counter(conv=macs * reals_per_mac(outputs[0].type().dtype()))


def _traced_conv_mode(inputs: list[Any], outputs: list[Any]) -> Counter[str]:
    macs = conv_flop_count(get_shape(inputs[0]), get_shape(inputs[1]), get_shape(outputs[0]))
    return Counter(conv=macs * reals_per_mac(outputs[0].type().dtype()))


def _traced_matmul(inputs: list[Any], outputs: list[Any]) -> Counter[str]:
    macs = math.prod(get_shape(outputs[0])) * get_shape(inputs[0])[-1]
    return Counter(matmul=macs * reals_per_mac(outputs[0].type().dtype()))
