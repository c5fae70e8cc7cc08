"""The causal Transformer over behaviours, in one file.

Shape letters: V items, D width, H heads, C = D / H, S inner width of SwiGLU, B windows, N tokens of all windows,
L longest window, R rows of the item table that are passed in.

Sources: causal self-attention over items, Kang and McAuley 2018 (SASRec), section III; gated residuals, Borisyuk et
al. 2025 (LiGR), section 3; SwiGLU, Shazeer 2020; RMS norm, Zhang and Sennrich 2019; cosine scores with a temperature,
Wang et al. 2017 (NormFace); behaviour types and log-bucketed gaps as inputs, Zhai et al. 2024 (HSTU), section 2.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from recsys.config import EncoderSettings
from recsys.encoder.heads import Heads
from recsys.encoder.sequences import GAPS, Batch


class Block(nn.Module):
    """x + gate * attention(norm(x)), then x + gate * SwiGLU(norm(x)); a gate is a sigmoid of the same normed input.

    Without `gates` in the settings there is none: x + attention(norm(x)), then x + SwiGLU(norm(x)).
    """

    def __init__(self, s: EncoderSettings) -> None:
        super().__init__()
        self.heads, self.dropout = s.heads, s.dropout
        inner, gate = s.expansion * s.dim, s.dim if s.gates else 0
        self.attention_norm = nn.RMSNorm(s.dim, eps=1e-6)
        self.key_value = nn.Linear(s.dim, 2 * s.dim, bias=False)
        self.query_gate = nn.Linear(s.dim, s.dim + gate)
        self.merge = nn.Linear(s.dim, s.dim, bias=False)
        self.inner_norm = nn.RMSNorm(s.dim, eps=1e-6)
        self.widen = nn.Linear(s.dim, 2 * inner + gate)
        self.narrow = nn.Linear(inner, s.dim, bias=False)

    def forward(self, x: Tensor, batch: Batch, newest: bool) -> Tensor:
        """[N, D] -> [N, D], or [B, D] with `newest`: only each window's last token is worked out."""
        normed = self.attention_norm(x)  # [N, D]
        key_value = self.key_value(normed)  # [N, 2D]
        if newest:
            last = batch.lengths.cumsum(0) - 1  # [B]
            x, normed = x[last], normed[last]  # [B, D]
        width, inner = x.shape[-1], self.narrow.in_features
        query, gate = self.query_gate(normed).tensor_split([width], dim=-1)  # [N, D], [N, D] or [N, 0]
        x = x + self._gated(self.merge(self._attend(query, key_value, batch, newest)), gate, batch, newest)
        up, swish, gate = self.widen(self.inner_norm(x)).tensor_split([inner, 2 * inner], dim=-1)  # [N, S], [N, S]
        return x + self._gated(self.narrow(up * F.silu(swish)), gate, batch, newest)

    def _gated(self, x: Tensor, gate: Tensor, batch: Batch, newest: bool) -> Tensor:
        """[N, D] behind its gate [N, D]; as it is behind [N, 0]."""
        kept = dropped(x, self.dropout, batch, newest) if self.training else x
        return gate.sigmoid() * kept if gate.shape[-1] else kept

    def _attend(self, query: Tensor, key_value: Tensor, batch: Batch, newest: bool) -> Tensor:
        size, longest = len(batch.lengths), batch.longest
        key, value = (
            _pad(key_value, batch).view(size, longest, 2, self.heads, -1).permute(2, 0, 3, 1, 4)
        )  # [B, H, L, C]
        if newest:
            query = query.view(size, 1, self.heads, -1).transpose(1, 2)  # [B, H, 1, C]
            present = None
            if batch.slots is not None:
                present = torch.arange(longest, device=query.device) < batch.lengths[:, None]  # [B, L]
                present = present[:, None, None]
            return F.scaled_dot_product_attention(query, key, value, attn_mask=present).reshape(size, -1)
        query = _pad(query, batch).view(size, longest, self.heads, -1).transpose(1, 2)  # [B, H, L, C]
        # Windows are padded at their end, so the causal mask alone keeps padding out of every real token.
        mixed = F.scaled_dot_product_attention(query, key, value, is_causal=True)
        flat = mixed.transpose(1, 2).reshape(size * longest, -1)  # [B * L, D]
        return flat if batch.slots is None else flat.index_select(0, batch.slots)


