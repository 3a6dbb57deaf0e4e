"""The benchmark of counters: layers and modules are predicted exactly, and verdicts hold. No time is tested."""

from __future__ import annotations

from dataclasses import replace

import pytest
import sympy
from torch import nn

from benchmarks.counters import (
    ELSEWHERE,
    NONE,
    NUMBER,
    REFUSES,
    RIGHT,
    SIZES,
    Asked,
    ask,
    compared,
    measured,
    show,
    verdict,
    verdict_elsewhere,
)
from benchmarks.modules import SUBJECTS, Subject
from benchmarks.tools import LIPCOST, TOOLS, Answer

BY_NAME = {tool.name: tool for tool in TOOLS}
MODULES = {subject.name: subject for subject in SUBJECTS}
SMALL = Subject("small", lambda: nn.Conv2d(3, 5, 3, padding=1, bias=False), ("b", 3, "s", "s"))


def said_by(tool: str, module: str, figure: str) -> str:
    subject = MODULES[module]
    return verdict(BY_NAME[tool], subject, figure, ask(lambda: BY_NAME[tool].numbers(subject, SIZES), 1))


@pytest.mark.parametrize("figure", ["forward", "step", "peak"])
@pytest.mark.parametrize("module", MODULES)
def test_predictions_are_the_measurement(module: str, figure: str) -> None:
    assert said_by("lipcost", module, figure) == RIGHT


@pytest.mark.parametrize(
    ("tool", "module", "figure", "said"),
    [
        ("FlopCounterMode", "conv block", "step", RIGHT),
        ("FlopCounterMode", "separable", "forward", RIGHT),
        ("FlopCounterMode", "separable", "step", "+226.8 %"),  # a grouped convolution's weight gradient is × groups
        ("FlopCounterMode", "FFT mixer", "forward", "-75.0 %"),  # complex products as real ones
        ("MemTracker", "conv block", "peak", RIGHT),
        ("MemTracker", "squeeze-excite", "peak", "+19.8 %"),  # gradients meet out of place
        ("fvcore", "conv block", "forward", RIGHT),
        ("fvcore", "conv block", "step", NONE),
    ],
)
def test_the_verdicts_of_the_page(tool: str, module: str, figure: str, said: str) -> None:
    assert said_by(tool, module, figure) == said


@pytest.mark.parametrize("tool", ["lipcost", "FlopCounterMode"])
def test_a_formula_is_tried_at_other_sizes(tool: str) -> None:
    symbols = BY_NAME[tool].symbols
    assert symbols is not None
    asked = ask(lambda: symbols(SMALL, SIZES), 1)
    assert asked.answer is not None
    assert {symbol.name for symbol in asked.answer.figures["forward"].free_symbols} == set(SIZES)
    assert verdict_elsewhere(BY_NAME[tool], SMALL, "step", asked) == RIGHT


def test_a_number_is_no_formula_and_a_wrong_formula_is_found() -> None:
    right = measured(SMALL, **ELSEWHERE)["forward"]
    twice = sympy.Symbol("b") * sympy.Rational(2 * right, ELSEWHERE["b"])
    wrong = Asked(Answer({"forward": twice, "step": sympy.Integer(right)}), "", 1.0)
    assert verdict_elsewhere(LIPCOST, SMALL, "forward", wrong) == "+100.0 %"
    assert verdict_elsewhere(LIPCOST, SMALL, "step", wrong) == NUMBER
    assert verdict_elsewhere(LIPCOST, SMALL, "peak", wrong) == NONE


def test_a_refusal_is_kept_in_the_tools_words() -> None:
    def refuse() -> Answer:
        try:
            raise KeyError("aten.fft")
        except KeyError as error:
            raise RuntimeError("export failed") from error

    asked = ask(refuse, 3)
    assert (asked.answer, asked.refusal) == (None, "KeyError: 'aten.fft'")
    assert verdict(LIPCOST, SMALL, "forward", asked) == REFUSES


def test_differences_are_not_rounded_away() -> None:
    assert [compared(n, 10**6) for n in (10**6, 10**6 + 8, 999_000, 0)] == [RIGHT, "+8", "-0.1 %", "-100.0 %"]


def test_a_missing_tool_is_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    show([SMALL], [LIPCOST, replace(BY_NAME["fvcore"], name="missing", needs=("no_such_module",))])
    printed = capsys.readouterr().out
    assert "missing: not installed\n" in printed
    assert "| module |    MACs | lipcost |" in printed
