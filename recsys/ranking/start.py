"""What a training begins with: a fresh ranker, or an earlier one if the settings allow that. NumPy and torch."""

from __future__ import annotations

from recsys.config import RankerSettings, SelectionSettings
from recsys.errors import BundleError
from recsys.ranking.attention import Attention
from recsys.ranking.heads import Heads, tasks_of
from recsys.ranking.inputs import Inputs
from recsys.ranking.trained import Shape, TrainedRanker


def fresh(inputs: Inputs, heads: Heads, attention: Attention | None, settings: RankerSettings) -> TrainedRanker:
    """An untrained ranker of the fitted inputs; what `heads` learns from gives each its share of the score."""
    weights = dict(sorted(settings.tasks.items()))
    every = len(inputs.plain) == len(inputs.names)
    shape = Shape(
        names=inputs.names,
        indicator=tuple(inputs.standardisation.indicator.tolist()),
        plain=None if every else tuple(inputs.plain.tolist()),
        blocks=inputs.blocks or None,
        operations=settings.operations or None,
        hidden=settings.hidden,
        cross=settings.cross,
        dropout=settings.dropout,
        tasks=tasks_of(heads, weights) if weights else None,
        learned=settings.task_weights == "learned" or None,
        pairwise=settings.pairwise or None,
        attention=attention,
        positions=settings.positions or None,
    )
    return TrainedRanker(shape=shape, inputs=inputs, model=shape.network(inputs.width))


def check_start(
    start: TrainedRanker | None, settings: RankerSettings, names: tuple[str, ...], behaviours: tuple[str, ...] = ()
) -> None:
    """BundleError: the ranker to start from has other features than `names`, or other inputs, heads, losses,
    attention or places.

    `behaviours` are the names of behaviours in the order of their codes, which attention has learned by.
    """
    if start is None:
        return
    if start.names != names:
        changed = sorted(set(start.names) ^ set(names)) or "the order"
        raise BundleError(f"The ranker to start from has other features ({changed}): train from the beginning.")
    chosen = start.shape.selection.settings if start.shape.selection else SelectionSettings()
    asked = {"ranker.operations": settings.operations, "ranker.selection": settings.selection}
    own = ("tasks", "task_weights", "pairwise", "attention", "positions")
    asked |= {f"ranker.{name}": getattr(settings, name) for name in own}
    learned = {"ranker.operations": start.shape.operations or (), "ranker.selection": chosen}
    learned |= {"ranker.tasks": start.shape.weights, "ranker.task_weights": start.shape.task_weights}
    learned |= {"ranker.pairwise": start.shape.pairwise or 0.0, "ranker.attention": start.attention}
    learned |= {"ranker.positions": start.shape.positions or 0}
    if other := [key for key, value in asked.items() if value != learned[key]]:
        raise BundleError(
            f"The ranker to start from was trained with other {' and '.join(other)} than the settings have: "
            "train it from the beginning (jobs/train_ranker.py --full), or set what it was trained with."
        )
    if start.shape.attention and behaviours != start.shape.attention.behaviours:
        raise BundleError(
            f"The ranker to start from attends to behaviours {start.shape.attention.behaviours}, the settings have "
            f"{behaviours}: train it from the beginning (jobs/train_ranker.py --full)."
        )
