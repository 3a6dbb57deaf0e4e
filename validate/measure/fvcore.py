"""fvcore, with a handler for every operator that the layers use and that it lacks or counts wrongly."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

import torch
from fvcore.nn import FlopCountAnalysis
from fvcore.nn.jit_handles import conv_flop_count, conv_flop_jit, get_shape
from torch import Tensor, nn
from torch.utils.checkpoint import CheckpointFunction

# Operators of a traced forward without a MAC; fvcore knows more of them (views, relu, copies).
ZERO_MACS = (
    "abs",
    "abs_",
    "absolute",
    "acos",
    "acos_",
    "acosh",
    "adaptive_avg_pool1d",
    "adaptive_avg_pool2d",
    "adaptive_avg_pool3d",
    "adaptive_max_pool1d",
    "adaptive_max_pool2d",
    "adaptive_max_pool3d",
    "add",
    "add_",
    "addcdiv",
    "addcdiv_",
    "addcmul",
    "addcmul_",
    "addr",
    "adjoint",
    "affine_grid_generator",
    "alias",
    "all",
    "alpha_dropout",
    "alpha_dropout_",
    "amax",
    "amin",
    "aminmax",
    "__and__",
    "angle",
    "any",
    "arange",
    "arccos",
    "argmax",
    "argmin",
    "argsort",
    "as_strided",
    "asin",
    "asin_",
    "asinh",
    "atan",
    "atan_",
    "atan2",
    "atan2_",
    "atanh",
    "atleast_1d",
    "atleast_2d",
    "atleast_3d",
    "avg_pool1d",
    "avg_pool2d",
    "avg_pool3d",
    "bartlett_window",
    "batch_norm",
    "bernoulli",
    "bernoulli_",
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
    "blackman_window",
    "block_diag",
    "Bool",
    "broadcast_tensors",
    "broadcast_to",
    "bucketize",
    "cartesian_prod",
    "ceil",
    "ceil_",
    "celu",
    "celu_",
    "channel_shuffle",
    "cholesky_inverse",
    "cholesky_solve",
    "clamp",
    "clamp_",
    "clamp_max",
    "clamp_max_",
    "clamp_min",
    "clamp_min_",
    "clip",
    "clip_",
    "clone",
    "col2im",
    "column_stack",
    "complex",
    "concat",
    "concatenate",
    "_conj",
    "conj",
    "_conj_physical",
    "conj_physical",
    "copy_",
    "copysign",
    "copysign_",
    "cos",
    "cos_",
    "cosh",
    "cosh_",
    "cosine_embedding_loss",
    "cosine_similarity",
    "count_nonzero",
    "cross",
    "cross_entropy_loss",
    "cummax",
    "cummin",
    "cumprod",
    "cumsum",
    "cumulative_trapezoid",
    "deg2rad",
    "deg2rad_",
    "det",
    "detach",
    "diag",
    "diag_embed",
    "diagflat",
    "diagonal",
    "diff",
    "digamma",
    "digamma_",
    "dist",
    "div",
    "div_",
    "divide",
    "divide_",
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
    "eq_",
    "erf",
    "erf_",
    "erfc",
    "erfc_",
    "erfinv",
    "erfinv_",
    "exp",
    "exp_",
    "exp2",
    "exp2_",
    "expand",
    "expand_as",
    "expm1",
    "expm1_",
    "exponential_",
    "eye",
    "feature_alpha_dropout",
    "feature_alpha_dropout_",
    "feature_dropout",
    "feature_dropout_",
    "fft_fft",
    "fft_fft2",
    "fft_fftfreq",
    "fft_fftn",
    "fft_fftshift",
    "fft_hfft",
    "fft_hfft2",
    "fft_hfftn",
    "fft_ifft",
    "fft_ifft2",
    "fft_ifftn",
    "fft_ifftshift",
    "fft_ihfft",
    "fft_ihfft2",
    "fft_ihfftn",
    "fft_irfft",
    "fft_irfft2",
    "fft_irfftn",
    "fft_rfft",
    "fft_rfft2",
    "fft_rfftfreq",
    "fft_rfftn",
    "fill",
    "fill_",
    "fix",
    "flip",
    "fliplr",
    "flipud",
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
    "fractional_max_pool2d",
    "fractional_max_pool3d",
    "frobenius_norm",
    "full",
    "full_like",
    "gather",
    "ge",
    "gelu",
    "glu",
    "greater",
    "greater_equal",
    "grid_sampler",
    "grid_sampler_2d",
    "grid_sampler_3d",
    "group_norm",
    "gt",
    "gt_",
    "hamming_window",
    "hann_window",
    "hardshrink",
    "hardsigmoid",
    "hardsigmoid_",
    "hardswish",
    "hardswish_",
    "hardtanh",
    "hardtanh_",
    "heaviside",
    "hinge_embedding_loss",
    "hsplit",
    "hstack",
    "huber_loss",
    "hypot",
    "hypot_",
    "i0",
    "__iand__",
    "__ilshift__",
    "im2col",
    "imag",
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
    "__ior__",
    "__irshift__",
    "isfinite",
    "isinf",
    "isnan",
    "isneginf",
    "isposinf",
    "__ixor__",
    "kaiser_window",
    "kl_div",
    "kron",
    "kthvalue",
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
    "lift_fresh",
    "linalg_cholesky",
    "linalg_cholesky_ex",
    "linalg_cond",
    "linalg_cross",
    "linalg_det",
    "linalg_diagonal",
    "linalg_eigh",
    "linalg_eigvalsh",
    "linalg_householder_product",
    "linalg_inv",
    "linalg_inv_ex",
    "linalg_lu",
    "linalg_lu_factor",
    "linalg_lu_factor_ex",
    "linalg_lu_solve",
    "linalg_matrix_exp",
    "linalg_matrix_norm",
    "linalg_norm",
    "linalg_qr",
    "linalg_slogdet",
    "linalg_solve",
    "linalg_solve_ex",
    "linalg_solve_triangular",
    "linalg_svd",
    "linalg_svdvals",
    "linalg_vector_norm",
    "linspace",
    "log",
    "log_",
    "log10",
    "log10_",
    "log1p",
    "log1p_",
    "log2",
    "log2_",
    "log_sigmoid",
    "log_softmax",
    "logaddexp",
    "logaddexp2",
    "logcumsumexp",
    "logdet",
    "logical_and",
    "logical_and_",
    "logical_not",
    "logical_not_",
    "logical_or",
    "logical_or_",
    "logical_xor",
    "logit",
    "logit_",
    "logspace",
    "logsumexp",
    "__lshift__",
    "lt",
    "lt_",
    "lu_solve",
    "margin_ranking_loss",
    "masked_fill",
    "masked_fill_",
    "matrix_exp",
    "matrix_H",
    "max",
    "max_pool1d",
    "max_pool1d_with_indices",
    "max_pool2d",
    "max_pool2d_with_indices",
    "max_pool3d",
    "max_pool3d_with_indices",
    "max_unpool2d",
    "max_unpool3d",
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
    "mse_loss",
    "msort",
    "mT",
    "mul",
    "mul_",
    "multi_margin_loss",
    "multilabel_margin_loss",
    "multinomial",
    "multiply",
    "multiply_",
    "nan_to_num",
    "nan_to_num_",
    "nanmean",
    "nanmedian",
    "nansum",
    "narrow",
    "native_channel_shuffle",
    "native_dropout",
    "ne",
    "neg",
    "neg_",
    "negative",
    "new_empty",
    "new_empty_strided",
    "new_full",
    "new_ones",
    "new_zeros",
    "nextafter",
    "nll_loss",
    "nll_loss2d",
    "nll_loss_nd",
    "norm",
    "norm_except_dim",
    "normal",
    "normal_",
    "not_equal",
    "numel",
    "numpy_T",
    "one_hot",
    "ones",
    "ones_like",
    "__or__",
    "outer",
    "pad",
    "pairwise_distance",
    "pixel_shuffle",
    "pixel_unshuffle",
    "poisson_nll_loss",
    "polar",
    "polygamma",
    "positive",
    "pow",
    "pow_",
    "prelu",
    "prod",
    "put",
    "put_",
    "qr",
    "rad2deg",
    "rand",
    "rand_like",
    "randint",
    "randint_like",
    "randn",
    "randn_like",
    "random_",
    "randperm",
    "ravel",
    "real",
    "reciprocal",
    "reciprocal_",
    "reflection_pad1d",
    "reflection_pad2d",
    "reflection_pad3d",
    "relu",
    "relu_",
    "relu6",
    "relu6_",
    "remainder",
    "remainder_",
    "repeat",
    "repeat_interleave",
    "replication_pad1d",
    "replication_pad2d",
    "replication_pad3d",
    "reshape_as",
    "resolve_conj",
    "resolve_neg",
    "rms_norm",
    "roll",
    "rot90",
    "round",
    "round_",
    "rrelu",
    "rrelu_",
    "__rshift__",
    "rsqrt",
    "rsqrt_",
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
    "set_",
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
    "slogdet",
    "smooth_l1_loss",
    "soft_margin_loss",
    "softmax",
    "softplus",
    "softshrink",
    "sort",
    "special_entr",
    "special_erfcx",
    "special_expit",
    "special_i0e",
    "special_log_ndtr",
    "special_ndtri",
    "special_xlog1py",
    "split_with_sizes",
    "sqrt",
    "sqrt_",
    "square",
    "square_",
    "std",
    "std_mean",
    "sub",
    "sub_",
    "subtract",
    "subtract_",
    "sum",
    "svd",
    "swapaxes",
    "swapdims",
    "take",
    "take_along_dim",
    "tan",
    "tan_",
    "tanh",
    "tanh_",
    "tensor_split",
    "threshold",
    "threshold_",
    "tile",
    "to",
    "topk",
    "trace",
    "trapezoid",
    "tril",
    "tril_indices",
    "triplet_margin_loss",
    "triu",
    "triu_indices",
    "true_divide",
    "true_divide_",
    "trunc",
    "trunc_",
    "type_as",
    "unbind",
    "unflatten",
    "unfold",
    "uniform_",
    "unsafe_chunk",
    "upsample_bicubic2d",
    "_upsample_bicubic2d_aa",
    "upsample_bilinear2d",
    "_upsample_bilinear2d_aa",
    "upsample_linear1d",
    "upsample_nearest1d",
    "upsample_nearest2d",
    "upsample_nearest3d",
    "_upsample_nearest_exact1d",
    "_upsample_nearest_exact2d",
    "_upsample_nearest_exact3d",
    "upsample_trilinear3d",
    "var",
    "var_mean",
    "view_as",
    "view_as_complex",
    "view_as_real",
    "vsplit",
    "vstack",
    "_weight_norm",
    "_weight_norm_interface",
    "where",
    "xlogy",
    "xlogy_",
    "__xor__",
    "zero_",
    "zeros",
    "zeros_like",
)


PRODUCTS = (
    "linear",
    "linalg_matmul",
    "matmul",
    "mm",
    "bmm",
    "mv",
    "dot",
    "vdot",
)  # the first factor's last axis is summed


RECURRENT = ("gru", "lstm", "rnn_relu", "rnn_tanh")


def reals_per_mac(dtype: torch.dtype) -> int:
    """Real MACs in one MAC of a type: 4 if it is complex.

    Example:
        >>> import torch
        >>> from lipcost.validate.measure.fvcore import reals_per_mac
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
        >>> from lipcost.validate.measure.fvcore import fvcore_macs
        >>> fvcore_macs(torch.nn.Linear(4, 8), torch.ones(2, 4))
        {'conv': 0, 'matmul': 64}
    """
    analysis = FlopCountAnalysis(layer, (x,)).unsupported_ops_warnings(False)
    analysis.uncalled_modules_warnings(False).tracer_warnings("none")
    analysis.clear_op_handles()
    analysis.set_op_handle(
        **{"aten::_convolution": _traced_conv, "aten::_convolution_mode": _traced_conv_mode},
        **{f"aten::{name}": _traced_matmul for name in PRODUCTS},
        **{"aten::einsum": _traced_einsum, "aten::tensordot": _traced_tensordot},
        **{f"aten::{name}": _traced_added for name in ("addmm", "addmv", "baddbmm")},
        **{"aten::addbmm": _traced_addbmm, "aten::inner": _traced_inner, "aten::linalg_vecdot": _traced_vecdot},
        **{"aten::linalg_multi_dot": _traced_chain, "aten::chain_matmul": _traced_chain},
        **{"aten::linalg_matrix_power": _traced_power, "aten::matrix_power": _traced_power},
        **{"aten::bilinear": _traced_bilinear, "aten::scaled_dot_product_attention": _traced_attention},
        **{"aten::_native_multi_head_attention": _traced_multi_head},
        **{"aten::_transformer_encoder_layer_fwd": _traced_encoder_layer},
        **{f"aten::{name}{cell}": _traced_recurrent for name in RECURRENT for cell in ("", "_cell")},
        **{f"aten::{name}": None for name in ZERO_MACS},
        # Torch's own: an identity, and what keeps a checkpoint's inputs before 2.13.
        **{f"prim::PythonOp.{name}": _traced_nothing for name in ("BackwardHookFunction", "_NoopSaveInputs")},
    )
    with _plain_functions():
        counted = analysis.by_operator()
    with torch.no_grad():
        layer(x)  # as its sizes were traced ones, a cache's key would have tensors in it
    unsupported = sorted(analysis.unsupported_ops())
    if unsupported:
        raise ValueError(f"fvcore has no handler for {', '.join(unsupported)}; see lipcost.validate.measure.fvcore")
    return {name: int(counted[name]) for name in ("conv", "matmul")}


def _reals(outputs: list[Any]) -> int:
    return reals_per_mac(outputs[0].type().dtype())


def _traced_nothing(inputs: list[Any], outputs: list[Any]) -> Counter[str]:
    return Counter()


def _traced_conv(inputs: list[Any], outputs: list[Any]) -> Counter[str]:
    macs = conv_flop_jit(inputs, outputs)["conv"]
    return Counter(conv=macs * _reals(outputs))


def _traced_conv_mode(inputs: list[Any], outputs: list[Any]) -> Counter[str]:
    macs = conv_flop_count(get_shape(inputs[0]), get_shape(inputs[1]), get_shape(outputs[0]))
    return Counter(conv=macs * _reals(outputs))


def _traced_matmul(inputs: list[Any], outputs: list[Any]) -> Counter[str]:
    macs = math.prod(get_shape(outputs[0])) * get_shape(inputs[0])[-1]
    return Counter(matmul=macs * _reals(outputs))


def _traced_added(inputs: list[Any], outputs: list[Any]) -> Counter[str]:
    return _traced_matmul(inputs[1:], outputs)  # what is added comes first


def _traced_addbmm(inputs: list[Any], outputs: list[Any]) -> Counter[str]:
    count, _, summed = get_shape(inputs[1])
    return Counter(matmul=count * summed * math.prod(get_shape(outputs[0])) * _reals(outputs))


def _traced_inner(inputs: list[Any], outputs: list[Any]) -> Counter[str]:
    """Of the last axes; with a number it is a pointwise product."""
    shapes = [get_shape(x) for x in inputs[:2]]
    return _traced_matmul(inputs, outputs) if all(shapes) else Counter(matmul=0)


def _traced_vecdot(inputs: list[Any], outputs: list[Any]) -> Counter[str]:
    """Of vectors; of stacks it is a pointwise product and a sum."""
    return _traced_matmul(inputs, outputs) if len(get_shape(inputs[0])) == 1 else Counter(matmul=0)


def _traced_bilinear(inputs: list[Any], outputs: list[Any]) -> Counter[str]:
    """Each output takes x (i) to x @ w (j) and that times y (j)."""
    (i, j), rows = get_shape(inputs[2])[1:], math.prod(get_shape(outputs[0]))
    return Counter(matmul=rows * (i * j + j) * _reals(outputs))


def _traced_attention(inputs: list[Any], outputs: list[Any]) -> Counter[str]:
    """Of scores (…, n, m) the products with queries and keys, and with the values."""
    (*lead, n, d), (m, e) = get_shape(inputs[0]), get_shape(inputs[2])[-2:]
    return Counter(matmul=math.prod(lead) * n * m * (d + e))


def _traced_multi_head(inputs: list[Any], outputs: list[Any]) -> Counter[str]:
    """Of its four projections and its attention."""
    (b, n, d), m = get_shape(inputs[0]), get_shape(inputs[1])[1]
    return Counter(matmul=2 * b * d * d * (n + m) + 2 * b * n * m * d)


def _traced_encoder_layer(inputs: list[Any], outputs: list[Any]) -> Counter[str]:
    """Of the attention and of two layers behind it."""
    (b, n, d), hidden = get_shape(inputs[0]), get_shape(inputs[14])[0]
    return Counter(matmul=4 * b * n * d * d + 2 * b * n * n * d + 2 * b * n * d * hidden)


def _traced_chain(inputs: list[Any], outputs: list[Any]) -> Counter[str]:
    """Of the cheapest order of a chain's products."""
    shapes = [get_shape(each) for each in inputs[0].node().inputs()]
    sides = [shapes[0][0] if len(shapes[0]) > 1 else 1]
    sides += [shape[0] for shape in shapes[1:]] + [shapes[-1][1] if len(shapes[-1]) > 1 else 1]

    @lru_cache
    def least(i: int, j: int) -> int:
        costs = (least(i, k) + least(k, j) + sides[i] * sides[k] * sides[j] for k in range(i + 1, j))
        return min(costs, default=0)

    return Counter(matmul=least(0, len(shapes)) * _reals(outputs))


