"""Next-item softmax over negatives that a batch shares, and the sampler that draws them.

Shape letters: V items, D width, K distinct negatives, M positions with a target.

Sources: sampled softmax with its correction, Bengio and Senecal 2008; popularity to a power, Mikolov et al. 2013;
label smoothing, Szegedy et al. 2016, section 7.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from recsys.features.history import F32, F64, I64


@dataclass(frozen=True, kw_only=True)
class Negatives:
    """Distinct items with the weight that makes their sum an unbiased estimate of the sum over all items."""

    items: I64  # [K] vocabulary indices, ascending
    weight: F32  # [K] log of (times drawn / expected times drawn)


@dataclass(frozen=True)
class Sampler:
    """Draws `size` items with replacement, in proportion to occurrences ** power; power 0 is uniform.

    Where `size` reaches the number of items, it gives every item once instead: the full softmax.
    """

    cumulative: F64  # [V]
    size: int

    def draw(self, rng: np.random.Generator) -> Negatives:
        """The negatives of one batch."""
        number = len(self.cumulative)
        if self.size >= number:
            every = np.arange(1, number + 1, dtype=np.int64)
            return Negatives(items=every, weight=np.zeros(number, dtype=np.float32))
        drawn = np.searchsorted(self.cumulative, rng.random(self.size), side="right")
        rows, times = np.unique(np.minimum(drawn, number - 1), return_counts=True)
        chance = np.diff(self.cumulative, prepend=0.0)[rows]
        weight = np.log(times / (self.size * chance))
        return Negatives(items=rows.astype(np.int64) + 1, weight=weight.astype(np.float32))


def sampler(occurrences: npt.NDArray[np.int64], power: float, size: int) -> Sampler:
    """A sampler over items whose `occurrences` [V] count as at least one each."""
    share = np.maximum(occurrences, 1).astype(np.float64) ** power
    cumulative = np.cumsum(share)
    return Sampler(cumulative / cumulative[-1], size)


class SharedSoftmax(torch.autograd.Function):
    """Mean over M of -log softmax of the target among itself and the negatives, with its gradient in closed form.

    The [M, K] scores are made once and become the probabilities in place, which halves the memory traffic of autograd.
    """

    @staticmethod
    def forward(
        ctx: torch.autograd.function.FunctionCtx,
        query: Tensor,  # [M, D] divided by the temperature
        positive: Tensor,  # [M, D]
        negative: Tensor,  # [K, D]
        weight: Tensor,  # [K]
        clash: Tensor,  # [X, 2] (position, negative) pairs that are the position's own target
    ) -> Tensor:
        """[] mean loss."""
        scores = torch.addmm(weight, query, negative.T)  # [M, K]
        scores[clash[:, 0], clash[:, 1]] = -torch.inf
        target = (query * positive).sum(-1, keepdim=True)  # [M, 1]
        top = torch.maximum(scores.amax(-1, keepdim=True), target)
        scores.sub_(top).exp_()
        own = (target - top).exp_()
        total = scores.sum(-1, keepdim=True).add_(own)
        loss = (total.log() + top - target).mean()
        ctx.save_for_backward(query, positive, negative, scores, own, total)
        return loss

    @staticmethod
    def backward(ctx: torch.autograd.function.FunctionCtx, grad: Tensor) -> tuple[Tensor | None, ...]:
        """Gradients of query, positive and negative."""
        query, positive, negative, scores, own, total = ctx.saved_tensors  # type: ignore[attr-defined]
        scale = grad / (len(query) * total)  # [M, 1]
        pull = own * scale - grad / len(query)  # [M, 1]
        scaled = query * scale
        return (
            torch.addcmul(pull * positive, scores @ negative, scale),
            pull * query,
            scores.T @ scaled,
            None,
            None,
        )


def smoothed(query: Tensor, positive: Tensor, negative: Tensor) -> Tensor:
    """[] what label smoothing adds to the mean loss, per unit of the weight that it moves to all items alike.

    -log softmax is linear in the target's score, so the moved weight costs the target's score minus the mean one. The
    mean over `negative` [K, D] stands for that over all items: exact where they are all items, else by the draw.
    """
    return (query * (positive - negative.mean(0))).sum(-1).mean()


def clashes(targets: I64, negatives: I64) -> I64:
    """[X, 2] pairs (m, k) with targets[m] == negatives[k]; `negatives` are distinct and ascend."""
    place = np.minimum(np.searchsorted(negatives, targets), len(negatives) - 1)
    rows = np.flatnonzero(negatives[place] == targets)
    return np.stack([rows, place[rows]], axis=1)
