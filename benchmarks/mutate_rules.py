"""Mutants of the rules: each thing that a rule does is changed in turn, and a test of the rules must tell.

    python -m benchmarks.mutate_rules [--rule NAME] [--seconds S] [--json FILE]

A rule is an entry of RULES, by its function. What it does while no rule inside of it runs is its own, at a place: the
lines from its own code to there. The mutants, at each place that a test comes to:

* of an allocation: one element more; another type; of a result, axes in the opposite order.
* of a kernel: missing; twice; one FLOP or MAC more; another class; one operand not read or written.
* of what is saved: one tensor not kept; one input or output kept too.
* of a temporary: freed before the last allocation ahead, or after the next one.
* of a call of another rule: done twice. Of a change in place: a new tensor. Of formulas: the last gradient first.
* of the text: a ``del`` dropped; two neighbouring statements that do not depend on each other swapped in a backward; a
  list of gradients computed from the last on.
* of the whole: no rule.

No mutants, as they change nothing: sizes of zero; a class of no FLOPs; an input of the network or a parameter that is
not kept; times of release and sizes of temporaries that leave the peak within the rule's call as it is, and a changed
text or order that leaves the peaks within all calls as they are; a call that is a rule's own result, or has no kernel.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import random
import time
from collections import Counter, defaultdict
from typing import Any

from .mutation import probe

probe.install()

from .mutation import cases, source  # noqa: E402  (tests are read with the hooks in place)
from .mutation.probe import Mutant  # noqa: E402

JUDGED = {"not in place", "reverse order"}  # and those of the text: left out where they change no step's peak
PROCESSES = 2
NOTHING = Mutant("", "", "", "")

tests: list[cases.Test] = []
of_rule: dict[str, list[int]] = {}  # the tests that use each rule, the quickest first
found_at: dict[Mutant, list[int]] = {}  # the tests that come to a site


def measured(index: int) -> tuple[str, list[Any], str]:
    """The key of a test, what it measures, and why it fails if it does."""
    test = tests[index]
    failure = test.fails()
    return test.key, cases.measures.end(), failure


def surveyed(index: int) -> tuple[int, str, float, set[str], list[Mutant]]:
    """What a test uses, how long it takes, and what there is to mutate."""
    probe.start(note=True)
    begun = time.perf_counter()
    failure = tests[index].fails()
    seconds = time.perf_counter() - begun
    assert probe.sites is not None
    found, used = list(probe.sites), set(probe.used)
    probe.start()
    return index, failure, seconds, used, found


def killed(mutant: Mutant) -> tuple[Mutant, str]:
    """The test that tells a mutant from torch; "" if none does; "equal" if it is no change."""
    for index in _tests_of(mutant):
        probe.start(mutant)
        with source.applied(mutant):
            if tests[index].fails():
                return mutant, tests[index].name
    judged = mutant.phase == "text" or mutant.kind in JUDGED
    return mutant, "" if not judged or any(_differs(index, mutant) for index in _tests_of(mutant)) else "equal"


def _tests_of(mutant: Mutant) -> list[int]:
    return found_at[mutant] if mutant in found_at else of_rule.get(mutant.rule, [])


def _differs(index: int, mutant: Mutant) -> bool:
    """Whether a mutant changes the peak of a step in a test."""
    peaks = []
    for each in (mutant, NOTHING):
        probe.start(each, note_peaks=True)
        with source.applied(each):
            tests[index].fails()
        peaks.append(probe.peaks)
    return peaks[0] != peaks[1]


def main() -> None:
    """Measure, survey, mutate, report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rule", help="only rules whose name contains this")
    parser.add_argument("--seconds", type=float, help="stop after this time, with a random sample of the mutants")
    parser.add_argument("--json", help="where survivors are written")
    chosen = parser.parse_args()
    tests.extend(cases.collected())
    _measure()
    _survey()
    unused = set(probe.declared) - set(of_rule)
    print(f"{len(tests)} tests of {len(probe.declared)} rules, {len(unused)} of which none uses", flush=True)
    mutants = [each for each in _mutants() if not chosen.rule or chosen.rule in f"{each.rule} {each.place}"]
    print(len(mutants), "mutants", flush=True)
    random.Random(0).shuffle(mutants)  # so that a run that is stopped has a fair sample
    results: dict[Mutant, str] = {}
    end = time.monotonic() + (chosen.seconds or float("inf"))
    with multiprocessing.get_context("fork").Pool(PROCESSES) as pool:
        for mutant, by in pool.imap_unordered(killed, mutants, chunksize=4):
            results[mutant] = by
            if time.monotonic() > end:
                break
    report(results)
    if chosen.json:
        survivors = [mutant._asdict() for mutant, by in results.items() if not by]
        with open(chosen.json, "w") as file:
            json.dump(survivors, file, indent=1)


