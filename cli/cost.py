"""``lipcost cost``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from lipcost.costmodel.text import polynomial, readable, unit

from .formatting import print_table
from .options import Json, print_json

if TYPE_CHECKING:
    from lipcost.costmodel import Cost

MEASURED_BY = {  # a quantity: what measures it, and its name there
    "macs": ("fvcore, dispatcher", "macs"),
    "flops": ("dispatcher", "flops"),
    "traffic": ("dispatcher", "bytes_moved"),
    "launches": ("dispatcher", "launches"),
    "parameter_bytes": ("storages", ""),
    "buffer_bytes": ("storages", ""),
    "cache_bytes": ("storages", ""),
    "saved_bytes": ("saved-tensor hooks", ""),
    "peak_bytes": ("profiler", "profiler_peak_bytes"),
}


def cost(
    target: Annotated[
        str, typer.Argument(metavar="FILE.py:CLASS", help="A module's class or function; or PACKAGE:CLASS.")
    ],
    *,
    input: Annotated[str, typer.Option("--input", metavar="B,3,S,S", help="Shape of the input: numbers and names.")],
    sizes: Annotated[
        list[str] | None,
        typer.Option("--sizes", metavar="NAME=VALUE", help="Of the class, or of names in --input; commas or repeated."),
    ] = None,
    mode: Annotated[str, typer.Option(help="train, or inference.")] = "train",
    dtype: Annotated[str | None, typer.Option(help="Of the input; default: of the first parameter.")] = None,
    formula: Annotated[bool, typer.Option("--formula", help="Formulas in every size of --sizes and --input.")] = False,
    check: Annotated[
        bool, typer.Option("--check", help="Measure it here too; exit code 1 where that differs.")
    ] = False,
    json: Json = False,
) -> int:
    """What any torch module costs: exact numbers, or formulas in the names among its sizes.

    A name in --input that --sizes gives no number stays a symbol, and so does NAME=NAME.
    """
    values = _assigned(sizes or [])
    shape = [values.get(size, size) if not formula else size for size in _shape(input)]
    factory = _load(target)
    arguments = _arguments(factory, values, _shape(input))
    from lipcost import costmodel  # keeps `lipcost --help` quick

    asked = {name: name if formula and type(value) is int else value for name, value in arguments.items()}
    found = costmodel.cost(factory, shape, mode, dtype=dtype, **asked)  # type: ignore[arg-type]
    numbers = _numbers(factory, found, _shape(input), values, arguments, mode, dtype) if found.symbols else found
    if json:
        print_json(found.to_dict())
    elif found.symbols:
        _print_formulas(found, numbers)
    else:
        _print_numbers(found)
    if not check:
        return 0
    if numbers is None:
        raise ValueError(f"to check, give numbers by --sizes for {', '.join(found.symbols)}")
    return _check(factory(**arguments), numbers, dtype)


def _assigned(assignments: list[str]) -> dict[str, Any]:
    """The values by name: numbers where they are numbers."""
    found: dict[str, Any] = {}
    for text in ",".join(assignments).split(",") if assignments else []:
        name, equals, value = text.strip().partition("=")
        if not (equals and name.isidentifier() and value):
            raise ValueError(f"--sizes takes NAME=VALUE, got {text!r}")
        found[name] = _value(value)
    return found


def _value(text: str) -> Any:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            pass
    return {"true": True, "false": False, "none": None}.get(text.lower(), text)


def _shape(text: str) -> list[Any]:
    return [_value(size.strip()) for size in text.split(",")]


def _load(target: str) -> Any:
    """A class or function of a file or of a package."""
    where, _, name = target.rpartition(":")
    if not (where and name):
        raise ValueError(f"give FILE.py:CLASS or PACKAGE:CLASS, got {target!r}")
    import importlib.util
    import sys
    from difflib import get_close_matches
    from pathlib import Path

    if where.endswith(".py"):
        path = Path(where)
        if not path.is_file():
            raise ValueError(f"there is no file {where}")
        spec = importlib.util.spec_from_file_location(path.stem, path)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules.setdefault(path.stem, module)
        sys.path.insert(0, str(path.parent.resolve()))  # what lies beside the file is imported by it
        spec.loader.exec_module(module)
    else:
        try:
            module = importlib.import_module(where)
        except ImportError as error:
            raise ValueError(f"cannot import {where}: {error}") from None
    found = getattr(module, name, None)
    if not callable(found):
        known = [each for each, value in vars(module).items() if callable(value) and not each.startswith("_")]
        near = get_close_matches(name, known, 1)
        raise ValueError(
            f"{where} has no class or function {name!r}" + (f" (did you mean {near[0]!r}?)" if near else "")
        )
    return found


def _arguments(factory: Any, values: dict[str, Any], shape: list[Any]) -> dict[str, Any]:
    """Those of the values that the factory takes; each other must be a name in the shape."""
    from inspect import Parameter, signature

    parameters = signature(factory).parameters
    any_name = any(each.kind is Parameter.VAR_KEYWORD for each in parameters.values())
    taken = {name: value for name, value in values.items() if name in parameters}
    for name, value in values.items():
        if name not in taken and name not in shape:
            if not any_name:
                options = ", ".join(dict.fromkeys([*parameters, *(size for size in shape if isinstance(size, str))]))
                raise ValueError(f"--sizes has no name {name!r} for {factory.__name__}; names: {options}")
            taken[name] = value
    return taken


def _numbers(
    factory: Any, found: Cost, shape: list[Any], values: dict[str, Any], arguments: dict[str, Any], *how: Any
) -> Cost | None:
    """The cost in numbers, where each symbol has one."""
    from lipcost.costmodel import cost

    if not all(type(values.get(name)) is int for name in found.symbols):
        return None
    mode, dtype = how
    return cost(factory, [values.get(size, size) for size in shape], mode, dtype=dtype, **arguments)


def _title(found: Cost) -> str:
    sizes = "".join(f", {name}={value}" for name, value in found.sizes.items())
    return f"{found.module}: {found.mode}, {found.dtype}, input ({', '.join(map(str, found.shape))}){sizes}\n"


def _print_numbers(found: Cost) -> None:
    from lipcost.costmodel import QUANTITIES

    print(_title(found))
    values = {quantity: getattr(found, quantity) for quantity in QUANTITIES}
    print_table(
        ["quantity", "readable", "exact"], [[q, readable(value, unit(q)), f"{value:,}"] for q, value in values.items()]
    )
    classes = [f"{name} {readable(value, 'FLOP')}" for name, value in found.by_class.items() if value]
    print("\nFLOPs by class, forward + backward:", ", ".join(classes) or "none")


def _print_formulas(found: Cost, numbers: Cost | None) -> None:
    import sympy

    from lipcost.costmodel import QUANTITIES

    print(_title(found))
    if found.domain != True:  # noqa: E712  (SymPy's truth is no bool)
        print(f"where {found.domain}\n")
    for quantity in QUANTITIES:
        form = getattr(found, quantity)
        if form == 0:
            continue
        value = f" = {getattr(numbers, quantity):,}" if numbers is not None else ""
        if isinstance(form, sympy.Piecewise) and len(form.args) == 1:
            form = form.args[0][0]  # its condition is said above
        print(f"{quantity}, O({polynomial(found.leading_order(quantity))}){value}\n    {form}")


def _check(module: Any, found: Cost, dtype: str | None) -> int:
    """Measure it, print both, and say by the exit code whether they are equal."""
    import torch

    from lipcost.costmodel import QUANTITIES
    from lipcost.validate import measure_flops, measure_memory

    kind = getattr(torch, found.dtype)
    x = (
        torch.rand(found.shape).to(kind)
        if kind.is_floating_point or kind.is_complex
        else torch.zeros(found.shape, dtype=kind)
    )
    mode: Any = found.mode
    memory, flops = measure_memory(module, x, mode), measure_flops(module, x, mode)
    rows, equal = [], True
    for quantity in QUANTITIES:
        base, _, phase = quantity.rpartition("_")
        by, name = MEASURED_BY.get(quantity) or MEASURED_BY[base]
        if quantity.endswith("_bytes"):
            measured = getattr(memory, name or quantity)
        else:
            measured = getattr(flops, f"{name}_{phase}")
            measured = round(sum(measured.values())) if isinstance(measured, dict) else measured
        predicted = getattr(found, quantity)
        equal = equal and predicted == measured
        rows.append([quantity, f"{predicted:,}", f"{measured:,}", by, "" if predicted == measured else "differs"])
    print()
    print_table(["quantity", "predicted", "measured", "by", ""], rows)
    if flops.fvcore_macs != found.macs_forward:
        equal = False
        print(f"fvcore counts {flops.fvcore_macs:,} MACs in the forward")
    return 0 if equal else 1
