"""fvcore, with a handler for every operator that the layers use and that it lacks or counts wrongly."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from fvcore.nn import FlopCountAnalysis
from fvcore.nn.jit_handles import conv_flop_count, conv_flop_jit, get_shape
from torch import Tensor, nn

# Operators of a traced forward without a MAC; fvcore knows more of them (views, relu, copies).
ZERO_MACS = (
    "_conj",
    "_conj_physical",
    "_weight_norm",
    "abs",
    "adaptive_avg_pool2d",
    "adaptive_max_pool2d",
    "add",
    "add_",
    "adjoint",
    "alias",
    "all",
    "amax",
    "amin",
    "aminmax",
    "any",
    "arange",
    "argmax",
    "argmin",
    "argsort",
    "as_strided",
    "atleast_1d",
    "atleast_2d",
    "atleast_3d",
    "avg_pool2d",
    "bartlett_window",
    "batch_norm",
    "blackman_window",
    "block_diag",
    "broadcast_tensors",
    "broadcast_to",
    "bucketize",
    "cartesian_prod",
    "celu",
    "celu_",
    "clamp",
    "clamp_max_",
    "clamp_min",
    "clamp_min_",
    "clone",
    "column_stack",
    "concat",
    "concatenate",
    "conj",
    "conj_physical",
    "copy_",
    "cos",
    "count_nonzero",
    "cummax",
    "cummin",
    "cumprod",
    "cumsum",
    "cumulative_trapezoid",
    "diag",
    "diag_embed",
    "diagflat",
    "diagonal",
    "diff",
    "dist",
    "div",
    "div_",
    "dropout",
    "dropout_",
    "dsplit",
    "dstack",
    "elu",
    "elu_",
    "embedding",
    "empty",
    "empty_like",
    "empty_strided",
    "eq",
    "exp",
    "expand_as",
    "eye",
    "feature_dropout",
    "fft_fft2",
    "fft_fftfreq",
    "fft_ifft2",
    "fft_irfft2",
    "fft_rfft2",
    "fft_rfftfreq",
    "fill_",
    "flip",
    "fliplr",
    "flipud",
    "frobenius_norm",
    "full",
    "full_like",
    "gather",
    "ge",
    "gelu",
    "glu",
    "group_norm",
    "gt",
    "hamming_window",
    "hann_window",
    "hardshrink",
    "hardsigmoid",
    "hardswish",
    "hardswish_",
    "hardtanh",
    "hardtanh_",
    "hsplit",
    "hstack",
    "index",
    "index_add",
    "index_add_",
    "index_copy",
    "index_copy_",
    "index_fill",
    "index_fill_",
    "index_put",
    "index_put_",
    "index_select",
    "instance_norm",
    "isnan",
    "kaiser_window",
    "kthvalue",
    "layer_norm",
    "le",
    "leaky_relu",
    "leaky_relu_",
    "lift_fresh",
    "linalg_cholesky",
    "linalg_cholesky_ex",
    "linalg_diagonal",
    "linalg_inv",
    "linalg_inv_ex",
    "linalg_matrix_norm",
    "linalg_norm",
    "linalg_solve",
    "linalg_solve_ex",
    "linalg_solve_triangular",
    "linalg_vector_norm",
    "linspace",
    "log",
    "log_sigmoid",
    "log_softmax",
    "logcumsumexp",
    "logical_and",
    "logical_not",
    "logical_or",
    "logspace",
    "logsumexp",
    "lt",
    "masked_fill",
    "matrix_H",
    "max",
    "max_pool2d",
    "max_pool2d_with_indices",
    "maximum",
    "mean",
    "median",
    "meshgrid",
    "mH",
    "min",
    "minimum",
    "mish",
    "mish_",
    "mode",
    "moveaxis",
    "movedim",
    "msort",
    "mT",
    "mul",
    "mul_",
    "nanmean",
    "nanmedian",
    "nansum",
    "narrow",
    "neg",
    "new_empty",
    "new_empty_strided",
    "new_full",
    "new_ones",
    "new_zeros",
    "norm",
    "numpy_T",
    "one_hot",
    "ones",
    "ones_like",
    "pad",
    "pixel_shuffle",
    "pixel_unshuffle",
    "polar",
    "pow",
    "prelu",
    "prod",
    "put",
    "put_",
    "rand_like",
    "randn_like",
    "ravel",
    "real",
    "reciprocal",
    "reflection_pad2d",
    "relu6",
    "relu6_",
    "relu_",
    "remainder",
    "repeat",
    "repeat_interleave",
    "reshape_as",
    "resolve_conj",
    "resolve_neg",
    "roll",
    "rot90",
    "rsqrt",
    "rsub",
    "scalar_tensor",
    "scatter",
    "scatter_",
    "scatter_add",
    "scatter_add_",
    "scatter_reduce",
    "scatter_reduce_",
    "searchsorted",
    "selu",
    "selu_",
    "sigmoid",
    "sigmoid_",
    "silu",
    "silu_",
    "sin",
    "softmax",
    "softplus",
    "softshrink",
    "sort",
    "split_with_sizes",
    "sqrt",
    "square",
    "std",
    "std_mean",
    "sub",
    "sub_",
    "sum",
    "swapaxes",
    "swapdims",
    "take",
    "take_along_dim",
    "tanh",
    "tanh_",
    "tensor_split",
    "threshold",
    "tile",
    "to",
    "topk",
    "trapezoid",
    "tril",
    "tril_indices",
    "triu",
    "triu_indices",
    "type_as",
    "unbind",
    "unflatten",
    "unfold",
    "upsample_nearest2d",
    "var",
    "var_mean",
    "view_as",
    "view_as_complex",
    "view_as_real",
    "vsplit",
    "vstack",
    "where",
    "zero_",
    "zeros",
    "zeros_like",
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
    """Forward MACs by fvcore, as "conv" and "matmul", in the modes that are set, of the layer and of autograd.

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
        **{f"aten::{name}": _traced_matmul for name in ("linear", "matmul", "mm", "bmm", "mv", "dot", "vdot")},
        **{"aten::einsum": _traced_einsum},
        **{"aten::baddbmm": lambda inputs, outputs: _traced_matmul(inputs[1:], outputs)},  # what is added comes first
        **{f"aten::{name}": None for name in ZERO_MACS},
        **{"prim::PythonOp.BackwardHookFunction": lambda inputs, outputs: Counter()},  # torch's own, an identity
    )
    with _plain_functions():
        counted = analysis.by_operator()
    with torch.no_grad():
        layer(x)  # as its sizes were traced ones, a cache's key would have tensors in it
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


