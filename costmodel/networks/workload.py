"""What a question about a network is asked of: the network and how it is run, all but the batch size."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from lipcost.layers.networks.table import CONV_NETS, find_network

from ..checks import check_mode, lookup, one_of, positive, resolve_counts, torch_dtype
from ..tape import Tape
from ..tape.recording import Recording
from .optimizers import Make, find_optimizer, maker

AUTOCAST = ("bfloat16", "float16")


@dataclass(frozen=True)
class Workload:
    """A network, its images and what is done with them; all sizes are checked.

    Attributes:
        name: the network's, or the class's of a module.
        module: the module, or a function of the tape that builds it.
        shape: of one input, (c, h, w) of an image.
        form: of the optimizer: "single", "foreach" or "fused".
        mode, optimizer, weight_decay, accumulate, autocast, dtype, in_place, input_gradient, first_step: as of
            ``predict_network``.
    """

    name: str
    module: Any
    shape: tuple[int, ...]
    mode: str
    optimizer: str | Make
    weight_decay: bool
    form: str
    accumulate: int
    autocast: str | None
    dtype: str
    in_place: bool
    input_gradient: bool
    first_step: bool

    def record(self, b: int) -> Recording:
        """One step with a batch of ``b``."""
        from ..tape.program import Program, record_call  # noqa: PLC0415  (these need torch)
        from .step import Step  # noqa: PLC0415

        tape, train = Tape(self.in_place), self.mode == "train"
        sizes = (positive("b", b), *self.shape)
        program = Program(self.module, sizes, torch_dtype(self.dtype), None if train else False, self.input_gradient)
        cast = torch_dtype(self.autocast) if self.autocast else None
        if not train:
            return record_call(program, tape, cast)[0]
        from lipcost.layers import MarginCrossEntropy  # noqa: PLC0415

        optimizer = maker(self.optimizer, weight_decay=self.weight_decay, form=self.form)
        step = Step(MarginCrossEntropy(), optimizer, self.first_step, self.accumulate, cast)
        return step.record(program, tape)


def workload(
    network: Any,
    method: str | None,
    *,
    mode: str = "train",
    optimizer: str | Make = "sgd-momentum",
    weight_decay: bool = False,
    s: int | None = None,
    h: int | None = None,
    w: int | None = None,
    c_in: int = 3,
    shape: Sequence[int] | None = None,
    classes: int | None = None,
    width: int | None = None,
    dtype: str | None = None,
    in_place: bool = True,
    foreach: bool = False,
    fused: bool = False,
    accumulate: int = 1,
    autocast: str | None = None,
    input_gradient: bool = False,
    first_step: bool = False,
    **options: Any,
) -> Workload:
    """The workload of these arguments, which are those of ``predict_network``."""
    own = _dtype(network)
    if dtype is None:
        dtype = own or "float32"
    if own not in (None, dtype):
        raise ValueError(f"the module's parameters are {own}, not {dtype!r}; give no dtype, or theirs")
    if isinstance(optimizer, str):
        find_optimizer(optimizer)
    if autocast is not None:
        one_of("autocast", autocast, AUTOCAST)
    if first_step and mode != "train":
        raise ValueError(f"first_step is of a training step, not of mode {mode!r}")
    settings = {"classes": classes, "width": width, **options}
    name, image, module = _network(network, method, dtype, settings)
    if shape is None:
        sides = [image if side is None else side for side in (s if h is None else h, s if w is None else w)]
        if None in sides:
            raise ValueError("the sides of the images are missing: give s, or h and w, or shape")
        named: tuple[tuple[str, Any], ...] = (
            ("c_in", c_in),
            ("h" if h else "s", sides[0]),
            ("w" if w else "s", sides[1]),
        )
    elif any(side is not None for side in (s, h, w)):
        raise ValueError("give shape, or c_in and the sides of the images")
    else:
        named = tuple(("shape", size) for size in shape)
    return Workload(
        name=name,
        module=module,
        shape=tuple(positive(what, size) for what, size in named),
        mode=check_mode(mode),
        optimizer=optimizer,
        weight_decay=weight_decay,
        form="fused" if fused else "foreach" if foreach else "single",
        accumulate=positive("accumulate", accumulate),
        autocast=autocast,
        dtype=dtype,
        in_place=in_place,
        input_gradient=input_gradient,
        first_step=first_step,
    )


def _network(network: Any, method: str | None, dtype: str, settings: dict[str, Any]) -> tuple[str, int | None, Any]:
    """(name, side of the images it was made for, the module or what builds it)."""
    given = {name: value for name, value in settings.items() if value is not None}
    if not isinstance(network, str):
        named = ["method"] * (method is not None) + list(given)
        if named:
            raise ValueError(f"{named[0]} is for a named network; a module has its own")
        return type(network).__name__, None, network
    if method is None:
        raise ValueError(f"the network {network!r} needs a method")
    name = find_network(network)
    counts = {name: value for name, value in given.items() if name not in ("classes", "width", "bias")}
    resolved = resolve_counts(lookup(method), counts)
    given |= {name: resolved[name] for name in counts}
    given |= {name: positive(name, given[name]) for name in ("classes", "width") if name in given}

    def build(_: Tape) -> Any:
        from lipcost.layers import conv_net  # noqa: PLC0415

        return conv_net(name, method, dtype=torch_dtype(dtype), **given)

    return name, CONV_NETS[name].image, build


def _dtype(network: Any) -> str | None:
    """The type of a module's first parameter, which is that of its input."""
    if isinstance(network, str):
        return None
    return next((str(p.dtype).removeprefix("torch.") for p in network.parameters()), None)