def _traced_power(inputs: list[Any], outputs: list[Any]) -> Counter[str]:
    """Of squares, and of the products of those that its binary digits name."""
    digits = f"{abs(inputs[1].toIValue()):b}"
    products = len(digits) - 1 + digits.count("1") - 1
    return Counter(matmul=products * math.prod(get_shape(outputs[0])) * get_shape(outputs[0])[-1] * _reals(outputs))


def _traced_recurrent(inputs: list[Any], outputs: list[Any]) -> Counter[str]:
    """Of a cell, or of layers of them: each weight meets a vector at each step of each sequence."""
    nested = inputs[2].type().kind() == "ListType"
    weights = [get_shape(each) for each in (inputs[2].node().inputs() if nested else inputs[2:4])]
    rows = math.prod(get_shape(inputs[0])[:-1])
    return Counter(matmul=rows * sum(math.prod(shape) for shape in weights if len(shape) == 2))


def _traced_einsum(inputs: list[Any], outputs: list[Any]) -> Counter[str]:
    """Of factors contracted in pairs: a pair has MACs where an axis of both is summed, else it is pointwise."""
    given, arrow, result = inputs[0].toIValue().replace(" ", "").partition("->")
    shapes = [get_shape(value) for value in inputs[1].node().inputs()]
    named = [_labels(factor, len(shape)) for factor, shape in zip(given.split(","), shapes, strict=True)]
    sides = {
        name: n
        for names, shape in zip(named, shapes, strict=True)
        for name, n in zip(names, shape, strict=True)
        if n != 1
    }
    # An axis of one entry is broadcast: it has no index of its own.
    factors = [
        {name for name, n in zip(names, shape, strict=True) if n != 1}
        for names, shape in zip(named, shapes, strict=True)
    ]
    every = [name for names in named for name in names]
    ellipsis = {name for name in every if name.startswith(".")}
    kept = set(result.replace("...", "")) | ellipsis if "..." in result or not arrow else set(result)
    if not arrow:
        kept |= {name for name in every if every.count(name) == 1}
    path = iter(inputs[2].toIValue() or ())
    macs = 0
    while len(factors) > 1:
        first, second = sorted((next(path, 0), next(path, 1)))
        b, a = factors.pop(second), factors.pop(first)
        needed = kept.union(*factors)
        summed = (a & b) - needed
        product = (a & b) | ((a | b) & needed)  # an axis of only one of them was summed before
        macs += math.prod(sides[name] for name in product) if summed else 0
        factors.insert(len(factors) if inputs[2].toIValue() else 0, product - summed)
    return Counter(matmul=macs * _reals(outputs))


