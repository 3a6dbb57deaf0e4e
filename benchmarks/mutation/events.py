"""What allocations and releases, in order, come to."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from lipcost.costmodel.tape import Storage


def place_before(events: Sequence[tuple[int, Storage]], first: int, last: int) -> int | None:
    """Where the release at ``last`` stands if it comes before the last allocation, of another tensor, ahead of it."""
    return next((i for i in range(last - 1, first, -1) if events[i][0] > 0), None)


def place_after(events: Sequence[tuple[int, Storage]], last: int) -> int | None:
    """Where it stands if it comes after the next allocation."""
    return next((i for i in range(last + 1, len(events)) if events[i][0] > 0), None)


def top(sizes: Iterable[int]) -> int:
    """The largest running total."""
    now = best = 0
    for size in sizes:
        now += size
        best = max(best, now)
    return best


def peak(events: Sequence[tuple[int, Storage]]) -> int:
    """The most bytes alive at once."""
    return top(sign * storage.nbytes for sign, storage in events)
