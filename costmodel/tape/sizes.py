"""Sizes: what is done with them alike whether they are ints or SymPy expressions, and how torch code sees them."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

from .errors import Mismatch
from .table import active

if TYPE_CHECKING:
    from .tape import Size, Tape


def fit(a: Size, b: Size, what: str) -> None:
    """Raise Mismatch if two sizes differ; whether symbolic ones do is a branch, which the tape decides."""
    if not equal(a, b):
        raise Mismatch(f"{what}: {a} does not fit {b}")


def equal(a: Size, b: Size) -> bool:
    """Whether two sizes are equal; of symbolic ones the tape decides."""
    if same(a, b):
        return True
    if isinstance(a, int) and isinstance(b, int):
        return False
    import sympy  # noqa: PLC0415

    return active().holds(sympy.Eq(a, b))


def multiple(size: Size, of: Size, what: str) -> None:
    """Raise Mismatch where a size is no multiple of another."""
    if not divides(of, size):
        raise Mismatch(f"{what}: {size} is no multiple of {of}")


def divides(part: Size, size: Size) -> bool:
    """Whether a size is a multiple of another; of symbolic ones the tape decides."""
    if isinstance(size, int) and isinstance(part, int):
        return size % part == 0
    import sympy  # noqa: PLC0415

    ratio = quotient(size, part)
    return bool(ratio.is_integer) or active().holds(sympy.Eq(sympy.Mod(size, part), 0))


def inside(index: Size, size: Size) -> None:
    """Raise Mismatch where a number is no index of an axis of ``size`` entries."""
    holds = active().holds
    if not holds(index < size) or not holds(-size <= index):
        raise Mismatch(f"an axis of {size} entries has none at {index}")


def as_torch(size: Size, tape: Tape) -> Any:
    """A size as torch code may see it: an int, or a torch.SymInt whose comparisons ask the tape."""
    number = as_int(size)
    if number is not None:
        return number
    import torch  # noqa: PLC0415

    from .symbols import Node  # noqa: PLC0415

    return torch.SymInt(Node(size, tape))  # type: ignore[no-untyped-call]


def as_int(size: Size) -> int | None:
    """The number behind a size, None where there is none."""
    if isinstance(size, int):
        return size
    return int(size) if size.is_Integer else None


def same(a: Size, b: Size) -> bool:
    """Whether two sizes are equal, however they are written."""
    if a == b or (isinstance(a, int) and isinstance(b, int)):
        return bool(a == b)
    return _equal(a, b)


@lru_cache(maxsize=4096)
def _equal(a: Any, b: Any) -> bool:
    import sympy  # noqa: PLC0415

    return bool(sympy.expand(a - b) == 0)


def halved(size: Size) -> Size:
    """⌊size/2⌋."""
    if isinstance(size, int):
        return size // 2
    from .symbols import floored  # noqa: PLC0415  (it needs SymPy)

    return floored(size / 2)


def quotient(a: Size, b: Size) -> Size:
    """a / b for sizes of which one divides the other."""
    if isinstance(a, int) and isinstance(b, int):
        return a // b
    import sympy  # noqa: PLC0415

    ratio = sympy.sympify(a) / b
    return ratio if ratio.as_numer_denom()[1] == 1 else sympy.cancel(ratio)
