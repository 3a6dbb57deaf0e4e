"""The optimizers of torch by name. Their own code runs, on the tape as anywhere."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from inspect import unwrap
from typing import Any

from ..checks import one_of

DECAY = 0.01  # where there is a weight decay; its value does not matter


@dataclass(frozen=True)
class Kind:
    """A class of torch.optim and what a name says of it."""

    cls: str
    settings: dict[str, Any]
    foreach: bool = True  # whether it has a form of one kernel for all parameters
    fused: bool = False  # whether it has one of a single kernel

    def __call__(
        self, parameters: Iterable[Any], *, weight_decay: bool, form: str, lr: float | None = None, bare: bool = False
    ) -> Any:
        """The optimizer of these parameters, in one of FORMS.

        Args:
            parameters: what is optimised.
            weight_decay: whether it has one.
            form: "single", a loop over the parameters; "foreach" or "fused".
            lr: its learning rate, which does not matter; torch's default by default.
            bare: whether to leave out the decorators by which torch loads its compiler: a second of waiting.
        """
        import torch  # noqa: PLC0415  (its names do not need it)

        settings = self.settings | {"weight_decay": DECAY if weight_decay else 0.0}
        if lr is not None:
            settings["lr"] = lr
        if self.foreach:
            settings["foreach"] = form == "foreach"
        if self.fused:
            settings["fused"] = form == "fused"
        elif form == "fused":
            raise ValueError(
                f"{self.cls} has no fused form; fused: {', '.join(n for n, k in OPTIMIZERS.items() if k.fused)}"
            )
        cls = getattr(torch.optim, self.cls)
        return (_bare(cls) if bare else cls)(parameters, **settings)


def _bare(cls: Any) -> Any:
    """A class of torch.optim without its decorators."""
    return type(cls.__name__, (cls,), {name: unwrap(getattr(cls, name)) for name in ("step", "add_param_group")})


FORMS = ("single", "foreach", "fused")
OPTIMIZERS: dict[str, Kind] = {
    "sgd": Kind("SGD", {}, fused=True),
    "sgd-momentum": Kind("SGD", {"momentum": 0.9}, fused=True),
    "adam": Kind("Adam", {}, fused=True),
    "adamw": Kind("AdamW", {}, fused=True),
    "adagrad": Kind("Adagrad", {}, fused=True),
    "adadelta": Kind("Adadelta", {}),
    "adamax": Kind("Adamax", {}),
    "nadam": Kind("NAdam", {}),
    "radam": Kind("RAdam", {}),
    "rmsprop": Kind("RMSprop", {}),
}

Make = Callable[[Iterable[Any]], Any]  # an optimizer of parameters


def find_optimizer(name: str) -> Kind:
    """The optimizer of that name."""
    kind: Kind = OPTIMIZERS[one_of("optimizer", name, OPTIMIZERS)]
    return kind


def maker(optimizer: str | Make, *, weight_decay: bool, form: str) -> Make:
    """What makes the optimizer on a tape: of a name, or of a user's own, which has its settings."""
    if not isinstance(optimizer, str):
        if weight_decay:
            raise ValueError("weight_decay is for a named optimizer; one of your own has its settings")
        return optimizer
    return partial(find_optimizer(optimizer), weight_decay=weight_decay, form=form, bare=True)
