"""The selection report: which features the ranker reads, which went and why. A table and plots; no Spark."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence

import mlflow
from matplotlib.axes import Axes

from recsys.monitor import plots
from recsys.ranking.selected import Measured, Selected
from recsys.registry import tracking

TABLE = "selection.csv"
FIGURES = {"importance": "log loss that shuffling costs, nats", "mutual_information": "mutual information, nats"}
SHOWN = 30  # features in a plot: the largest


def table(selected: Selected) -> str:
    """CSV: every feature in order with its figures, whether it stays, and why not. Empty cells: not measured."""
    text = io.StringIO()
    columns = [name for name in Measured.model_fields if name != "reason"]
    writer = csv.DictWriter(text, [*columns, "stays", "reason"], lineterminator="\n")
    writer.writeheader()
    for one in selected.features:
        writer.writerow(one.model_dump() | {"stays": one.feature not in selected.dropped})
    return text.getvalue()


def largest(selected: Selected, figure: str) -> list[Measured]:
    """The features that have the figure, the SHOWN largest first."""
    known = [one for one in selected.features if getattr(one, figure) is not None]
    return sorted(known, key=lambda one: -float(getattr(one, figure)))[:SHOWN]


def bars(selected: Selected, figure: str) -> plots.Bars:
    """One of FIGURES as bars: features that stay, and those that went."""
    gone = {one.feature for one in selected.features if one.reason}
    shown = largest(selected, figure)
    return plots.Bars(
        title=FIGURES[figure],
        lines=tuple((one.feature, float(getattr(one, figure)), one.feature not in gone) for one in shown),
    )


def log_selection(selected: Selected) -> None:
    """Keep the table and a plot of each figure as artifacts of the active MLflow run, and how many features went."""
    mlflow.log_text(table(selected), TABLE)
    mlflow.log_metrics({"features_left_out": len(selected.dropped)})
    for figure in measured(selected):

        def draw(axes: Axes, figure: str = figure) -> None:
            plots.draw_bars(axes, bars(selected, figure))

        tracking.log_plot(f"selection_{figure}", draw, height=2 + 0.2 * len(largest(selected, figure)))


def measured(selected: Selected) -> Sequence[str]:
    """Those of FIGURES that some feature has."""
    return [figure for figure in FIGURES if largest(selected, figure)]
