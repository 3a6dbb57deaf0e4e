"""Writes the golden files, today's numbers, that test_golden.py compares: `python tests/costmodel/golden/make.py`.

A row is named by its configuration, method first, as `method name=value …`, and is null where that is refused.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import sympy

from lipcost.costmodel import METHODS, OPTIMIZERS, QUANTITIES, evaluate, formula, predict, predict_network
from lipcost.validate.compare.cases import BASE, EDGES, MODES, draws, takes

HERE = Path(__file__).parent
SEED = 72159  # of all draws; validate measures others
DRAWS = 12  # configurations that a method takes
POINTS = 60
LARGER = (
    {"b": 16, "s": 16, "c_in": 64, "c_out": 64, "k": 3},
    {"b": 3, "s": 12, "c_in": 5, "c_out": 7, "k": 5},
    {"b": 7, "s": 33, "c_in": 24, "c_out": 24, "k": 7},
)
SIZES = ("b", "s", "c_in", "c_out", "k")
RECTANGULAR = ("macs_forward", "saved_bytes", "peak_bytes")


def name(*words: str, **settings: Any) -> str:
    """The name of a row."""
    return " ".join([*words, *(f"{key}={value}" for key, value in settings.items())])


def flat(nested: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """One dict of dicts of numbers, the keys joined by dots; iteration counts, which differ by method, stay a dict."""
    out: dict[str, Any] = {}
    for key, value in nested.items():
        if isinstance(value, dict) and key != "options":
            out |= flat(value, f"{prefix}{key}.")
        else:
            out[prefix + key] = value
    return out


# One layer


def layer_fields(method: str, **settings: Any) -> dict[str, Any] | None:
    """All that predict says, and the peak where gradients are summed out of place; None if it refuses."""
    try:
        fields = flat(predict(method, **settings).to_dict())
    except ValueError:
        return None
    other = flat(predict(method, **settings, in_place=False).to_dict())
    assert {key for key in fields if other[key] != fields[key]} <= {"peak_bytes"}
    return fields | {"peak_bytes(in_place=False)": other["peak_bytes"]}


def layer_settings(method: str) -> Iterator[dict[str, Any]]:
    """Edge cases, larger ones, and draws until the method has taken enough."""
    yield from (BASE | edge for edge in EDGES)
    yield from (BASE | dict.fromkeys(METHODS[method].counts, t) for t in (1, 2))
    yield from LARGER
    taken = 0
    for draw in draws(method, SEED):
        given = {key: value for key, value in draw.items() if value is not None}
        settings = {key: value for key, value in given.items() if key != "options"} | draw["options"]
        yield settings
        taken += layer_fields(method, **settings) is not None
        if taken == DRAWS:
            return


def layers() -> Iterator[tuple[str, dict[str, Any] | None]]:
    """The rows of numbers.json."""
    for method in METHODS:
        for settings in layer_settings(method):
            for mode in MODES:
                full = {"k": 3, "mode": mode} | settings
                full = {key: full[key] for key in (*SIZES, *full)}  # sizes first
                yield name(method, **full), layer_fields(method, **full)


# Networks


def network_fields(network: str, method: str, **settings: Any) -> dict[str, Any] | None:
    """All that predict_network says but the time; None if it refuses."""
    try:
        fields = predict_network(network, method, **settings).to_dict()
    except ValueError:
        return None
    del fields["time"], fields["seconds"]
    return flat(fields)


def network_settings(method: str) -> Iterator[dict[str, Any]]:
    """Two networks with every optimizer, then what else can be asked for."""
    small = {"network": "ConvNetXS", "width": 4}
    for net in (small, {"network": "ConvNetM"}):
        for b in (2, 5, 256):
            yield net | {"b": b, "mode": "inference"}
            for optimizer in OPTIMIZERS:
                for foreach in (False, True):
                    yield net | {"b": b, "mode": "train", "optimizer": optimizer, "foreach": foreach}
        for foreach in (False, True):
            for optimizer in OPTIMIZERS:
                yield net | {"b": 5, "mode": "train", "optimizer": optimizer, "foreach": foreach, "weight_decay": True}
    for mode in MODES:
        yield small | {"b": 2, "mode": mode, "dtype": "float64"}
        yield small | {"b": 2, "mode": mode, "dtype": "bfloat16"}
        yield small | {"b": 3, "mode": mode, "s": 64, "c_in": 2, "classes": 7}
        yield small | {"b": 3, "mode": mode, "in_place": False}
        yield small | {"b": 3, "mode": mode, **dict.fromkeys(METHODS[method].counts, 2)}
        yield from ({"network": "TConvNetXS", "b": b, "mode": mode} for b in (2, 256))
        yield {"network": "ConvNetM", "b": 2, "mode": mode, "dtype": "float64"}


def networks() -> Iterator[tuple[str, dict[str, Any] | None]]:
    """The rows of networks.json."""
    for method in METHODS:
        for settings in network_settings(method):
            yield name(method, **settings), network_fields(method=method, **settings)


# Formulas


def points(method: str, rectangular: bool) -> dict[str, list[int]]:
    """Distinct points that the method takes, a column each symbol; small numbers, where it branches, are frequent."""
    rng = random.Random(f"{method} {rectangular} {SEED}")

    def draw(small: int, large: int) -> int:
        return rng.randint(1, rng.choice((small, large)))

    rows: list[dict[str, int]] = []
    while len(rows) < POINTS:
        s, c = draw(7, 40), draw(3, 70)
        k = rng.choice(
            [k for k in (1, 3, 5, 7, 9, 13) if takes(method, {"b": 1, "s": s, "c_in": c, "c_out": c, "k": k})]
        )
        c_out = c if METHODS[method].square or rng.random() < 0.2 else draw(3, 70)
        channels = {"c_in": c, "c_out": c_out} if rectangular else {"c": c}
        counts = {count: draw(3, 9) for count in METHODS[method].counts}
        row = {"b": draw(4, 300), "s": s, **channels, "k": k, **counts}
        rows += [row] if row not in rows else []
    return {column: [row[column] for row in rows] for column in rows[0]}


def value(expression: sympy.Expr, point: dict[str, int]) -> int | float:
    """The formula's exact value: an int, or a float where there are logarithms."""
    numbers = {"c": point.get("c_in")} | point  # a method that is square only has no c_in in its formula
    number = expression.xreplace({x: sympy.Integer(numbers[x.name]) for x in expression.free_symbols})
    return int(number) if number.is_Integer else float(number.evalf(25))