def _traced_einsum(inputs: list[Any], outputs: list[Any]) -> Counter[str]:
    """Of two factors: one product for each value of all their indices together."""
    factors = inputs[0].toIValue().replace(" ", "").partition("->")[0].split(",")
    if len(factors) != 2 or "." in "".join(factors):
        raise ValueError(f"fvcore counts einsum of two factors without an ellipsis, got {','.join(factors)}")
    shapes = [get_shape(value) for value in inputs[1].node().inputs()]
    sides = {
        name: n for factor, shape in zip(factors, shapes, strict=True) for name, n in zip(factor, shape, strict=True)
    }
    return Counter(matmul=math.prod(sides.values()) * reals_per_mac(outputs[0].type().dtype()))


@contextmanager
def _plain_functions() -> Iterator[None]:
    """Autograd functions as the plain operators of their forward, which a trace shows; torch's own are left alone."""
    function: Any = torch.autograd.Function
    original = function.__dict__["apply"]

    def apply(cls: Any, *args: Any) -> Any:
        if cls.__module__.startswith("torch."):
            return original.__get__(None, cls)(*args)
        if cls.setup_context is not function.setup_context:
            return cls.forward(*args)
        return cls.forward(torch.autograd.function.FunctionCtx(), *args)

    function.apply = classmethod(apply)
    try:
        yield
    finally:
        function.apply = original
