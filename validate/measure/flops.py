"""FLOPs, kernel launches and bytes moved by one layer, counted twice: by fvcore and at the dispatcher."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from .factorisations import FACTORISATIONS
from .fvcore import fvcore_macs, reals_per_mac
from .memory import check_cpu
from .operators import ADDED, RULES
from .products import PRODUCTS
from .protocol import Call, LayerCall, Mode

CLASSES = ("conv", "matmul", "fft", "inverse", "pointwise")
FIGURES = ("macs", "flops", "launches", "bytes_moved")  # of a phase


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
    check_cpu(x)
    call = LayerCall.of_copy(layer, x, mode)
    by_class = traced_macs(call)
    phases = count_phases(call)
    del phases["optimizer"]
    return FlopMeasurement(
        fvcore_macs=sum(by_class.values()), fvcore_by_class=by_class, unsupported=(), **by_figure(phases)
    )


def traced_macs(call: Call) -> dict[str, int]:
    """The forward MACs of a call's module by fvcore, as "conv" and "matmul"; a loss is not its own."""
    call.reset()
    with torch.set_grad_enabled(call.training):
        return fvcore_macs(call.module, call.inputs[0])


def count_phases(call: Call) -> dict[str, DispatchCounter]:
    """What the dispatcher sees of one run on any device: by phase, "forward", "backward" and "optimizer".

    Example:
        >>> import torch
        >>> from lipcost.validate.measure.flops import count_phases
        >>> from lipcost.validate.measure.protocol import LayerCall
        >>> phases = count_phases(LayerCall(torch.nn.Linear(3, 2, bias=False), torch.ones(1, 3)))
        >>> {name: counter.macs for name, counter in phases.items()}
        {'forward': 6, 'backward': 12, 'optimizer': 0}
    """
    call.reset()
    forward, backward, optimizer = (DispatchCounter(call.uncounted) for _ in range(3))
    for _ in range(call.accumulate):
        with forward:
            y = call.forward()
        with backward:
            kept = call.backward(y)
    with optimizer:
        call.optimize()
    del y, kept
    return {"forward": forward, "backward": backward, "optimizer": optimizer}


def by_figure(phases: Mapping[str, DispatchCounter]) -> dict[str, Any]:
    """The counts as measurements have them, "macs_forward" and so on."""
    return {f"{figure}_{name}": getattr(counter, figure) for figure in FIGURES for name, counter in phases.items()}


class DispatchCounter(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts MACs, FLOPs by class, launches and bytes moved of the operators dispatched while it is active.

    Args:
        uncounted: tensors whose own updates are not counted: an optimizer's step counters, which stay on the host.

    Raises:
        ValueError: on an operator that is no view and has no entry in ``RULES``.

    Example:
        >>> import torch
        >>> from lipcost.validate.measure.flops import DispatchCounter
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
            self._count(func, args, read, [] if isinstance(out, bool) else written, out)  # a question writes nothing
        return out

    def _count(
        self, func: Any, args: tuple[Any, ...], read: Sequence[Tensor], written: Sequence[Tensor], out: Any
    ) -> None:
        name = func.name().partition(".")[0]
        rule = RULES.get(name)
        if rule is None:
            raise ValueError(f"operator {name} has no FLOP rule; {__package__}.operators.RULES has: {', '.join(RULES)}")
        if rule == "metadata":
            return
        if rule == "conv_backward":  # a backend may give the weight's gradient with the bias's, asked or not
            written = [t for t, wanted in zip(out, args[10], strict=True) if wanted]
        if rule in ("conv", "conv_backward", "matmul", *PRODUCTS):
            macs = _macs(rule, args[1:] if name in ADDED else args, written[0])  # what is added comes first
            self.macs += macs
            self.flops["conv" if rule.startswith("conv") else "matmul"] += 2 * macs
        elif rule in ("fft_complex", "fft_real"):
            self.flops["fft"] += _fft_flops(rule, args[0], written[0], args[1])
        elif rule == "inverse":
            self.flops["inverse"] += 2 * args[0].numel() * args[0].shape[-1] * reals_per_mac(args[0].dtype)
        elif rule in FACTORISATIONS:
            self.flops["inverse"] += reals_per_mac(args[0].dtype) * FACTORISATIONS[rule](args, out)
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
    if rule in PRODUCTS:
        return factor * PRODUCTS[rule](*args)
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


def _tensors(tree: object) -> list[Tensor]:
    return [leaf for leaf in tree_leaves(tree) if isinstance(leaf, Tensor)]
