"""Operations with rules of their own: convolutions, matrix products, inverses, Fourier transforms, padding.

One primitive, one function: its MACs and FLOPs, what it allocates, what it saves and what its backward runs. Shapes are
written with the letters of the formulas: b batch, s side, c_in and c_out channels, k kernel size, n frequencies.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from math import prod

from ._kernels import in_place, pointwise
from ._tape import Kind, Shape, Size, Tape
from ._tensor import Tensor


def filled(name: str, tape: Tape, shape: Shape, kind: Kind = "real") -> Tensor:
    """A new tensor of constants: eye, arange, ones, zeros."""
    out = Tensor(tape, shape, kind)
    tape.kernel(name, "pointwise", [out], flops=0)
    return out


# Convolutions.


def conv2d(x: Tensor, weight: Tensor, bias: Tensor | None = None, padding: Size = 0) -> Tensor:
    """x (b, c_in, h, w) with weight (c_out, c_in, k, k): (b, c_out, h', w') in b·c_out·h'·w'·c_in·k² MACs."""
    k = weight.shape[2]
    h, w = (side + 2 * padding - k + 1 for side in x.shape[2:])
    shape = (x.shape[0], weight.shape[0], h, w)
    return _convolution(x, weight, bias, shape, macs=prod(shape) * prod(weight.shape[1:]))


def conv_transpose2d(x: Tensor, weight: Tensor, padding: Size = 0) -> Tensor:
    """x (b, c_out, h, w) with weight (c_out, c_in, k, k): (b, c_in, h', w') in b·c_out·h·w·c_in·k² MACs."""
    k = weight.shape[2]
    h, w = (side + k - 1 - 2 * padding for side in x.shape[2:])
    shape = (x.shape[0], weight.shape[1], h, w)
    return _convolution(x, weight, None, shape, macs=prod(x.shape) * prod(weight.shape[1:]))


def weight_gradient(x: Tensor, g: Tensor, weight: Tensor, macs: Size) -> Tensor:
    """The gradient of a convolution's weight alone, in as many MACs as the forward."""
    out = weight.new(weight.shape)
    variant = "1x1" if g.shape[2:] == (1, 1) else ""
    x.tape.kernel("convolution_backward", "conv", [g, x, weight, out], macs=macs, variant=variant)
    return out


def _convolution(x: Tensor, weight: Tensor, bias: Tensor | None, shape: Shape, macs: Size) -> Tensor:
    """Each of the gradients of input and weight takes as many MACs as the forward; the bias's is a sum."""
    tape = x.tape
    out = Tensor(tape, shape)
    inputs = [x, weight] if bias is None else [x, weight, bias]
    variant = "1x1" if shape[2:] == (1, 1) else ""
    tape.kernel("convolution", "conv", [*inputs, out], macs=macs, variant=variant)
    needs = [tensor.requires_grad for tensor in inputs]

    def backward(saved: Sequence[Tensor], g: Tensor) -> list[Tensor | None]:
        shapes = [saved[0].shape, saved[1].shape, (shape[1],)]
        gradients = [Tensor(tape, s) if need else None for s, need in zip(shapes, needs, strict=False)]
        written = [gradient for gradient in gradients if gradient is not None]
        count = macs * (needs[0] + needs[1])
        tape.kernel("convolution_backward", "conv", [g, *saved, *written], macs=count, variant=variant)
        return gradients

    tape.attach([out], inputs, [x, weight], backward)
    return out


# Matrix products and inverses.


def matmul(a: Tensor, b: Tensor) -> Tensor:
    """(…, n, m) @ (…, m, p), with the same leading axis or none: n·m·p MACs each, four times that if complex."""
    *batch, n, m = a.shape
    p = b.shape[-1]
    tape = a.tape
    out = Tensor(tape, (*batch, n, p), a.kind)
    macs = prod(batch) * n * m * p * (4 if a.kind == "complex" else 1)
    tape.kernel("bmm" if batch else "mm", "matmul", [a, b, out], macs=macs)

    order_a, order_b = (None, None) if batch else (a.order, b.order)

    def backward(saved: Sequence[Tensor | None], g: Tensor) -> list[Tensor | None]:
        a, b = saved
        of_b = None if a is None else _ordered(matmul(adjoint(a), g), order_b)
        return [None if b is None else _ordered(matmul(g, adjoint(b)), order_a), of_b]

    tape.attach([out], [a, b], [a if b.requires_grad else None, b if a.requires_grad else None], backward)
    return out


