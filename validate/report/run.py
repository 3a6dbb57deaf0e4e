"""``lipcost validate`` and ``lipcost report``: measure, compare and write the report, or draw it again."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ..compare.collect import collect
from ..compare.files import check
from ..compare.results import Results
from ..cuda.results import FORMAT, KEYS, load_cuda
from ..measure.calibrate import Progress
from .pages import write_pages


def run_validation(
    output: Path,
    methods: Sequence[str],
    seed: int = 0,
    quick: bool = False,
    progress: Progress | None = None,
    *,
    cuda: Sequence[Path] = (),
) -> Results:
    """Measure, compare and write ``output``/index.html, report.md and report.json.

    Args:
        output: the folder; it is created, and files of these names in it are replaced.
        methods: keys of METHODS.
        seed: of weights, inputs and drawn configurations.
        quick: whether to measure a few configurations only.
        progress: called with what is being done, steps done, steps in all.
        cuda: files that ``lipcost validate --device cuda`` wrote, to be shown beside; they change no verdict here.

    Returns:
        What was found; its ``passed`` says whether every comparison is equal and every claim kept.

    Raises:
        ValueError: for an unknown method, or a file that is no such one.
        OSError: if the folder cannot be written.
    """
    gpus = [load_cuda(path) for path in cuda]
    output.mkdir(parents=True, exist_ok=True)  # before minutes of measuring
    results = collect(methods, seed, quick, progress, gpus)
    write(results, output)
    return results


def write(results: Results, output: Path) -> None:
    """The three files of a report, in the folder ``output``; the measurements first, whatever drawing may raise."""
    results.save(output / "report.json")
    write_pages(results, output)


def redraw(file: Path, output: Path | None = None) -> Results:
    """Draw a report again: index.html and report.md, to the byte those of the run that wrote the file.

    Args:
        file: a report.json.
        output: the folder; it is created. None for the file's own.

    Returns:
        What the file holds.

    Raises:
        ValueError: if it is no such file.
        OSError: if the folder cannot be written.
    """
    results = Results.load(file)
    for gpu in results.gpus:
        check(file, gpu, FORMAT, KEYS)
    folder = file.parent if output is None else output
    folder.mkdir(parents=True, exist_ok=True)
    write_pages(results, folder)
    return results