def formula_row(method: str, quantity: str, columns: dict[str, Any], **settings: Any) -> list[Any]:
    """The formula and its values, all floats if one is; those of predict and evaluate are the same, or it raises."""
    expression = sympy.sympify(formula(method, quantity, **settings))
    each = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    values = [value(expression, point) for point in each]
    if any(isinstance(exact, float) for exact in values):
        values = [float(exact) for exact in values]
    for point, exact in zip(each, values, strict=True):
        predicted = getattr(predict(method, mode=settings["mode"], **point), quantity)
        assert abs(predicted - exact) <= (0.5 if isinstance(exact, float) else 0), (method, quantity, point)
    evaluated = evaluate(method, quantity, mode=settings["mode"], **columns).tolist()
    for got, exact in zip(evaluated, values, strict=True):
        assert abs(got - exact) <= 1e-12 * exact * isinstance(got, float), (method, quantity, settings)
    return [str(expression), values]


def formulas(columns: dict[str, dict[str, list[int]]]) -> Iterator[tuple[str, list[Any]]]:
    """The rows of formulas.json."""
    for method in METHODS:
        for mode in MODES:
            for quantity in QUANTITIES:
                settings: dict[str, Any] = {"mode": mode}
                row = formula_row(method, quantity, columns[name(method, rectangular=False)], **settings)
                yield name(method, quantity, **settings), row
            for quantity in RECTANGULAR:
                settings = {"mode": mode, "rectangular": True}
                row = formula_row(method, quantity, columns[name(method, rectangular=True)], **settings)
                yield name(method, quantity, **settings), row


# Files


def write(file: str, **sections: Any) -> None:
    """One JSON object, of which each section is a list on one line or a dict with a line per entry."""
    texts = []
    for section, content in sections.items():
        if isinstance(content, dict):
            lines = ",\n".join(f"{json.dumps(key)}: {compact(value)}" for key, value in content.items())
            texts.append(f"{json.dumps(section)}: {{\n{lines}\n}}")
        else:
            texts.append(f"{json.dumps(section)}: {compact(content)}")
    (HERE / file).write_text("{\n" + ",\n".join(texts) + "\n}\n", encoding="utf-8")
    print(f"{file}: {(HERE / file).stat().st_size:,} bytes")


def compact(value: Any) -> str:
    """JSON without spaces."""
    return json.dumps(value, separators=(",", ":"))


def write_table(file: str, rows: Iterable[tuple[str, dict[str, Any] | None]]) -> None:
    """Rows that all have the same fields, whose names stand at the top."""
    table = dict(rows)
    taken = [row for row in table.values() if row is not None]
    fields = list(taken[0])
    assert all(list(row) == fields for row in taken)
    print(f"{file}: {len(taken)} rows, {len(table) - len(taken)} refused")
    write(file, fields=fields, rows={key: row and list(row.values()) for key, row in table.items()})


def main() -> None:
    """Write all three files."""
    write_table("numbers.json", layers())
    write_table("networks.json", networks())
    columns = {name(method, rectangular=r): points(method, r) for method in METHODS for r in (False, True)}
    rows = dict(formulas(columns))
    print(f"formulas.json: {len(rows)} rows")
    write("formulas.json", points=columns, rows=rows)


if __name__ == "__main__":
    main()
