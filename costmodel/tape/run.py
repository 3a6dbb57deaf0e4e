"""A torch program on a tape: modules with tensors without values in place of their parameters and buffers."""

from __future__ import annotations

import gc
import sys
import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial, wraps
from inspect import signature
from types import FrameType
from typing import Any

import torch
from torch import nn
from torch.nn.parameter import is_lazy
from torch.overrides import TorchFunctionMode

from . import table
from .errors import refused, unruled
from .graph import attach
from .tape import Storage, Tape, pinned
from .tensor import Tensor
from .versions import since

PARAMETER_TRANSFORM = "parameter_transform"
# Modules, autograd's Function and the garbage collector are every thread's: one records at a time.
_RECORDING = threading.RLock()


class Door(TorchFunctionMode):
    """Hands every torch function to its rule."""

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _enter(function, args, kwargs or {})


@contextmanager
def running(tape: Tape, module: nn.Module | None = None) -> Iterator[None]:
    """Let torch programs run on ``tape``: factories make tensors on it, autograd functions are recorded.

    Recordings may lie inside each other; another thread's waits until the outermost ends.

    Args:
        tape: where they are recorded.
        module: one whose parameters and buffers lie on it meanwhile; all of it is put back, whatever happens.
    """
    with ExitStack() as stack:
        stack.enter_context(_RECORDING)
        tape.lift = partial(constant, tape=tape, counted=False)
        tapes = table.recordings()
        tapes.append(tape)
        stack.callback(tapes.pop)
        stack.enter_context(prompt_frees())
        stack.enter_context(_functions_recorded())
        stack.enter_context(_graphs_recorded())
        stack.enter_context(_replaced(torch.overrides, "has_torch_function", _is_overridden))
        if module is not None:
            stack.enter_context(_on_tape(module, tape))
        stack.enter_context(Door())
        yield


def _is_overridden(values: Any, asked: Callable[[Any], bool] = torch.overrides.has_torch_function) -> bool:
    """Whether torch's modules meet tensors with functions of their own; not for being on a tape."""
    return asked(tuple(value for value in values if type(value) is not Tensor))


@contextmanager
def prompt_frees() -> Iterator[None]:
    """Free by reference count alone: a cycle collected at a random moment would move bytes about."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


@contextmanager
def on_host(tape: Tape) -> Iterator[None]:
    """Let tensors without axes be real ones: an optimizer's step counters, whose values it reads."""
    tape.host = True
    try:
        yield
    finally:
        tape.host = False


