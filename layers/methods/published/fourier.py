"""What the layers that work in the Fourier domain share."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def centring_phase(kernel_size: int, size: tuple[int, ...], like: Tensor, half: bool) -> Tensor:
    """The factor that moves a kernel's centre from its corner to its middle, one complex number per frequency.

    A k×k kernel, zero-padded to (h, w), transforms about its first entry; multiplying the conjugate of its transform
    by exp(-2πi p (f_y + f_x)), p = (k-1)/2, makes the layer the correlation that torch.nn.functional.conv2d computes.

    Args:
        kernel_size: k, odd.
        size: (h, w).
        like: a tensor that gives the real dtype and the device.
        half: only the ⌊w/2⌋+1 horizontal frequencies that a real input needs.

    Returns:
        (h, w) complex, or (h, ⌊w/2⌋+1) where ``half``.
    """
    h, w = size
    horizontal = torch.fft.rfftfreq if half else torch.fft.fftfreq
    rows = torch.fft.fftfreq(h, dtype=like.dtype, device=like.device)
    columns = horizontal(w, dtype=like.dtype, device=like.device)
    angle = (rows[:, None] + columns) * (-2 * math.pi * (kernel_size // 2))
    return torch.polar(torch.ones_like(angle), angle)
