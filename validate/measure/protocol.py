"""What is measured: a call of a layer, a training step, a first step. Every instrument takes these, on any device."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import nullcontext
from functools import partial
from typing import Literal, get_args

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from lipcost.costmodel.networks.optimizers import Make, find_optimizer
from lipcost.layers import MarginCrossEntropy

from .live import storage_bytes

Mode = Literal["train", "inference"]

STEP_COUNTER = "step"  # its key in Adam's state
NUMBERS = (STEP_COUNTER, "mu_product")  # of an optimizer's state: tensors without axes on the host, for each parameter
FIRST_STEPS = ("sgd", "sgd-momentum", "adam", "adamw")  # of which what the host keeps is told apart in a first step


class Call(ABC):
    """A call that can be run again and again, each time from the same state: after :meth:`reset`.

    Its phases are the forward pass, the backward pass and the optimizer's step; :meth:`run` is all of them.

    Attributes:
        module: what is called.
        inputs: what it is called with.
        training: whether gradients are wanted.
        accumulate: how many forward and backward passes it has.
        made: tensors that the module made itself when it was put into its mode, and keeps as attributes.
    """

    module: nn.Module
    inputs: Sequence[Tensor]
    training: bool
    accumulate = 1
    made: Sequence[Tensor] = ()

    @property
    def parameters(self) -> list[Tensor]:
        """The module's."""
        return list(self.module.parameters())

    @property
    def fixed(self) -> list[Tensor]:
        """Its parameters and buffers; asked anew each time, as a call may replace them."""
        return [*self.module.parameters(), *self.module.buffers()]

    @property
    def cache(self) -> list[Tensor]:
        """The transformed weights that its layers keep in eval mode."""
        kept = tree_leaves([getattr(each, "_cache", None) for each in self.module.modules()])
        return [*(leaf for leaf in kept if isinstance(leaf, Tensor)), *self.made]

    @property
    def cache_bytes(self) -> int:
        """Those of the cache that are no parameter's and no buffer's."""
        return storage_bytes([*self.fixed, *self.cache]) - storage_bytes(self.fixed)

    @property
    def state(self) -> list[Tensor]:
        """What else exists before the call and counts: the incoming gradient, or the optimizer's state."""
        return []

    @property
    def uncounted(self) -> list[Tensor]:
        """What exists before it and is in no figure."""
        return []

    @property
    def base(self) -> list[Tensor]:
        """All that exists before the call and counts. Whoever keeps the list keeps what the call would free."""
        return [*self.inputs, *self.fixed, *self.cache, *self.state]

    @abstractmethod
    def forward(self) -> Tensor:
        """The forward pass."""

    def backward(self, y: Tensor) -> object:
        """The backward pass from the forward's result; the gradients, unless tensors keep their own."""
        return None

    def optimize(self) -> None:  # noqa: B027  # most calls have none
        """The optimizer's step, if there is one."""

    def reset(self) -> None:
        """Go back to the state that a call starts from: remove the gradients that the last one left."""
        self.module.zero_grad(set_to_none=True)

    def run(self) -> object:
        """The call itself; what it returns must be kept alive while measuring."""
        for _ in range(self.accumulate):
            y = self.forward()
            gradients = self.backward(y)
        self.optimize()
        return y if gradients is None else gradients


def _attributes(module: nn.Module) -> list[Tensor]:
    """The tensors that a module and its parts hold."""
    held = tree_leaves([list(vars(each).values()) for each in module.modules()])
    return [leaf for leaf in held if isinstance(leaf, Tensor)]


class LayerCall(Call):
    """``torch.autograd.grad(module(x), [x, *parameters], g)``, or ``module(x)`` with cached weights.

    Gradients are those of x, if it is floating-point or complex, and of the parameters that require grad; one that the
    output does not reach has none.

    Args:
        module: of one input and one output. It is the call's own from now on, and so is ``x``; :meth:`of_copy` takes
            others'. It is called once: lazy buffers get their size, or the eval cache is filled.
        x: its input, on its device.
        mode: "train" or "inference".

    Raises:
        ValueError: if ``mode`` is another; and from :meth:`forward`, in "train", if nothing in the output asks for a
            gradient.

    Example:
        >>> import torch
        >>> from lipcost.validate.measure.protocol import LayerCall
        >>> call = LayerCall(torch.nn.Linear(3, 2, bias=False), torch.ones(1, 3), "train")
        >>> [gradient.shape for gradient in call.run()]
        [torch.Size([1, 3]), torch.Size([2, 3])]
    """

    def __init__(self, module: nn.Module, x: Tensor, mode: Mode = "train") -> None:
        if mode not in get_args(Mode):
            raise ValueError(f"mode must be one of {', '.join(get_args(Mode))}, got {mode!r}")
        self.training = mode == "train"
        before = set(map(id, _attributes(module)))
        self.module = module.train(self.training)
        self.made = [tensor for tensor in _attributes(module) if id(tensor) not in before]
        self.x = x.detach().requires_grad_(self.training and (x.is_floating_point() or x.is_complex()))
        self.inputs = [self.x]
        with torch.no_grad():
            y = self.module(self.x)
        self.gradient = [y.new_ones(y.shape)] if self.training else []

    @classmethod
    def of_copy(cls, module: nn.Module, x: Tensor, mode: Mode = "train") -> LayerCall:
        """A call of copies; the originals are left as they are."""
        return cls(copy.deepcopy(module), x.detach().clone(), mode)

    @property
    def state(self) -> list[Tensor]:
        return self.gradient

    def forward(self) -> Tensor:
        with torch.set_grad_enabled(self.training):
            y: Tensor = self.module(self.x)
        if self.training and not y.requires_grad:
            raise ValueError(
                f"nothing in the output of {type(self.module).__name__} asks for a gradient: no parameter that "
                f"requires grad reaches it, nor does x, of {self.x.dtype}; mode 'inference' asks for none"
            )
        return y

    def backward(self, y: Tensor) -> object:
        if not self.training:
            return None
        wanted = [tensor for tensor in (self.x, *self.parameters) if tensor.requires_grad]
        return torch.autograd.grad(y, wanted, self.gradient, allow_unused=True)


