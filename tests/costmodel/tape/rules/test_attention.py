"""Rules of the family attention beside torch itself."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from one_function import STACK, Case, check, parametrized
from torch import Tensor, nn

attend = F.scaled_dot_product_attention

HEADS = (2, 3, 4, 6)  # of batch, heads, queries and their entries
KEYS = (2, 3, 5, 6)
LAYOUTS = "plain t step wide"
HALF = torch.bfloat16


def with_mask(x: Tensor, k: Tensor, v: Tensor, *sizes: int) -> Tensor:
    return attend(x, k, v, torch.ones(*sizes))


def with_boolean(x: Tensor, k: Tensor, v: Tensor, *sizes: int) -> Tensor:
    return attend(x, k, v, torch.ones(*sizes, dtype=torch.bool))


CASES: dict[str, Case] = {
    "attention": Case(attend, HEADS, (KEYS, KEYS), LAYOUTS),
    "attention of one": Case(lambda x: attend(x, x, x), HEADS, (), LAYOUTS),
    "attention of heads behind": Case(
        lambda x, k, v: attend(x.transpose(1, 2), k, v), (2, 4, 3, 6), (KEYS, KEYS), LAYOUTS
    ),
    "attention with another scale": Case(lambda x, k, v: attend(x, k, v, scale=0.3), HEADS, (KEYS, KEYS)),
    "causal attention": Case(lambda x, k, v: attend(x, k, v, is_causal=True), HEADS, (KEYS, KEYS), LAYOUTS),
    "attention of doubles": Case(attend, HEADS, (KEYS, KEYS), LAYOUTS, torch.float64),
    "attention of a bfloat16": Case(attend, HEADS, (KEYS, KEYS), LAYOUTS, HALF),
    "attention of a constant": Case(lambda x: attend(x, torch.ones(KEYS), torch.ones(KEYS)), HEADS),
    "attention with a constant": Case(lambda x: attend(torch.ones(HEADS), x, torch.ones(KEYS)), KEYS),
    "attention with a mask": Case(lambda x, k, v: with_mask(x, k, v, 4, 5), HEADS, (KEYS, KEYS), LAYOUTS),
    "attention with a mask of all": Case(lambda x, k, v: with_mask(x, k, v, 2, 1, 4, 5), HEADS, (KEYS, KEYS)),
    "attention with a mask of keys": Case(lambda x, k, v: with_mask(x, k, v, 1, 5), HEADS, (KEYS, KEYS)),
    "attention with a mask of heads": Case(lambda x, k, v: with_mask(x, k, v, 3, 4, 5), HEADS, (KEYS, KEYS)),
    "attention with a boolean mask": Case(lambda x, k, v: with_boolean(x, k, v, 4, 5), HEADS, (KEYS, KEYS), LAYOUTS),
    "attention with a boolean mask of heads": Case(lambda x, k, v: with_boolean(x, k, v, 3, 4, 5), HEADS, (KEYS, KEYS)),
    "attention with a learnt mask": Case(attend, HEADS, (KEYS, KEYS, (4, 5)), LAYOUTS),
    "attention with dropout": Case(lambda x, k, v: attend(x, k, v, dropout_p=0.5), HEADS, (KEYS, KEYS), LAYOUTS),
    "causal attention with dropout": Case(
        lambda x, k, v: attend(x, k, v, dropout_p=0.5, is_causal=True), HEADS, (KEYS, KEYS)
    ),
    "attention with a mask and dropout": Case(
        lambda x, k, v: attend(x, k, v, torch.ones(4, 5, dtype=torch.bool), 0.5), HEADS, (KEYS, KEYS)
    ),
    "attention without heads": Case(attend, STACK, ((3, 5, 6), (3, 5, 6)), "plain t step"),
    "attention without heads, causal": Case(lambda x, k, v: attend(x, k, v, is_causal=True), STACK, ((3, 5, 6),) * 2),
    "attention without heads of a bfloat16": Case(attend, STACK, ((3, 5, 6), (3, 5, 6)), "plain t", HALF),
    "attention without a batch": Case(attend, (4, 6), ((5, 6), (5, 6))),
    "attention with other values": Case(attend, HEADS, (KEYS, (2, 3, 5, 4)), LAYOUTS),
    "attention of grouped heads": Case(
        lambda x, k, v: attend(x, k, v, enable_gqa=True), (2, 4, 4, 6), ((2, 2, 5, 6), (2, 2, 5, 6)), LAYOUTS
    ),
    "attention of grouped heads with dropout": Case(
        lambda x, k, v: attend(x, k, v, dropout_p=0.5, enable_gqa=True), (2, 4, 4, 6), ((2, 2, 5, 6), (2, 1, 5, 6))
    ),
    "attention of grouped heads that are as many": Case(
        lambda x, k, v: attend(x, k, v, dropout_p=0.5, enable_gqa=True), (2, 4, 4, 6), ((2, 4, 5, 6), (2, 2, 5, 6))
    ),
    "attention without heads with a mask": Case(lambda x, k, v: with_mask(x, k, v, 4, 5), STACK, ((3, 5, 6),) * 2),
    "attention without heads with a mask each": Case(
        lambda x, k, v: with_boolean(x, k, v, 3, 4, 5), STACK, ((3, 5, 6),) * 2
    ),
    "attention without heads with dropout": Case(
        lambda x, k, v: attend(x, k, v, dropout_p=0.5), STACK, ((3, 5, 6),) * 2
    ),
    "attention of a broadcast batch": Case(attend, HEADS, ((1, 3, 5, 6), (1, 3, 5, 6))),
    "attention of broadcast heads": Case(attend, HEADS, ((2, 1, 5, 6), (2, 1, 5, 6)), LAYOUTS),
}  # fmt: skip


class Attending(nn.Module):
    """A module of attention to x itself, or to a part of it."""

    def __init__(self, layer: nn.Module, shape: tuple[int, ...] = STACK, others: bool = False, **how: object) -> None:
        super().__init__()
        self.layer, self.shape, self.others, self.how = layer, shape, others, how

    def forward(self, x: Tensor) -> Tensor:
        x = x.reshape(self.shape)
        other = x[:2] if self.others else x
        y = self.layer(x, other, other, **self.how)[0]
        return y.reshape(-1, *y.shape)


class Flat(nn.Module):
    """A module of sequences, behind images."""

    def __init__(self, layer: nn.Module, **how: object) -> None:
        super().__init__()
        self.layer, self.how = layer, how

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x.flatten(2), **self.how)  # type: ignore[no-any-return]


S = (12, 6, 6)  # 3·4·6·6 entries
E = 6
heads = nn.MultiheadAttention


def encoder(**how: object) -> nn.Module:
    return nn.TransformerEncoderLayer(36, 2, 5, batch_first=True, **how)  # type: ignore[arg-type]


MODULES: dict[str, Callable[[], nn.Module]] = {
    "MultiheadAttention": lambda: Attending(heads(E, 2), S),
    "MultiheadAttention, evaluated": lambda: Attending(heads(E, 2), S).eval(),
    "MultiheadAttention, batch first": lambda: Attending(heads(E, 2, batch_first=True), S),
    "MultiheadAttention, batch first, evaluated": lambda: Attending(heads(E, 2, batch_first=True), S).eval(),
    "MultiheadAttention, no weights": lambda: Attending(heads(E, 2, batch_first=True), S, need_weights=False),
    "MultiheadAttention, no weights, evaluated": lambda: Attending(
        heads(E, 2, batch_first=True), S, need_weights=False
    ).eval(),
    "MultiheadAttention, all weights, evaluated": lambda: Attending(
        heads(E, 2, batch_first=True), S, average_attn_weights=False
    ).eval(),
    "MultiheadAttention, dropout": lambda: Attending(heads(E, 2, dropout=0.5), S),
    "MultiheadAttention, dropout, no weights": lambda: Attending(heads(E, 2, dropout=0.5), S, need_weights=False),
    "MultiheadAttention without bias": lambda: Attending(heads(E, 2, bias=False), S),
    "MultiheadAttention to others": lambda: Attending(heads(E, 2), S, others=True),
    "MultiheadAttention to others, no weights": lambda: Attending(heads(E, 2), S, others=True, need_weights=False),
    "MultiheadAttention of other widths": lambda: Attending(heads(E, 2, kdim=E, vdim=E), S),
    "MultiheadAttention with a zero": lambda: Attending(heads(E, 2, add_zero_attn=True), S),
    "MultiheadAttention with a mask": lambda: Attending(heads(E, 2), S, attn_mask=torch.zeros(12, 12)),
    "MultiheadAttention with a boolean mask": lambda: Attending(
        heads(E, 2), S, attn_mask=torch.zeros(12, 12, dtype=torch.bool)
    ),
    "MultiheadAttention with a mask of keys": lambda: Attending(
        heads(E, 2), S, key_padding_mask=torch.zeros(6, 12, dtype=torch.bool)
    ),
    "MultiheadAttention without a batch": lambda: Attending(heads(E, 2), (72, 6)),
    "TransformerEncoderLayer": lambda: Flat(encoder(dropout=0.0)),
    "TransformerEncoderLayer with dropout": lambda: Flat(encoder()),
    "TransformerEncoderLayer, gelu and norm first": lambda: Flat(
        encoder(dropout=0.0, activation="gelu", norm_first=True)
    ),
    "TransformerEncoderLayer, evaluated": lambda: Flat(encoder()).eval(),
    "TransformerEncoderLayer, gelu and norm first, evaluated": lambda: Flat(
        encoder(activation="gelu", norm_first=True)
    ).eval(),
    "TransformerEncoderLayer without bias": lambda: Flat(encoder(bias=False)),
    "TransformerEncoder": lambda: Flat(nn.TransformerEncoder(encoder(), 2, enable_nested_tensor=False)),
    "TransformerEncoder, evaluated": lambda: Flat(nn.TransformerEncoder(encoder(), 2)).eval(),
    "TransformerDecoderLayer": lambda: Decoding(nn.TransformerDecoderLayer(36, 2, 5, batch_first=True)),
    "TransformerDecoderLayer, evaluated": lambda: Decoding(
        nn.TransformerDecoderLayer(36, 2, 5, batch_first=True)
    ).eval(),
    "Transformer": lambda: Decoding(nn.Transformer(36, 2, 1, 1, 5, batch_first=True)),
}  # fmt: skip


class Decoding(Flat):
    def forward(self, x: Tensor) -> Tensor:
        x = x.flatten(2)
        return self.layer(x, x[:, :2], **self.how)  # type: ignore[no-any-return]


@parametrized(CASES, MODULES)
def test_a_rule_is_what_torch_does(make: Callable[[], nn.Module] | None, case: Case, layout: str) -> None:
    check(make, case, layout)


def test_kernels_that_are_turned_off_are_not_taken() -> None:
    with torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH):
        check(None, Case(attend, HEADS, (KEYS, KEYS)), "plain")
