"""Rules of attention: the fused kernels that a CPU runs, and the products that torch writes them in otherwise.

With letters: b batch, h heads, n queries, m keys, d entries of a query and e of a value. The two products take
b·h·n·m·(d + e) MACs, whatever a mask leaves out; the fused backward computes the first one anew and two for each
gradient of a product: b·h·n·m·(3d + 2e). The softmax inside a fused kernel is not counted. Source: Dao,
FlashAttention-2, algorithms 1 and 2 (https://arxiv.org/abs/2307.08691); torch.utils.flop_counter counts likewise.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import torch

from .. import layout
from ..errors import Mismatch
from ..graph import attach
from ..sizes import fit, quotient
from ..table import rule
from ..tape import Size
from ..tensor import Tensor
from ..versions import since
from ..written import as_written
from .arithmetic import add_
from .copies import clone, to
from .factories import filled
from .factorisations import triangle
from .kernels import fits, pointwise
from .linalg import matmul
from .pointwise import add, mul, unary
from .random import dropout
from .views import expand, squeeze, transpose, unsqueeze, view

as_written("torch.nn.functional.multi_head_attention_forward")

_SETTINGS: Any = torch.backends.cuda  # which kernels may run, on a CPU too
LOW = (torch.float16, torch.bfloat16)  # computed in float32 where nothing is fused


@rule("torch.nn.functional.scaled_dot_product_attention")
def scaled_dot_product_attention(
    query: Tensor, key: Tensor, value: Tensor, attn_mask: Tensor | None = None, dropout_p: float = 0.0,
    is_causal: bool = False, scale: float | None = None, enable_gqa: bool = False,
) -> Tensor:  # fmt: skip
    """Source: aten/src/ATen/native/transformers/attention.cpp and sdp_utils_cpp.cpp."""
    fit(query.sizes[-1], key.sizes[-1], "entries of queries and keys")
    fit(key.sizes[-2], value.sizes[-2], "numbers of keys and values")
    if is_causal and attn_mask is not None:
        raise Mismatch("attention is causal or has a mask, not both")
    if query.rank == key.rank == value.rank == 3 and since(2, 14):
        return _with_heads(query, key, value, attn_mask, dropout_p, is_causal, scale)
    fused = _is_fused(query, key, value, attn_mask, dropout_p, enable_gqa)
    if attn_mask is not None and attn_mask.dtype is torch.bool:
        attn_mask = _additive(attn_mask, query)
    if fused:
        return _fused(query, key, value, attn_mask)
    return _in_products(query, key, value, attn_mask, dropout_p, is_causal, scale, enable_gqa)


def _with_heads(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, *how: Any) -> Tensor:
    """Of one batch with as many heads as there are sequences."""
    while mask is not None and mask.rank < 4:
        mask = unsqueeze(mask, 0)
    query, key, value = (unsqueeze(x, 0) for x in (query, key, value))
    return squeeze(scaled_dot_product_attention(query, key, value, mask, *how), 0)


def _additive(mask: Tensor, query: Tensor) -> Tensor:
    """Nothing where a key takes part, minus infinity elsewhere."""
    numbers = [filled("scalar_tensor", mask.tape, (), query.dtype) for _ in range(2)]
    return pointwise("where", mask, *numbers, dtype=query.dtype)


def _is_fused(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, dropout_p: float, grouped: bool) -> bool:
    """Whether a CPU has a kernel for all of it."""
    tensors = query, key, value
    if dropout_p > 0 or any(x.rank != 4 for x in tensors) or not _SETTINGS.flash_sdp_enabled():
        return False
    if not all(fits(x.sizes[:1], query.sizes[:1]) and fits(x.sizes[-1:], query.sizes[-1:]) for x in tensors):
        return False
    heads = [x.sizes[1:2] for x in tensors]
    repeated = grouped or (since(2, 14) and fits(heads[1], (1,)))
    if not fits(heads[1], heads[2]) or not (repeated or fits(heads[0], heads[1])):
        return False
    if any(x.strides[-1] != 1 for x in (*tensors, *(() if mask is None else (mask,)))):
        return False
    return mask is None or (not mask.requires_grad and _fits_kernel(mask, query, key))


def _fits_kernel(mask: Tensor, query: Tensor, key: Tensor) -> bool:
    full = (*query.sizes[:3], key.sizes[2])
    if mask.rank not in (2, 4):
        return False
    return all(
        fits((size,), (1,)) or fits((size,), (all_,)) for size, all_ in zip(mask.sizes, full[-mask.rank :], strict=True)
    )


def _fused(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None) -> Tensor:
    """One kernel, which keeps the logarithm of each query's sum."""
    tape, (b, h, n, d), (m, e) = query.tape, query.sizes, value.sizes[-2:]
    masks = [] if mask is None else [mask.alias()]
    sums_in = torch.float32 if query.dtype in LOW else query.dtype
    out = query.new((b, h, n, e), strides=None if query.is_plain else layout.like(query.hints, query.strides))
    sums = _heads_inside(query, (b, h, n), sums_in)
    each = prod((b, h, n, m))
    macs = each * (d + e)
    tape.kernel(
        "_scaled_dot_product_flash_attention_for_cpu", "matmul", [query, key, value, *masks, out, sums], macs=macs
    )
    needs = [x.is_followed for x in (query, key, value)]

    def backward(saved: Sequence[Tensor], g: Tensor) -> list[Tensor | None]:
        query, key, value, *rest = saved
        gradients = [_heads_inside(x, x.sizes) for x in (query, key, value)]
        name = "_scaled_dot_product_flash_attention_for_cpu_backward"
        tape.kernel(name, "matmul", [g, query, key, value, *rest, *gradients], macs=each * (3 * d + 2 * e))
        return [gradient if need else None for gradient, need in zip(gradients, needs, strict=True)]

    attach([out], [query, key, value], [query, key, value, out, sums, *masks], backward)
    return out


