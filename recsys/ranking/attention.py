"""Target attention: a candidate looks at the user's newest behaviours and weighs them by how they bear on it.

After DIN (Zhou et al. 2018, section 4.3), which weighs by a network of both vectors and keeps the weights' sum, as it
tells how strong the interest is. Here the weights are those of a scaled dot product: the cosine of the encoder's two
frozen vectors times a sharpness, plus a level, both learned from the behaviour's type and age. As in SimTier (Sheng et
al. 2024, section 4.1) frozen vectors speak through their similarity alone, so that another encoder may take over. No
tensor is wider than pairs x behaviours x heads.

Shape letters: B pairs, P points, L newest behaviours, H heads, K hidden width.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn.functional import one_hot

from recsys.config import Section
from recsys.ranking.recent import Recent

HEADS, HIDDEN = 4, 16
OUTPUTS = 3  # of each head
BLUNTEST, SHARPEST = 2.0, 16.0  # where heads begin; the encoder's own kernel has 10 (encoder.kernel)
HIGHEST = 30.0  # of a score: its exponential stays finite, whatever was learned
LONG = 10.0  # ln(1 + seconds) of some six hours: brings gaps to the size of the other inputs


class Attention(Section):
    """The shape of a ranker's attention, as the bundle keeps it."""

    length: int = Field(ge=1)  # newest behaviours, L
    behaviours: tuple[str, ...]  # type names; the place is the code
    heads: int = Field(HEADS, ge=1)
    hidden: int = Field(HIDDEN, ge=1)


@dataclass(frozen=True, kw_only=True, eq=False)
class Sequences:
    """`Recent` as tensors."""

    similarity: Tensor  # [B, L] NaN: does not count
    behaviour: Tensor  # [P, L] code + 1
    gap: Tensor  # [P, L] ln(1 + seconds)
    point: Tensor  # [B]


def sequences(recent: Recent, device: torch.device) -> Sequences:
    """The same on a device."""
    return Sequences(
        similarity=torch.from_numpy(recent.similarity).to(device),
        behaviour=torch.from_numpy(recent.behaviour).to(device).long(),
        gap=torch.from_numpy(recent.gap).to(device),
        point=torch.from_numpy(recent.point).to(device),
    )


class TargetAttention(nn.Module):
    """From a candidate's cosines with the newest behaviours to what each head makes of them.

    A head weighs behaviour j by e_j = exp(a_j (cosine_j - 1) + b_j) beside a silent place of weight 1, so it may attend
    to nothing, and an empty history gives exact zeros. It tells ln(1 + sum of e), which grows with the interest, the
    mean cosine under its weights, and the mean of a learned value of type and age.
    """

    def __init__(self, shape: Attention) -> None:
        super().__init__()
        self.heads = shape.heads
        self.types = len(shape.behaviours) + 1
        self.hidden = nn.Linear(self.types + 1, shape.hidden)
        self.told = nn.Linear(shape.hidden, OUTPUTS * shape.heads)
        self.sharpness: Tensor
        self.register_buffer("sharpness", BLUNTEST * torch.logspace(0, 1, shape.heads, base=SHARPEST / BLUNTEST))

    @property
    def width(self) -> int:
        """Numbers that a pair gets."""
        return OUTPUTS * self.heads

    def forward(self, past: Sequences) -> Tensor:
        """[B, 3 H]: of each head in turn its sum, mean cosine and mean value."""
        kind = one_hot(past.behaviour, self.types).to(past.gap.dtype)  # [P, L, types]
        hidden = torch.relu(self.hidden(torch.cat([kind, past.gap[..., None] / LONG], dim=2)))  # [P, L, K]
        told = self.told(hidden).transpose(1, 2).contiguous()  # [P, 3 H, L]
        change, level, value = told.split(self.heads, dim=1)
        sharpness = self.sharpness[:, None] * change.exp()  # [P, H, L]
        present = ~past.similarity.isnan()
        cosine = past.similarity.nan_to_num()[..., None]  # [B, L, 1]
        # A cosine is at most 1, so no score lies above its level.
        score = level.clamp(max=HIGHEST)[past.point] + sharpness[past.point] * (cosine - 1).transpose(1, 2)
        weight = score.exp() * present[:, None]  # [B, H, L]
        total = weight.sum(dim=2)  # [B, H]
        means = ((weight @ cosine).squeeze(2), (weight * value[past.point]).sum(dim=2))
        return torch.stack([total.log1p(), *(mean / (1 + total) for mean in means)], dim=2).flatten(1)
