"""Rules of the family fourier beside torch itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from one_function import STACK, Case, Of, check, parametrized, predicted
from torch import nn

fft = torch.fft
LAYOUTS = "plain step"
COMPLEX = torch.complex64

ONE = {"": {}, " of more": {"n": 8}, " of fewer": {"n": 4}, " of an odd number": {"n": 5}, " of two": {"n": 2},
       " of another axis": {"dim": 1}, ", ortho": {"norm": "ortho"}, ", forward": {"norm": "forward"}}  # fmt: skip
TWO = {"": {}, " of more": {"s": (5, 8)}, " of fewer": {"s": (3, 4)}, " of more and fewer": {"s": (5, 4)},
       " of other axes": {"dim": (0, 2)}, " of axes turned": {"dim": (2, 0)}, ", ortho": {"norm": "ortho"}}  # fmt: skip
MANY = {"": {}, " of some sizes": {"s": (5, 4)}, " of some axes": {"dim": (1,)}, " of axes turned": {"dim": (1, 0)},
        " of a size kept": {"s": (-1, 8), "dim": (0, 2)}}  # fmt: skip
NEVER_COMPLEX = ("rfft", "ihfft")  # of real numbers only


def transform(name: str, how: dict[str, Any]) -> Callable[..., Any]:
    return lambda x: getattr(fft, name)(x, **how) * 2


CASES: dict[str, Case] = {}
for _suffix, _variants in (("", ONE), ("2", TWO), ("n", MANY)):
    for _stem in ("fft", "ifft", "rfft", "irfft", "hfft", "ihfft"):
        for _variant, _how in _variants.items():
            _function = transform(f"{_stem}{_suffix}", _how)
            CASES[f"{_stem}{_suffix}{_variant}"] = Case(_function, STACK, (), LAYOUTS)
            if _stem not in NEVER_COMPLEX:
                CASES[f"{_stem}{_suffix}{_variant} of complex"] = Case(_function, STACK, (), "t", COMPLEX)
CASES |= {
    "transform": Case(lambda x: fft.rfft2(x).real * 2),
    "there and back": Case(lambda x: fft.irfft2(fft.rfft2(x))),
    "there and back, of an odd side": Case(lambda x: fft.irfft2(fft.rfft2(x[..., :5]), s=(6, 5))),
    "there and back, one axis": Case(lambda x: fft.ifft(fft.fft(x)).real * 2),
    "a product of spectra": Case(lambda x, w: fft.irfft(fft.rfft(x) * fft.rfft(w)), parameters=((6,),)),
    "of one entry": Case(lambda x: fft.rfft(x[..., :1]).real * 2, STACK),
    "of a conjugate": Case(lambda x: fft.fft(x.conj()) * 2, STACK, dtype=COMPLEX),
    "of doubles": Case(lambda x: fft.rfft(x) * 2, STACK, dtype=torch.float64),
    "fftshift": Case(fft.fftshift, STACK, (), "plain t step wide"),
    "ifftshift": Case(lambda x: fft.ifftshift(x, dim=(1,)), STACK, (), "plain t step wide"),
    "fftshift of complex": Case(lambda x: fft.fftshift(x.conj()), STACK, dtype=COMPLEX),
}  # fmt: skip


@parametrized(CASES)
def test_a_rule_is_what_torch_does(make: Callable[[], nn.Module] | None, case: Case, layout: str) -> None:
    check(make, case, layout)


@pytest.mark.parametrize(
    ("function", "message"),
    [(lambda x: fft.rfft(x * 1j), "of complex ones"), (lambda x: fft.fft(x, norm="other"), "norm is forward")],
)
def test_what_torch_has_no_transform_of(function: Callable[..., Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        predicted(Of(function, dtype=torch.float32), STACK, "train")
