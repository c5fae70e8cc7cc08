"""The ranker on the slice that training was stopped on: what it says beside what was so. NumPy only.

Shape letters: n examples of the slice.
"""

from __future__ import annotations

import numpy as np

from recsys.config import RankerSettings
from recsys.features.history import F32
from recsys.ranking.train import Examples
from recsys.ranking.trained import TrainedRanker
from recsys.ranking.validation import area_under_curve, logloss, split


def held_out(ranker: TrainedRanker, examples: Examples, settings: RankerSettings) -> tuple[F32, F32, F32]:
    """Of the examples that training was stopped on: labels, the chance that each is a label and not a draw, weights.

    With several heads an example is there for each head that has it, with that head's label beside the one score.
    """
    newest = ~split(examples.request, examples.at, settings.validation)
    logits = ranker.logits(*examples.read(newest)) - examples.taken_off(ranker, newest)
    return examples.heads(ranker.shape.weights).of(newest).spread(_chance(logits))


def head_figures(ranker: TrainedRanker, examples: Examples, settings: RankerSettings) -> dict[str, float]:
    """AUC and log loss of each head on its own held-out examples, and its share of the score; NaN: it has none."""
    newest = ~split(examples.request, examples.at, settings.validation)
    heads = examples.heads(ranker.shape.weights).of(newest)
    chance = _chance(ranker.heads(*examples.read(newest)) - examples.taken_off(ranker, newest)[:, None])
    found = {}
    for head, task in enumerate(ranker.shape.tasks or ()):
        rows = heads.asked[:, head]
        y, p = heads.labels[rows, head], chance[rows, head]
        found[f"validation_auc.{task.behaviour}"] = area_under_curve(y, p)
        found[f"validation_logloss.{task.behaviour}"] = logloss(y, p) if len(y) else float("nan")
        found[f"share.{task.behaviour}"] = task.share
    return found


def place_figures(ranker: TrainedRanker) -> dict[str, float]:
    """What each place of a shown list adds to the log odds of training, over a request without one; empty: nothing."""
    count = ranker.shape.positions
    added = ranker.placed(np.arange(1, count + 2, dtype=np.int32)) if count else ()
    return {f"place.{'deeper' if place == count else place + 1}": float(value) for place, value in enumerate(added)}


def _chance(logits: F32) -> F32:
    return (1 / (1 + np.exp(-np.clip(logits, -50, 50)))).astype(np.float32)
