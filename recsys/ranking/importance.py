"""What the trained ranker loses when a feature is shuffled (Breiman 2001, section 10; Fisher et al. 2019). No Spark.

Shape letters: N examples, F features.
"""

from __future__ import annotations

import numpy as np

from recsys.features.history import F32, F64
from recsys.ranking.trained import TrainedRanker
from recsys.ranking.validation import logloss


def importance(ranker: TrainedRanker, x: F32, y: F32, offset: F32, repeats: int, seed: int) -> F64:
    """[F] the mean rise in log loss, nats an example, of `repeats` shuffles of each column of [N, F] plain values.

    `offset` [N] is that of `train.Examples`. A feature that the ranker does not read has exactly 0. Of two features
    that say the same, each can stand in for the other, and both look less important than they are.
    """
    random = np.random.default_rng(seed)
    base = _loss(ranker, x, y, offset)
    read = ranker.inputs.read
    rises = np.zeros(x.shape[1])
    shuffled = x.copy()
    for column in np.flatnonzero(read):
        for _ in range(repeats):
            shuffled[:, column] = random.permutation(x[:, column])
            rises[column] += (_loss(ranker, shuffled, y, offset) - base) / repeats
        shuffled[:, column] = x[:, column]
    return rises


def _loss(ranker: TrainedRanker, x: F32, y: F32, offset: F32) -> float:
    logits = (ranker.logits(x) - offset).astype(np.float64)
    return logloss(y, (1 / (1 + np.exp(-np.clip(logits, -50, 50)))).astype(np.float32))
