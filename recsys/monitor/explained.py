"""What a trained ranker leans on and how far its probabilities hold, kept in its MLflow run: a table and plots."""

from __future__ import annotations

import csv
import io

import mlflow
import numpy as np
from matplotlib.axes import Axes

from recsys.config import Settings
from recsys.features.history import F64
from recsys.monitor import plots
from recsys.ranking.held import held_out
from recsys.ranking.importance import gradients, importance, named
from recsys.ranking.train import Examples
from recsys.ranking.trained import TrainedRanker
from recsys.ranking.validation import reliability, split
from recsys.registry import tracking

TABLE = "importance.csv"
FIGURES = {"permutation": "log loss that shuffling costs, nats", "gradients": "mean size of its part in the logit"}
SHOWN = 30  # features in a plot: the largest
REPEATS = 3  # shuffles of each feature


def log_explained(ranker: TrainedRanker, examples: Examples, settings: Settings) -> None:
    """Reliability of the held-out slice, and the importance of each feature on `ranker.explain` examples of it."""
    labels, chance, weight = held_out(ranker, examples, settings.ranker)
    held = reliability(labels, chance, weight=weight)
    tracking.log_plot("reliability", lambda axes: plots.draw_reliability(axes, held))
    mlflow.log_metrics({"validation_calibration_error": held.error})
    if not settings.ranker.explain:
        return
    newest = np.flatnonzero(~split(examples.request, examples.at, settings.ranker.validation))
    random = np.random.default_rng(settings.seed)
    rows = random.choice(newest, min(settings.ranker.explain, len(newest)), replace=False)
    (x, recent), y, names = examples.read(rows), examples.y[rows], named(ranker)
    offset = examples.taken_off(ranker, rows)
    found = {
        "permutation": importance(ranker, x, y, offset, REPEATS, settings.seed, recent),
        "gradients": gradients(ranker, x, recent),
    }
    mlflow.log_text(table(names, found), TABLE)
    for figure, values in found.items():

        def draw(axes: Axes, figure: str = figure, values: F64 = values) -> None:
            plots.draw_bars(axes, bars(FIGURES[figure], names, values))

        tracking.log_plot(f"importance_{figure}", draw, height=2 + 0.2 * min(SHOWN, len(names)))


def table(names: tuple[str, ...], found: dict[str, F64]) -> str:
    """CSV: every feature in order with its figures."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["feature", *found])
    writer.writerows(zip(names, *(values.tolist() for values in found.values()), strict=True))
    return text.getvalue()


def bars(title: str, names: tuple[str, ...], values: F64) -> plots.Bars:
    """The SHOWN largest values, the largest first."""
    places = np.argsort(-values, kind="stable")[:SHOWN]
    return plots.Bars(title=title, lines=tuple((names[place], float(values[place]), True) for place in places))
