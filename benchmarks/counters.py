"""What other counters say of our layers and of common modules: who is right, who is silently wrong, who refuses.

Run by ``make bench``. Every figure stands beside a measurement of the real module and is compared within its tool's own
convention. A tool that is not installed is left out. It asserts nothing.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache, partial
from statistics import median
from time import perf_counter
from typing import Any

import sympy
import torch
from torch import Tensor

from lipcost.cli.formatting import print_table
from lipcost.validate import measure_flops, measure_memory
from lipcost.validate.measure.memory import Memory
from lipcost.validate.measure.protocol import LayerCall

from .modules import SUBJECTS, Subject
from .tools import LIPCOST, TOOLS, Answer, Tool

SIZES = {"b": 4, "s": 16}
ELSEWHERE = {"b": 20, "s": 24}  # where a formula is tried
ROUNDS = 4
PATIENCE = 2.0  # seconds
FIGURES = {
    "forward": "Products of the forward pass",
    "step": "Products of forward and backward pass",
    "peak": "Peak bytes of forward and backward pass, by y.backward(g); lipcost's by torch.autograd.grad",
}
RIGHT, REFUSES, NONE, NUMBER = "right", "refuses", "-", "a number"


@dataclass
class Asked:
    """What came of asking a tool about a module.

    Attributes:
        answer: None if it refused.
        refusal: in its own words.
        seconds: from the module's class to the figures; the least of the rounds.
    """

    answer: Answer | None
    refusal: str
    seconds: float


class BackwardCall(LayerCall):
    """``module(x).backward(g)``: torch's counters do not take torch.autograd.grad of leaves."""

    def backward(self, y: Tensor) -> None:
        """Into the tensors' own gradients."""
        y.backward(self.gradient)

    def reset(self) -> None:
        """Remove that of x too."""
        super().reset()
        self.x.grad = None


@cache
def measured(subject: Subject, **sizes: int) -> dict[str, int]:
    """The truth: MACs at the dispatcher, and the allocator's peak by both ways of calling backward."""
    module, x = subject.module(), torch.randn(subject.sizes(**sizes))
    flops = measure_flops(module, x)
    called = Memory(BackwardCall.of_copy(module, x, "train")).figures()
    return {
        "forward": flops.macs_forward,
        "step": flops.macs_forward + flops.macs_backward,
        "peak": called["profiler_peak_bytes"],
        "peak of grad": measure_memory(module, x).profiler_peak_bytes,
    }


def truth(tool: Tool, subject: Subject, figure: str, **sizes: int) -> int:
    """What the tool should say."""
    of = measured(subject, **sizes)
    if figure == "peak":
        return of["peak of grad" if tool is LIPCOST else "peak"]
    return tool.per_mac * of[figure]


def ask(question: Callable[[], Answer], rounds: int) -> Asked:
    """Time it, so many rounds or until PATIENCE is over; the first of several reads modules and rules."""
    times: list[float] = []
    try:
        while len(times) < rounds and sum(times) < PATIENCE:
            start = perf_counter()
            answer = question()
            times.append(perf_counter() - start)
    except Exception as error:  # a tool may refuse by any exception
        return Asked(None, f"{type(innermost(error)).__name__}: {first_line(innermost(error))}", 0.0)
    return Asked(answer, "", min(times))


def innermost(error: BaseException) -> BaseException:
    """What an error was raised from."""
    while error.__cause__ is not None:
        error = error.__cause__
    return error


def first_line(error: BaseException) -> str:
    """Of its message."""
    return next((line.strip() for line in str(error).splitlines() if line.strip()), "")


def verdict(tool: Tool, subject: Subject, figure: str, asked: Asked) -> str:
    """A cell: right, or by how much not; an operator that the tool names is no silent error."""
    if asked.answer is None:
        return REFUSES
    if figure not in asked.answer.figures:
        return NONE
    cell = compared(int(asked.answer.figures[figure]), truth(tool, subject, figure, **SIZES))
    return f"{cell}, warns" if cell != RIGHT and asked.answer.named else cell


def verdict_elsewhere(tool: Tool, subject: Subject, figure: str, asked: Asked) -> str:
    """Of a formula, at other sizes."""
    if asked.answer is None:
        return REFUSES
    if figure not in asked.answer.figures:
        return NONE
    formula = sympy.sympify(asked.answer.figures[figure])
    if not formula.free_symbols:
        return NUMBER
    value = formula.subs({symbol: ELSEWHERE[symbol.name] for symbol in formula.free_symbols})
    return compared(int(value), truth(tool, subject, figure, **ELSEWHERE))


