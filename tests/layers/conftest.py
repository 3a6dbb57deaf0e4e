"""Every test here starts from one random state and computes on one core."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from lipcost.layers import LAYERS


@pytest.fixture(scope="session", autouse=True)
def one_core() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(autouse=True)
def seed() -> None:
    torch.manual_seed(0)


@pytest.fixture(params=sorted(LAYERS))
def method(request: pytest.FixtureRequest) -> str:
    return str(request.param)