def _pad(x: Tensor, batch: Batch) -> Tensor:
    """[N, X] -> [B * L, X], zeros where a window is shorter than L."""
    if batch.slots is None:
        return x
    return x.new_zeros(len(batch.lengths) * batch.longest, x.shape[1]).index_copy(0, batch.slots, x)


def dropped(x: Tensor, rate: float, batch: Batch, newest: bool = False) -> Tensor:
    """Dropout of x [N, D], or [B, D] with `newest`.

    Of a shared batch each process draws the whole mask and takes its rows of it, so that the batch as a whole meets the
    same mask however many share it, and all processes' random states stay one.
    """
    share = batch.share
    if share is None or not rate:
        return F.dropout(x, rate)
    rows, size = (share.windows, share.of_windows) if newest else (share.tokens, share.of_tokens)
    mask = x.new_empty(size, x.shape[1]).bernoulli_(1 - rate).div_(1 - rate)  # as PyTorch draws it on a CPU
    return x * mask[rows]


class Encoder(nn.Module):
    """Behaviour sequences to unit vectors that live in the space of the item vectors."""

    def __init__(
        self, s: EncoderSettings, items: int, behaviours: int, generator: torch.Generator | None = None
    ) -> None:
        super().__init__()
        self.dim, self.dropout = s.dim, s.dropout
        self.items = nn.Parameter(torch.zeros(items + 1, s.dim))  # row 0, unknown, stays zero
        self.behaviours = nn.Parameter(torch.zeros(behaviours + 1, s.dim))
        self.gaps = nn.Parameter(torch.zeros(GAPS, s.dim))
        self.ahead = nn.Parameter(torch.zeros(GAPS, s.dim))  # a session goes on with its subject, a new day need not
        self.places = nn.Parameter(torch.zeros(s.length, s.dim))
        self.blocks = nn.ModuleList(Block(s) for _ in range(s.blocks))
        self.norm = nn.RMSNorm(s.dim, eps=1e-6)
        self.beside = Heads(s, behaviours)
        self._initialise(generator)

    def _initialise(self, generator: torch.Generator | None) -> None:
        """Matrices normal with deviation D ** -0.5, input tables .02, biases and heads 0, norms 1."""
        with torch.no_grad():
            for name, parameter in self.named_parameters():
                if name.endswith("norm.weight"):
                    parameter.fill_(1.0)
                elif parameter.ndim == 1 or name.startswith("beside."):
                    parameter.zero_()
                else:
                    inputs = name in ("items", "behaviours", "gaps", "ahead", "places")
                    deviation = 0.02 if inputs else parameter.shape[1] ** -0.5
                    parameter.normal_(0.0, deviation, generator=generator)
            self.items[0] = 0.0

    def forward(self, batch: Batch, table: Tensor, newest: bool = False) -> Tensor:
        """Unit vectors [N, D] after each token, or [B, D] after each window's last.

        `table` [R, D] are the item rows that `batch.item` points into: all of them, or those that a batch needs.
        """
        x = F.embedding(batch.item, table) * self.dim**0.5  # [N, D]
        x = x + F.embedding(batch.behaviour, self.behaviours) + F.embedding(batch.gap, self.gaps)
        x = x + F.embedding(batch.ahead, self.ahead) + F.embedding(batch.back, self.places)
        x = dropped(x, self.dropout, batch) if self.training else x
        for number, block in enumerate(self.blocks, start=1):
            x = block(x, batch, newest and number == len(self.blocks))
        return F.normalize(self.norm(x), dim=-1)

    def item_vectors(self) -> Tensor:
        """[V, D] unit vectors of the vocabulary's items."""
        return F.normalize(self.items[1:], dim=-1)
