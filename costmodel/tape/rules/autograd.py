"""Rules of backward passes that a program runs itself."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..errors import refused
from ..graph import run_backward
from ..table import rule
from ..tensor import Tensor
from .factories import filled


@rule("torch.autograd.backward")
def backward(
    tensors: Tensor | Sequence[Tensor], grad_tensors: Any = None, retain_graph: bool | None = None,
    create_graph: bool = False, grad_variables: Any = None, inputs: Any = None,
) -> None:  # fmt: skip
    """The gradients of all leaves, into their ``grad``; that of a scalar is one."""
    if create_graph or inputs is not None:
        raise refused("torch.autograd.backward with create_graph or inputs")
    roots = [tensors] if type(tensors) is Tensor else list(tensors)
    given = [grad_tensors] if grad_tensors is None or type(grad_tensors) is Tensor else list(grad_tensors)
    given = given if len(given) == len(roots) else [None] * len(roots)
    if any(root.edge is None for root in roots):
        raise RuntimeError("what is differentiated asks for no gradient")
    tape = roots[0].tape
    phase, part = tape.phase, tape.part
    tape.phase = "backward"
    pairs = zip(roots, given, strict=True)
    first = [filled("ones_like", tape, x.sizes, x.dtype) if g is None else g for x, g in pairs]
    del given, pairs
    try:
        run_backward(roots, first, accumulate=True, keep=bool(retain_graph))
    finally:
        tape.phase, tape.part = phase, part


@rule("Tensor.backward")
def tensor_backward(
    x: Tensor, gradient: Tensor | None = None, retain_graph: bool | None = None, create_graph: bool = False,
    inputs: Any = None,
) -> None:  # fmt: skip
    from ..run import Door  # noqa: PLC0415  (it reads the rules)

    with Door():  # a mode is left while a function that it met runs: what functions make in their backward is met too
        backward(x, gradient, retain_graph, create_graph, None, inputs)
