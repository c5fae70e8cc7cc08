"""How much the trained ranker leans on each feature: what shuffling costs, and what moves the logit. No Spark.

Of a ranker with attention the newest behaviours count as one more, ATTENDED, behind the features: shuffled whole, and
with all that attention makes of them.

Shape letters: N examples, F features, I inputs, J inputs and what attention gives; G is F, or F + 1 with attention.
"""

from __future__ import annotations

import numpy as np
import torch
from captum.attr import IntegratedGradients

from recsys.features.history import F32, F64
from recsys.ranking.recent import Recent
from recsys.ranking.trained import TrainedRanker
from recsys.ranking.validation import logloss

STEPS = 50  # of the integral
BLOCK = 4096  # points of it computed at once
ATTENDED = "newest behaviours attended to"


def named(ranker: TrainedRanker) -> tuple[str, ...]:
    """[G] what the figures are of."""
    return (*ranker.names, ATTENDED) if ranker.attention else ranker.names


def importance(
    ranker: TrainedRanker, x: F32, y: F32, offset: F32, repeats: int, seed: int, recent: Recent | None = None
) -> F64:
    """Permutation importance (Breiman 2001, section 10; Fisher et al. 2019).

    [G] the mean rise in log loss, nats an example, of `repeats` shuffles of each column of [N, F] plain values, and of
    the behaviours that `recent` has of each example.

    `offset` [N] is what `train.Examples.taken_off` tells. A feature that the ranker does not read has exactly 0. Of two
    features that say the same, each can stand in for the other, and both look less important than they are.
    """
    random = np.random.default_rng(seed)
    base = _loss(ranker, x, y, offset, recent)
    read = ranker.inputs.read
    rises = np.zeros(len(named(ranker)))
    shuffled = x.copy()
    for column in np.flatnonzero(read):
        for _ in range(repeats):
            shuffled[:, column] = random.permutation(x[:, column])
            rises[column] += (_loss(ranker, shuffled, y, offset, recent) - base) / repeats
        shuffled[:, column] = x[:, column]
    if recent is not None and ranker.attention:
        for _ in range(repeats):
            others = recent.take(random.permutation(len(x)))
            rises[-1] += (_loss(ranker, x, y, offset, others) - base) / repeats
    return rises


def gradients(ranker: TrainedRanker, x: F32, recent: Recent | None = None) -> F64:
    """Integrated gradients (Sundararajan et al. 2017, section 3), from the mean of training to each example.

    [G] mean size of a feature's part in the logit, over [N, F] plain values; the mean is one without behaviours to
    attend to. Parts of one example add up to the logit less that of the mean. What an input of several features gets
    is shared out evenly among them.
    """
    model = ranker.model.eval()
    with torch.no_grad():
        inputs = model.beside(*ranker.tensors(x, recent))  # [N, J]
    method = IntegratedGradients(model.together, multiply_by_inputs=True)
    parts = method.attribute(inputs, n_steps=STEPS, internal_batch_size=BLOCK).cpu().numpy()  # [N, J]
    found = np.zeros((len(x), len(named(ranker))))
    own = ranker.inputs.sources
    for column, sources in enumerate((*own, *[(x.shape[1],)] * (parts.shape[1] - len(own)))):
        for source in sources:
            found[:, source] += parts[:, column] / len(sources)
    sizes: F64 = np.abs(found).mean(axis=0)
    return sizes


def _loss(ranker: TrainedRanker, x: F32, y: F32, offset: F32, recent: Recent | None) -> float:
    logits = (ranker.logits(x, recent) - offset).astype(np.float64)
    return logloss(y, (1 / (1 + np.exp(-np.clip(logits, -50, 50)))).astype(np.float32))
