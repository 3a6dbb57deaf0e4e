"""The pages of a report: index.html and report.md, and nothing of them that is not in the data."""

from __future__ import annotations

import base64
from pathlib import Path

import jinja2

from ..compare.results import Results
from .gpus import cuda_sections
from .plots import draw
from .sections import sections
from .tables import Section


def write_pages(results: Results, output: Path) -> None:
    """Index.html and report.md in the folder ``output``: the same data give the same bytes."""
    parts = [*sections(results), *(section for gpu in results.gpus for section in cuda_sections(gpu))]
    (output / "report.md").write_text(markdown(results, parts), encoding="utf-8")
    (output / "index.html").write_text(html(results, parts), encoding="utf-8")


def markdown(results: Results, parts: list[Section]) -> str:
    """The report as Markdown, without the plots."""
    return _template("report.md", autoescape=False).render(results=results, sections=parts).rstrip() + "\n"


def html(results: Results, parts: list[Section]) -> str:
    """The report as one page that needs no other file."""
    figures = {}
    for name in (name for section in parts for name in section.figures):
        svg, caption = draw(name, results)
        figures[name] = (base64.b64encode(svg.encode()).decode(), caption)
    return _template("index.html", autoescape=True).render(results=results, sections=parts, figures=figures)


def _template(name: str, autoescape: bool) -> jinja2.Template:
    loader = jinja2.FileSystemLoader(Path(__file__).parent / "templates")
    templates = jinja2.Environment(loader=loader, trim_blocks=True, lstrip_blocks=True, autoescape=autoescape)
    templates.filters["cell"] = lambda text: " ".join(str(text).split()).replace("|", r"\|")
    return templates.get_template(name)
