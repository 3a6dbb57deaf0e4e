"""The steps of random programs: expressions of torch over the tensors that there are, family by family.

A step that starts with an exclamation mark is a statement. What torch refuses is drawn again, so a step need not fit.
"""

from __future__ import annotations

from collections.abc import Callable

from program_draw import Draw, Operand

Step = Callable[[Draw], str]
Of = Callable[[Draw, Operand], str]

SMOOTH = [
    "sin",
    "cos",
    "tan",
    "exp",
    "log",
    "sqrt",
    "rsqrt",
    "tanh",
    "sigmoid",
    "reciprocal",
    "square",
    "neg",
    "abs",
    "exp2",
    "expm1",
    "log1p",
    "log2",
    "log10",
    "sinh",
    "cosh",
    "asin",
    "acos",
    "atan",
    "asinh",
    "acosh",
    "atanh",
    "erf",
    "erfc",
    "sinc",
    "frac",
    "deg2rad",
    "relu",
    "nan_to_num",
    "logit",
    "positive",
]
ROUNDED = ["floor", "ceil", "round", "trunc", "sign"]
ACTIVATIONS = [
    "relu",
    "relu6",
    "silu",
    "elu",
    "leaky_relu",
    "hardtanh",
    "selu",
    "celu",
    "mish",
    "gelu",
    "softplus",
    "hardswish",
    "hardsigmoid",
    "softshrink",
    "hardshrink",
    "logsigmoid",
    "softsign",
    "tanhshrink",
    "glu",
]
BINARY = [
    "add",
    "sub",
    "mul",
    "div",
    "pow",
    "maximum",
    "minimum",
    "atan2",
    "fmod",
    "remainder",
    "hypot",
    "fmax",
    "fmin",
    "copysign",
    "logaddexp",
    "xlogy",
]
IN_PLACE = [
    "relu_",
    "exp_",
    "sin_",
    "tanh_",
    "sigmoid_",
    "neg_",
    "sqrt_",
    "abs_",
    "reciprocal_",
    "square_",
    "zero_",
    "round_",
    "cos_",
    "log1p_",
    "erf_",
]
OPERATORS = ("+", "-", "*", "/", "**")
REDUCTIONS = [
    "sum",
    "mean",
    "amax",
    "amin",
    "logsumexp",
    "var",
    "std",
    "norm",
    "argmax",
    "nansum",
    "count_nonzero",
    "nanmean",
]
COMPLEX = [
    "exp",
    "sin",
    "conj",
    "abs",
    "real",
    "imag",
    "angle",
    "square",
    "reciprocal",
    "neg",
    "sqrt",
    "sgn",
    "resolve_conj",
]
LOSSES = [
    "mse_loss",
    "l1_loss",
    "smooth_l1_loss",
    "huber_loss",
    "kl_div",
    "binary_cross_entropy_with_logits",
    "soft_margin_loss",
]
INFINITY, FROBENIUS = "float('inf')", "'fro'"


def of_any(*steps: Of) -> tuple[Step, ...]:
    """Steps of a floating tensor."""
    return tuple([lambda d, step=step: step(d, d.tensor()) for step in steps])


def of_rank(low: int, *steps: Of) -> tuple[Step, ...]:
    """Steps of a floating tensor with at least some number of axes."""
    return tuple([lambda d, step=step: step(d, d.tensor(lambda t: t.ndim >= low)) for step in steps])


def of_result(*steps: Of) -> tuple[Step, ...]:
    """Steps that change a tensor, or a view of one."""
    return tuple([lambda d, step=step: step(d, _changeable(d)) for step in steps])


def of_images(*steps: Of) -> tuple[Step, ...]:
    """Steps of images."""
    return tuple([lambda d, step=step: step(d, d.images()) for step in steps])


def of_signals(*steps: Of) -> tuple[Step, ...]:
    """Steps of signals, or stacks of matrices."""
    return tuple([lambda d, step=step: step(d, d.stack()) for step in steps])


def of_rows(*steps: Of) -> tuple[Step, ...]:
    """Steps of matrices."""
    return tuple([lambda d, step=step: step(d, d.rows()) for step in steps])


