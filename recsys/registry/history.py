"""What MLflow kept of a night's training, read back: curves by epoch, the decision."""

from __future__ import annotations

from dataclasses import dataclass, field

import mlflow
from mlflow.entities import Run

from recsys.config import Settings
from recsys.registry import tracking


@dataclass(frozen=True, kw_only=True)
class Trained:
    """The newest finished run of a model for a day; empty where there is none."""

    series: dict[str, tuple[tuple[int, ...], tuple[float, ...]]] = field(
        default_factory=dict
    )  # metric -> steps, values
    tags: dict[str, str] = field(default_factory=dict)


def trained(settings: Settings, model: str, name: str, metrics: tuple[str, ...]) -> Trained:
    """The run called `name` of the model's experiment, with the history of each of `metrics` that it logged."""
    tracking.connect(settings)
    experiment = tracking.experiment(settings, model)
    query = f"attributes.run_name = '{name}' and attributes.status = 'FINISHED'"
    runs: list[Run] = mlflow.search_runs([experiment], query, max_results=1, output_format="list")
    if not runs:
        return Trained()
    client = mlflow.MlflowClient()
    series = {}
    for metric in metrics:
        points = sorted(client.get_metric_history(runs[0].info.run_id, metric), key=lambda point: point.step)
        if points:
            series[metric] = (tuple(p.step for p in points), tuple(p.value for p in points))
    return Trained(series=series, tags=dict(runs[0].data.tags))
