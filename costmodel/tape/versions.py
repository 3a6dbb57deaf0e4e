"""Which torch runs: where versions differ, a rule says so by version."""

from __future__ import annotations

from functools import lru_cache

NUMBERS = 2  # of a version that count: torch changes what a function runs in minor releases
OLDEST, NEWEST = (2, 11), (2, 14)  # between which everything is exact: `make versions` runs both


@lru_cache
def since(major: int, minor: int) -> bool:
    """Whether torch is of this version or later.

    Example:
        >>> from lipcost.costmodel.tape.versions import since
        >>> since(2, 0), since(99, 0)
        (True, False)
    """
    import torch  # noqa: PLC0415  (the engine is imported without it)

    return _numbers(torch.__version__) >= (major, minor)


def outside(version: str) -> str:
    """What to say of a torch with which nothing was run; empty for any other.

    Example:
        >>> from lipcost.costmodel.tape.versions import outside
        >>> outside("2.13.0+cpu"), outside("99.0")
        ('', 'torch 99.0 is outside 2.11 to 2.14, the versions that the cost model was run with.')
    """
    if OLDEST <= _numbers(version) <= NEWEST:
        return ""
    oldest, newest = (".".join(map(str, each)) for each in (OLDEST, NEWEST))
    return f"torch {version} is outside {oldest} to {newest}, the versions that the cost model was run with."


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(map(int, version.split(".")[:NUMBERS]))
