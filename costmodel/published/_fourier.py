"""What the methods in the Fourier domain share: the mirror of ``lipcost.layers._fourier``."""

from __future__ import annotations

from .._kernels import pointwise
from .._ops import filled
from .._tape import Size, Tape
from .._tensor import Tensor


def centring_phase(tape: Tape, s: Size, columns: Size) -> Tensor:
    """The factor (s, columns) that centres the kernel."""
    y = filled("fft_fftfreq", tape, (s,))
    x = filled("fft_fftfreq", tape, (columns,))
    angle = (y.reshape(s, 1) + x) * 1.0
    return pointwise("polar", filled("ones_like", tape, angle.shape), angle, kind="complex")
