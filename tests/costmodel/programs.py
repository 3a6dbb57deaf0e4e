"""Random small torch programs, drawn step by step: each step runs on real tensors, and one that torch refuses is left.

A program is source text, so that one that is recorded otherwise than torch runs it can be read, run and shortened.
"""

from __future__ import annotations

import linecache
import re
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from itertools import count, groupby
from random import Random
from typing import Any, NamedTuple

import torch
from one_function import MODES, measured, predicted
from program_draw import NAMESPACE, REGIONS, Draw, Unfit
from program_steps import FAMILIES
from torch import Tensor, nn

from lipcost.costmodel.tape.errors import UnruledFunction

STEPS = (3, 12)
LARGEST = 2000  # elements of a tensor
HIGHEST = 5  # axes
ATTEMPTS = 40  # at a step, before the program goes on without it

_NUMBERS = count()


class Line(NamedTuple):
    """One statement of a program and the region that it stands in: "" or the head of a with statement."""

    region: str
    text: str


class Program(NamedTuple):
    """A random program.

    Attributes:
        shape: of its input x.
        dtype: of x.
        owned: the module's parameters and buffers: the expressions that make them, by name.
        lines: of its forward.
        result: the expression that it returns.
    """

    shape: tuple[int, ...]
    dtype: torch.dtype
    owned: dict[str, str]
    lines: tuple[Line, ...]
    result: str

    @property
    def source(self) -> str:
        """It as a class, Net, behind its imports."""
        imports = "import torch\nimport torch.nn.functional as F\nfrom program_draw import Scaled, checkpoint\n"
        owned = [
            f"self.{name} = {made}" if "Parameter" in made else f'self.register_buffer("{name}", {made})'
            for name, made in self.owned.items()
        ]
        body = [f"{name} = self.{name}" for name in self.owned]
        for region, lines in groupby(self.lines, lambda line: line.region):
            texts = [line.text for line in lines]
            body += [f"with {region}:", *(f"    {text}" for text in texts)] if region else texts
        made = _indented(["super().__init__()", "torch.manual_seed(1)", *owned])
        forward = _indented([*body, f"return {self.result}"])
        return (
            f"{imports}\n\nclass Net(torch.nn.Module):\n    def __init__(self):\n{made}\n\n"
            f"    def forward(self, x):\n{forward}\n\n\n# x = {self.input_source}\n"
        )

    @property
    def input_source(self) -> str:
        """The expression that makes x."""
        return f"(torch.rand({self.shape}) + 0.1).to({self.dtype})"

    def net(self) -> nn.Module:
        """It as a module."""
        source, name = self.source, f"<program {next(_NUMBERS)}>"
        linecache.cache[name] = len(source), None, source.splitlines(keepends=True), name  # for tracebacks
        namespace: dict[str, Any] = {}
        exec(compile(source, name, "exec"), namespace)
        net: nn.Module = namespace["Net"]()
        return net

    def input(self) -> Tensor:
        """X, the same each time."""
        return (torch.rand(self.shape, generator=torch.Generator().manual_seed(2)) + 0.1).to(self.dtype)


def _indented(lines: list[str]) -> str:
    return "\n".join(f"        {line}" for line in lines)


def drawn(random: Random) -> Program:
    """A random program that torch runs, in training and in inference."""
    while True:
        with reproducible():
            try:
                program = _attempt(random)
                run(program)
            except Unfit:
                continue
            except Exception:  # torch's own, of many types: what it refuses is not a program
                continue
        return program


@contextmanager
def reproducible() -> Iterator[None]:
    """Random numbers from a seed of its own, and no warnings, of which strange programs have many."""
    with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.manual_seed(0)
        yield


def _attempt(random: Random) -> Program:
    draw = Draw(random)
    lines: list[Line] = []
    steps, region, left = random.randint(*STEPS), "", 0
    for _ in range(steps):
        if left == 0:
            region, left = (random.choice(REGIONS), random.randint(1, 4)) if random.random() < 0.15 else ("", 1)
        text = _step(draw, region)
        if text is not None:
            lines.append(Line(region, text))
        left -= 1
    shape, dtype = tuple(draw.tensors["x"].shape), draw.tensors["x"].dtype
    return Program(shape, dtype, draw.owned, tuple(lines), draw.result())