def of_squares(*steps: Of) -> tuple[Step, ...]:
    """Steps of symmetric positive-definite matrices, alone or in a stack."""
    return tuple([lambda d, step=step: step(d, _definite(d)) for step in steps])


def of_complex(*steps: Of) -> tuple[Step, ...]:
    """Steps of complex tensors."""
    return tuple([lambda d, step=step: step(d, _complex(d)) for step in steps])


def _changeable(d: Draw) -> Operand:
    a = d.result_name()
    d.written = a.value
    if d.chance(0.6):
        return a
    return d.operand(a + d.one("[..., 1:]", ".mT", "[0]", ".flatten()", "[:, ::2]", ".unsqueeze(0)", ".detach()"))


def _definite(d: Draw) -> Operand:
    a = d.tensor(lambda t: t.ndim >= 2 and t.element_size() >= 4)
    return d.operand(f"({a} @ {a}.mT + torch.eye({a.shape[-2]}, dtype={a.value.dtype}))")


def _complex(d: Draw) -> Operand:
    if any(t.is_complex() for t in d.tensors.values()) and d.chance(0.6):
        return d.tensor(lambda t: t.is_complex(), floating=False, nested=False)
    a = d.tensor(lambda t: t.element_size() >= 4)
    other = d.one(f"torch.complex({a}, {d.like(a)})", f"torch.fft.fft({a})", f"{a} * 1j", f"torch.fft.rfft({a})")
    return d.operand(f"({other})")


def _cut(d: Draw, size: int) -> str:
    return d.one("1:", ":-1", "::2", "1::2", str(d.int(0, size - 1)), ":", "None", f"-{d.int(1, size)}:")


def _permuted(d: Draw, a: Operand) -> str:
    return f"{a}.permute{tuple(d.random.sample(range(a.rank), a.rank))}"


