"""The ranking network: cross layers beside an MLP, with batch norm (DCN-v2 in parallel; Wang et al. 2021, section 3).

Shape letters: N examples, I inputs (features and indicators of missing ones), A what attention gives, J = I + A, H
width of the last hidden layer, T heads.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from recsys.ranking.attention import Attention, Sequences, TargetAttention
from recsys.ranking.places import Places


class Cross(nn.Module):
    """x0 * (W x + b) + x: every layer adds one degree of products between inputs."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.linear = nn.Linear(width, width)

    def forward(self, first: Tensor, x: Tensor) -> Tensor:
        """[N, J], [N, J] -> [N, J]."""
        crossed: Tensor = first * self.linear(x) + x
        return crossed


class Ranker(nn.Module):
    """Standardised inputs to one logit: sigmoid(logit) is the probability that a target behaviour follows.

    Several heads on one body have `shares` of it, which add up to 1. `learned`: how much each head's loss counts is a
    weight of the network (Kendall et al. 2018, section 3.2), which scores do not depend on. With `attention` what a
    candidate makes of the user's newest behaviours stands beside the inputs, for cross layers and hidden ones alike.
    With `positions` it also keeps what so many places in a shown list add to the logits of training, and to no score.
    """

    def __init__(
        self,
        inputs: int,
        hidden: Sequence[int],
        cross: int,
        dropout: float,
        shares: Sequence[float] = (1.0,),
        *,
        learned: bool = False,
        attention: Attention | None = None,
        positions: int = 0,
    ) -> None:
        super().__init__()
        self.attention = TargetAttention(attention) if attention else None
        inputs += self.attention.width if self.attention else 0
        self.norm = nn.BatchNorm1d(inputs)
        self.cross = nn.ModuleList(Cross(inputs) for _ in range(cross))
        layers: list[nn.Module] = []
        for before, after in pairwise([inputs, *hidden]):
            # Batch norm has its own shift, so the layer before it needs none.
            layers += [nn.Linear(before, after, bias=False), nn.BatchNorm1d(after), nn.ReLU(), nn.Dropout(dropout)]
        self.deep = nn.Sequential(*layers)
        self.head = nn.Linear((hidden[-1] if hidden else inputs) + (inputs if cross else 0), len(shares))
        self.shares: Tensor
        self.register_buffer("shares", torch.tensor(shares, dtype=torch.float32), persistent=False)
        self.log_variance = nn.Parameter(torch.zeros(len(shares))) if learned else None
        self.places = Places(positions) if positions else None

    def forward(self, x: Tensor, past: Sequences | None = None) -> Tensor:
        """[N, I] and, with attention, the behaviours of the N -> [N] logits of the heads together. N as in `heads`."""
        return self.together(self.beside(x, past))

    def heads(self, x: Tensor, past: Sequences | None = None) -> Tensor:
        """As `forward` -> [N, T] logits. In training mode N must be at least 2, for the statistics of the batch."""
        return self.of(self.beside(x, past))

    def placed(self, position: Tensor) -> Tensor:
        """[N] places in shown lists -> [N] what training adds to the logits of every head, and no score has."""
        added: Tensor = self.head.weight.new_zeros(len(position)) if self.places is None else self.places(position)
        return added

    def beside(self, x: Tensor, past: Sequences | None) -> Tensor:
        """[N, I] -> [N, J] with what attention gives."""
        return x if self.attention is None or past is None else torch.cat([x, self.attention(past)], dim=1)

    def together(self, x: Tensor) -> Tensor:
        """[N, J] -> [N] logits of the heads together."""
        return mixture(self.of(x), self.shares)

    def of(self, x: Tensor) -> Tensor:
        """[N, J] -> [N, T] logits."""
        first = self.norm(x)  # [N, J]
        parts = [self.deep(first)]  # [N, H]
        crossed = first
        for layer in self.cross:
            crossed = layer(first, crossed)  # [N, J]
        if len(self.cross):
            parts.append(crossed)
        logits: Tensor = self.head(torch.cat(parts, dim=1))  # [N, T]
        return logits


def mixture(logits: Tensor, shares: Tensor) -> Tensor:
    """[N] logit whose odds are the mean of the heads' odds, from their logits [N, T], weighted by `shares` [T]."""
    if logits.shape[1] == 1:
        return logits.squeeze(1)
    mixed: Tensor = torch.logsumexp(logits + shares.log(), dim=1)
    return mixed
