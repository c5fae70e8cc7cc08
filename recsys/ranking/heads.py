"""Which examples each head of the ranker learns from, and what each counts. NumPy only.

A head predicts one target behaviour. Its examples are the requests in which that behaviour occurred: positives are the
items that got it, all others of the request are negatives. So a drawn request belongs to one head, which estimates the
chance of an item to be the next one *that gets this behaviour*. With the share of each behaviour among the positives
as weights, the heads' odds add up to those of the item to be the next one that gets any of them, by the law of total
probability: what a single head estimates.

Shape letters: N examples, T heads.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from pydantic import Field

from recsys.config import Section
from recsys.features.history import F32, I64
from recsys.features.windows import Bool


class Task(Section):
    """A head, as the bundle keeps it."""

    behaviour: str
    weight: float = Field(gt=0, allow_inf_nan=False)  # what one such behaviour counts, in training and in the score
    share: float = Field(ge=0, le=1)  # of the score; all heads' add up to 1


@dataclass(frozen=True, kw_only=True, eq=False)
class Heads:
    """What each head learns from N examples."""

    labels: F32  # [N, T] 0 or 1
    weight: F32  # [N, T] what the example counts for the head; 0: it is none of the head's

    @property
    def asked(self) -> Bool:
        """[N, T] whether the example is one of the head's."""
        return np.asarray(self.weight > 0)

    def of(self, rows: Bool) -> Heads:
        """The same of some of the examples, `rows` [N]."""
        return Heads(labels=self.labels[rows], weight=self.weight[rows])

    def spread(self, values: F32) -> tuple[F32, F32, F32]:
        """Labels, values and weights of all examples of all heads, from one value for each example [N]."""
        example, head = np.nonzero(self.asked)
        return self.labels[example, head], values[example], self.weight[example, head]


def alone(y: F32) -> Heads:
    """One head that takes all target behaviours for one: labels [N]."""
    return Heads(labels=y[:, None], weight=np.ones((len(y), 1), dtype=np.float32))


def heads_of(outcomes: Bool, request: I64, weights: Sequence[float]) -> Heads:
    """From each target behaviour that an item got [N, T] and its request's number [N].

    A request in which all items got the behaviour, or none, tells its head nothing.
    """
    _, number = np.unique(request, return_inverse=True)
    total = np.bincount(number)
    good = np.stack([np.bincount(number, weights=column, minlength=len(total)) for column in outcomes.T], axis=1)
    asked = ((good > 0) & (good < total[:, None]))[number]
    return Heads(labels=outcomes.astype(np.float32), weight=np.where(asked, np.asarray(weights), 0).astype(np.float32))


def tasks_of(heads: Heads, weights: dict[str, float]) -> tuple[Task, ...]:
    """The heads' shares of the score: of the positives, each counted by its weight. One of them at least has some."""
    positives = (heads.labels * heads.weight).sum(axis=0, dtype=np.float64)
    shares = positives / positives.sum()
    return tuple(
        Task(behaviour=name, weight=weight, share=float(share))
        for (name, weight), share in zip(weights.items(), shares, strict=True)
    )
