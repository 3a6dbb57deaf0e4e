"""The tests of the rules as functions that are called again and again, with what they measure remembered."""

from __future__ import annotations

import contextlib
import hashlib
import io
import pickle
import signal
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

ROOT = Path(__file__).resolve().parents[2]
TESTS = ROOT / "tests/costmodel/tape/rules"
MEASURED = ROOT / "build/mutants/measured.pickle"
MEASURES = ("measure_memory", "measure_flops")
SECONDS = 20  # for one test; a mutant may run for ever


class Test:
    """One test with its parameters.

    Attributes:
        name: as pytest has it.
        key: of what it measures: its name, the version of torch and the text that it is written in.
    """

    def __init__(self, item: Any) -> None:
        self.name: str = item.nodeid
        self.module = item.module
        parameters = getattr(item, "callspec", None)
        self._function: Callable[..., None] = item.obj
        self._arguments: dict[str, Any] = {} if parameters is None else parameters.params
        text = item.path.read_bytes() + (ROOT / "tests/costmodel/one_function.py").read_bytes()
        self.key = f"{torch.__version__} {hashlib.sha1(text).hexdigest()} {self.name}"

    def run(self) -> None:
        """Run it; it raises if it fails."""
        measures.begin(self.key)
        self._function(**self._arguments)

    def fails(self) -> str:
        """What it raises, or nothing."""
        signal.setitimer(signal.ITIMER_REAL, SECONDS)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                self.run()
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # pytest's Failed is no Exception
            return f"{type(error).__name__}: {error}"
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
        return ""


class Measures:
    """What tests measure, in order, by their keys: measured once."""

    def __init__(self) -> None:
        self.known: dict[str, list[Any]] = pickle.loads(MEASURED.read_bytes()) if MEASURED.exists() else {}
        self._key, self._place = "", 0
        self._new: list[Any] = []

    def begin(self, key: str) -> None:
        """A test begins."""
        self._key, self._place, self._new = key, 0, []

    def once(self, measure: Callable[..., Any]) -> Callable[..., Any]:
        """A function that measures, remembered."""

        def remembered(*args: Any, **kwargs: Any) -> Any:
            known = self.known.get(self._key)
            if known is None:
                self._new.append(measure(*args, **kwargs))
                return self._new[-1]
            self._place += 1
            return known[self._place - 1]

        return remembered

    def end(self) -> list[Any]:
        """What the test has measured anew."""
        return self._new

    def keep(self) -> None:
        """Write them down."""
        MEASURED.parent.mkdir(parents=True, exist_ok=True)
        MEASURED.write_bytes(pickle.dumps(self.known))


measures = Measures()


class _Collector:
    def __init__(self) -> None:
        self.items: list[Any] = []

    def pytest_collection_finish(self, session: Any) -> None:
        self.items = session.items


def collected() -> list[Test]:
    """The tests of the rules; those that ask for fixtures are left out."""
    collector = _Collector()
    how = ["--collect-only", "-qq", "--assert=plain", "-p", "no:cacheprovider", "--rootdir", str(ROOT), str(TESTS)]
    with contextlib.redirect_stdout(io.StringIO()):
        code = pytest.main(how, plugins=[collector])
    if code:
        raise RuntimeError(f"pytest could not collect {TESTS}: {code}")
    tests = [Test(item) for item in collector.items if not _fixtures(item)]
    for module in {sys.modules["one_function"], *(test.module for test in tests)}:
        for name in MEASURES:
            if hasattr(module, name):
                setattr(module, name, measures.once(getattr(module, name)))
    signal.signal(signal.SIGALRM, _give_up)
    return tests


def _fixtures(item: Any) -> Iterator[str] | set[str]:
    parameters = getattr(item, "callspec", None)
    return set(item.fixturenames) - {"request"} - set({} if parameters is None else parameters.params)


def _give_up(*_: Any) -> None:
    raise TimeoutError(f"no end after {SECONDS} s")
