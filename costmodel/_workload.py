"""What a question about a network is asked of: the network and how it is run, all but the batch size."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

from ._checks import check_mode, positive
from ._method import DTYPES
from ._step import StepRecording, record_call, record_step
from ._tape import Tape
from .devices import Device
from .modules import Factory, read
from .networks import CONV_NETS, conv_net, find_network
from .optimizers import find_optimizer


@dataclass(frozen=True)
class Workload:
    """A network, its images and what is done with them; all sizes are checked.

    Attributes:
        name: the network's, or the class's of a module.
        factory: builds the network on a tape.
        c_in, s: channels and side of the images.
        mode, optimizer, weight_decay, foreach, dtype, in_place: as of ``predict_network``.
    """

    name: str
    factory: Factory
    c_in: int
    s: int
    mode: str
    optimizer: str
    weight_decay: bool
    foreach: bool
    dtype: str
    in_place: bool

    def record(self, b: int) -> StepRecording:
        """One step with a batch of ``b``."""
        positive("b", b)
        tape, shape = Tape(DTYPES[self.dtype], self.in_place), (b, self.c_in, self.s, self.s)
        if self.mode == "inference":
            return record_call(self.factory, shape, tape)
        cls = find_optimizer(self.optimizer)
        optimizer = partial(cls, weight_decay=self.weight_decay, foreach=self.foreach)
        return record_step(self.factory, shape, tape, optimizer)


def workload(
    network: Any,
    method: str | None,
    device: Device | None = None,
    *,
    mode: str = "train",
    optimizer: str = "sgd-momentum",
    weight_decay: bool = False,
    s: int | None = None,
    c_in: int = 3,
    classes: int | None = None,
    width: int | None = None,
    dtype: str | None = None,
    in_place: bool = True,
    foreach: bool | None = None,
    **options: int,
) -> Workload:
    """The workload of these arguments, which are those of ``predict_network``."""
    name, image, factory = _network(network, method, classes=classes, width=width, **options)
    side = image if s is None else s
    if side is None:
        raise ValueError("the side of the images is missing: give s")
    positive("s", side)
    positive("c_in", c_in)
    own = _dtype(network)
    if dtype is None:
        dtype = own or "float32"
    if dtype not in DTYPES:
        raise ValueError(f"unknown dtype {dtype!r}; dtypes: {', '.join(DTYPES)}")
    if own not in (None, dtype):
        raise ValueError(f"the module's parameters are {own}, not {dtype!r}; give no dtype, or theirs")
    find_optimizer(optimizer)
    gpu = device is not None and device.kind == "cuda"
    return Workload(
        name=name,
        factory=factory,
        c_in=c_in,
        s=side,
        mode=check_mode(mode),
        optimizer=optimizer,
        weight_decay=weight_decay,
        foreach=gpu if foreach is None else foreach,
        dtype=dtype,
        in_place=in_place,
    )


def _network(network: Any, method: str | None, **settings: Any) -> tuple[str, int | None, Factory]:
    """(name, side of the images it was made for, factory)."""
    if isinstance(network, str):
        if method is None:
            raise ValueError(f"the network {network!r} needs a method")
        name = find_network(network)
        return name, CONV_NETS[name].image, conv_net(name, method, **settings)
    given = [name for name, value in {"method": method, **settings}.items() if value is not None]
    if given:
        raise ValueError(f"{given[0]} is for a named network; a module has its own")
    return type(network).__name__, None, read(network)


def _dtype(network: Any) -> str | None:
    """The type of a module's parameters, if it is one and has some."""
    if isinstance(network, str):
        return None
    found = sorted({str(p.dtype).removeprefix("torch.") for p in network.parameters()})
    if len(found) > 1:
        raise ValueError(f"a module has one dtype, got {' and '.join(found)}")
    return found[0] if found else None