def _of_host(function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    """Whether a function makes or takes real tensors without axes alone."""
    leaves = [value for value in _leaves((args, kwargs)) if isinstance(value, torch.Tensor)]
    if not leaves:
        return function in _HOST_FACTORIES and not (args and isinstance(args[0], (tuple, list)) and args[0])
    return not any(type(value) is Tensor for value in leaves)


_HOST_FACTORIES = (torch.tensor, torch.as_tensor, torch.zeros, torch.ones)


def _enter(function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """A torch function's rule; without one the function itself, if it meets and makes no tensor."""
    if table.active().host and _of_host(function, args, kwargs):
        return function(*args, **kwargs)
    of_function = table.RULES.find(function)
    if of_function is not None and not (of_function in table.RULES.factories and _importing()):
        return table.apply(of_function, args, kwargs)
    if any(type(value) is Tensor for value in _leaves((args, kwargs))):
        raise unruled(table.name_of(function))
    out = function(*args, **kwargs)
    if (
        any(isinstance(value, torch.Tensor) and type(value) is not Tensor for value in _leaves(out))
        and not _importing()
    ):
        raise unruled(table.name_of(function))
    return out


def _importing() -> bool:
    """Whether a module is being imported, whose constants are no part of the program."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            return True
        frame = frame.f_back
    return False


def _leaves(value: Any) -> Iterator[Any]:
    if isinstance(value, dict):
        value = list(value.values())
    if type(value) in (tuple, list):
        for each in value:
            yield from _leaves(each)
    else:
        yield value


@contextmanager
def _on_tape(module: nn.Module, tape: Tape) -> Iterator[None]:
    """Parameters and buffers replaced, the parameter transformations marked; every attribute put back afterwards."""
    before = [(each, dict(each.__dict__), _containers(each)) for each in module.modules()]
    try:
        for each in module.modules():
            for held in (each._parameters, each._buffers):
                for name, tensor in held.items():
                    if tensor is not None:
                        held[name] = constant(tensor, tape)  # type: ignore[assignment]
        mark_transforms(module)
        yield
    finally:
        for each, attributes, containers in before:
            each.__dict__.clear()
            each.__dict__.update(attributes)
            for name, held in containers.items():
                getattr(each, name).clear()
                getattr(each, name).update(held)


def _containers(module: nn.Module) -> dict[str, dict[str, Any]]:
    return {name: dict(getattr(module, name)) for name in ("_parameters", "_buffers", "_modules")}


def mark_transforms(module: nn.Module) -> None:
    """Let what a layer does to its parameters, in its method ``parameter_transform``, count as that part."""
    for each in module.modules():
        transform = getattr(each, PARAMETER_TRANSFORM, None)
        if transform is not None:
            each.__dict__[PARAMETER_TRANSFORM] = _marked(transform)


def _marked(transform: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(transform)
    def marked(*args: Any, **kwargs: Any) -> Any:
        tape = table.active()
        before, tape.part = tape.part, "parameter"
        try:
            return transform(*args, **kwargs)
        finally:
            tape.part = before

    return marked


def constant(tensor: torch.Tensor, tape: Tape, counted: bool = True) -> Tensor:
    """What stands for a real tensor: one that was there before the recording, with its strides and storage.

    Args:
        tensor: the real one.
        tape: of the recording.
        counted: whether it is the module's own, so that its bytes count.
    """
    if type(tensor) is Tensor:
        return tensor
    _, known = tape.constants.get(id(tensor), (None, None))
    out: Tensor | None = None if known is None else known()
    if out is None:
        if is_lazy(tensor):
            raise refused("an uninitialized parameter of torch.nn.modules.lazy: call the module once")
        real = tensor.untyped_storage()
        key = "storage", real._cdata
        if key not in tape.constants:
            tape.constants[key] = real, tape.existing(real.nbytes()) if counted else pinned(Storage(real.nbytes()))
        out = Tensor(tape, tuple(tensor.shape), tensor.dtype, tape.constants[key][1], tuple(tensor.stride()))
        if tensor.requires_grad:
            if not tensor.is_leaf:
                raise ValueError(f"a tensor of shape {tuple(tensor.shape)} belongs to a graph outside the recording")
            out.require_grad()
        tape.constants[id(tensor)] = tensor, weakref.ref(out)
        if not counted:
            tape.lifted.append(out)  # no module holds it
    return out


class Context:
    """An autograd Function's ``ctx`` on the tape."""

    saved_tensors: tuple[Tensor | None, ...]

    def __init__(self, needs_input_grad: tuple[bool, ...]) -> None:
        self.needs_input_grad = needs_input_grad
        self._kept: tuple[Tensor | None, ...] = ()
        self._not_differentiable: set[int] = set()
        self._materialize = True

    def save_for_backward(self, *tensors: Any) -> None:
        """Keep tensors for the backward."""
        self._kept = tuple(tensors)

    def mark_non_differentiable(self, *tensors: Tensor) -> None:
        """Outputs that get no gradient."""
        self._not_differentiable = {id(tensor) for tensor in tensors}

    def set_materialize_grads(self, value: bool) -> None:
        """Whether a missing gradient is given as zeros."""
        self._materialize = value


@contextmanager
def _functions_recorded() -> Iterator[None]:
    """Record autograd Functions by their own forward and backward.

    Before torch 2.14 ``apply`` asks that of a class below, which an ``apply`` that a program bound earlier reaches too.
    Since then such a one is C++ alone: it is refused where it keeps tensors, which is the first that is seen of it.
    """
    function: Any = torch.autograd.Function
    late = since(2, 14)
    base = function if late else function.__mro__[1]
    original = vars(base).get("apply")

    @classmethod  # type: ignore[misc]
    def apply(cls: Any, *args: Any, **kwargs: Any) -> Any:
        given, named = args, kwargs
        if _has_setup(cls):
            bound = signature(cls.forward).bind(*args, **kwargs)
            bound.apply_defaults()
            given, named = bound.args, bound.kwargs
        if table.recordings() and any(type(value) is Tensor for value in given):
            return _record_function(cls, given, named)
        of_torch = super(base, cls).apply if original is None else original.__get__(None, cls)
        return of_torch(*args, **kwargs)

    def refuse(self: Any, *_: Any) -> None:
        raise refused(f"torch.autograd.Function.apply of {type(self).__name__}, bound before the recording")

    with _replaced(base, "apply", apply), ExitStack() as stack:
        if late:
            stack.enter_context(_replaced(torch.autograd.function.FunctionCtx, "save_for_backward", refuse))
        yield


@contextmanager
def _graphs_recorded() -> Iterator[None]:
    """Let hooks on saved tensors and backward passes inside a program act on the tape, so that checkpoints do."""

    def enter(self: Any) -> Any:
        table.active().hooks.append((self.pack_hook, self.unpack_hook))

    def leave(self: Any, *_: object) -> None:
        table.active().hooks.pop()

    def keep(tensor: Tensor, is_output: bool = False) -> Tensor:
        kept = tensor.alias().unsafe()  # of its own: it goes with the checkpoint
        kept.edge = tensor.edge
        table.active().kept.append(weakref.ref(kept))
        return kept

    hooks: Any = torch.autograd.graph.saved_tensors_hooks
    backward = table.RULES.find(torch.autograd.backward)
    with (
        _replaced(hooks, "__enter__", enter),
        _replaced(hooks, "__exit__", leave),
        _replaced(torch.autograd, "backward", backward),
        _replaced(torch.autograd, "_is_checkpoint_valid", lambda: table.active().passes[-1][1]),
        _replaced(torch._C, "_current_graph_task_id", lambda: table.active().passes[-1][0]),
        _replaced(torch.utils.checkpoint, "_make_saved_tensor", keep),
        _replaced(torch, "clear_autocast_cache", table.active().copies.clear),
    ):
        yield


@contextmanager
def _replaced(cls: Any, name: str, value: Any) -> Iterator[None]:
    """Another attribute of a class or a module for a while."""
    before = vars(cls).get(name)
    setattr(cls, name, value)
    try:
        yield
    finally:
        if before is None:
            delattr(cls, name)
        else:
            setattr(cls, name, before)


def _has_setup(cls: Any) -> bool:
    """Whether an autograd Function's forward has no ``ctx``."""
    return cls.setup_context is not torch.autograd.Function.setup_context


def _record_function(cls: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    places = [i for i, value in enumerate(args) if type(value) is Tensor]
    inputs = [args[i] for i in places]
    context = Context(tuple(type(value) is Tensor and value.requires_grad for value in args))
    with torch.no_grad():
        if _has_setup(cls):
            result = cls.forward(*args, **kwargs)
            cls.setup_context(context, args, result)
        else:
            result = cls.forward(context, *args, **kwargs)
    outputs = list(result) if isinstance(result, tuple) else [result]
    for i, output in enumerate(outputs):
        if any(output is value for value in inputs):  # autograd returns a view of an input that is returned
            outputs[i] = output.alias()
    kept, context._kept = context._kept, ()
    differentiable = [o for o in outputs if type(o) is Tensor and id(o) not in context._not_differentiable]
    described = [(o.sizes, o.dtype) for o in outputs if type(o) is Tensor]
    chosen = [i for i, o in enumerate(outputs) if any(o is d for d in differentiable)]
    count = len(outputs)

    def backward(saved: tuple[Tensor | None, ...], *gradients: Tensor | None) -> list[Tensor | None]:
        full: list[Tensor | None] = [None] * count
        for i, gradient in zip(chosen, gradients, strict=True):
            full[i] = gradient
        del gradients
        if context._materialize:
            from .rules.factories import filled  # noqa: PLC0415  (rules are read at first use)

            tape = inputs_tape[0]
            full = [filled("zeros", tape, *described[i]) if g is None else g for i, g in enumerate(full)]
        context.saved_tensors = saved
        results = cls.backward(context, *full)
        del context.saved_tensors
        results = results if isinstance(results, tuple) else (results,)
        return [results[i] for i in places]

    inputs_tape = [inputs[0].tape]
    attach(differentiable, inputs, kept, backward, context)
    return tuple(outputs) if isinstance(result, tuple) else outputs[0]
