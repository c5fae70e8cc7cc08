"""From a bundle to the champion: register, load back, verify, score, compare, and only then move the alias."""

from __future__ import annotations

import math
import shutil
import warnings
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from pathlib import Path

import mlflow
import pandas as pd
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import INVALID_PARAMETER_VALUE, RESOURCE_DOES_NOT_EXIST, ErrorCode

import recsys
from recsys.config import RegistrySettings, Settings
from recsys.errors import BundleError, RefusedError
from recsys.registry import bundle as bundles
from recsys.registry import tracking
from recsys.registry.bundle import Bundle
from recsys.registry.compare import Comparison, Paired, compare
from recsys.registry.consumer import SIGNATURE
from recsys.registry.manifest import verify
from recsys.registry.packaged import LOADER, bundle_folder

with warnings.catch_warnings():  # about MLflow's own type hints
    warnings.simplefilter("ignore", UserWarning)
    import mlflow.pyfunc

Evaluate = Callable[[Bundle, Bundle], Paired]
ABSENT = {ErrorCode.Name(INVALID_PARAMETER_VALUE), ErrorCode.Name(RESOURCE_DOES_NOT_EXIST)}


@dataclass(frozen=True, kw_only=True)
class Decision:
    """What became of a version. It is also written into the version's tags, each field as `decision.FIELD`."""

    outcome: str  # promoted, refused or rolled back
    version: str
    bundle: str
    previous: str | None  # version that the alias pointed at before
    reason: str
    comparison: Comparison | None = None

    def require(self) -> None:
        """Raise RefusedError with the reason unless the alias points at the version now."""
        if self.outcome == "refused":
            raise RefusedError(f"Version {self.version} was not promoted: {self.reason}.")


def register(folder: Path, settings: RegistrySettings, tags: Mapping[str, str] | None = None) -> str:
    """Make the bundle in `folder` a new version of the registered model; return the version's number.

    The model holds the bundle's files and the name of the loader module, no code and no pickle; it needs the wheel
    `recsys` of this version. It is logged to the active run, if there is one. Raises BundleError: not a sound bundle.
    """
    manifest, name = verify(folder)
    about = {"bundle": name, "parent": manifest.parent or "", "feature_hash": manifest.feature_hash}
    about |= {f"table.{table}": str(version) for table, version in manifest.tables.items()}
    with warnings.catch_warnings():
        # An example would be one more file beside the bundle; SIGNATURE says as much.
        warnings.filterwarnings("ignore", ".*input example was not provided", UserWarning)
        logged = mlflow.pyfunc.log_model(
            name="bundle",
            loader_module=LOADER,
            data_path=str(folder),
            signature=SIGNATURE,
            pip_requirements=[f"recsys=={recsys.__version__}"],
            registered_model_name=settings.model,
        )
    version = str(logged.registered_model_version)
    _tag(settings, version, {**about, **(tags or {})})
    return version


def champion(settings: RegistrySettings) -> ModelVersion | None:
    """The version that the alias points at; None: there is no such model or alias yet."""
    try:
        return mlflow.MlflowClient().get_model_version_by_alias(settings.model, settings.alias)
    except MlflowException as error:
        if error.error_code in ABSENT:
            return None
        raise


def fetch(settings: RegistrySettings, version: str, work: Path) -> Bundle:
    """Download a version into `work` and load its bundle, after both were verified. MLflow runs no code of it.

    Raises BundleError: the model is not one that `register` makes, its bundle is not sound, or not the registered one.
    """
    return bundles.load(_download(settings, version, work))


def promote(folder: Path, settings: Settings, batch: pd.DataFrame, evaluate: Evaluate, work: Path) -> Decision:
    """Register the bundle in `folder` and make it the champion if it is better than the present one.

    The version is downloaded from the registry into `work`, verified, loaded as any consumer would, and has to answer
    `batch` (requests as in consumer.SIGNATURE). Then `evaluate(challenger, champion)` measures both on the newest time
    slice. The alias moves if the gain is above 0 in at least `registry.confidence` of the resamples, or if there is no
    champion. Otherwise the outcome is `refused`. Both bundles passed to `evaluate` lie under `work`.

    Raises BundleError: a bundle that is not sound or does not answer; the version is tagged as refused.
    """
    names = settings.registry
    present = champion(names)
    previous = None if present is None else str(present.version)
    # Without a run, MLflow would put the files into the working folder.
    inside = nullcontext() if mlflow.active_run() else tracking.run(settings, "bundle", "register", {}, {})
    with inside:
        version = register(folder, names)
    try:
        challenger = fetch(names, version, work)
        _answers(work / version, batch)
    except BundleError as error:
        reason = str(error).rstrip(".")
        _record(names, Decision(outcome="refused", version=version, bundle="", previous=previous, reason=reason))
        raise
    if previous is None:
        return _move(names, version, challenger.id, None, "there was no champion", None)
    paired = evaluate(challenger, fetch(names, previous, work))
    found = compare(paired, settings.seed, names.resamples)
    if found.gain > 0 and found.ahead >= names.confidence:
        return _move(names, version, challenger.id, previous, found.sentence(), found)
    refused = Decision(
        outcome="refused",
        version=version,
        bundle=challenger.id,
        previous=previous,
        reason=f"{found.sentence()}, wanted {names.confidence:.0%}; version {previous} stays {names.alias}",
        comparison=found,
    )
    _record(names, refused)
    return refused


