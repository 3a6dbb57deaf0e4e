"""Rules of padding and of moving pixels to channels and back."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from .. import layout
from ..errors import refused
from ..graph import attach
from ..sizes import multiple
from ..table import rule
from ..tape import Size
from ..tensor import Tensor
from .indexing import copied_into
from .kernels import image_strides, moved


@rule("torch.nn.functional.pad")
def pad(x: Tensor, pad: Sequence[Size], mode: str = "constant", value: float | None = None) -> Tensor:
    if mode == "constant":
        return constant_pad(x, pad)
    if mode == "circular":
        return _circular(x, pad)
    if mode in _MIRRORING and len(pad) == 4 and x.rank in (3, 4):
        return _mirrored(_MIRRORING[mode], x, pad)
    raise refused(f"padding mode {mode!r} of {len(pad)} widths and a tensor with {x.rank} axes")


_MIRRORING = {"reflect": "reflection_pad2d", "replicate": "replication_pad2d"}


def _mirrored(name: str, x: Tensor, widths: Sequence[Size]) -> Tensor:
    """x with its own pixels around it: a copy, whose gradient sums."""
    left, right, top, bottom = widths
    *lead, h, w = x.sizes
    out = moved(name, [x], (*lead, h + top + bottom, w + left + right))
    out._strides = image_strides(x, out.sizes)

    def backward(saved: Sequence[Tensor], g: Tensor) -> list[Tensor]:
        (x,) = saved
        gradient = g.new(x.sizes, strides=image_strides(x, x.sizes))
        g.tape.kernel(f"{name}_backward", "pointwise", [g, x, gradient], flops=g.elements)
        return [gradient]

    attach([out], [x], [x], backward)
    return out


def constant_pad(x: Tensor, widths: Sequence[Size]) -> Tensor:
    """Pad by numbers, from the last axis on; negative widths cut. Each is the other's gradient."""
    sizes = list(x.sizes)
    for i in range(len(widths) // 2):
        sizes[-1 - i] = sizes[-1 - i] + widths[2 * i] + widths[2 * i + 1]
    return _padded(x, tuple(sizes), tuple(widths))


def _padded(x: Tensor, sizes: tuple[Size, ...], widths: tuple[Size, ...]) -> Tensor:
    last = x._strides is not None and layout.is_channels_last(x.hints, x.strides)
    out = moved("constant_pad_nd", [x], sizes)
    if all(x.tape.hint(width) <= 0 for width in widths):  # what is only cut is cloned
        out._strides = None if x._strides is None else layout.like(out.hints, x.strides)
    elif last:
        out._strides = layout.contiguous(out.hints, layout.CHANNELS_LAST)
    before = x.sizes
    attach([out], [x], [], lambda _, g: [_padded(g, before, tuple(-width for width in widths))])
    return out


def _circular(x: Tensor, widths: Sequence[Size]) -> Tensor:
    """x (b, c, h, w) with wrapped columns and rows (left, right, top, bottom).

    PyTorch fills an empty tensor by copies: the image, then left, right, top and bottom strips from the image already
    there. Each is an in-place write into a view, which autograd undoes by a copy of the whole gradient (CopySlices).
    """
    if x.rank != 4 or len(widths) != 4:
        raise refused("circular padding but of the two sides of (b, c, h, w)")
    left, right, top, bottom = widths
    b, c, h, w = x.sizes
    full = (b, c, h + top + bottom, w + left + right)
    strips = [(left, (b, c, full[2], left)), (right, (b, c, full[2], right)),
              (top, (b, c, top, full[3])), (bottom, (b, c, bottom, full[3]))]  # fmt: skip
    shapes = [shape for size, shape in strips if x.tape.holds(size > 0)]
    out = x.new(full)
    if not (x.requires_grad and torch.is_grad_enabled()):
        for shape in (x.sizes, *shapes):
            strip = out.view_of(shape, out.strides)
            x.tape.kernel("copy_", "pointwise", [strip, strip, strip], flops=0)
        return out
    out = copied_into(out, x.sizes, _window(_window(x, x.sizes), x.sizes))
    for shape in shapes:
        out = copied_into(out, shape, _window(out, shape))
    return out


def _window(x: Tensor, sizes: tuple[Size, ...]) -> Tensor:
    out = x.view_of(sizes, x.strides)
    before = x.sizes
    attach([out], [x], [], lambda _, g: [moved("slice_backward", [g], before)])
    return out


@rule("torch.pixel_unshuffle", "torch.nn.functional.pixel_unshuffle")
def pixel_unshuffle(x: Tensor, downscale_factor: int) -> Tensor:
    b, c, h, w = before = x.sizes
    n = downscale_factor
    for side in (h, w):
        if isinstance(side, int) and side % n:
            raise ValueError(f"pixel_unshuffle by {n} takes images whose sides are multiples of it, got {h}x{w}")
    out = _shuffled("pixel_unshuffle", x, (b, c * n**2, h // n, w // n))
    attach([out], [x], [], lambda _, g: [_shuffled("pixel_shuffle", g, before)])
    return out


def _shuffled(name: str, x: Tensor, sizes: tuple[Size, ...]) -> Tensor:
    out = moved(name, [x], sizes)
    out._strides = image_strides(x, sizes)
    return out


@rule("torch.pixel_shuffle", "torch.nn.functional.pixel_shuffle")
def pixel_shuffle(x: Tensor, upscale_factor: int) -> Tensor:
    b, c, h, w = before = x.sizes
    n = upscale_factor
    multiple(c, n**2, "channels of pixel_shuffle")
    out = _shuffled("pixel_shuffle", x, (b, c // n**2, h * n, w * n))
    attach([out], [x], [], lambda _, g: [_shuffled("pixel_unshuffle", g, before)])
    return out