def _step(draw: Draw, region: str) -> str | None:
    """A statement that torch runs, None if none was found."""
    for _ in range(ATTEMPTS):
        before, owned = dict(draw.tensors), dict(draw.owned)
        try:
            text = _statement(draw)
            scope = {**NAMESPACE, **draw.tensors}
            exec(f"with {region}:\n    {text}" if region else text, scope)
            after = {
                name: value for name, value in scope.items() if name not in NAMESPACE and isinstance(value, Tensor)
            }
            if all(0 < each.numel() <= LARGEST and each.ndim <= HIGHEST for each in after.values()):
                draw.tensors = after
                return text
        except Exception:  # as above
            pass
        draw.tensors, draw.owned = before, owned
    return None


def _statement(d: Draw) -> str:
    """A statement: a step whose result gets a name, one in place, or one that lets a tensor go."""
    d.written = None
    if d.chance(0.06):
        return f"del {d.result_name(floating=False)}"
    expression = d.one(*d.one(*FAMILIES))(d)
    if expression[0] == "!":
        return expression[1:]
    if d.chance(0.04):
        inside = sorted(set(d.tensors) & set(_names(expression)))
        if inside:
            names = ", ".join(inside[:1])
            expression = f"checkpoint(lambda {names}: {expression}, {names})"
    value: Any = d.operand(expression).value
    if isinstance(value, (tuple, list)):
        if d.chance(0.5):
            expression = f"{expression}[{d.int(0, len(value) - 1)}]"
        else:
            return f"{', '.join(_new(d, i) for i in range(len(value)))} = {expression}"
    elif any(value is each for each in d.tensors.values()):
        return expression
    old = [name for name in d.tensors if name[0] == "v"]
    return f"{d.one(*old) if old and d.chance(0.25) else _new(d)} = {expression}"


def _names(expression: str) -> list[str]:
    return re.findall(r"\b[xpcv]\d*\b", expression)


def _new(d: Draw, more: int = 0) -> str:
    return f"v{max([int(name[1:]) for name in d.tensors if name[0] == 'v'], default=-1) + 1 + more}"


def run(program: Program) -> None:
    """Run a program on real tensors as measuring does; raises what torch raises."""
    net, x = program.net(), program.input()
    for train in (True, False):
        net.train(train)
        for _ in range(2):
            leaf = x.clone().requires_grad_(train)
            with torch.set_grad_enabled(train):
                y = net(leaf)
            if train and not (y.requires_grad and y.is_floating_point()):
                raise Unfit
            if train:
                wanted = [leaf, *(p for p in net.parameters() if p.requires_grad)]
                torch.autograd.grad(y, wanted, torch.ones_like(y), allow_unused=True)


class Outcome(NamedTuple):
    """Of a comparison: "exact", "refused" or "mismatch", and the function's name or the differing figures."""

    kind: str
    what: str


def compared(program: Program) -> Outcome:
    """What is recorded of a program beside what is measured, in training and in inference."""
    with reproducible():
        for mode in MODES:
            net = _Observed(program.net())
            expected = _figures(partial(measured, net, program.input(), mode, unused=True))
            if isinstance(expected, dict):
                net.seen.clear()
                with torch.set_grad_enabled(mode == "train"):
                    net.train(mode == "train")(program.input().requires_grad_(mode == "train"))
                expected["output"] = net.seen[-1]
            net.seen.clear()
            found = _figures(partial(predicted, net, program.shape, mode, program.dtype))
            if isinstance(found, UnruledFunction):
                return Outcome("refused", str(found).split(" in ")[0].split(" at ")[0].split(";")[0])
            if isinstance(expected, Exception) or isinstance(found, Exception):
                return Outcome("mismatch", f"{mode}: measured {expected!r}, recorded {found!r}")
            found["output"] = net.seen[-1]
            differing = [f"{name}: measured {expected[name]}, recorded {found[name]}" for name in expected]
            differing = [line for line, name in zip(differing, expected, strict=True) if expected[name] != found[name]]
            if differing:
                return Outcome("mismatch", f"{mode}: " + "; ".join(differing))
    return Outcome("exact", "")


class _Observed(nn.Module):
    """A network that keeps how its outputs lie."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer
        self.seen: list[tuple[Any, ...]] = []

    def forward(self, x: Tensor) -> Tensor:
        """What the network makes of x."""
        y: Tensor = self.layer(x)
        self.seen.append((y.dtype, tuple(y.shape), tuple(y.stride())))
        return y


def _figures(find: Callable[[], dict[str, Any]]) -> dict[str, Any] | Exception:
    try:
        return find()
    except Exception as error:  # whatever it is, it is an outcome
        return error
