"""FLOPs, kernel launches and bytes moved by one layer, counted twice: by fvcore and at the dispatcher."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from ._fvcore import fvcore_macs, reals_per_mac
from ._live import Mode, warmed_up

CLASSES = ("conv", "matmul", "fft", "inverse", "pointwise")

# What each operator costs, by its name without overload. Views, by the operator's schema, cost nothing, unlisted.
#   conv, conv_backward, matmul   2 FLOPs per MAC (a bias, and its gradient, are not counted)
#   fft_complex, fft_real         5 N log2 N per transform of N points, half that between real and complex
#   inverse                       2 n^3 per matrix, 8 n^3 if complex (one LU-based call: Golub & Van Loan, section 3.2)
#   pointwise                     1 per element of the first output, real or complex, however many operations a kernel
#                                 fuses: normalisations, their gradients, those of averages, random draws in place
#   cholesky                      n^3/3 per matrix (section 4.2), four times that if complex; in the class "inverse"
#   triangular                    n^2 per right side (section 3.1), likewise
#   lu_solve                      2 n^2 per right side, likewise
#   solve                         2/3 n^3 per matrix and 2 n^2 per right side, likewise
#   foreach                       the same for every tensor of a list, in one launch; in the class "pointwise"
#   reduction                     1 per element of the first input, real or complex; in the class "pointwise": poolings
#                                 too, and the gradients of copies, which sum
#   move                          0 FLOPs; reads its tensors, writes its output. The gradient of a maximum too
#   factory                       0 FLOPs; writes its output, constant or random
#   metadata                      no kernel at all
# Buffers that a normalisation's kernel updates beside its outputs are read, and not counted as written.
RULES: dict[str, str] = {
    "aten::convolution": "conv",
    "aten::convolution_backward": "conv_backward",
    "aten::mm": "matmul",
    "aten::addmm": "matmul",
    "aten::bmm": "matmul",
    "aten::baddbmm": "matmul",
    "aten::mv": "matmul",
    "aten::vdot": "matmul",
    "aten::dot": "matmul",
    "aten::_fft_c2c": "fft_complex",
    "aten::_fft_r2c": "fft_real",
    "aten::_fft_c2r": "fft_real",
    "aten::linalg_inv_ex": "inverse",
    "aten::__rshift__": "pointwise",
    "aten::_adaptive_avg_pool2d_backward": "pointwise",
    "aten::linalg_cholesky_ex": "cholesky",
    "aten::linalg_solve_triangular": "triangular",
    "aten::linalg_lu_solve": "lu_solve",
    "aten::_linalg_solve_ex": "solve",
    "aten::_log_softmax": "pointwise",
    "aten::_log_softmax_backward_data": "pointwise",
    "aten::_prelu_kernel": "pointwise",
    "aten::_prelu_kernel_backward": "pointwise",
    "aten::_softmax": "pointwise",
    "aten::_softmax_backward_data": "pointwise",
    "aten::_weight_norm_interface": "pointwise",
    "aten::_weight_norm_interface_backward": "pointwise",
    "aten::abs": "pointwise",
    "aten::add": "pointwise",
    "aten::add_": "pointwise",
    "aten::addcdiv_": "pointwise",
    "aten::addcmul_": "pointwise",
    "aten::avg_pool2d_backward": "pointwise",
    "aten::bernoulli_": "pointwise",
    "aten::bitwise_and": "pointwise",
    "aten::bitwise_and_": "pointwise",
    "aten::bitwise_xor": "pointwise",
    "aten::bitwise_xor_": "pointwise",
    "aten::celu": "pointwise",
    "aten::celu_": "pointwise",
    "aten::clamp": "pointwise",
    "aten::clamp_max_": "pointwise",
    "aten::clamp_min": "pointwise",
    "aten::clamp_min_": "pointwise",
    "aten::cos": "pointwise",
    "aten::div": "pointwise",
    "aten::div_": "pointwise",
    "aten::elu": "pointwise",
    "aten::elu_": "pointwise",
    "aten::elu_backward": "pointwise",
    "aten::eq": "pointwise",
    "aten::exp": "pointwise",
    "aten::ge": "pointwise",
    "aten::gelu": "pointwise",
    "aten::gelu_backward": "pointwise",
    "aten::glu": "pointwise",
    "aten::glu_backward": "pointwise",
    "aten::gt": "pointwise",
    "aten::hardshrink": "pointwise",
    "aten::hardshrink_backward": "pointwise",
    "aten::hardsigmoid": "pointwise",
    "aten::hardsigmoid_backward": "pointwise",
    "aten::hardswish": "pointwise",
    "aten::hardswish_": "pointwise",
    "aten::hardswish_backward": "pointwise",
    "aten::hardtanh": "pointwise",
    "aten::hardtanh_": "pointwise",
    "aten::hardtanh_backward": "pointwise",
    "aten::le": "pointwise",
    "aten::leaky_relu": "pointwise",
    "aten::leaky_relu_": "pointwise",
    "aten::leaky_relu_backward": "pointwise",
    "aten::lerp_": "pointwise",
    "aten::log": "pointwise",
    "aten::log_sigmoid_backward": "pointwise",
    "aten::log_sigmoid_forward": "pointwise",
    "aten::logical_and_": "pointwise",
    "aten::lt": "pointwise",
    "aten::masked_fill": "pointwise",
    "aten::masked_fill_": "pointwise",
    "aten::maximum": "pointwise",
    "aten::minimum": "pointwise",
    "aten::mish": "pointwise",
    "aten::mish_": "pointwise",
    "aten::mish_backward": "pointwise",
    "aten::mul": "pointwise",
    "aten::mul_": "pointwise",
    "aten::native_batch_norm": "pointwise",
    "aten::native_batch_norm_backward": "pointwise",
    "aten::native_group_norm": "pointwise",
    "aten::native_group_norm_backward": "pointwise",
    "aten::native_layer_norm": "pointwise",
    "aten::native_layer_norm_backward": "pointwise",
    "aten::ne": "pointwise",
    "aten::neg": "pointwise",
    "aten::neg_": "pointwise",
    "aten::nll_loss_backward": "pointwise",
    "aten::nll_loss_forward": "pointwise",
    "aten::polar": "pointwise",
    "aten::pow": "pointwise",
    "aten::reciprocal": "pointwise",
    "aten::relu": "pointwise",
    "aten::relu_": "pointwise",
    "aten::rsub": "pointwise",
    "aten::rsqrt": "pointwise",
    "aten::scatter_add": "pointwise",
    "aten::sgn": "pointwise",
    "aten::sigmoid": "pointwise",
    "aten::sigmoid_": "pointwise",
    "aten::sigmoid_backward": "pointwise",
    "aten::silu": "pointwise",
    "aten::silu_": "pointwise",
    "aten::silu_backward": "pointwise",
    "aten::sin": "pointwise",
    "aten::softplus": "pointwise",
    "aten::softplus_backward": "pointwise",
    "aten::softshrink": "pointwise",
    "aten::softshrink_backward": "pointwise",
    "aten::sqrt": "pointwise",
    "aten::sub": "pointwise",
    "aten::sub_": "pointwise",
    "aten::tanh": "pointwise",
    "aten::tanh_": "pointwise",
    "aten::tanh_backward": "pointwise",
    "aten::threshold": "pointwise",
    "aten::threshold_backward": "pointwise",
    "aten::where": "pointwise",
    "aten::_foreach_add": "foreach",
    "aten::_foreach_add_": "foreach",
    "aten::_foreach_addcdiv_": "foreach",
    "aten::_foreach_addcmul_": "foreach",
    "aten::_foreach_div_": "foreach",
    "aten::_foreach_lerp_": "foreach",
    "aten::_foreach_mul_": "foreach",
    "aten::_foreach_sqrt": "foreach",
    "aten::_adaptive_avg_pool2d": "reduction",
    "aten::adaptive_max_pool2d": "reduction",
    "aten::amax": "reduction",
    "aten::avg_pool2d": "reduction",
    "aten::linalg_vector_norm": "reduction",
    "aten::max": "reduction",
    "aten::max_pool2d_with_indices": "reduction",
    "aten::mean": "reduction",
    "aten::min": "reduction",
    "aten::reflection_pad2d_backward": "reduction",
    "aten::replication_pad2d_backward": "reduction",
    "aten::sum": "reduction",
    "aten::upsample_nearest2d_backward": "reduction",
    "aten::_to_copy": "move",
    "aten::adaptive_max_pool2d_backward": "move",
    "aten::cat": "move",
    "aten::clone": "move",
    "aten::constant_pad_nd": "move",
    "aten::copy_": "move",
    "aten::diagonal_backward": "move",
    "aten::flip": "move",
    "aten::max_pool2d_with_indices_backward": "move",
    "aten::pixel_shuffle": "move",
    "aten::pixel_unshuffle": "move",
    "aten::reflection_pad2d": "move",
    "aten::replication_pad2d": "move",
    "aten::scatter": "move",
    "aten::select_backward": "move",
    "aten::slice_backward": "move",
    "aten::stack": "move",
    "aten::upsample_nearest2d": "move",
    "aten::tril": "move",
    "aten::triu": "move",
    "aten::arange": "factory",
    "aten::eye": "factory",
    "aten::fft_fftfreq": "factory",
    "aten::fft_rfftfreq": "factory",
    "aten::full": "factory",
    "aten::full_like": "factory",
    "aten::new_full": "factory",
    "aten::new_zeros": "factory",
    "aten::ones": "factory",
    "aten::ones_like": "factory",
    "aten::rand": "factory",
    "aten::rand_like": "factory",
    "aten::randn": "factory",
    "aten::randn_like": "factory",
    "aten::scalar_tensor": "factory",
    "aten::zeros": "factory",
    "aten::zeros_like": "factory",
    "aten::_linalg_check_errors": "metadata",
    "aten::_unsafe_view": "metadata",
    "aten::as_strided_": "metadata",
    "aten::empty": "metadata",
    "aten::empty_like": "metadata",
    "aten::new_empty": "metadata",
    "aten::new_empty_strided": "metadata",
    "aten::promote_types": "metadata",
    "aten::squeeze_": "metadata",
    "profiler::_record_function_enter_new": "metadata",
    "profiler::_record_function_exit": "metadata",
}

ADDED = ("aten::addmm", "aten::baddbmm")


@dataclass(frozen=True)
class FlopMeasurement:
    """Operation counts of one call, as :func:`measure_flops` defines them; "backward" is 0 in inference.

    Attributes:
        fvcore_macs: forward MACs by fvcore.
        fvcore_by_class: the same by "conv" and "matmul".
        unsupported: operators that fvcore met without a handler; always empty, for otherwise measuring fails.
        macs_forward, macs_backward: MACs of convolutions and matrix products at the dispatcher.
        flops_forward, flops_backward: FLOPs by class: conv, matmul, fft, inverse, pointwise.
        launches_forward, launches_backward: operators dispatched, views and other metadata apart.
        bytes_moved_forward, bytes_moved_backward: bytes of the tensors that they read and write.
    """

    fvcore_macs: int
    fvcore_by_class: dict[str, int]
    unsupported: tuple[str, ...]
    macs_forward: int
    macs_backward: int
    flops_forward: dict[str, float]
    flops_backward: dict[str, float]
    launches_forward: int
    launches_backward: int
    bytes_moved_forward: int
    bytes_moved_backward: int


def measure_flops(layer: nn.Module, x: Tensor, mode: Mode = "train") -> FlopMeasurement:
    """Count one call of a warmed-up copy of ``layer``: by fvcore (forward) and at the dispatcher (both directions).

    1 MAC is one multiply-accumulate (fvcore's "flop"), a complex one is 4; FFTs and inverses have none. ``RULES`` gives
    the FLOPs. An in-place operator reads and writes its output; a tensor argument counts numel × itemsize as seen, so
    an expanded one counts in full. In "inference" the weights are cached and no backward runs; in "train" the backward
    is ``torch.autograd.grad(y, [x, *parameters], g)``, under a dispatch mode, so gradients accumulate by ``add``.

    Args:
        layer: any module of one input and one output; it is left as it is.
        x: its input, on the CPU.
        mode: "train" or "inference".

    Returns:
        The counts; FLOPs of an FFT are floats, all else integers.

    Raises:
        ValueError: if an operator has no rule (it is named, never counted as zero), or as
            :func:`lipcost.validate.measure_memory` does.

    Source: the conventions of docs/conventions.md.

    Example:
        >>> import torch
        >>> from lipcost.validate import measure_flops
        >>> m = measure_flops(torch.nn.Conv2d(3, 8, 1), torch.ones(2, 3, 4, 4))  # 2·3·8·4·4 MACs, twice that backward
        >>> m.fvcore_macs, m.macs_forward, m.macs_backward
        (768, 768, 1536)
    """
    layer, x, gradient = warmed_up(layer, x, mode)
    train = mode == "train"
    backward = DispatchCounter()
    with torch.set_grad_enabled(train):
        by_class = fvcore_macs(layer, x)
        with DispatchCounter() as forward:
            y = layer(x)
        if train:
            with backward:
                torch.autograd.grad(y, [x, *(p for p in layer.parameters() if p.requires_grad)], gradient)
    return FlopMeasurement(
        fvcore_macs=sum(by_class.values()),
        fvcore_by_class=by_class,
        unsupported=(),
        macs_forward=forward.macs,
        macs_backward=backward.macs,
        flops_forward=forward.flops,
        flops_backward=backward.flops,
        launches_forward=forward.launches,
        launches_backward=backward.launches,
        bytes_moved_forward=forward.bytes_moved,
        bytes_moved_backward=backward.bytes_moved,
    )


class DispatchCounter(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts MACs, FLOPs by class, launches and bytes moved of the operators dispatched while it is active.

    Args:
        uncounted: tensors whose own updates are not counted: an optimizer's step counters, which stay on the host.

    Raises:
        ValueError: on an operator that is no view and has no entry in ``RULES``.

    Example:
        >>> import torch
        >>> from lipcost.validate.flops import DispatchCounter
        >>> a = torch.ones(2, 3, 4, dtype=torch.complex64)
        >>> with DispatchCounter() as counter:
        ...     b = a @ a.transpose(1, 2)  # two complex products 3×4×3, 4 real MACs each
        >>> counter.macs, counter.flops["matmul"], counter.launches, counter.bytes_moved
        (288, 576, 1, 528)
    """

    def __init__(self, uncounted: Iterable[Tensor] = ()) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._uncounted = {id(tensor) for tensor in uncounted}
        self.macs = 0
        self.flops: dict[str, float] = dict.fromkeys(CLASSES, 0)
        self.launches = 0
        self.bytes_moved = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        out = func(*args, **kwargs)
        written = _tensors(out) or _tensors(args[:1])  # an operator that updates a list returns nothing
        if not func.is_view and not (written and self._uncounted.issuperset(map(id, written))):
            outputs = {argument.name for argument in func._schema.arguments if argument.is_out}
            read = _tensors((args, {name: value for name, value in kwargs.items() if name not in outputs}))
            self._count(func, args, read, written, out)
        return out

    def _count(
        self, func: Any, args: tuple[Any, ...], read: Sequence[Tensor], written: Sequence[Tensor], out: Any
    ) -> None:
        name = func.name().partition(".")[0]
        rule = RULES.get(name)
        if rule is None:
            raise ValueError(f"operator {name} has no FLOP rule; lipcost.validate.flops.RULES has: {', '.join(RULES)}")
        if rule == "metadata":
            return
        if rule == "conv_backward":  # a backend may give the weight's gradient with the bias's, asked or not
            written = [t for t, wanted in zip(out, args[10], strict=True) if wanted]
        if rule in ("conv", "conv_backward", "matmul"):
            macs = _macs(rule, args[1:] if name in ADDED else args, written[0])  # what is added comes first
            self.macs += macs
            self.flops["matmul" if rule == "matmul" else "conv"] += 2 * macs
        elif rule in ("fft_complex", "fft_real"):
            self.flops["fft"] += _fft_flops(rule, args[0], written[0], args[1])
        elif rule == "inverse":
            self.flops["inverse"] += 2 * args[0].numel() * args[0].shape[-1] * reals_per_mac(args[0].dtype)
        elif rule in ("cholesky", "triangular", "lu_solve", "solve"):
            self.flops["inverse"] += _factorisation_flops(rule, args[0], written[0])
        elif rule in ("pointwise", "reduction"):
            self.flops["pointwise"] += (args[0] if rule == "reduction" else written[0]).numel()
        elif rule == "foreach":
            self.flops["pointwise"] += sum(t.numel() for t in written)
        self.launches += 1
        moved = written if rule == "factory" else [*read, *written]
        self.bytes_moved += sum(t.numel() * t.element_size() for t in moved)


def _macs(rule: str, args: tuple[Any, ...], out: Tensor) -> int:
    factor = reals_per_mac(out.dtype)
    if rule == "matmul":  # (…, n, m) @ (…, m, p)
        return factor * out.numel() * int(args[0].shape[-1])
    if rule == "conv":  # input, weight, bias, stride, padding, dilation, transposed, …
        x, weight, transposed = args[0], args[1], args[6]
        return factor * _conv_macs(x if transposed else out, weight)
    # grad_output, input, weight, bias_sizes, stride, padding, dilation, transposed, output_padding, groups, wanted:
    # the gradients of input and weight take one convolution each, with as many MACs as the forward.
    gradient, x, weight, transposed, wanted = args[0], args[1], args[2], args[7], args[10]
    convolutions: int = sum(wanted[:2])
    return factor * convolutions * _conv_macs(x if transposed else gradient, weight)


def _conv_macs(swept: Tensor, weight: Tensor) -> int:
    """Each position of the swept tensor (b, c, h, w) meets the whole weight, whatever the groups."""
    return swept.shape[0] * math.prod(swept.shape[2:]) * weight.numel()


def _fft_flops(rule: str, x: Tensor, out: Tensor, dims: Sequence[int]) -> float:
    points = x if rule == "fft_complex" or not x.is_complex() else out
    flops = 5 * points.numel() * math.log2(math.prod(points.shape[d] for d in dims))
    return flops if rule == "fft_complex" else flops / 2


def _factorisation_flops(rule: str, matrices: Tensor, out: Tensor) -> float:
    """Of square matrices; ``out`` holds as many solutions as there are right sides, on either hand."""
    n, factor = matrices.shape[-1], reals_per_mac(matrices.dtype)
    factorised = {"cholesky": 1, "solve": 2}.get(rule, 0) * matrices.numel() * n
    solves = {"triangular": 1, "lu_solve": 2, "solve": 2}.get(rule, 0)
    return factor * (factorised / 3 + solves * out.numel() * n)


def _tensors(tree: object) -> list[Tensor]:
    return [leaf for leaf in tree_leaves(tree) if isinstance(leaf, Tensor)]