def compared(value: int, right: int) -> str:
    """Right, or the difference in percent."""
    if value == right:
        return RIGHT
    percent = 100 * (value / right - 1)
    return f"{percent:+.1f} %" if abs(percent) >= 0.05 else f"{value - right:+,}"


def show(subjects: Sequence[Subject], tools: Sequence[Tool]) -> None:
    """Ask and print."""
    for tool in tools:
        print(f"{tool.title}: {tool.convention if tool.installed else 'not installed'}")
    there = [tool for tool in tools if tool.installed]
    numbers, symbols = answers(subjects, there)
    for figure, title in FIGURES.items():
        print(f"\n{title}, {_said(SIZES)}: beside the measurement\n")
        having = [tool for tool in there if any(_has(numbers[tool.name, each.name], figure) for each in subjects)]
        rows = [
            [each.name, f"{measured(each, **SIZES)[figure]:,}"]
            + [verdict(tool, each, figure, numbers[tool.name, each.name]) for tool in having]
            for each in subjects
        ]
        print_table(["module", "bytes" if figure == "peak" else "MACs", *(tool.name for tool in having)], rows)
    print(f"\nFormulas in {', '.join(SIZES)}, found at {_said(SIZES)}, tried at {_said(ELSEWHERE)}\n")
    columns = [
        (tool, figure)
        for tool in there
        for figure in FIGURES
        if any(_has(symbols.get((tool.name, each.name)), figure) for each in subjects)
    ]
    rows = [
        [each.name, *(verdict_elsewhere(tool, each, figure, symbols[tool.name, each.name]) for tool, figure in columns)]
        for each in subjects
    ]
    print_table(["module", *(f"{tool.name} {figure}" for tool, figure in columns)], rows)
    print("\nTime from the module's class to the figures, over lipcost's: median (least to most)\n")
    print_table(["tool", "numbers", "symbols"], [[t.name, _ratios(t, numbers), _ratios(t, symbols)] for t in there])
    words = [*_words(numbers, "in numbers"), *_words(symbols, "in symbols")]
    if words:
        print("\nRefusals, and operators that a tool says it left out\n")
    for line in words:
        print(f"- {line}")


Answers = dict[tuple[str, str], Asked]


def answers(subjects: Sequence[Subject], tools: Sequence[Tool]) -> tuple[Answers, Answers]:
    """In numbers and in symbols, by the names of tool and module; the tools in turns."""
    numbers: Answers = {}
    symbols: Answers = {}
    for subject in subjects:
        for tool in tools:
            print(f"{subject.name}: {tool.name} ...", file=sys.stderr, flush=True)
            numbers[tool.name, subject.name] = ask(partial(tool.numbers, subject, SIZES), ROUNDS)
            if tool.symbols is not None:
                symbols[tool.name, subject.name] = ask(partial(tool.symbols, subject, SIZES), 1)
    return numbers, symbols


def _said(sizes: dict[str, int]) -> str:
    return ", ".join(f"{name} = {size}" for name, size in sizes.items())


def _has(asked: Asked | None, figure: str) -> bool:
    return asked is not None and asked.answer is not None and figure in asked.answer.figures


def _ratios(tool: Tool, found: Answers) -> str:
    """Where both answer."""
    ratios = [
        asked.seconds / own.seconds
        for (name, subject), asked in found.items()
        if name == tool.name and asked.answer and (own := found.get((LIPCOST.name, subject))) and own.answer
    ]
    return f"{median(ratios):.1f} ({min(ratios):.1f} to {max(ratios):.1f})" if ratios else NONE


def _words(found: Answers, how: str) -> Iterable[str]:
    said: dict[tuple[str, str], list[str]] = {}
    for (tool, subject), asked in found.items():
        named: Any = asked.answer.named if asked.answer else [asked.refusal]
        for words in named:
            said.setdefault((tool, words), []).append(subject)
    return [f"{tool} {how}, of {', '.join(subjects)}: {words}" for (tool, words), subjects in said.items()]


def main() -> None:
    """Print the tables."""
    names = [subject.name for subject in SUBJECTS]
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--modules", nargs="+", choices=names, default=names, metavar="MODULE")
    parser.add_argument("--tools", nargs="+", choices=[tool.name for tool in TOOLS], metavar="TOOL")
    args = parser.parse_args()
    chosen = {LIPCOST.name, *(args.tools or (tool.name for tool in TOOLS))}
    torch.set_num_threads(1)
    show([each for each in SUBJECTS if each.name in args.modules], [tool for tool in TOOLS if tool.name in chosen])


if __name__ == "__main__":
    main()
