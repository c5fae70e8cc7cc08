"""How much the trained ranker leans on each feature: what shuffling costs, and what moves the logit. No Spark.

Shape letters: N examples, F features, I inputs.
"""

from __future__ import annotations

import numpy as np
import torch
from captum.attr import IntegratedGradients

from recsys.features.history import F32, F64
from recsys.ranking.trained import TrainedRanker
from recsys.ranking.validation import logloss

STEPS = 50  # of the integral
BLOCK = 4096  # points of it computed at once


def importance(ranker: TrainedRanker, x: F32, y: F32, offset: F32, repeats: int, seed: int) -> F64:
    """Permutation importance (Breiman 2001, section 10; Fisher et al. 2019).

    [F] the mean rise in log loss, nats an example, of `repeats` shuffles of each column of [N, F] plain values.

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


def gradients(ranker: TrainedRanker, x: F32) -> F64:
    """Integrated gradients (Sundararajan et al. 2017, section 3), from the mean of training to each example.

    [F] mean size of a feature's part in the logit, over [N, F] plain values. Parts of one example add up to the logit
    less that of the mean. What an input of several features gets is shared out evenly among them.
    """
    inputs = torch.from_numpy(ranker.inputs.apply(x)).to(next(ranker.model.parameters()).device)
    method = IntegratedGradients(ranker.model.eval(), multiply_by_inputs=True)
    parts = method.attribute(inputs, n_steps=STEPS, internal_batch_size=BLOCK).cpu().numpy()  # [N, I]
    found = np.zeros((len(x), x.shape[1]))
    for column, sources in enumerate(ranker.inputs.sources):
        for source in sources:
            found[:, source] += parts[:, column] / len(sources)
    sizes: F64 = np.abs(found).mean(axis=0)
    return sizes


def _loss(ranker: TrainedRanker, x: F32, y: F32, offset: F32) -> float:
    logits = (ranker.logits(x) - offset).astype(np.float64)
    return logloss(y, (1 / (1 + np.exp(-np.clip(logits, -50, 50)))).astype(np.float32))
