"""What a question about a network is asked of: the network and how it is run, all but the batch size."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

from lipcost.layers.networks.table import CONV_NETS, find_network

from ..checks import check_mode, lookup, positive, resolve_counts, torch_dtype
from ..tape import Tape
from ..tape.recording import Program, Recording, record_call
from .optimizers import find_optimizer
from .step import record_step


@dataclass(frozen=True)
class Workload:
    """A network, its images and what is done with them; all sizes are checked.

    Attributes:
        name: the network's, or the class's of a module.
        module: the module, or a function of the tape that builds it.
        c_in, h, w: channels and sides of the images.
        mode, optimizer, weight_decay, foreach, dtype, in_place, as_it_is, input_gradient: as of ``predict_network``.
    """

    name: str
    module: Any
    c_in: int
    h: int
    w: int
    mode: str
    optimizer: str
    weight_decay: bool
    foreach: bool
    dtype: str
    in_place: bool
    as_it_is: bool
    input_gradient: bool

    def record(self, b: int) -> Recording:
        """One step with a batch of ``b``."""
        sizes = (positive("b", b), self.c_in, self.h, self.w)
        tape, train = Tape(self.in_place), self.mode == "train"
        mode = None if self.as_it_is and train else train
        program = Program(self.module, sizes, torch_dtype(self.dtype), mode, self.input_gradient)
        if not train:
            return record_call(program, tape)[0]
        from lipcost.layers import MarginCrossEntropy  # noqa: PLC0415

        optimizer = partial(find_optimizer(self.optimizer), weight_decay=self.weight_decay, foreach=self.foreach)
        return record_step(program, tape, MarginCrossEntropy(), optimizer)[0]


def workload(
    network: Any,
    method: str | None,
    *,
    mode: str = "train",
    optimizer: str = "sgd-momentum",
    weight_decay: bool = False,
    s: int | None = None,
    h: int | None = None,
    w: int | None = None,
    c_in: int = 3,
    classes: int | None = None,
    width: int | None = None,
    dtype: str | None = None,
    in_place: bool = True,
    foreach: bool = False,
    as_it_is: bool = False,
    input_gradient: bool = False,
    **options: Any,
) -> Workload:
    """The workload of these arguments, which are those of ``predict_network``."""
    own = _dtype(network)
    if dtype is None:
        dtype = own or "float32"
    if own not in (None, dtype):
        raise ValueError(f"the module's parameters are {own}, not {dtype!r}; give no dtype, or theirs")
    find_optimizer(optimizer)
    settings = {"classes": classes, "width": width, **options}
    name, image, module = _network(network, method, dtype, settings)
    sides = [image if side is None else side for side in (s if h is None else h, s if w is None else w)]
    if None in sides:
        raise ValueError("the sides of the images are missing: give s, or h and w")
    return Workload(
        name=name,
        module=module,
        c_in=positive("c_in", c_in),
        h=positive("h" if h else "s", sides[0]),
        w=positive("w" if w else "s", sides[1]),
        mode=check_mode(mode),
        optimizer=optimizer,
        weight_decay=weight_decay,
        foreach=foreach,
        dtype=dtype,
        in_place=in_place,
        as_it_is=as_it_is,
        input_gradient=input_gradient,
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
    """The type of a module's parameters, if it is one and has some."""
    if isinstance(network, str):
        return None
    found = sorted({str(p.dtype).removeprefix("torch.") for p in network.parameters()})
    if len(found) > 1:
        raise ValueError(f"a module has one dtype, got {' and '.join(found)}")
    return found[0] if found else None
