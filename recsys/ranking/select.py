"""Training with a selection of features: figures without a model, a first ranker, its importances, the final ranker.

All figures are of examples of training time: those without a model of the older ones that training learns from,
importance of the newest slice, which only stops it. No Spark. Shape letters: N examples, F features.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from recsys.config import RankerSettings, SelectionSettings
from recsys.errors import NoDataError
from recsys.features.history import F64, I64
from recsys.features.windows import Bool
from recsys.ranking.filters import measure, rank_correlation
from recsys.ranking.importance import importance
from recsys.ranking.selected import Measured, Selected
from recsys.ranking.train import EpochLog, Examples, train_ranker
from recsys.ranking.trained import TrainedRanker
from recsys.ranking.validation import split

BY_HAND = "left out by hand"


def train_selected(
    examples: Examples,
    settings: RankerSettings,
    seed: int,
    names: tuple[str, ...],
    start: TrainedRanker | None = None,
    on_epoch: Callable[[EpochLog], None] | None = None,
) -> tuple[TrainedRanker, list[EpochLog]]:
    """`train_ranker` with the features that `settings.selection` leaves; with `start` with those that it has.

    Where importance decides, a first ranker is trained, and a second one without what the first did not need;
    `on_epoch` is told of the one that is returned. The same input and seed choose the same. Raises as `train_ranker`;
    NoDataError: no feature is left.
    """
    selection = settings.selection
    if start is not None or selection == SelectionSettings():
        return train_ranker(examples, settings, seed, names, start, on_epoch)
    older = split(examples.request, examples.at, settings.validation)
    random = np.random.default_rng(seed)
    learned, newest = (_sample(rows, selection.rows, random) for rows in (older, ~older))
    named = {name for operation in settings.operations for name in operation.names}
    by_figures = Selected(settings=selection, features=_filtered(examples, learned, selection, names, named))
    ranker, logs = train_ranker(examples, settings, seed, names, dropped=_checked(by_figures, names))
    chosen = by_figures
    if selection.by:
        x, recent = examples.read(newest)
        offset = examples.taken_off(ranker, newest)
        rises = importance(ranker, x, examples.y[newest], offset, selection.repeats, seed, recent)
        weighed = _weighed(by_figures, rises[: len(names)], ranker.inputs.read, named)
        chosen = Selected(settings=selection, features=weighed)
    if set(chosen.dropped) != set(by_figures.dropped):
        ranker, logs = train_ranker(examples, settings, seed, names, dropped=_checked(chosen, names))
    if on_epoch is not None:
        for log in logs:
            on_epoch(log)
    return replace(ranker, shape=ranker.shape.model_copy(update={"selection": chosen})), logs


def _sample(rows: Bool, most: int, random: np.random.Generator) -> I64:
    found = np.flatnonzero(rows)
    return found if len(found) <= most else np.sort(random.choice(found, most, replace=False))


def _checked(selected: Selected, names: tuple[str, ...]) -> tuple[str, ...]:
    if len(selected.dropped) == len(names):
        raise NoDataError("ranker.selection leaves no feature: loosen its thresholds, or name fewer methods in `by`.")
    return selected.dropped


def _filtered(
    examples: Examples, rows: I64, selection: SelectionSettings, names: tuple[str, ...], named: set[str]
) -> tuple[Measured, ...]:
    """Every feature with its figures, and the reasons that these alone give. `named` ones stay."""
    if not selection.by:
        return tuple(Measured(feature=name, reason=BY_HAND if name in selection.drop else "") for name in names)
    x, y = examples.x[rows], examples.y[rows]
    correlation = rank_correlation(x)
    found = measure(x, y, names, correlation)
    reasons = dict.fromkeys(selection.drop, BY_HAND)
    for one in found:
        reason = _useless(one, selection)
        if reason and one.feature not in named | set(reasons):
            reasons[one.feature] = reason
    if "correlation" in selection.by:
        reasons |= _doubles(correlation, found, selection.correlation, named, set(reasons))
    return tuple(one.model_copy(update={"reason": reasons.get(one.feature, "")}) for one in found)


def _useless(one: Measured, selection: SelectionSettings) -> str:
    if "mutual_information" in selection.by and (one.mutual_information or 0) < selection.mutual_information:
        return f"mutual information {one.mutual_information:.2g} < {selection.mutual_information:g} nats"
    if "chi2" in selection.by and one.p_value is not None and one.p_value > selection.chi2:
        return f"chi² p-value {one.p_value:.2g} > {selection.chi2:g}"
    return ""


def _doubles(
    correlation: F64, found: tuple[Measured, ...], limit: float, named: set[str], gone: set[str]
) -> dict[str, str]:
    """Of each pair that is too alike, the closest first, the feature that tells less of the label."""
    first, second = np.triu_indices(len(found), 1)
    strength = np.abs(correlation[first, second])
    alike = np.flatnonzero(np.nan_to_num(strength) > limit)
    reasons: dict[str, str] = {}
    for pair in alike[np.argsort(-strength[alike], kind="stable")]:
        ranked = sorted(
            (found[first[pair]], found[second[pair]]),
            key=lambda one: (one.feature not in named, -(one.mutual_information or 0)),
        )
        stays, goes = (one.feature for one in ranked)
        if goes not in named and not {stays, goes} & (gone | set(reasons)):
            reasons[goes] = f"rank correlation {correlation[first[pair], second[pair]]:.3f} with {stays}"
    return reasons


def _weighed(selected: Selected, rises: F64, read: Bool, named: set[str]) -> tuple[Measured, ...]:
    """The same with importances, and the reasons that they give."""
    settings = selected.settings
    place = {int(column): rank for rank, column in enumerate(np.argsort(-rises, kind="stable"))}
    features = []
    for column, one in enumerate(selected.features):
        reason = one.reason
        if "importance" in settings.by and not reason and one.feature not in named:
            if rises[column] < settings.importance or rises[column] == 0:
                reason = f"shuffling it costs {rises[column]:.2g} nats, wanted more than {settings.importance:g}"
            elif settings.most and place[column] >= settings.most:
                reason = f"place {place[column] + 1} by importance, wanted the first {settings.most}"
        told = float(rises[column]) if read[column] else None
        features.append(one.model_copy(update={"reason": reason, "importance": told}))
    return tuple(features)