def _heads_inside(x: Tensor, sizes: tuple[Size, ...], dtype: Any = None) -> Tensor:
    """A new tensor (b, h, n, …) of which the heads of a query lie together."""
    order = (0, 2, 1, *range(3, len(sizes)))
    return x.new(sizes, dtype, layout.contiguous(tuple(map(x.tape.hint, sizes)), order))


def _in_products(
    query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, dropout_p: float, causal: bool,
    scale: float | None, grouped: bool,
) -> Tensor:  # fmt: skip
    """Matrix products and a softmax; queries and keys are scaled by a root each."""
    before = query.dtype
    if before in LOW and not _SETTINGS.fp16_bf16_reduction_math_sdp_allowed():
        query, key, value = (to(x, torch.float32) for x in (query, key, value))
    scaled = mul(query, 0.5)
    if causal:
        n, m = query.sizes[-2], key.sizes[-2]
        ones = filled("ones", query.tape, (n, m), torch.bool)
        lower = triangle("tril", ones)
        del ones
        mask = _additive(lower, scaled)
        del lower
    if grouped and not (fits(query.sizes[-3:-2], key.sizes[-3:-2]) and fits(query.sizes[-3:-2], value.sizes[-3:-2])):
        key, value = _repeated(key, query), _repeated(value, query)
    weights = matmul(scaled, mul(transpose(key, -2, -1), 0.5))
    if mask is not None:
        weights = add_(weights, mask) if query.tape.in_place else add(weights, mask)
    weights = unary("_safe_softmax", weights, lambda g, _, y: pointwise("_softmax_backward_data", g, y), "y")
    weights = dropout(weights, dropout_p)
    second = to(weights, before)  # a result that nobody asks for
    out = to(matmul(weights, value), before)
    del second
    return out


def _repeated(x: Tensor, query: Tensor) -> Tensor:
    """Keys or values of a group of heads, once for each of the group."""
    *lead, heads, m, d = x.sizes
    times = quotient(query.sizes[-3], heads)
    every = expand(unsqueeze(x, -3), (*lead, heads, times, m, d))
    return view(clone(every, memory_format="contiguous"), (*lead, query.sizes[-3], m, d))


# What torch runs of its modules in eval mode where no gradient is asked for: one operator each.


@rule("torch._native_multi_head_attention")
def native_multi_head_attention(
    query: Tensor, key: Tensor, value: Tensor, embed_dim: Size, num_head: int, qkv_weight: Tensor, qkv_bias: Tensor,
    proj_weight: Tensor, proj_bias: Tensor, mask: Tensor | None = None, need_weights: bool = True,
    average_attn_weights: bool = True, mask_type: int | None = None,
) -> tuple[Tensor, Tensor | None]:  # fmt: skip
    b, n, d = query.sizes
    m = key.sizes[1]
    out = query.new((b, n, d))
    weights = []
    if need_weights:
        weights = [query.new((b, n, m) if average_attn_weights else (b, num_head, n, m))]
    read = [query, key, value, qkv_weight, qkv_bias, proj_weight, proj_bias, *([] if mask is None else [mask])]
    macs = _attention_macs(b, n, m, d)
    query.tape.kernel("_native_multi_head_attention", "matmul", [*read, out, *weights], macs=macs)
    return out, weights[0] if weights else None


def _attention_macs(b: Size, n: Size, m: Size, d: Size) -> Size:
    """Of the projections of queries, keys and values, of the attention and of the projection behind it."""
    return b * d * d * (2 * n + 2 * m) + 2 * b * n * m * d


@rule("torch._transformer_encoder_layer_fwd")
def transformer_encoder_layer_fwd(src: Tensor, embed_dim: Size, num_heads: int, *others: Any, **named: Any) -> Tensor:
    b, n, d = src.sizes
    tensors = [each for each in (*others, *named.values()) if type(each) is Tensor]
    out = src.new(src.sizes)
    hidden = others[11].sizes[0]
    macs = _attention_macs(b, n, n, d) + 2 * b * n * d * hidden
    src.tape.kernel("_transformer_encoder_layer_fwd", "matmul", [src, *tensors, out], macs=macs)
    return out
