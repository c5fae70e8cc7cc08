"""MLflow runs: where they go, and what each one keeps: settings, metrics by epoch, plots, table versions."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

import mlflow
from mlflow.data.delta_dataset_source import DeltaDatasetSource
from mlflow.data.meta_dataset import MetaDataset

from recsys.config import Settings
from recsys.paths import local_folder
from recsys.registry.client import asking

if TYPE_CHECKING:
    from dataclasses import Field

    from matplotlib.axes import Axes

STORE, FILES = "mlflow.db", "mlflow"


class Epoch(Protocol):
    """A training log of one epoch: a dataclass with `epoch` and figures."""

    __dataclass_fields__: ClassVar[dict[str, Field[Any]]]

    @property
    def epoch(self) -> int:
        """Its number."""

    @property
    def speed(self) -> float:
        """What it trained on in a second."""


def connect(settings: Settings) -> None:
    """Point MLflow at MLFLOW_TRACKING_URI and MLFLOW_REGISTRY_URI; without them, at a SQLite file under `artifacts`.

    Raises ConfigError: neither variable is set and `artifacts` is a URI, where no SQLite file can lie.
    """
    if not os.environ.get("MLFLOW_TRACKING_URI"):
        local_folder(settings.artifacts).mkdir(parents=True, exist_ok=True)
        mlflow.set_tracking_uri(_store(settings))
        if not os.environ.get("MLFLOW_REGISTRY_URI"):
            mlflow.set_registry_uri(_store(settings))


def experiment(settings: Settings, model: str) -> str:
    """Id of the model's experiment, made if it is absent; without a tracking server its files lie under `artifacts`.

    Raises RegistryError: no answer.
    """
    name = f"{settings.registry.experiment}-{model}"
    with asking():
        found = mlflow.get_experiment_by_name(name)
        if found is not None:
            return str(found.experiment_id)
        # The variable does not tell whose store it is: `set_tracking_uri` exports it too.
        own = mlflow.get_tracking_uri() == _store(settings)
        place = (local_folder(settings.artifacts) / FILES / model).as_uri() if own else None
        return str(mlflow.create_experiment(name, artifact_location=place))


@contextmanager
def run(
    settings: Settings, model: str, name: str, params: Mapping[str, object], tables: Mapping[str, int]
) -> Iterator[str]:
    """An MLflow run of the model's experiment; gives its id. A run inside a run is nested under it.

    `params` are logged as parameters; `tables` (name -> Delta version read) as tags `table.NAME` and as dataset inputs.
    The run is marked failed if an error leaves the block. Raises ConfigError as `connect`; RegistryError: no answer.
    """
    connect(settings)
    tags = {f"table.{table}": str(version) for table, version in tables.items()}
    nested = mlflow.active_run() is not None
    with mlflow.start_run(experiment_id=experiment(settings, model), run_name=name, tags=tags, nested=nested) as active:
        mlflow.log_params({key: str(value) for key, value in params.items()})
        for table, version in tables.items():
            source = DeltaDatasetSource(path=f"{settings.warehouse.rstrip('/')}/{table}", delta_table_version=version)
            mlflow.log_input(MetaDataset(source, name=table), context="training")
        yield str(active.info.run_id)


def log_epoch(log: Epoch) -> None:
    """Every figure of an epoch as a metric at that step; usable as `on_epoch`. NaN (not defined) is left out."""
    figures = {key: float(value) for key, value in asdict(log).items() if isinstance(value, int | float)}
    figures["speed"] = log.speed
    mlflow.log_metrics({k: v for k, v in figures.items() if v == v and k != "epoch"}, step=log.epoch)


def log_plot(name: str, draw: Callable[[Axes], None], height: float = 4) -> None:
    """Draw into one pair of axes, `height` inches high, and keep it as `plots/NAME.png` of the active run."""
    from matplotlib.figure import Figure  # half a second, which going back must not wait for

    figure = Figure(figsize=(7, height), layout="constrained")
    draw(figure.subplots())
    mlflow.log_figure(figure, f"plots/{name}.png")


def log_curves(logs: Sequence[Epoch], names: Sequence[str]) -> None:
    """One plot for each of the figures `names`, over epochs."""
    for name in names:

        def draw(axes: Axes, name: str = name) -> None:
            axes.plot([log.epoch for log in logs], [asdict(log)[name] for log in logs], marker="o")
            axes.set(xlabel="epoch", ylabel=name.replace("_", " "))

        log_plot(name, draw)


def _store(settings: Settings) -> str:
    return f"sqlite:///{local_folder(settings.artifacts) / STORE}"
