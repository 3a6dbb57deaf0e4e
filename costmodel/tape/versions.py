"""Which torch runs: where versions differ, a rule says so by version."""

from __future__ import annotations

from functools import lru_cache

NUMBERS = 2  # of a version that count: torch changes what a function runs in minor releases


@lru_cache
def since(major: int, minor: int) -> bool:
    """Whether torch is of this version or later.

    Example:
        >>> from lipcost.costmodel.tape.versions import since
        >>> since(2, 0), since(99, 0)
        (True, False)
    """
    import torch  # noqa: PLC0415  (the engine is imported without it)

    return tuple(map(int, torch.__version__.split(".")[:NUMBERS])) >= (major, minor)