def _reshaped(d: Draw, a: Operand) -> str:
    method, sizes = d.one("reshape", "view", "reshape"), list(a.shape)
    i = d.int(0, len(sizes) - 1)
    factor = d.one(*[n for n in range(1, sizes[i] + 1) if sizes[i] % n == 0])
    sizes[i : i + 1] = [factor, sizes[i] // factor]
    j = d.int(0, len(sizes) - 2)
    if d.chance(0.6):
        sizes[j : j + 2] = [sizes[j] * sizes[j + 1]]
    return f"{a}.{method}{tuple(sizes)}"


VIEWS = of_rank(
    1,
    lambda d, a: f"{a}.transpose({d.axis(a)}, {d.axis(a)})",
    _permuted,
    _reshaped,
    _reshaped,
    lambda d, a: f"{a}.flatten({d.int(0, a.rank - 1)})",
    lambda d, a: f"{a}[{', '.join(_cut(d, size) for size in a.shape[: d.int(1, a.rank)])}]",
    lambda d, a: f"{a}[..., {_cut(d, a.shape[-1])}]",
    lambda d, a: f"{a}.select({(i := d.axis(a))}, {d.int(0, a.shape[i] - 1)})",
    lambda d, a: f"{a}.unsqueeze({d.axis(a)})",
    lambda d, a: f"{a}.squeeze()",
    lambda d, a: f"{a}.expand({d.int(2, 3)}, {', '.join('-1' for _ in a.shape)})",
    lambda d, a: f"{a}[..., :1].expand{a.shape}",
    lambda d, a: f"{a}.narrow({(i := d.axis(a))}, {(s := d.int(0, a.shape[i] - 1))}, {d.int(1, a.shape[i] - s)})",
    lambda d, a: f"{a}.chunk({d.int(2, 3)}, {d.axis(a)})",
    lambda d, a: f"{a}.split({d.int(1, 3)}, {d.axis(a)})",
    lambda d, a: f"{a}.unbind({d.axis(a)})",
    lambda d, a: f"{a}.diagonal({d.int(-1, 1)}, {d.axis(a)}, {d.axis(a)})",
    lambda d, a: f"{a}.mT",
    lambda d, a: f"{a}.movedim({d.axis(a)}, {d.axis(a)})",
    lambda d, a: f"{a}.unfold({(i := d.axis(a))}, {d.int(1, a.shape[i])}, {d.int(1, 2)})",
    lambda d, a: f"{a}.detach()",
    lambda d, a: f"{a}.view_as({d.like(a)})",
    lambda d, a: f"{a}.unflatten({(i := d.axis(a))}, ({a.shape[i]}, 1))",
)
ARRANGEMENTS = of_rank(
    1,
    lambda d, a: f"{a}.repeat({d.int(1, 2)}, {', '.join(str(d.int(1, 2)) for _ in a.shape)})",
    lambda d, a: f"{a}.flip({d.axes(a)})",
    lambda d, a: f"{a}.roll({d.int(1, 2)}, {d.axis(a)})",
    lambda d, a: f"torch.repeat_interleave({a}, 2, {d.axis(a)})",
    lambda d, a: f"{a}.tile(2)",
    lambda d, a: f"torch.rot90({a}, 1, (0, -1))",
    lambda d, a: f"{a}.{d.one('tril', 'triu')}({d.int(-1, 1)})",
    lambda d, a: f"torch.diag_embed({a})",
    lambda d, a: f"F.pad({a}, ({d.int(0, 2)}, {d.int(-1, 2)}))",
    lambda d, a: f"F.pad({a}, ({d.int(0, 1)}, {d.int(0, 2)}, {d.int(-1, 1)}, 1), value=0.5)",
    lambda d, a: f"F.pad({a}, (1, {d.int(0, 2)}), mode={d.one('reflect', 'replicate', 'circular')!r})",
    lambda d, a: f"torch.cat(({a}, {d.like(a)}), {d.axis(a)})",
    lambda d, a: f"torch.cat(({a}, {a}, {d.tensor()}), {d.axis(a)})",
    lambda d, a: f"torch.stack(({a}, {d.like(a)}, {a}), {d.axis(a)})",
    lambda d, a: f"torch.{d.one('hstack', 'vstack', 'dstack', 'column_stack')}(({a}, {d.like(a)}))",
    lambda d, a: f"torch.broadcast_tensors({a}, {d.beside(a)})",
    lambda d, a: f"torch.block_diag({a}, {d.tensor(lambda t: t.ndim <= 2)})",
)
POINTWISE = of_any(
    lambda d, a: f"{a}.{d.one(*SMOOTH)}()",
    lambda d, a: f"torch.{d.one(*SMOOTH)}({a})",
    lambda d, a: f"{a}.{d.one(*ROUNDED)}()",
    lambda d, a: f"F.{d.one(*ACTIVATIONS)}({a})",
    lambda d, a: f"F.{d.one(*ACTIVATIONS)}({a})",
    lambda d, a: f"F.prelu({a}, {d.parameter(1)})",
    lambda d, a: f"F.threshold({a}, 0.3, {d.number()})",
    lambda d, a: f"{a}.clamp({d.one('0.2', 'None')}, {d.one('0.8', '1.2')})",
    lambda d, a: f"{a}.clamp_min({d.number()})",
    lambda d, a: f"{a} ** {d.one(2, 3, 0.5, -1, 1, 0, -2)}",
    lambda d, a: f"{d.number()} {d.one(*OPERATORS)} {a}",
    lambda d, a: f"F.{d.one('gelu')}({a}, approximate='tanh')",
)
BINARIES = of_any(
    *[lambda d, a: f"{a} {d.one(*OPERATORS)} {d.beside(a)}"] * 4,
    *[lambda d, a: f"torch.{d.one(*BINARY)}({a}, {d.tensor()})"] * 2,
    *[lambda d, a: f"torch.{d.one(*BINARY)}({a}, {d.like(a)})"] * 2,
    lambda d, a: f"{a}.{d.one(*BINARY)}({d.beside(a)})",
    lambda d, a: f"{a} * {a}",
    lambda d, a: f"torch.add({a}, {d.like(a)}, alpha={d.number()})",
    lambda d, a: f"torch.addcmul({a}, {d.like(a)}, {d.like(a)}, value={d.number()})",
    lambda d, a: f"torch.addcdiv({a}, {d.like(a)}, {d.like(a)})",
    lambda d, a: f"torch.lerp({a}, {d.like(a)}, {d.one(d.number(), d.like(a))})",
    lambda d, a: f"torch.where({d.mask(*a.shape)}, {a}, {d.beside(a)})",
    lambda d, a: f"{a}.masked_fill({d.mask(*a.shape)}, {d.number()})",
    lambda d, a: f"{a} * ({a} > {d.beside(a)})",
    lambda d, a: f"Scaled.apply({a}, {d.like(a)})",
    lambda d, a: f"({a} {d.one('<', '>=', '==')} {d.beside(a)}).to({a.value.dtype})",
)
CHANGES = of_result(
    *[lambda d, a: f"!{a}.{d.one(*IN_PLACE)}()"] * 2,
    *[lambda d, a: f"!{a}.{d.one('add_', 'mul_', 'sub_', 'div_')}({d.beside(a)})"] * 3,
    *[lambda d, a: f"!{a} {d.one('+', '*', '-', '/')}= {d.beside(a)}"] * 2,
    lambda d, a: f"!{a}.copy_({d.like(a)})",
    lambda d, a: f"!{a}.fill_({d.number()})",
    lambda d, a: f"!{a}.clamp_(0.1, 2.0)",
    lambda d, a: f"!{a}.pow_({d.one(2, 3)})",
    lambda d, a: f"!{a}.masked_fill_({d.mask(*a.shape)}, {d.number()})",
    lambda d, a: f"!{a}.addcmul_({d.like(a)}, {d.like(a)})",
    lambda d, a: f"!{a}.lerp_({d.like(a)}, 0.3)",
    lambda d, a: f"!{a}[{_cut(d, (a.shape or (1,))[0])}] = {d.beside(a)}",
    lambda d, a: f"!{a}[..., {_cut(d, (a.shape or (1,))[-1])}] {d.one('+', '*')}= {d.beside(a)}",
    lambda d, a: f"!{a}.index_add_(0, {d.indices(a.shape[0], a.shape[0])}, {d.like(a)})",
    lambda d, a: f"!{a}.scatter_add_(0, {d.indices(a.shape[0], *a.shape)}, {d.like(a)})",
    lambda d, a: f"!{a}.index_fill_(0, {d.indices(a.shape[0], 2)}, {d.number()})",
    lambda d, a: f"!F.relu({a}, inplace=True)",
    lambda d, a: f"!F.dropout({a}, 0.3, self.training, inplace=True)",
)
PRODUCTS = of_rank(
    1,
    lambda d, a: f"F.linear({a}, {d.parameter(d.int(2, 6), a.shape[-1])})",
    lambda d, a: f"F.linear({a}, {d.parameter((n := d.int(2, 6)), a.shape[-1])}, {d.parameter(n)})",
    lambda d, a: f"{a} @ {d.parameter(a.shape[-1], d.int(1, 5))}",
    lambda d, a: f"{a} @ {d.parameter(d.int(1, 5), a.shape[-1])}.mT",
    lambda d, a: f"{a} @ {d.parameter(a.shape[-1])}",
    lambda d, a: f"{a} @ {d.like(a)}.mT",
    lambda d, a: f"{a}.mT @ {a}",
    lambda d, a: f"torch.matmul({a}, {d.tensor()})",
    lambda d, a: f"torch.matmul({a}, {d.tensor(lambda t: t.ndim > 0)}.mT)",
    lambda d, a: f"torch.inner({a}.contiguous(), {d.tensor(lambda t: t.shape[-1:] == a.shape[-1:])}.contiguous())",
    lambda d, a: f"torch.einsum('...i,ji->...j', {a}, {d.parameter(d.int(2, 4), a.shape[-1])})",
    lambda d, a: f"torch.einsum('...ij,...kj->...ik', {a}, {d.like(a)})",
    lambda d, a: f"torch.tensordot({a}.contiguous(), {d.like(a)}, 1)",
    lambda d, a: f"torch.bilinear({a}, {d.like(a)}, {d.parameter(3, a.shape[-1], a.shape[-1])}, None)",
)
PRODUCTS += of_signals(
    lambda d, a: f"torch.bmm({a}, {d.like(a)}.mT)",
    lambda d, a: f"torch.bmm({a}, {d.parameter(1, a.shape[2], 3)}.expand({a.shape[0]}, -1, -1))",
    lambda d, a: f"torch.baddbmm({d.parameter(a.shape[1])}, {a}, {d.like(a)}.transpose(1, 2))",
    lambda d, a: f"torch.addbmm({d.parameter(a.shape[1], a.shape[1])}, {a}, {d.like(a)}.mT)",
    lambda d, a: f"F.scaled_dot_product_attention({a}, {d.like(a)}, {a}, is_causal={d.one(True, False)})",
)
PRODUCTS += of_rows(
    lambda d, a: f"torch.mm({a}.T, {d.like(a)})",
    lambda d, a: f"torch.addmm({d.parameter(d.one(1, n := d.int(2, 5)))}, {a}, {d.parameter(a.shape[1], n)}, beta=0.5)",
    lambda d, a: f"torch.addmv({d.parameter(a.shape[0])}, {a}, {d.parameter(a.shape[1])})",
    lambda d, a: f"torch.mv({a}, {d.parameter(a.shape[1])})",
    lambda d, a: f"torch.outer({a}[0], {a}[:, 0])",
    lambda d, a: f"torch.linalg.multi_dot(({a}, {a}.T, {d.like(a)}))",
    lambda d, a: f"torch.kron({a}[:2], {d.parameter(2, 2)})",
    lambda d, a: f"torch.einsum('ij,ik->jk', {a}, {d.like(a)})",
)
CONVOLUTIONS = of_images(
    lambda d, a: f"F.conv2d({a}, {d.parameter(d.int(1, 5), a.shape[1], k := d.int(1, 3), k)}, padding={d.int(0, 2)})",
    lambda d, a: (
        f"F.conv2d({a}, {d.parameter(n := d.int(1, 4), a.shape[1], 3, 2)}, {d.parameter(n)}, {d.int(1, 2)}, 1)"
    ),
    lambda d, a: f"F.conv2d({a}, {d.parameter(a.shape[1] * d.int(1, 2), 1, 3, 3)}, None, 1, 1, 1, {a.shape[1]})",
    lambda d, a: f"F.conv2d({a}, {d.parameter(3, a.shape[1], 2, 2)}, padding={d.one('same', 'valid')!r})",
    lambda d, a: f"F.conv2d({a}, {d.parameter(2, a.shape[1], 3, 3)}, padding=2, dilation=2)",
    lambda d, a: f"F.conv_transpose2d({a}, {d.parameter(a.shape[1], 3, 3, 3)}, None, {d.int(1, 2)}, {d.int(0, 1)})",
    lambda d, a: f"F.unfold({a}, {d.int(1, 3)}, stride={d.int(1, 2)})",
    lambda d, a: f"F.max_pool2d({a}, {d.int(1, 3)}, {d.int(1, 2)}, {d.int(0, 1)})",
    lambda d, a: f"F.avg_pool2d({a}, {d.int(1, 3)}, {d.int(1, 2)}, {d.int(0, 1)})",
    lambda d, a: f"F.adaptive_avg_pool2d({a}, {d.int(1, 4)})",
    lambda d, a: f"F.adaptive_max_pool2d({a}, {d.int(1, 4)})",
    lambda d, a: f"F.lp_pool2d({a}, 2, 2)",
    lambda d, a: f"F.interpolate({a}, scale_factor=2, mode={d.one('nearest', 'bilinear', 'bicubic', 'area')!r})",
    lambda d, a: f"F.pixel_unshuffle({a}, 2)",
    lambda d, a: f"F.pixel_shuffle({a}, 2)",
    lambda d, a: f"F.pad({a}, (1, 1, 0, {d.int(0, 2)}), mode={d.one('reflect', 'replicate', 'circular')!r})",
    lambda d, a: f"{a}.contiguous(memory_format=torch.channels_last)",
    lambda d, a: f"{a}.to(memory_format=torch.channels_last)",
    lambda d, a: f"{a}.mean((2, 3), keepdim={d.one(True, False)})",
)
CONVOLUTIONS += of_signals(
    lambda d, a: f"F.conv1d({a}, {d.parameter(d.int(1, 5), a.shape[1], d.int(1, 3))}, padding={d.int(0, 2)})",
    lambda d, a: f"F.conv1d({a}, {d.parameter(n := d.int(1, 4), a.shape[1], 3)}, {d.parameter(n)}, {d.int(1, 2)}, 1)",
    lambda d, a: f"F.conv1d({a}, {d.parameter(a.shape[1], 1, 3)}, None, 1, 1, 1, {a.shape[1]})",
    lambda d, a: f"F.conv_transpose1d({a}, {d.parameter(a.shape[1], 2, 3)}, None, {d.int(1, 2)})",
    lambda d, a: f"F.{d.one('max', 'avg')}_pool1d({a}, {d.int(1, 3)}, {d.int(1, 2)})",
    lambda d, a: f"F.adaptive_{d.one('max', 'avg')}_pool1d({a}, {d.int(1, 3)})",
    lambda d, a: f"F.interpolate({a}, size={d.int(2, 7)}, mode={d.one('nearest', 'linear')!r})",
)
NORMALISATIONS = of_rank(
    2,
    lambda d, a: f"F.layer_norm({a}, {a.shape[-1:]}, {d.parameter(a.shape[-1])}, {d.parameter(a.shape[-1])})",
    lambda d, a: f"F.layer_norm({a}, {a.shape[-d.int(1, 2) :]})",
    lambda d, a: f"F.rms_norm({a}, {a.shape[-1:]}, {d.parameter(a.shape[-1])})",
    lambda d, a: f"F.batch_norm({a}, None, None, {d.parameter(a.shape[1])}, {d.parameter(a.shape[1])}, True)",
    lambda d, a: (
        f"F.batch_norm({a}, {d.constant(f'torch.zeros({a.shape[1]})')}, "
        f"{d.constant(f'torch.ones({a.shape[1]})')}, {d.one('None', d.parameter(a.shape[1]))}, None, self.training)"
    ),
    lambda d, a: f"F.group_norm({a}, {d.int(1, 2)}, {d.one('None', d.parameter(a.shape[1]))})",
    lambda d, a: f"F.instance_norm({a})",
    lambda d, a: f"F.local_response_norm({a}, {d.int(1, 3)})",
    lambda d, a: f"F.normalize({a}, dim={d.axis(a)})",
    lambda d, a: f"F.{d.one('softmax', 'log_softmax', 'softmin')}({a}, {d.axis(a)})",
    lambda d, a: f"F.dropout({a}, {d.one(0.3, 0.5)}, self.training)",
    lambda d, a: f"F.{d.one('alpha_dropout', 'dropout1d', 'dropout2d')}({a}, 0.2, self.training)",
)
LOSS = of_any(
    lambda d, a: f"F.{d.one(*LOSSES)}({a}, {d.parameter(*a.shape)}.detach(), reduction={_reduction(d)})",
    lambda d, a: f"F.mse_loss({a}, {d.like(a)}, reduction={_reduction(d)})",
    lambda d, a: f"F.smooth_l1_loss({a}, {d.like(a)})",
    lambda d, a: f"F.binary_cross_entropy({a}.sigmoid(), {d.parameter(*a.shape)}.detach().sigmoid())",
    lambda d, a: f"F.cosine_similarity({a}, {d.like(a)}, {d.axis(a)})",
    lambda d, a: f"F.pairwise_distance({a}, {d.like(a)})",
)
LOSS += of_rows(
    lambda d, a: f"F.cross_entropy({a}, {d.indices(a.shape[1], a.shape[0])}, reduction={_reduction(d)})",
    lambda d, a: f"F.cross_entropy({a}, {d.indices(a.shape[1], a.shape[0])}, label_smoothing=0.1)",
    lambda d, a: f"F.nll_loss(F.log_softmax({a}, 1), {d.indices(a.shape[1], a.shape[0])}, reduction={_reduction(d)})",
    lambda d, a: f"F.multi_margin_loss({a}, {d.indices(a.shape[1], a.shape[0])})",
)


def _reduction(d: Draw) -> str:
    return repr(d.one("mean", "sum", "none"))


OVER = of_rank(
    1,
    *[lambda d, a: f"{a}.{d.one(*REDUCTIONS)}({d.axis(a)})"] * 2,
    *[lambda d, a: f"{a}.{d.one('sum', 'mean', 'var', 'amax', 'logsumexp')}({d.axes(a)}, keepdim={d.one(True, False)})"]
    * 2,
    lambda d, a: f"{a}.{d.one('sum', 'mean', 'max', 'min', 'std', 'var', 'norm', 'median')}()",
    lambda d, a: f"{a}.{d.one('max', 'min', 'median', 'mode', 'cummax', 'cummin', 'sort')}({d.axis(a)})",
    lambda d, a: f"torch.{d.one('var_mean', 'std_mean', 'aminmax')}({a}, dim={d.axis(a)})",
    lambda d, a: f"torch.linalg.vector_norm({a}, {d.one(1, 2, 3, INFINITY, 0)}, {d.axis(a)})",
    lambda d, a: f"torch.linalg.matrix_norm({a}, {d.one(FROBENIUS, 1, INFINITY)})",
    lambda d, a: f"{a}.norm(p={d.one(1, 2, 3)}, dim={d.axis(a)}, keepdim=True)",
    lambda d, a: f"torch.{d.one('cumsum', 'logcumsumexp')}({a}, {d.axis(a)})",
    lambda d, a: f"torch.diff({a}, dim={d.axis(a)})",
    lambda d, a: f"torch.trapezoid({a}, dim={d.axis(a)})",
    lambda d, a: f"{a}.topk({d.int(1, 2)}, {d.axis(a)})",
    lambda d, a: f"{a}.kthvalue(1, {d.axis(a)})",
    lambda d, a: f"torch.dist({a}, {d.like(a)})",
    lambda d, a: f"{a}.sum({d.axis(a)}, dtype=torch.float64)",
)
INDEXING = of_rank(
    1,
    lambda d, a: f"{a}[{d.indices(a.shape[0], d.int(1, 4))}]",
    lambda d, a: f"{a}[..., {d.indices(a.shape[-1], 2, 2)}]",
    lambda d, a: f"{a}[:, {d.indices(a.shape[1], 3)}]",
    lambda d, a: f"{a}[{d.indices(a.shape[0], 3)}, {d.indices(a.shape[1], 3)}]",
    lambda d, a: f"{a}.index_select({(i := d.int(0, a.rank - 1))}, {d.indices(a.shape[i], d.int(1, 4))})",
    lambda d, a: f"{a}.gather({(i := d.int(0, a.rank - 1))}, {d.indices(a.shape[i], *a.shape)})",
    lambda d, a: f"torch.take_along_dim({a}, {a}.argsort({(i := d.axis(a))}), {i})",
    lambda d, a: f"{a}.take({d.indices(a.value.numel(), 3)})",
    lambda d, a: f"{a}.scatter(0, {d.indices(a.shape[0], *a.shape)}, {d.one(d.number(), d.like(a))})",
    lambda d, a: f"{a}.scatter_add(-1, {d.indices(a.shape[-1], *a.shape)}, {d.like(a)})",
    lambda d, a: f"{a}.index_add(0, {d.indices(a.shape[0], a.shape[0])}, {d.like(a)})",
    lambda d, a: f"{a}.index_copy(0, {d.indices(1, 1)}, {d.like(a)}[:1])",
    lambda d, a: f"{a}.index_put(({d.indices(a.shape[0], 2)},), {d.like(a)}[:1], accumulate={d.one(True, False)})",
    lambda d, a: f"{a}.scatter_reduce(0, {d.indices(a.shape[0], *a.shape)}, {d.like(a)}, {d.one('sum', 'amax')!r})",
)
INDEXING += (
    lambda d: f"F.embedding({d.indices(5, *d.one((3,), (2, 4)))}, {d.parameter(5, d.int(2, 6))})",
    lambda d: f"{d.parameter(5, 4)} * F.one_hot({d.indices(4, 5)}, 4)",
)
COPIES = of_any(
    lambda d, a: f"{a}.to({d.one('torch.float64', 'torch.bfloat16', 'torch.float32')})",
    lambda d, a: f"{a}.{d.one('double', 'float', 'bfloat16', 'half')}()",
    lambda d, a: f"{a}.type_as({d.tensor()})",
    lambda d, a: f"{a}.clone()",
    lambda d, a: f"{a}.contiguous()",
    lambda d, a: f"{a}.detach().clone()",
    lambda d, a: f"torch.{d.one('zeros', 'ones', 'rand', 'randn', 'empty')}_like({a})",
    lambda d, a: f"{a}.new_{d.one('zeros', 'ones')}{a.shape}",
    lambda d, a: f"{a} + torch.arange({(a.shape or (1,))[-1]})",
    lambda d, a: f"{a} * torch.linspace(0, 1, {(a.shape or (1,))[-1]}, dtype={a.value.dtype})",
    lambda d, a: f"{a} + torch.randn({a.shape}, dtype={a.value.dtype})",
)
FACTORISATIONS = of_squares(
    lambda d, a: f"torch.linalg.cholesky({a})",
    lambda d, a: f"torch.linalg.inv({a})",
    lambda d, a: f"torch.linalg.solve({a}, {_right(d, a)})",
    lambda d, a: f"torch.linalg.solve_triangular({a}.tril(), {_right(d, a)}, upper=False)",
    lambda d, a: f"torch.cholesky_solve({_right(d, a)}, torch.linalg.cholesky({a}))",
    lambda d, a: f"torch.linalg.eigh({a})",
    lambda d, a: f"torch.linalg.eigvalsh({a})",
    lambda d, a: f"torch.linalg.{d.one('det', 'slogdet')}({a})",
    lambda d, a: f"torch.logdet({a})",
    lambda d, a: f"torch.linalg.matrix_power({a}, {d.one(2, 3, -1)})",
    lambda d, a: f"torch.linalg.matrix_exp({a} / 100)",
    lambda d, a: f"torch.linalg.qr({a})",
    lambda d, a: f"torch.linalg.lu_factor({a})",
    lambda d, a: f"torch.trace({a})",
)
FACTORISATIONS += of_rank(
    2,
    lambda d, a: f"torch.linalg.svd({a}, full_matrices=False)",
    lambda d, a: f"torch.linalg.svdvals({a})",
    lambda d, a: f"torch.linalg.qr({a})",
)


def _right(d: Draw, a: Operand) -> str:
    return d.parameter(a.shape[-1], d.int(1, 3))


FOURIER = of_rank(
    1,
    lambda d, a: f"torch.fft.{d.one('fft', 'rfft', 'ifft')}({a}, dim={d.axis(a)})",
    lambda d, a: f"torch.fft.irfft(torch.fft.rfft({a}) * {d.number()}, n={a.shape[-1]})",
    lambda d, a: f"torch.fft.irfft2(torch.fft.rfft2({a}), s={a.shape[-2:]})",
    lambda d, a: f"torch.fft.fft2({a}).real",
    lambda d, a: f"torch.fft.fftn({a}, norm='ortho').abs()",
    lambda d, a: f"torch.fft.fftshift({a})",
    lambda d, a: f"torch.fft.rfft({a}, n={d.int(2, 8)}).imag",
)
FOURIER += of_complex(
    lambda d, a: f"{a}.{d.one(*COMPLEX)}" + "()",
    lambda d, a: f"{a}.{d.one('real', 'imag', 'mT', 'mH')}",
    lambda d, a: f"{a} {d.one('+', '-', '*', '/')} {d.one(d.number(), '1j', d.tensor())}",
    lambda d, a: f"{a} * {a}.conj()",
    lambda d, a: f"({a} @ {a}.mH).real",
    lambda d, a: f"torch.view_as_real({a})",
    lambda d, a: f"torch.fft.ifft({a}).real",
    lambda d, a: f"{a}.sum({d.axis(a)})",
    lambda d, a: f"{a}.abs()",
    lambda d, a: f"{a}.transpose({d.axis(a)}, {d.axis(a)}).conj()",
)

FAMILIES: tuple[tuple[Step, ...], ...] = (
    VIEWS, VIEWS, ARRANGEMENTS, POINTWISE, POINTWISE, BINARIES, BINARIES, CHANGES, CHANGES, PRODUCTS, CONVOLUTIONS,
    NORMALISATIONS, LOSS, OVER, INDEXING, COPIES, FACTORISATIONS, FOURIER,
)  # fmt: skip