def _measure() -> None:
    """Measure what is not known yet."""
    missing = [i for i, test in enumerate(tests) if test.key not in cases.measures.known]
    failing = set()
    with multiprocessing.get_context("fork").Pool(PROCESSES) as pool:
        for i, (key, new, failure) in enumerate(pool.imap_unordered(measured, missing, chunksize=8)):
            if failure:
                print("fails unmutated:", key.split(" ", 2)[-1], failure[:300], flush=True)
                failing.add(key)
            else:
                cases.measures.known[key] = new
            if i % 500 == 499:
                cases.measures.keep()
    cases.measures.keep()
    tests[:] = [test for test in tests if test.key not in failing]


def _survey() -> None:
    with multiprocessing.get_context("fork").Pool(PROCESSES) as pool:
        surveys = list(pool.imap_unordered(surveyed, range(len(tests)), chunksize=16))
    by_rule: dict[str, list[tuple[float, int]]] = defaultdict(list)
    by_site: dict[Mutant, list[tuple[float, int]]] = defaultdict(list)
    for index, failure, seconds, used, found in surveys:
        if failure:
            print("fails with the hooks in place:", tests[index].name, failure[:300], flush=True)
            continue
        for rule in used:
            by_rule[rule].append((seconds, index))
        for site in found:
            by_site[site].append((seconds, index))
    of_rule.update({rule: [i for _, i in sorted(each)] for rule, each in by_rule.items()})
    found_at.update({site: [i for _, i in sorted(each)] for site, each in by_site.items()})


def _mutants() -> list[Mutant]:
    _find_in_text()
    return [*found_at, *(Mutant(rule, "forward", "no rule", "") for rule in probe.declared)]


def _find_in_text() -> None:
    """Mutants of the text, with the tests that come to a site in their function."""
    by_line: dict[str, set[int]] = defaultdict(set)
    for site, those in found_at.items():
        for line in site.place.split():
            by_line[line].update(those)
    rank = {index: i for i, index in enumerate(dict.fromkeys(i for each in of_rule.values() for i in each))}
    for mutant, (file, first, last) in source.found().items():
        there = set().union(*(by_line.get(f"{file}:{line}", set()) for line in range(first, last + 1)))
        found_at[mutant] = sorted(there, key=rank.__getitem__)


def report(results: dict[Mutant, str]) -> None:
    """Print the score and every survivor."""
    counted = {mutant: by for mutant, by in results.items() if by != "equal"}
    survivors = [mutant for mutant, by in counted.items() if not by]
    for mutant in sorted(survivors):
        print(f"survives: {mutant.rule:40} {mutant.phase:8} {mutant.kind:18} {mutant.which} {mutant.place}")
    kinds = Counter(mutant.kind for mutant in counted)
    alive = Counter(mutant.kind for mutant in survivors)
    for kind, number in sorted(kinds.items()):
        print(f"{kind:20}{number:7}{number - alive[kind]:7}{_percent(number - alive[kind], number):>8}")
    total, dead = len(counted), len(counted) - len(survivors)
    print(f"{total} mutants, {dead} killed, {_percent(dead, total)}; {len(results) - total} are no change")


def _percent(part: int, whole: int) -> str:
    return f"{100 * part / max(whole, 1):.2f} %"


if __name__ == "__main__":
    main()
