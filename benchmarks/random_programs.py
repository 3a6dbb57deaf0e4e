"""Random programs, as recorded and as measured: how many agree, and those that do not.

    python benchmarks/random_programs.py --count 2000 --seed 0

Of each program that is recorded otherwise than torch runs it, the source is printed; it imports program_draw, of
tests/costmodel. The exit status is then 1. Program i of a seed is the same whatever the count.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from pathlib import Path
from random import Random

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "costmodel"))

from programs import compared, drawn


def options() -> argparse.Namespace:
    """Of the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=2000, help="of programs")
    parser.add_argument("--seed", type=int, default=0, help="of them all")
    return parser.parse_args()


def main() -> int:
    """Compare the programs; 1 if any is recorded otherwise than torch runs it."""
    chosen = options()
    kinds: Counter[str] = Counter()
    refusals: Counter[str] = Counter()
    start = time.perf_counter()
    for i in range(chosen.count):
        program = drawn(Random(f"{chosen.seed} {i}"))
        outcome = compared(program)
        kinds[outcome.kind] += 1
        if outcome.kind == "refused":
            refusals[outcome.what] += 1
        elif outcome.kind == "mismatch":
            print(f"# Program {i} of seed {chosen.seed}: {outcome.what}\n{program.source}\n", flush=True)
    seconds = time.perf_counter() - start
    print(f"{chosen.count} programs of seed {chosen.seed} in {seconds:.0f} s: {kinds['exact']} exact, ", end="")
    print(f"{kinds['refused']} refused, {kinds['mismatch']} mismatches")
    for what, count in refusals.most_common():
        print(f"{count:6} {what}")
    return int(kinds["mismatch"] > 0)


if __name__ == "__main__":
    sys.exit(main())
