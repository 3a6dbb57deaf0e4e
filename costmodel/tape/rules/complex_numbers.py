"""Rules of functions from and to complex numbers."""

from __future__ import annotations

from typing import Any

from ..errors import Mismatch, refused
from ..graph import attach
from ..table import rule
from ..tensor import Tensor
from .arithmetic import divided
from .copies import contiguous
from .formulas import Term, elementwise, function
from .kernels import real_of
from .views import scattered, view_as_real


@rule("torch.complex")
def complex(real: Tensor, imag: Tensor) -> Tensor:
    # Torch's code generator takes at::real and at::imag in the formulas for the operands, and keeps these.
    formulas = {"real": lambda grad, real: grad.real(), "imag": lambda grad, imag: grad.imag()}
    return elementwise("complex", {"real": real, "imag": imag}, formulas, dtype=real.dtype.to_complex())


@rule("torch.polar")
def polar(absolute: Tensor, angle: Tensor) -> Tensor:
    operands = {"abs": absolute, "angle": angle}
    return elementwise("polar", operands, {"abs angle": _of_polar}, dtype=angle.dtype.to_complex())


def _of_polar(grad: Term, result: Term, wanted: list[bool]) -> list[Term | None]:
    conjugate = grad.conj().named()
    length = (conjugate * result.sgn()).real().named()
    turned = (result * 1j).named()
    return [length, (conjugate * turned).real()]


@function("angle")
def angle(x: Tensor, **how: Any) -> Tensor:
    plain = x.dtype.is_complex
    return elementwise("angle", {"self": x}, {"self": _of_angle}, dtype=real_of(divided(x)), plain=plain, **how)


def _of_angle(grad: Term, self: Term) -> Term:
    if not self.tensor.dtype.is_complex:
        return self.zeros_like()
    return self.constant("zeros").where(self.eq(0), grad * self / self.abs().pow(2) * 1j)


@rule("torch.imag")
def imag(x: Tensor) -> Tensor:
    """The imaginary part, a view."""
    if not x.dtype.is_complex:
        raise Mismatch(f"imag takes a complex tensor, got {x.dtype}")
    if x.conjugated:
        raise refused("the imaginary part of a lazy conjugate")
    out = x.view_of(x.sizes, tuple(2 * stride for stride in x.strides), real_of(x.dtype))
    sizes, dtype = x.sizes, x.dtype
    attach([out], [x], [], lambda _, g: [scattered(g, sizes, "select_backward", dtype)])
    return out


rule("Tensor.imag", attribute=True)(imag)


@rule("torch.view_as_complex")
def view_as_complex(x: Tensor) -> Tensor:
    """Pairs along the last axis as complex numbers."""
    strides = None if x._strides is None else tuple(stride // 2 for stride in x.strides[:-1])
    out = x.view_of(x.sizes[:-1], strides, x.dtype.to_complex())
    attach([out], [x], [], lambda _, g: [view_as_real(contiguous(g).resolved())])
    return out
