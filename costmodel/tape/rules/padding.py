"""Rules of padding and of moving pixels to channels and back."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from .. import layout
from ..errors import Mismatch, refused
from ..graph import attach
from ..sizes import divides, multiple
from ..table import rule
from ..tape import Size
from ..tensor import Tensor
from .indexing import copied_into
from .kernels import image_strides, moved

MIRRORING = {"reflect": "reflection_pad", "replicate": "replication_pad"}
PLAIN = {"reflection_pad3d_backward", "replication_pad3d_backward"}


@rule("torch.nn.functional.pad")
def pad(input: Tensor, pad: Sequence[Size], mode: str = "constant", value: float | None = None) -> Tensor:
    if mode == "constant":
        return constant_pad(input, pad)
    sides = len(pad) // 2
    if input.rank not in (sides + 1, sides + 2) or sides > 3:
        raise refused(f"padding mode {mode!r} of {len(pad)} widths and a tensor with {input.rank} axes")
    if mode != "circular" and mode not in MIRRORING:
        raise Mismatch(f"there is no padding mode {mode!r}")
    for i, width in enumerate(pad):
        side = input.sizes[-1 - i // 2]
        if mode != "replicate" and not input.tape.holds(width < side if mode == "reflect" else width <= side):
            raise Mismatch(f"{mode} padding by {width} does not fit {side} entries")
    if mode == "circular":
        return _circular(input, pad)
    return _mirrored(f"{MIRRORING[mode]}{sides}d", input, pad)


def _grown(x: Tensor, widths: Sequence[Size]) -> tuple[Size, ...]:
    """The sizes with widths (left, right, top, bottom, …) around, from the last axis on."""
    sizes = list(x.sizes)
    for i in range(len(widths) // 2):
        sizes[-1 - i] = sizes[-1 - i] + widths[2 * i] + widths[2 * i + 1]
        if not x.tape.holds(sizes[-1 - i] >= 0):
            raise Mismatch(f"padding by {tuple(widths)} leaves nothing of shape {x.sizes}")
    return tuple(sizes)


def _mirrored(name: str, x: Tensor, widths: Sequence[Size]) -> Tensor:
    """x with its own pixels around it: a copy, whose gradient sums."""
    out = moved(name, [x], _grown(x, widths))
    out._strides = image_strides(x, out.sizes)

    def backward(saved: Sequence[Tensor], g: Tensor) -> list[Tensor]:
        (x,) = saved
        gradient = g.new(x.sizes, strides=image_strides(x, x.sizes))
        g.tape.kernel(f"{name}_backward", "pointwise", [g, x, gradient], flops=g.elements)
        return [gradient]

    attach([out], [x], [x], backward)
    return out


@rule("torch.constant_pad_nd")
def constant_pad(x: Tensor, pad: Sequence[Size], value: float = 0) -> Tensor:
    """Pad by numbers, from the last axis on; negative widths cut. Each is the other's gradient."""
    return _padded(x, _grown(x, pad), tuple(pad))


def _padded(x: Tensor, sizes: tuple[Size, ...], widths: tuple[Size, ...]) -> Tensor:
    out = moved("constant_pad_nd", [x], sizes)
    if all(x.tape.hint(width) <= 0 for width in widths):  # what is only cut is cloned
        out._strides = None if x._strides is None else layout.like(out.hints, x.strides)
    else:
        out._strides = image_strides(x, out.sizes)
    before = x.sizes
    attach([out], [x], [], lambda _, g: [_padded(g, before, tuple(-width for width in widths))])
    return out


def _circular(x: Tensor, widths: Sequence[Size]) -> Tensor:
    """x with wrapped columns and rows (left, right, top, bottom, …); negative widths cut.

    PyTorch fills an empty tensor by copies: the image, then left, right, top and bottom strips from the image already
    there. Each is an in-place write into a view, which autograd undoes by a copy of the whole gradient (CopySlices).
    """
    full, kept = _grown(x, widths), x.sizes
    strips = []
    for i, width in enumerate(widths):
        axis = x.rank - 1 - i // 2
        if isinstance(width, int) and width < 0:
            kept = (*kept[:axis], kept[axis] + width, *kept[axis + 1 :])
        elif x.tape.holds(width > 0):
            strips.append((*full[:axis], width, *full[axis + 1 :]))
    out = x.new(full)
    if not (x.requires_grad and torch.is_grad_enabled()):
        for shape in (kept, *strips):
            strip = out.view_of(shape, out.strides)
            x.tape.kernel("copy_", "pointwise", [strip, strip, strip], flops=0)
        return out
    part = x
    for axis in range(x.rank - 1, x.rank - 1 - len(widths) // 2, -1):
        part = _window(part, (*part.sizes[:axis], kept[axis], *part.sizes[axis + 1 :]))
    out = copied_into(out, kept, part)
    for shape in strips:
        out = copied_into(out, shape, _window(out, shape))
    return out


def _window(x: Tensor, sizes: tuple[Size, ...]) -> Tensor:
    out = x.view_of(sizes, x.strides)
    before = x.sizes
    attach([out], [x], [], lambda _, g: [moved("slice_backward", [g], before)])
    return out


@rule("torch.pixel_unshuffle", "torch.nn.functional.pixel_unshuffle")
def pixel_unshuffle(input: Tensor, downscale_factor: int) -> Tensor:
    *lead, c, h, w = before = input.sizes
    n = downscale_factor
    for side in (h, w):
        if not divides(n, side):
            raise Mismatch(f"pixel_unshuffle by {n} takes images whose sides are multiples of it, got {h}x{w}")
    out = _shuffled("pixel_unshuffle", input, (*lead, c * n**2, h // n, w // n))
    attach([out], [input], [], lambda _, g: [_shuffled("pixel_shuffle", g, before)])
    return out


def _shuffled(name: str, x: Tensor, sizes: tuple[Size, ...]) -> Tensor:
    out = moved(name, [x], sizes)
    out._strides = image_strides(x, sizes)
    return out


@rule("torch.pixel_shuffle", "torch.nn.functional.pixel_shuffle")
def pixel_shuffle(input: Tensor, upscale_factor: int) -> Tensor:
    *lead, c, h, w = before = input.sizes
    n = upscale_factor
    multiple(c, n**2, "channels of pixel_shuffle")
    out = _shuffled("pixel_shuffle", input, (*lead, c // n**2, h * n, w * n))
    attach([out], [input], [], lambda _, g: [_shuffled("pixel_unshuffle", g, before)])
    return out


@rule("torch.channel_shuffle", "torch.nn.functional.channel_shuffle")
def channel_shuffle(input: Tensor, groups: int) -> Tensor:
    """The channels (g, c/g) in the order of (c/g, g); the gradient goes back likewise."""
    multiple(input.sizes[1], groups, "channels of channel_shuffle")
    out = _shuffled("channel_shuffle", input, input.sizes)
    attach([out], [input], [], lambda _, g: [_shuffled("channel_shuffle", g, g.sizes)])
    return out
