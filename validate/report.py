"""``lipcost validate``: measure, compare, and write the report."""

from __future__ import annotations

import base64
import importlib.metadata
import json
import platform
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import jinja2
import torch

from lipcost.costmodel import DEFAULTS

from ._tables import Section
from .cases import grid
from .clock import clock
from .compare import Row, compare
from .cuda_sections import cuda_sections, load_cuda
from .guarantee import Guarantee, check, shapes
from .networks import compare_network, network_grid
from .plots import draw
from .published import published
from .results import Results
from .sections import sections

Progress = Callable[[str, int, int], None]

PACKAGES = ("lipcost", "torch", "numpy", "sympy", "fvcore")


def run_validation(
    output: Path,
    methods: Sequence[str],
    seed: int = 0,
    quick: bool = False,
    progress: Progress | None = None,
    *,
    cuda: Sequence[Path] = (),
) -> bool:
    """Measure, compare and write ``output``/index.html, report.md and report.json.

    Args:
        output: the folder; it is created, and files of these names in it are replaced.
        methods: keys of METHODS.
        seed: of weights, inputs and drawn configurations.
        quick: whether to measure a few configurations only.
        progress: called with what is being done, steps done, steps in all.
        cuda: files that ``lipcost validate --device cuda`` wrote, to be shown beside; they change no verdict here.

    Returns:
        Whether every comparison is equal and every claimed guarantee kept.

    Raises:
        ValueError: for an unknown method, or a file that is no such one.
        OSError: if the folder cannot be written.
    """
    gpus = [load_cuda(path) for path in cuda]
    output.mkdir(parents=True, exist_ok=True)  # before minutes of measuring
    results = collect(methods, seed, quick, progress)
    write(results, output, gpus)
    return results.passed


def collect(methods: Sequence[str], seed: int = 0, quick: bool = False, progress: Progress | None = None) -> Results:
    """Measure and compare, writing nothing; arguments and errors as :func:`run_validation`."""
    cases, networks = grid(methods, seed, quick), network_grid(methods, seed, quick)
    names = list(dict.fromkeys(methods))
    layers = [(method, shape) for method in names for shape in shapes(method, quick)]
    rows: list[Row] = []
    guarantees: list[Guarantee] = []
    before = len(cases) + len(layers) + len(networks)
    total = before + len(names) + 1  # the clock calibrates first
    report = progress or (lambda what, done, total: None)
    with _one_thread():
        for i, case in enumerate(cases):
            report(f"measuring {case.method}", i, total)
            rows += compare(case)
        for i, (method, shape) in enumerate(layers, len(cases)):
            report(f"checking {method}", i, total)
            guarantees += check(method, shape, seed)
        for i, network in enumerate(networks, len(cases) + len(layers)):
            report(f"measuring {network.network} {network.method}", i, total)
            rows += compare_network(network)
        timed = [name for name in names if name in DEFAULTS] or names
        times = clock(timed, seed, quick, lambda what, done, _: report(what, before + done, total))
    report("writing the report", total, total)
    return Results(environment(), _now(), seed, quick, names, rows, guarantees, times, published())


@contextmanager
def _one_thread() -> Iterator[None]:
    """No figure depends on the number of threads, and on small tensors they only wait for each other."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def write(results: Results, output: Path, gpus: Sequence[dict[str, Any]] = ()) -> None:
    """The three files of a report, in the folder ``output``; the measurements first, whatever rendering may raise."""
    data = json.dumps(results.to_dict(), indent=1, ensure_ascii=False, allow_nan=False)
    (output / "report.json").write_text(data, encoding="utf-8")
    parts = [*sections(results), *(section for gpu in gpus for section in cuda_sections(gpu))]
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


def environment() -> dict[str, str]:
    """Versions and device: everything a figure may depend on, without a host name.

    Example:
        >>> list(environment())
        ['lipcost', 'torch', 'numpy', 'sympy', 'fvcore', 'python', 'system', 'device']
    """
    versions = {package: importlib.metadata.version(package) for package in PACKAGES}
    return versions | {
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "device": _processor(),
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor() or "unknown CPU")


def _now() -> str:
    return datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M UTC")