def _traced_tensordot(inputs: list[Any], outputs: list[Any]) -> Counter[str]:
    sides = (
        [get_shape(x)[axis.toIValue()] for axis in axes.node().inputs()]
        for x, axes in zip(inputs[:2], inputs[2:4], strict=True)
    )
    summed = math.prod(min(pair) for pair in zip(*sides, strict=True))  # one entry is broadcast
    return Counter(matmul=math.prod(get_shape(outputs[0])) * summed * _reals(outputs))


def _labels(factor: str, rank: int) -> list[str]:
    """The names of a factor's axes; those of an ellipsis are counted from the last."""
    before, dots, after = factor.partition("...")
    hidden = rank - len(before) - len(after)
    return [*before, *(f".{i}" for i in reversed(range(hidden if dots else 0))), *after]


@contextmanager
def _plain_functions() -> Iterator[None]:
    """Autograd functions as the plain operators of their forward, which a trace shows; torch's own are left alone."""
    function: Any = torch.autograd.Function
    original = function.__dict__["apply"]

    def apply(cls: Any, *args: Any) -> Any:
        if cls.__module__.startswith("torch.") and cls is not CheckpointFunction:
            return original.__get__(None, cls)(*args)
        if cls.setup_context is not function.setup_context:
            return cls.forward(*args)
        return cls.forward(torch.autograd.function.FunctionCtx(), *args)

    function.apply = classmethod(apply)
    try:
        yield
    finally:
        function.apply = original