def _ordered(gradient: Tensor, order: tuple[int, ...] | None) -> Tensor:
    """The gradient of a plain matrix is computed in that matrix's order in memory."""
    gradient.order = order
    return gradient


def linear(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """x (b, n) with weight (m, n): (b, m) in b·m·n MACs; the bias is not counted."""
    if bias is None:
        return matmul(x, weight.t())
    tape, shape = x.tape, (x.shape[0], weight.shape[0])
    out, mat = Tensor(tape, shape), weight.t()
    macs = prod(shape) * x.shape[1]
    tape.kernel("addmm", "matmul", [bias, x, mat, out], macs=macs)
    order = mat.order

    def backward(saved: Sequence[Tensor | None], g: Tensor) -> list[Tensor | None]:
        a, b = saved
        of_x = None if b is None else matmul(g, adjoint(b))
        return [of_x, None if a is None else _ordered(matmul(adjoint(a), g), order), g]

    saved = [x if weight.requires_grad else None, mat if x.requires_grad else None]
    tape.attach([out], [x, mat, bias], saved, backward)
    return out


def adjoint(a: Tensor) -> Tensor:
    """The conjugate transpose of the last two axes."""
    last = len(a.shape) - 1
    return a.transpose(last - 1, last).conj()


def inverse(a: Tensor) -> Tensor:
    """The inverses of (n, m, m) matrices: 2 m³ FLOPs each by LU, four times that if complex.

    Source of the count: LU factorisation 2/3 m³ and triangular solves against the identity 4/3 m³ (Golub & Van Loan,
    Matrix Computations, 4th ed., 3.2 and 3.1).
    """
    tape, (count, m, _) = a.tape, a.shape
    out = Tensor(tape, a.shape, a.kind)
    info = Tensor(tape, (count,), "int32")
    flops = 2 * count * m**3 * (4 if a.kind == "complex" else 1)
    tape.kernel("linalg_inv_ex", "inverse", [a, out, info], flops=flops, steps=m)

    def backward(saved: Sequence[Tensor], g: Tensor) -> list[Tensor]:
        right = matmul(g, adjoint(saved[0]))
        both = matmul(adjoint(saved[0]), right)
        return [-both]

    tape.attach([out], [a], [out], backward)
    return out


# Fourier transforms over the last two axes. FLOPs: 5 N log2 N for N complex points, half that from or to real ones.


def _fft(name: str, x: Tensor, shape: Shape, kind: Kind, points: Size) -> Tensor:
    x = x.resolved()
    out = Tensor(x.tape, shape, kind)
    if x.order and x.order.index(1) < x.order.index(0):  # the transformed axes go inside, the others keep their order
        out.order = (1, 0, 2, 3)
    flops = 5 * prod(shape[:2]) * points * log2(points, exact=x.tape.symbolic)
    x.tape.kernel(name, "fft", [x, out], flops=flops if name == "_fft_c2c" else flops / 2)
    return out


def log2(n: Size, exact: bool) -> Size:
    """The binary logarithm: a float, or an exact expression."""
    if not exact:
        return math.log2(n)
    import sympy  # noqa: PLC0415  (a prediction must not wait for it)

    return sympy.log(n, 2)


def fft2(x: Tensor, side: Size | None = None) -> Tensor:
    """The full spectrum of x (c, d, s, s); a real x is made complex first, a smaller one zero-padded to ``side``."""
    if x.kind == "real":
        x = to_complex(x)
    if side is not None:
        x = pad2d(x, side)
    return _fft_c2c(x)


def ifft2(x: Tensor) -> Tensor:
    """The inverse of :func:`fft2`."""
    return _fft_c2c(x)


def _fft_c2c(x: Tensor) -> Tensor:
    out = _fft("_fft_c2c", x, x.shape, "complex", x.shape[2] * x.shape[3])
    x.tape.attach([out], [x], [], lambda _, g: [_fft_c2c(g)])
    return out


def rfft2(x: Tensor, side: Size | None = None) -> Tensor:
    """The half spectrum (c, d, s, ⌊s/2⌋+1) of a real x (c, d, s, s), zero-padded to ``side``; saves x, for its size."""
    if side is not None:
        x = pad2d(x, side)
    tape, shape = x.tape, x.shape
    *lead, s = shape
    out = _fft("_fft_r2c", x, (*lead, s // 2 + 1), "complex", shape[2] * s)

    def backward(_: object, g: Tensor) -> list[Tensor]:
        if not tape.holds(s > 2):  # the half spectrum is the whole
            return [_fft_c2c(g.reshape(*shape)).real()]
        g = g.resolved()
        full = filled("new_zeros", tape, shape, "complex")
        full.slice(3, s // 2 + 1).copy_(g)
        return [_fft_c2c(full).real()]

    tape.attach([out], [x], [x], backward)
    return out


def irfft2(x: Tensor, side: Size) -> Tensor:
    """The real (c, d, s, s) image of a half spectrum (c, d, s, ⌊s/2⌋+1)."""
    tape, half = x.tape, x.shape
    out = _fft("_fft_c2r", x, (*half[:3], side), "real", half[2] * side)

    def backward(_: object, g: Tensor) -> list[Tensor]:
        out = _fft("_fft_r2c", g, half, "complex", half[2] * side)
        if tape.holds(side > 2):
            in_place("mul_", out.slice(3, side - (side // 2 + 1)))
        return [out]

    tape.attach([out], [x], [], backward)
    return out


def to_complex(x: Tensor) -> Tensor:
    """A complex copy of a real tensor."""
    out = Tensor(x.tape, x.shape, "complex")
    x.tape.kernel("_to_copy", "pointwise", [x, out], flops=0)
    x.tape.attach([out], [x], [], lambda _, g: [g])
    return out


# Padding and joining.


def pad2d(x: Tensor, side: Size) -> Tensor:
    """Zero-pad the last two axes to ``side``; only renamed where they have that size already."""
    shape = (*x.shape[:2], side, side)
    return _constant_pad(x, shape) if x.tape.holds(x.shape[3] < side) else x.reshape(*shape)


def pad_channels(x: Tensor, channels: Size) -> Tensor:
    """Zero-pad the second axis to ``channels``."""
    return _constant_pad(x, (x.shape[0], channels, *x.shape[2:]))


def _constant_pad(x: Tensor, shape: Shape) -> Tensor:
    """Pad with zeros, or cut where ``shape`` is smaller; each is the other's gradient."""
    out = Tensor(x.tape, shape, x.kind)
    x.tape.kernel("constant_pad_nd", "pointwise", [x, out], flops=0)
    before = x.shape
    x.tape.attach([out], [x], [], lambda _, g: [_constant_pad(g, before)])
    return out


def circular_pad(x: Tensor, p: Size) -> Tensor:
    """x (b, c, s, s) with p wrapped rows and columns on each side.

    PyTorch fills an empty tensor by five copies: the image, then left, right, top and bottom strips from the image
    already there. Each is an in-place write into a view, which autograd undoes by a copy of the whole gradient
    (CopySlices).
    """
    b, c, s, _ = x.shape
    full = s + 2 * p
    out = _copy_slice(Tensor(x.tape, (b, c, full, full)), x.window(x.shape).window(x.shape))
    for shape in [(b, c, full, p)] * 2 + [(b, c, p, full)] * 2:
        out = _copy_slice(out, out.window(shape))
    return out


def _copy_slice(base: Tensor, source: Tensor) -> Tensor:
    """Write ``source`` into a view of ``base``; the result stands for the changed base."""
    tape, shape = base.tape, source.shape
    base_needs = base.requires_grad
    target = base.detach().window(shape)
    target.copy_(source)
    out = base.detach()

    def backward(_: object, g: Tensor) -> list[Tensor | None]:
        result = Tensor(tape, g.shape)
        result.copy_(g)
        rest = result.window(shape)
        of_source = pointwise("clone", rest, flops_per_element=0)
        if not base_needs:
            return [None, of_source]
        rest.copy_(filled("zeros_like", tape, shape))
        return [result, of_source]

    tape.attach([out], [base, source], [], backward)
    return out


def cat(a: Tensor, b: Tensor, axis: int) -> Tensor:
    """Join two tensors along an axis."""
    p, q = a.shape[axis], b.shape[axis]
    out = Tensor(a.tape, (*a.shape[:axis], p + q, *a.shape[axis + 1 :]), a.kind)
    a.tape.kernel("cat", "pointwise", [a, b, out], flops=0)
    a.tape.attach([out], [a, b], [], lambda _, g: [g.slice(axis, p), g.slice(axis, q)])
    return out


# What stands between the layers of a network, and behind the last.


def extremum(name: str, x: Tensor, axis: int) -> Tensor:
    """``max`` or ``min`` over an axis, which is kept; saves where each was found, in 8 bytes."""
    tape, before = x.tape, x.shape
    shape = (*before[:axis], 1, *before[axis + 1 :])
    out, indices = Tensor(tape, shape), Tensor(tape, shape, "int64")
    tape.kernel(name, "pointwise", [x, out, indices], flops=x.numel)

    def backward(saved: Sequence[Tensor], g: Tensor) -> list[Tensor]:
        zeros = filled("zeros", tape, before)
        full = zeros if tape.in_place else Tensor(tape, before)
        tape.kernel("scatter", "pointwise", [zeros, saved[0], g, full], flops=0)
        return [full]

    tape.attach([out], [x], [indices], backward)
    return out


def adaptive_max_pool2d(x: Tensor) -> Tensor:
    """The maximum (b, c, 1, 1) of each image; saves x and where it was found."""
    tape = x.tape
    out, indices = Tensor(tape, (*x.shape[:2], 1, 1)), Tensor(tape, (*x.shape[:2], 1, 1), "int64")
    tape.kernel("adaptive_max_pool2d", "pointwise", [x, out, indices], flops=x.numel)
    name = "adaptive_max_pool2d_backward"
    tape.attach([out], [x], [x, indices], lambda saved, g: [_moved(name, [g, *saved], saved[0].shape)])
    return out


def pixel_unshuffle(x: Tensor, factor: int) -> Tensor:
    """(b, c, s, s) to (b, c·factor², s/factor, s/factor), a copy."""
    b, c, s, _ = before = x.shape
    out = _moved("pixel_unshuffle", [x], (b, c * factor**2, s // factor, s // factor))
    x.tape.attach([out], [x], [], lambda _, g: [_moved("pixel_shuffle", [g], before)])
    return out


def _moved(name: str, tensors: Sequence[Tensor], shape: Shape) -> Tensor:
    """A kernel that computes nothing."""
    out = Tensor(tensors[0].tape, shape)
    out.tape.kernel(name, "pointwise", [*tensors, out], flops=0)
    return out


def scatter_add(x: Tensor, indices: Tensor, source: Tensor) -> Tensor:
    """x with a ``source`` that needs no gradient added at ``indices``."""
    out = Tensor(x.tape, x.shape)
    x.tape.kernel("scatter_add", "pointwise", [x, indices, source, out], flops=out.numel)
    x.tape.attach([out], [x], [], lambda _, g: [g])
    return out


def cross_entropy(x: Tensor, labels: Tensor) -> Tensor:
    """The mean negative log-likelihood () of the labels (b,) under softmax of x (b, classes)."""
    tape = x.tape
    logarithms = pointwise("_log_softmax", x)
    tape.attach(
        [logarithms], [x], [logarithms], lambda saved, g: [pointwise("_log_softmax_backward_data", g, saved[0])]
    )
    out, weight = Tensor(tape, ()), Tensor(tape, ())
    tape.kernel("nll_loss_forward", "pointwise", [logarithms, labels, out, weight], flops=1)

    def backward(saved: Sequence[Tensor], g: Tensor) -> list[Tensor]:
        gradient = Tensor(tape, saved[0].shape)
        tape.kernel("nll_loss_backward", "pointwise", [g, *saved, gradient], flops=gradient.numel)
        return [gradient]

    tape.attach([out], [logarithms], [logarithms, labels, weight], backward)
    return out