class TrainingStep(Call):
    """``(MarginCrossEntropy()(net(x), labels) / n).backward()`` n times, ``optimizer.step()``; after a step to warm up.

    Args:
        net: gives scores (b, classes), each of its modules in the mode that it is in. It is the step's own from now on.
        x: its input (b, …), on its device; where it requires grad, its own gradient is kept too.
        labels: the right classes (b,), int64.
        optimizer: one of lipcost.costmodel.OPTIMIZERS, or what makes one of parameters.
        weight_decay: whether a named one has one.
        form: of a named one: "single", "foreach" as on a GPU by default, or "fused".
        accumulate: n, of batches before the optimizer's step.
        autocast: the type in which forward and loss compute under torch.autocast; None for none.

    Raises:
        ValueError: if the optimizer is another, or the labels are of another type or number.

    Example:
        >>> import torch
        >>> from lipcost.validate.measure.protocol import TrainingStep
        >>> step = TrainingStep(torch.nn.Linear(3, 2), torch.ones(1, 3), torch.tensor([1]))
        >>> [tensor.shape for tensor in step.state]  # momentum
        [torch.Size([2, 3]), torch.Size([2])]
    """

    training = True

    def __init__(
        self,
        net: nn.Module,
        x: Tensor,
        labels: Tensor,
        optimizer: str | Make = "sgd-momentum",
        *,
        weight_decay: bool = False,
        form: str = "single",
        accumulate: int = 1,
        autocast: torch.dtype | None = None,
    ) -> None:
        if labels.dtype != torch.int64 or labels.shape != x.shape[:1] or labels.device != x.device:
            got = f"{labels.dtype} of shape {tuple(labels.shape)} on {labels.device}"
            where = "the CPU" if x.device.type == "cpu" else x.device
            raise ValueError(f"labels must be torch.int64 of shape {tuple(x.shape[:1])} on {where}, got {got}")
        self.module, self.x, self.labels, self.criterion = net, x, labels, MarginCrossEntropy()
        self.inputs = [x, labels]
        self.accumulate, self.autocast, self._named = accumulate, autocast, optimizer
        if isinstance(optimizer, str):
            # Without a learning rate the steps launch the same operators, and start from the same parameters.
            optimizer = partial(find_optimizer(optimizer), weight_decay=weight_decay, form=form, lr=0.0)
        self._optimizer = optimizer
        self._start()

    def _start(self) -> None:
        """Take the step before: lazy buffers, caches, the optimizer's state."""
        self.optimizer = self._optimizer(self.parameters)
        self.run()

    @property
    def state(self) -> list[Tensor]:
        """The optimizer's, but for numbers."""
        return [tensor for name, tensor in self._states if name not in NUMBERS]

    @property
    def uncounted(self) -> list[Tensor]:
        """Its step counters and other numbers."""
        return [tensor for name, tensor in self._states if name in NUMBERS]

    @property
    def _states(self) -> list[tuple[str, Tensor]]:
        states = self.optimizer.state.values()
        return [each for state in states for each in state.items() if isinstance(each[1], Tensor)]

    def forward(self) -> Tensor:
        """The loss."""
        with torch.autocast(self.x.device.type, self.autocast) if self.autocast else nullcontext():
            loss: Tensor = self.criterion(self.module(self.x), self.labels)
            return loss if self.accumulate == 1 else loss / self.accumulate

    def backward(self, y: Tensor) -> object:
        """Into the parameters' own gradients."""
        y.backward()  # type: ignore[no-untyped-call]
        return None

    def optimize(self) -> None:
        self.optimizer.step()

    def reset(self) -> None:
        super().reset()
        self.x.grad = None


class FirstStep(TrainingStep):
    """The first step of ``net`` as it is: nothing warms up, and after every reset another copy takes it.

    Example:
        >>> import torch
        >>> from lipcost.validate.measure.protocol import FirstStep
        >>> step = FirstStep(torch.nn.Linear(3, 2), torch.ones(1, 3), torch.tensor([1]))
        >>> step.state
        []
    """

    def _start(self) -> None:
        if self._named not in FIRST_STEPS:
            raise ValueError(f"a first step is measured of {', '.join(FIRST_STEPS)}, got {self._named!r}")
        self.net = self.module
        self.reset()

    def reset(self) -> None:
        """Take another copy, and an optimizer without state."""
        self.module = copy.deepcopy(self.net)
        super().reset()
        self.optimizer = self._optimizer(self.parameters)
        if isinstance(self.optimizer, torch.optim.Adam):
            for p in self.module.parameters():
                self.optimizer.state[p] = _Counted({STEP_COUNTER: torch.zeros(())})


class _Counted(dict[str, Tensor]):
    """The state of a parameter before its first step, but that the counter, which is in no figure, is there already."""

    def __len__(self) -> int:
        return super().__len__() - 1  # torch makes the state of a parameter that has none

    def __setitem__(self, name: str, tensor: Tensor) -> None:
        if name != STEP_COUNTER:
            super().__setitem__(name, tensor)
