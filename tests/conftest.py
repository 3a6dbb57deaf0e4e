"""The exhaustive suites on the published algorithms, which no longer change, are slow: only CI runs them."""

from __future__ import annotations

import pytest

EXHAUSTIVE = ("test_conv_nets.py", "test_exact.py", "test_formulas.py", "test_network_cost.py", "test_networks.py")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        parameters = getattr(item, "callspec", None)
        published = parameters is not None and str(parameters.params.get("method")).endswith("/published")
        if published and item.path.name in EXHAUSTIVE:
            item.add_marker(pytest.mark.slow)
