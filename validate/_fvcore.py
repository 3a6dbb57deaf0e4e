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
    "Bool",
    "__and__",
    "__iand__",
    "__ilshift__",
    "__ior__",
    "__irshift__",
    "__ixor__",
    "__lshift__",
    "__or__",
    "__rshift__",
    "__xor__",
    "_conj",
    "_weight_norm",
    "abs",
    "abs_",
    "absolute",
    "acos",
    "acos_",
    "acosh",
    "adaptive_avg_pool2d",
    "adaptive_max_pool2d",
    "add",
    "add_",
    "addcdiv",
    "addcdiv_",
    "addcmul",
    "addcmul_",
    "amax",
    "angle",
    "any",
    "arange",
    "arccos",
    "asin",
    "asin_",
    "asinh",
    "atan",
    "atan2",
    "atan2_",
    "atan_",
    "atanh",
    "avg_pool2d",
    "batch_norm",
    "binary_cross_entropy",
    "binary_cross_entropy_with_logits",
    "bitwise_and",
    "bitwise_and_",
    "bitwise_left_shift",
    "bitwise_not",
    "bitwise_or",
    "bitwise_or_",
    "bitwise_right_shift",
    "bitwise_xor",
    "broadcast_tensors",
    "ceil",
    "ceil_",
    "celu",
    "celu_",
    "clamp",
    "clamp_",
    "clamp_max",
    "clamp_max_",
    "clamp_min",
    "clamp_min_",
    "clip",
    "clip_",
    "clone",
    "complex",
    "copysign",
    "copysign_",
    "cos",
    "cos_",
    "cosh",
    "cosh_",
    "cosine_embedding_loss",
    "cosine_similarity",
    "cross_entropy_loss",
    "deg2rad",
    "deg2rad_",
    "detach",
    "diagonal",
    "digamma",
    "digamma_",
    "div",
    "div_",
    "divide",
    "divide_",
    "dropout",
    "dropout_",
    "elu",
    "elu_",
    "empty",
    "empty_like",
    "eq",
    "eq_",
    "erf",
    "erf_",
    "erfc",
    "erfc_",
    "erfinv",
    "erfinv_",
    "exp",
    "exp2",
    "exp2_",
    "exp_",
    "expand",
    "expand_as",
    "expm1",
    "expm1_",
    "exponential_",
    "eye",
    "feature_dropout",
    "fft_fft2",
    "fft_fftfreq",
    "fft_ifft2",
    "fft_irfft2",
    "fft_rfft2",
    "fft_rfftfreq",
    "fill",
    "fill_",
    "fix",
    "flip",
    "float_power",
    "float_power_",
    "floor",
    "floor_",
    "floor_divide",
    "floor_divide_",
    "fmax",
    "fmin",
    "fmod",
    "fmod_",
    "frac",
    "frac_",
    "full_like",
    "ge",
    "gelu",
    "glu",
    "greater",
    "greater_equal",
    "group_norm",
    "gt",
    "gt_",
    "hardshrink",
    "hardsigmoid",
    "hardsigmoid_",
    "hardswish",
    "hardswish_",
    "hardtanh",
    "hardtanh_",
    "heaviside",
    "hinge_embedding_loss",
    "huber_loss",
    "hypot",
    "hypot_",
    "i0",
    "imag",
    "instance_norm",
    "isfinite",
    "isinf",
    "isnan",
    "isneginf",
    "isposinf",
    "kl_div",
    "l1_loss",
    "layer_norm",
    "ldexp",
    "le",
    "leaky_relu",
    "leaky_relu_",
    "lerp",
    "lerp_",
    "less",
    "less_equal",
    "lgamma",
    "lgamma_",
    "linalg_cholesky",
    "linalg_cholesky_ex",
    "linalg_inv",
    "linalg_inv_ex",
    "linalg_solve",
    "linalg_solve_ex",
    "linalg_solve_triangular",
    "linalg_vector_norm",
    "log",
    "log10",
    "log10_",
    "log1p",
    "log1p_",
    "log2",
    "log2_",
    "log_",
    "log_sigmoid",
    "log_softmax",
    "logaddexp",
    "logaddexp2",
    "logical_and",
    "logical_and_",
    "logical_not",
    "logical_not_",
    "logical_or",
    "logical_or_",
    "logical_xor",
    "logit",
    "logit_",
    "lt",
    "lt_",
    "mH",
    "mT",
    "margin_ranking_loss",
    "masked_fill",
    "masked_fill_",
    "matrix_H",
    "max",
    "max_pool2d",
    "max_pool2d_with_indices",
    "maximum",
    "mean",
    "min",
    "minimum",
    "mish",
    "mish_",
    "mse_loss",
    "mul",
    "mul_",
    "multi_margin_loss",
    "multilabel_margin_loss",
    "multiply",
    "multiply_",
    "nan_to_num",
    "nan_to_num_",
    "ne",
    "neg",
    "neg_",
    "negative",
    "nextafter",
    "nll_loss",
    "nll_loss2d",
    "nll_loss_nd",
    "norm",
    "not_equal",
    "ones_like",
    "pad",
    "pairwise_distance",
    "pixel_shuffle",
    "pixel_unshuffle",
    "poisson_nll_loss",
    "polar",
    "positive",
    "pow",
    "pow_",
    "prelu",
    "rad2deg",
    "rand",
    "randn_like",
    "real",
    "reciprocal",
    "reciprocal_",
    "reflection_pad2d",
    "relu6",
    "relu6_",
    "relu_",
    "remainder",
    "remainder_",
    "round",
    "round_",
    "rrelu",
    "rrelu_",
    "rsqrt",
    "rsqrt_",
    "rsub",
    "scatter_",
    "selu",
    "selu_",
    "sgn",
    "sigmoid",
    "sigmoid_",
    "sign",
    "sign_",
    "signbit",
    "silu",
    "silu_",
    "sin",
    "sin_",
    "sinc",
    "sinc_",
    "sinh",
    "sinh_",
    "smooth_l1_loss",
    "soft_margin_loss",
    "softmax",
    "softplus",
    "softshrink",
    "special_entr",
    "special_erfcx",
    "special_expit",
    "special_log_ndtr",
    "special_ndtri",
    "special_xlog1py",
    "sqrt",
    "sqrt_",
    "square",
    "square_",
    "sub",
    "sub_",
    "subtract",
    "subtract_",
    "sum",
    "tan",
    "tan_",
    "tanh",
    "tanh_",
    "threshold",
    "threshold_",
    "tril",
    "triplet_margin_loss",
    "triu",
    "true_divide",
    "true_divide_",
    "trunc",
    "trunc_",
    "unflatten",
    "upsample_nearest2d",
    "view_as",
    "view_as_complex",
    "view_as_real",
    "where",
    "xlogy",
    "xlogy_",
    "zero_",
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
