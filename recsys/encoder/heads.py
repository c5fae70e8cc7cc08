"""What a training may guess beside the next item, so that the vectors learn from it too: multi-task heads.

Source: losses added up with fixed weights over one shared network, Caruana 1997, section 2.

Shape letters: D width, M positions with a target, T behaviour types with the unknown one.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from recsys.config import EncoderSettings
from recsys.encoder.sequences import Tokens

TYPES, VALUE = "types", "value"


class Heads(nn.Module):
    """The type of the very next behaviour, from the user's vector; the rating of the next new item, from both vectors.

    A head whose weight in the settings is 0 has no weights of its own. All of them begin at zero, so that a model with
    heads begins with the same other weights as one without.
    """

    def __init__(self, s: EncoderSettings, behaviours: int) -> None:
        super().__init__()
        self.weights = {TYPES: s.type_weight, VALUE: s.value_weight}
        self.types = nn.Parameter(torch.zeros(behaviours + 1, s.dim)) if s.type_weight else None
        self.value = nn.Parameter(torch.zeros(s.dim + 1)) if s.value_weight else None

    def forward(self, query: Tensor, positive: Tensor, behaviour: Tensor, value: Tensor) -> Tensor:
        """[] what the heads add to the mean loss over M targets.

        `query` [M, D] user vectors over the temperature, `positive` [M, D] the targets' item vectors, `behaviour` [M]
        types of the next behaviours, `value` [M] the targets' ratings, standardised; NaN: none, and no loss.
        """
        loss = query.new_zeros(())
        if self.types is not None:
            loss = loss + self.weights[TYPES] * F.cross_entropy(query @ self.types.T, behaviour)
        if self.value is not None:
            guess = (query * positive) @ self.value[:-1] + self.value[-1]  # [M]
            error = (guess - value.nan_to_num()).square() * value.isfinite()
            loss = loss + self.weights[VALUE] * error.mean()
        return loss


def standardised(t: Tokens) -> Tokens:
    """The same with ratings of mean 0 and deviation 1; zeros where all are equal."""
    known = t.value[np.isfinite(t.value)]
    if not len(known):
        return t
    return replace(t, value=(t.value - known.mean()) / (known.std() or 1.0))