def rollback(settings: RegistrySettings, work: Path) -> Decision:
    """Point the alias at the version that was champion before, after verifying its files again.

    Raises RefusedError: there is no champion, or none before it. BundleError: the earlier version is not sound.
    """
    present = champion(settings)
    if present is None:
        raise RefusedError(f"Model {settings.model!r} has no {settings.alias!r} to roll back from.")
    previous = present.tags.get("decision.previous")
    if not previous:
        raise RefusedError(f"Version {present.version} was the first {settings.alias!r}: there is none to go back to.")
    earlier = mlflow.MlflowClient().get_model_version(settings.model, previous)
    _download(settings, previous, work)
    # The earlier version keeps its own predecessor, so that a second rollback goes one step further.
    before = earlier.tags.get("decision.previous") or None
    reason = f"rolled back from version {present.version}"
    _tag(
        settings,
        str(present.version),
        {"decision.outcome": "rolled back", "decision.reason": f"rolled back to version {previous}"},
    )
    return _move(settings, previous, earlier.tags.get("bundle", ""), before, reason, None)


def _download(settings: RegistrySettings, version: str, work: Path) -> Path:
    """Folder of the version's bundle under `work`, verified."""
    place = work / version
    shutil.rmtree(place, ignore_errors=True)  # what lay here from an earlier run is not what the registry holds
    place.mkdir(parents=True)
    try:
        mlflow.artifacts.download_artifacts(f"models:/{settings.model}/{version}", dst_path=str(place))
    except (OSError, MlflowException) as error:
        raise BundleError(f"Version {version} of {settings.model!r} cannot be downloaded: {error}") from error
    folder = bundle_folder(place)
    _, name = verify(folder)
    wanted = mlflow.MlflowClient().get_model_version(settings.model, version).tags.get("bundle")
    if name != wanted:
        raise BundleError(f"Version {version} of {settings.model!r} holds bundle {name}, registered was {wanted}.")
    return folder


def _answers(model: Path, batch: pd.DataFrame) -> None:
    """Load the model as a consumer does and let it answer. BundleError: no, too few, or impossible answers."""
    try:
        answers = mlflow.pyfunc.load_model(str(model)).predict(batch)
    except MlflowException as error:
        raise BundleError(f"The bundle does not answer: {error.message}") from error
    scores = [score for row in answers["scores"] for score in row]
    if len(answers) != len(batch) or not scores or not all(math.isfinite(score) for score in scores):
        raise BundleError(
            f"The bundle answered {len(answers)} of {len(batch)} requests with {len(scores)} scores, "
            f"{sum(not math.isfinite(score) for score in scores)} of them not finite."
        )


def _move(
    settings: RegistrySettings, version: str, bundle: str, previous: str | None, reason: str, found: Comparison | None
) -> Decision:
    # Tags first: a kill in between leaves a version that is not champion and says why it was about to be.
    decision = Decision(
        outcome="promoted", version=version, bundle=bundle, previous=previous, reason=reason, comparison=found
    )
    _record(settings, decision)
    mlflow.MlflowClient().set_registered_model_alias(settings.model, settings.alias, version)
    return decision


def _record(settings: RegistrySettings, decision: Decision) -> None:
    figures = {} if decision.comparison is None else asdict(decision.comparison)
    fields = {"outcome": decision.outcome, "previous": decision.previous or "", "reason": decision.reason, **figures}
    fields["at"] = datetime.now(timezone.utc).isoformat(timespec="seconds")
    _tag(settings, decision.version, {f"decision.{key}": str(value) for key, value in fields.items()})


def _tag(settings: RegistrySettings, version: str, tags: Mapping[str, str]) -> None:
    for key, value in tags.items():
        mlflow.MlflowClient().set_model_version_tag(settings.model, version, key, value)
