"""The counters of others, behind one interface: torch's two, fvcore, torchinfo and onnxsim; and lipcost.

None but torch, fvcore and lipcost is a dependency of the project: the rest is used where it can be imported.
"""

from __future__ import annotations

import importlib.util
import logging
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.metadata import version
from typing import Any

import sympy
import torch
from fvcore.nn import FlopCountAnalysis
from torch._dynamo.source import ConstantSource
from torch._subclasses import FakeTensorMode
from torch.fx.experimental.symbolic_shapes import DimDynamic, ShapeEnv
from torch.utils.flop_counter import FlopCounterMode

from lipcost.costmodel import cost
from lipcost.validate.measure.fvcore import ZERO_MACS

from .modules import Subject

Sizes = Mapping[str, int]
FVCORES_PRODUCTS = ("conv", "linear", "addmm", "mm", "matmul", "bmm", "einsum")
LEAST, MOST = 2, 4096  # of a size that torch.export keeps open


@dataclass
class Answer:
    """What a tool says of a module.

    Attributes:
        figures: of FIGURES, those that it has, in its own unit; expressions if it was asked in symbols.
        named: operators that may hold products and that it says it has left out.
    """

    figures: dict[str, Any]
    named: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Tool:
    """A counter.

    Attributes:
        name: as in the tables.
        package: whose version is shown.
        needs: what must be importable.
        per_mac: what it counts for one MAC of a product.
        convention: what its figures are, and where that is said.
        numbers: asks it of a module at sizes.
        symbols: the same with the sizes as symbols; their values are an example. None if it knows no symbols.
    """

    name: str
    package: str
    needs: tuple[str, ...]
    per_mac: int
    convention: str
    numbers: Callable[[Subject, Sizes], Answer]
    symbols: Callable[[Subject, Sizes], Answer] | None = None

    @property
    def installed(self) -> bool:
        """Whether all that it needs is there."""
        return all(importlib.util.find_spec(need) for need in self.needs)

    @property
    def title(self) -> str:
        """With its version."""
        return f"{self.name} ({self.package} {version(self.package)})" if self.installed else self.name


def example(subject: Subject, sizes: Sizes) -> torch.Tensor:
    """An input."""
    return torch.zeros(subject.sizes(**sizes))


# lipcost


def predicted(subject: Subject, sizes: Sizes) -> Answer:
    """Of a module at sizes."""
    return _costs(subject, subject.sizes(**sizes))


def predicted_symbols(subject: Subject, sizes: Sizes) -> Answer:
    """Of a module at any sizes."""
    return _costs(subject, subject.shape)


def _costs(subject: Subject, shape: tuple[int | str, ...]) -> Answer:
    found = cost(subject.module(), shape, dtype=torch.float32)
    step = found.macs_forward + found.macs_backward
    return Answer({"forward": found.macs_forward, "step": step, "peak": found.peak_bytes})


# torch: both under fake tensors, without values


def counted(subject: Subject, sizes: Mapping[str, Any]) -> Answer:
    """By FlopCounterMode."""
    with _fake(subject, sizes) as (module, x, gradient), FlopCounterMode(display=False) as counter:
        y = module(x)
        forward = counter.get_total_flops()
        y.backward(gradient)
        return Answer({"forward": _plain(forward), "step": _plain(counter.get_total_flops())})


def tracked(subject: Subject, sizes: Mapping[str, Any]) -> Answer:
    """By MemTracker."""
    from torch.distributed._tools.mem_tracker import MemTracker  # noqa: PLC0415

    with _fake(subject, sizes) as (module, x, gradient):
        tracker = MemTracker()
        tracker.track_external(module, x, gradient)
        with tracker:
            module(x).backward(gradient)
        return Answer({"peak": _plain(tracker.get_tracker_snapshot("peak")[x.device]["Total"])})


@contextmanager
def _fake(subject: Subject, sizes: Mapping[str, Any]) -> Iterator[tuple[Any, torch.Tensor, torch.Tensor]]:
    """A module, its input and the gradient of its output without values, after a call; sizes may be symbols."""
    with FakeTensorMode(shape_env=ShapeEnv()) as mode:
        given = {name: size(mode.shape_env) if callable(size) else size for name, size in sizes.items()}
        module, x = subject.module(), torch.empty(subject.sizes(**given), requires_grad=True)
        with torch.no_grad():
            gradient = torch.empty(module(x).shape)
        yield module, x, gradient


