"""Files of JSON that one run writes and another reads."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any


def read(path: Path, kind: str, keys: Sequence[str]) -> dict[str, Any]:
    """The object in a file.

    Args:
        path: of the file.
        kind: what its "format" must be.
        keys: what it must have.

    Raises:
        ValueError: if it cannot be read or is something else; it names the file.
    """
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ValueError(f"{path}: not readable: {error.strerror}") from None
    except ValueError as error:
        raise ValueError(f"{path}: not JSON in UTF-8: {error}") from None
    return check(path, data, kind, keys)


def check(path: Path, data: object, kind: str, keys: Sequence[str]) -> dict[str, Any]:
    """``data`` of a file, if it is such an object; arguments and errors as :func:`read`."""
    found = data.get("format") if isinstance(data, dict) else None
    if not isinstance(data, dict) or found != kind:
        raise ValueError(f"{path}: format must be {kind!r}, got {found!r}")
    missing = [key for key in keys if key not in data]
    if missing:
        raise ValueError(f"{path}: lacks {missing[0]!r}; needed: {', '.join(keys)}")
    return data
