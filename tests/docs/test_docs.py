"""Every code block of docs/ runs, in order, and prints what the page says.

A block that starts with a comment that names a file of layers/methods is that file, or a line of the registry; both are
there for the rest of the page.

``python tests/docs/test_docs.py`` writes the outputs that differ into the pages, for a change that was meant.
"""

from __future__ import annotations

import ast
import doctest
import io
import re
import shlex
import sys
from collections.abc import Iterator
from contextlib import ExitStack, redirect_stderr, redirect_stdout
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple
from unittest import mock

import pytest

DOCS = Path(__file__).parents[2] / "docs"
PAGES = sorted(DOCS.rglob("*.md"))
FENCE = re.compile(r"^```(.*)\n((?:.*\n)*?)```$", re.MULTILINE)
FILE = re.compile(r"# (layers/methods/(\w+)\.py)\b")
LINK = re.compile(r"\]\((?!https?:)([^)#]*)(?:#[^)]*)?\)")
OPTIONS = doctest.ELLIPSIS


class Difference(NamedTuple):
    """An output unlike the page's: where it stands, how many lines it has there, and what was printed."""

    line: int
    want: str
    got: str


def differences(page: Path) -> list[Difference]:
    """Run a page's blocks in one namespace; a method and the rules that a page adds are gone afterwards."""
    from lipcost.costmodel import RULES  # noqa: PLC0415
    from lipcost.layers.methods import registry  # noqa: PLC0415

    text, namespace = page.read_text(encoding="utf-8"), {"__name__": "__main__"}
    found: list[Difference] = []
    with ExitStack() as stack:
        for added_to in (registry.CLASSES, RULES._read()):
            stack.enter_context(mock.patch.dict(added_to))
        for module in added_modules(text):
            stack.callback(sys.modules.pop, module, None)
        for block in FENCE.finditer(text):
            first = text.count("\n", 0, block.start(2)) + 1
            run = {"python": run_python, "console": run_console}.get(block[1])
            if run is None:
                raise ValueError(f"{page.name}:{first}: a block is python or console, got {block[1]!r}")
            found += run(block[2], f"{page.name}:{first}", first, namespace)
    return found


def run_python(code: str, name: str, first: int, namespace: dict[str, Any]) -> Iterator[Difference]:
    """A doctest session where there is a prompt, else plain statements or a file."""
    file = FILE.match(code)
    if file:
        add_file(code, *file.groups())
        return
    if ">>>" not in code:
        exec(compile(code, name, "exec"), namespace)
        return
    test = doctest.DocTestParser().get_doctest(code, {}, name, name, first - 1)
    test.globs = namespace
    results: list[Difference] = []

    class Runner(doctest.DocTestRunner):
        def report_failure(self, out: Any, test: Any, example: doctest.Example, got: str) -> None:
            if example.exc_msg is not None:
                raise AssertionError(f"{test.name}: another exception than the page's:\n{got}")
            line = first + example.lineno + example.source.count("\n")
            results.append(Difference(line, example.want, re.sub(r"(?m)^\s*$(?=\n)", "<BLANKLINE>", got)))

        def report_unexpected_exception(self, out: Any, test: Any, example: doctest.Example, exc_info: Any) -> None:
            raise exc_info[1]

    Runner(verbose=False, optionflags=OPTIONS).run(test, out=lambda _: None, clear_globs=False)
    yield from results


def added_modules(text: str) -> list[str]:
    """The modules of the methods that a page adds."""
    files = (FILE.match(block[2]) for block in FENCE.finditer(text))
    return [f"lipcost.layers.methods.{file[2]}" for file in files if file and file[2] != "registry"]


def add_file(code: str, path: str, module: str) -> None:
    """Let ``code`` be the text of the file, or of the registry a line of ``CLASSES``."""
    from lipcost.layers.methods import registry  # noqa: PLC0415

    if module == "registry":
        registry.CLASSES.update(ast.literal_eval(f"{{{code}}}"))
        return
    added = ModuleType(f"{registry.__package__}.{module}")
    added.__package__ = registry.__package__
    sys.modules[added.__name__] = added
    exec(compile(code, path, "exec"), added.__dict__)


def run_console(code: str, name: str, first: int, namespace: dict[str, Any]) -> Iterator[Difference]:
    """Lines ``$ lipcost …`` with what the command prints, trailing spaces apart."""
    from lipcost.cli.main import run  # noqa: PLC0415

    assert code.startswith("$ lipcost "), f"{name}: a console block starts with `$ lipcost …`"
    for command in re.finditer(r"^\$ lipcost (.*)\n((?:(?!\$ ).*\n)*)", code, re.MULTILINE):
        output = io.StringIO()
        with redirect_stdout(output), redirect_stderr(output):
            run(shlex.split(command[1]))
        got, want = (re.sub(r"(?m)[ ]+$", "", t) for t in (output.getvalue(), command[2]))
        if not doctest.OutputChecker().check_output(want, got, OPTIONS):
            yield Difference(first + code.count("\n", 0, command.start(2)), command[2], got)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(DOCS)))
def test_page(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert FENCE.search(text), f"{page.name} has no code block"
    assert text.count("```") == 2 * len(FENCE.findall(text)), f"{page.name} has a fence that opens or closes nothing"
    report = [f"{page.name}:{d.line}: expected\n{d.want}got\n{d.got}" for d in differences(page)]
    assert not report, "\n".join(report)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(DOCS)))
def test_links_lead_somewhere(page: Path) -> None:
    prose = FENCE.sub("", page.read_text(encoding="utf-8"))
    assert [target for target in LINK.findall(prose) if target and not (page.parent / target).exists()] == []


def test_every_method_has_a_page_of_one_form() -> None:
    from lipcost.costmodel import DEFAULTS  # noqa: PLC0415

    pages = {page.stem: page.read_text(encoding="utf-8") for page in (DOCS / "methods").glob("*.md")}
    assert set(pages) == set(DEFAULTS)
    forms = {name: re.findall(r"^## (.*)$", text, re.MULTILINE) for name, text in pages.items()}
    for form in forms.values():
        assert [title for title in form if title != "The published algorithm"] == forms["standard"]


def test_a_wrong_output_is_noticed(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("```python\n>>> 1 + 1\n3\n```\n\n```console\n$ lipcost predict soc -b 1\nfine\n```\n", "utf-8")
    assert [(d.line, d.want) for d in differences(page)] == [(3, "3\n"), (8, "fine\n")]


def update(page: Path) -> None:
    """Write the outputs that differ into the page."""
    lines = page.read_text(encoding="utf-8").splitlines(keepends=True)
    for difference in reversed(differences(page)):
        start = difference.line - 1
        lines[start : start + difference.want.count("\n")] = [difference.got]
        print(f"{page.relative_to(DOCS)}:{difference.line}")
    page.write_text("".join(lines), encoding="utf-8")


if __name__ == "__main__":
    for one in PAGES:
        update(one)