def in_symbols(tool: Callable[[Subject, Mapping[str, Any]], Answer]) -> Callable[[Subject, Sizes], Answer]:
    """A tool of torch with symbolic sizes of a ShapeEnv, each with its example value as hint."""

    def symbol(name: str, hint: int) -> Callable[[ShapeEnv], Any]:
        def create(env: ShapeEnv) -> Any:
            source = ConstantSource(name)
            made = env.create_symbol(hint, source, dynamic_dim=DimDynamic.DYNAMIC, constraint_dim=None)
            names[made] = sympy.Symbol(name)
            return env.create_symintnode(made, hint=hint, source=source)

        return create

    names: dict[Any, sympy.Symbol] = {}

    def ask(subject: Subject, sizes: Sizes) -> Answer:
        names.clear()
        answer = tool(subject, {name: symbol(name, sizes[name]) for name in sizes if name in subject.shape})
        figures = {figure: sympy.sympify(value).xreplace(names) for figure, value in answer.figures.items()}
        return Answer(figures)

    return ask


def _plain(value: Any) -> Any:
    """An int, or the expression of a symbolic one."""
    return value.node.expr if isinstance(value, torch.SymInt) else value


# fvcore, torchinfo, onnxsim


def traced(subject: Subject, sizes: Sizes) -> Answer:
    """By fvcore."""
    analysis = FlopCountAnalysis(subject.module(), example(subject, sizes)).unsupported_ops_warnings(False)
    analysis.uncalled_modules_warnings(False).tracer_warnings("none")
    counts = analysis.by_operator()
    without = {f"aten::{name}" for name in ZERO_MACS}
    named = [name for name in analysis.unsupported_ops() if name not in without]
    return Answer({"forward": sum(int(counts[name]) for name in FVCORES_PRODUCTS)}, named)


def summarised(subject: Subject, sizes: Sizes) -> Answer:
    """By torchinfo, without the mult-adds that it gives parameters that are vectors: those of normalisations."""
    from torchinfo import summary  # noqa: PLC0415

    found = summary(subject.module(), input_data=example(subject, sizes), mode="train", verbose=0)
    leaves = [layer for layer in found.summary_list if layer.is_leaf_layer]
    products = [leaf for leaf in leaves if any(p.ndim > 1 for p in leaf.module.parameters())]
    total = found.total_input + found.total_output_bytes + found.total_param_bytes
    return Answer({"forward": sum(leaf.macs for leaf in products), "peak": total})


def exported(subject: Subject, sizes: Sizes) -> Answer:
    """By onnxsim, of torch's export."""
    return _of_onnx(subject, sizes, None)


def exported_symbols(subject: Subject, sizes: Sizes) -> Answer:
    """The same with dynamic axes."""
    dims = {name: torch.export.Dim(name, min=LEAST, max=MOST) for name in sizes}
    axes = {i: dims[size] for i, size in enumerate(subject.shape) if isinstance(size, str)}
    return _of_onnx(subject, sizes, (axes,))


def _of_onnx(subject: Subject, sizes: Sizes, axes: Any) -> Answer:
    """Not optimised: folding constants would remove a layer's parameter transformation."""
    from onnxsim.model_info import ModelInfo  # noqa: PLC0415

    module, x = subject.module(), example(subject, sizes)
    with _quiet():
        program = torch.onnx.export(module, (x,), dynamo=True, dynamic_shapes=axes, optimize=False, verbose=False)
        assert program is not None
        macs = ModelInfo(program.model_proto).macs
    return Answer({"forward": _read(macs) if axes else macs})


def _read(value: Any) -> sympy.Expr:
    """An expression of onnxsim, whose symbols may have formulas as names: "s + 2"."""
    value = sympy.sympify(value)
    return value.xreplace({each: sympy.sympify(each.name) for each in value.free_symbols})


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the exporter's warnings."""
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(logging.NOTSET)


LIPCOST = Tool(
    "lipcost",
    "lipcost",
    (),
    1,
    "MACs of convolutions and products, a complex one is four (docs/conventions.md)",
    predicted,
    predicted_symbols,
)
TOOLS = (
    LIPCOST,
    Tool(
        "FlopCounterMode",
        "torch",
        (),
        2,
        "FLOPs of convolutions, products and attention, two per MAC (torch/utils/flop_counter.py, mm_flop)",
        counted,
        in_symbols(counted),
    ),
    Tool(
        "MemTracker",
        "torch",
        ("torch.distributed._tools.mem_tracker",),
        1,
        "bytes of live storages, the peak (torch/distributed/_tools/mem_tracker.py)",
        tracked,
        in_symbols(tracked),
    ),
    Tool(
        "fvcore",
        "fvcore",
        (),
        1,
        '"one fused multiply-add as one flop" (docstring of FlopCountAnalysis); normalisations left aside',
        traced,
    ),
    Tool(
        "torchinfo",
        "torchinfo",
        ("torchinfo",),
        1,
        "mult-adds of the forward, estimated total size (torchinfo/model_statistics.py); normalisations left aside",
        summarised,
    ),
    Tool(
        "onnxsim",
        "onnxsim",
        ("onnxsim", "onnxscript"),
        1,
        "MACs of Conv, Gemm, MatMul and Attention nodes of the exported graph (docstring of ModelInfo)",
        exported,
        exported_symbols,
    ),
)
