"""Which tests are slow, and which belong together.

The exhaustive suites on the published algorithms, which no longer change, are slow. Tests of one method's costs run in
one process, which remembers the method's formulas; so do those of a file that prepares much for all its tests.
"""

from __future__ import annotations

from pathlib import Path

import pytest

COSTS = [Path(__file__).parent / name for name in ("costmodel", "validate/compare/test_layers.py")]
EXHAUSTIVE = (
    "test_conv_nets.py", "test_exact.py", "test_formulas.py", "test_layers.py", "test_network_cost.py",
    "test_networks.py", "test_planner.py", "test_theory.py",
)  # fmt: skip
TOGETHER = ("test_adding_a_method.py", "test_published.py", "test_report.py", "test_run.py")  # they share dear fixtures


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        parameters = getattr(item, "callspec", None)
        method = "" if parameters is None else str(parameters.params.get("method", ""))
        if method.endswith("/published") and item.path.name in EXHAUSTIVE:
            item.add_marker(pytest.mark.slow)
        if method and any(item.path.is_relative_to(path) for path in COSTS):
            item.add_marker(pytest.mark.xdist_group(method))
        elif item.path.name in TOGETHER:
            item.add_marker(pytest.mark.xdist_group(item.path.name))
