"""Whether layers are what they promise, for eight kinds of weights in four states of use: ours, and on request peers'.

Run by `make soundness`. It fails if one of this library's own layers breaks a promise.

`--reference` takes a checkout of github.com/berndprach/1LipschitzLayersCompared, `--orthogonium` needs that package.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import torch

from lipcost.cli.formatting import print_table
from lipcost.layers import LAYERS
from lipcost.validate.compare.claims import CLAIMED
from lipcost.validate.compare.soundness import Outcome, measure
from lipcost.validate.compare.subjects import Subject, cases, own, rival

from .peers import peers

HEADER = ["layer", "cases", "σ > 1 in eval", "worst", "σ > 1 in train", "worst", "NaN", "errors", "worst defect"]


def row(name: str, outcomes: Sequence[Outcome]) -> list[str]:
    """The table's row for one layer; what the method does not promise is in brackets."""
    cells = [name, str(len(outcomes))]
    for mode in ("eval", "train"):
        those = [each for each in outcomes if each.case.mode == mode]
        count = sum(each.exceeds for each in those)
        cells += [str(count) if those[0].claimed else f"({count})", figure(each.sigma for each in those)]
    cells += [str(sum(not each.finite for each in outcomes)), str(sum(each.error is not None for each in outcomes))]
    return [*cells, figure(each.defect for each in outcomes)]


def print_if_any(header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """A table and an empty line, unless there is nothing to say."""
    if rows:
        print_table(header, rows, numbers=False)
        print()


def figure(values: Iterable[float]) -> str:
    """The largest of the numbers among the values."""
    numbers = [value for value in values if not math.isnan(value)]
    return f"{max(numbers):.7g}" if numbers else "-"


def options() -> argparse.Namespace:
    """Of the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--published", action="store_true", help="this library's published algorithms as well")
    parser.add_argument(
        "--reference", type=Path, metavar="PATH", help="a checkout of the public reference implementation"
    )
    parser.add_argument("--orthogonium", action="store_true", help="the layers of orthogonium")
    parser.add_argument("--methods", nargs="+", default=CLAIMED, choices=CLAIMED, help="of which methods")
    parser.add_argument("--seed", type=int, default=0, help="of everything random")
    parser.add_argument("--json", type=Path, metavar="FILE", help="where to write every case")
    return parser.parse_args()


def subjects(chosen: argparse.Namespace) -> Iterator[Subject]:
    """The layers to measure, ours first."""
    yield from ours(chosen.methods)
    if chosen.published:
        yield from (published(method) for method in chosen.methods)
    for peer in peers(chosen.reference):
        if peer.method in chosen.methods and (peer.name != "orthogonium" or chosen.orthogonium):
            yield rival(f"{peer.name} {peer.method}", peer.method, peer.layer)


def ours(methods: Sequence[str]) -> list[Subject]:
    """The library's own algorithms, with each padding."""
    return [own(method, mode) for method in methods for mode in LAYERS[method].padding_modes]


def published(method: str) -> Subject:
    """The library's copy of the published algorithm, held to the claims of its own."""
    return rival(f"{method}/published", method, LAYERS[f"{method}/published"])


def main() -> int:
    """Print the tables; 1 if a layer of this library's own breaks a promise."""
    chosen = options()
    torch.set_num_threads(1)
    outcomes: dict[str, list[Outcome]] = {}
    for subject in subjects(chosen):
        print(subject.name, file=sys.stderr)
        outcomes[subject.name] = [measure(case, chosen.seed) for case in cases(subject)]
    print_table(HEADER, [row(name, found) for name, found in outcomes.items()])
    print("\nσ: largest singular value of the exact Jacobian, or a residual layer's proved bound.")
    print("(n): the method promises nothing there. Defect: largest |σᵢ - 1| where all are promised to be 1.\n")
    every = [each for found in outcomes.values() for each in found]
    worst = [max(found, key=lambda each: each.sigma if each.exceeds else 0) for found in outcomes.values()]
    rows = [[each.case.subject.name, f"{each.sigma:.7g}", str(each.case)] for each in worst if each.exceeds]
    print_if_any(["layer", "worst σ", "where"], rows)
    errors = Counter((each.case.subject.name, each.error) for each in every if each.error)
    print_if_any(["layer", "cases", "error"], [[name, str(n), str(text)] for (name, text), n in errors.items()])
    if chosen.json:
        chosen.json.write_text(json.dumps([each.to_dict() for each in every], indent=1, allow_nan=False))
    names = [subject.name for subject in ours(chosen.methods)]
    broken = sum(each.holds is False for each in every if each.case.subject.name in names)
    print(f"{broken} of {sum(len(outcomes[name]) for name in names)} cases of this library's layers fail")
    return int(broken > 0)


if __name__ == "__main__":
    sys.exit(main())
