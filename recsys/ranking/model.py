"""The ranking network: cross layers beside an MLP, with batch norm (DCN-v2 in parallel; Wang et al. 2021, section 3).

Shape letters: N examples, I inputs (features and indicators of missing ones), H width of the last hidden layer.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn


class Cross(nn.Module):
    """x0 * (W x + b) + x: every layer adds one degree of products between inputs."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.linear = nn.Linear(width, width)

    def forward(self, first: Tensor, x: Tensor) -> Tensor:
        """[N, I], [N, I] -> [N, I]."""
        crossed: Tensor = first * self.linear(x) + x
        return crossed


class Ranker(nn.Module):
    """Standardised inputs to one logit: sigmoid(logit) is the probability that a target behaviour follows."""

    def __init__(self, inputs: int, hidden: Sequence[int], cross: int, dropout: float) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(inputs)
        self.cross = nn.ModuleList(Cross(inputs) for _ in range(cross))
        layers: list[nn.Module] = []
        for before, after in pairwise([inputs, *hidden]):
            # Batch norm has its own shift, so the layer before it needs none.
            layers += [nn.Linear(before, after, bias=False), nn.BatchNorm1d(after), nn.ReLU(), nn.Dropout(dropout)]
        self.deep = nn.Sequential(*layers)
        self.head = nn.Linear((hidden[-1] if hidden else inputs) + (inputs if cross else 0), 1)

    def forward(self, x: Tensor) -> Tensor:
        """[N, I] -> [N] logits. In training mode N must be at least 2, for the statistics of the batch."""
        first = self.norm(x)  # [N, I]
        parts = [self.deep(first)]  # [N, H]
        crossed = first
        for layer in self.cross:
            crossed = layer(first, crossed)  # [N, I]
        if len(self.cross):
            parts.append(crossed)
        logits: Tensor = self.head(torch.cat(parts, dim=1)).squeeze(1)  # [N]
        return logits
