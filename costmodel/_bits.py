"""Eight truths in a byte: the mirror of ``lipcost.layers._bits``."""

from __future__ import annotations

from math import prod

from ._kernels import pointwise
from ._tape import Kind, Shape
from ._tensor import Tensor


def pack(mask: Tensor) -> Tensor:
    """The truths (b, …) as bytes (b, ⌈n/8⌉)."""
    b, n = mask.shape[0], prod(mask.shape[1:])
    words = (b, -(-n // 8))
    flat = mask.reshape(b, n)
    if mask.tape.holds(n % 8 != 0):
        padded = Tensor(mask.tape, (b, 8 * words[1]), "uint8")
        mask.tape.kernel("constant_pad_nd", "pointwise", [flat, padded], flops=0)
        flat = padded
    word = flat.as_kind("int64", words)
    gathered = pointwise("__rshift__", pointwise("mul", word, kind="int64"), kind="int64")
    return converted(gathered, "uint8")


def unpack(packed: Tensor, shape: Shape) -> Tensor:
    """The truths, of ``shape``."""
    b, n = shape[0], prod(shape[1:])
    chosen = pointwise("bitwise_and", pointwise("mul", converted(packed, "int64"), kind="int64"), kind="int64")
    flat = pointwise("ne", chosen.as_kind("uint8", (b, 8 * packed.shape[1])), kind="bool")
    if not packed.tape.holds(n % 8 != 0):
        return flat.reshape(*shape)
    out = Tensor(packed.tape, shape, "bool")
    packed.tape.kernel("clone", "pointwise", [out, out], flops=0)
    return out


def converted(x: Tensor, kind: Kind) -> Tensor:
    """As elements of another kind."""
    out = Tensor(x.tape, x.shape, kind)
    x.tape.kernel("_to_copy", "pointwise", [x, out], flops=0)
    return out
