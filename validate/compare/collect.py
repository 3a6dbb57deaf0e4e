"""One validation: everything measured and compared, and what it ran on."""

from __future__ import annotations

import importlib.metadata
import platform
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import torch

from lipcost.costmodel import DEFAULTS

from ..measure.calibrate import Progress
from .cases import grid
from .clock import clock
from .layers import compare_layer
from .networks import compare_network, network_grid
from .predicted import predicted
from .published import published
from .results import Results
from .rows import Row
from .soundness import Outcome, measure
from .subjects import reported

PACKAGES = ("lipcost", "torch", "numpy", "sympy", "fvcore")


def collect(
    methods: Sequence[str],
    seed: int = 0,
    quick: bool = False,
    progress: Progress | None = None,
    gpus: Sequence[dict[str, Any]] = (),
) -> Results:
    """Measure and compare, writing nothing.

    Args:
        methods: keys of METHODS.
        seed: of weights, inputs and drawn configurations.
        quick: whether to measure a few configurations only.
        progress: called with what is being done, steps done, steps in all.
        gpus: what was measured on GPUs, to be shown beside.

    Raises:
        ValueError: for an unknown method.
    """
    cases, networks = grid(methods, seed, quick), network_grid(methods, seed, quick)
    names = list(dict.fromkeys(methods))
    claims = [case for method in names for case in reported(method, quick)]
    rows: list[Row[Any]] = []
    outcomes: list[Outcome] = []
    before = len(cases) + len(claims) + len(networks)
    total = before + len(names) + 1  # the clock calibrates first
    report = progress or (lambda what, done, total: None)
    with _one_thread():
        for i, case in enumerate(cases):
            report(f"measuring {case.method}", i, total)
            rows += compare_layer(case)
        for i, claimed in enumerate(claims, len(cases)):
            report(f"checking {claimed.subject.method}", i, total)
            outcomes.append(measure(claimed, seed))
        for i, network in enumerate(networks, len(cases) + len(claims)):
            report(f"measuring {network.network} {network.method}", i, total)
            rows += compare_network(network)
        timed = [name for name in names if name in DEFAULTS] or names
        times = clock(timed, seed, quick, lambda what, done, _: report(what, before + done, total))
    report("writing the report", total, total)
    return Results(
        environment=environment(),
        date=f"{datetime.now(timezone.utc):%Y-%m-%d %H:%M UTC}",
        seed=seed,
        quick=quick,
        methods=names,
        rows=rows,
        soundness=outcomes,
        clock=times,
        published=published(),
        predicted=predicted(names),
        gpus=list(gpus),
    )


@contextmanager
def _one_thread() -> Iterator[None]:
    """No figure depends on the number of threads, and on small tensors they only wait for each other."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def environment() -> dict[str, str]:
    """Versions and device: everything a figure may depend on, without a host name.

    Example:
        >>> from lipcost.validate.compare.collect import environment
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
