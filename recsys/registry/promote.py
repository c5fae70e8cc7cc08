"""From a bundle to the champion: register, load back, verify, score, compare, and only then move the alias."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from pathlib import Path

import mlflow
import pandas as pd
from mlflow.exceptions import MlflowException

import recsys
from recsys.config import RegistrySettings, Settings
from recsys.errors import BundleError
from recsys.registry import alias, client, moves, tracking
from recsys.registry import bundle as bundles
from recsys.registry.alias import BUNDLE, PROMOTED, REFUSED, Decision
from recsys.registry.bundle import Bundle
from recsys.registry.card import describe
from recsys.registry.compare import Paired, compare
from recsys.registry.consumer import SIGNATURE
from recsys.registry.kept import fetch_model
from recsys.registry.manifest import verify
from recsys.registry.packaged import LOADER, bundle_folder

with warnings.catch_warnings():  # about MLflow's own type hints
    warnings.simplefilter("ignore", UserWarning)
    import mlflow.pyfunc

Evaluate = Callable[[Bundle, Bundle], Paired]
TRIES = 5  # comparisons with a champion that changes meanwhile


def register(folder: Path, settings: RegistrySettings, tags: Mapping[str, str] | None = None) -> str:
    """Make the bundle in `folder` a new version of the registered model; return the version's number.

    The model holds the bundle's files and the name of the loader module, no code and no pickle; it needs the wheel
    `recsys` of this version. It is logged to the active run, if there is one. Raises BundleError: not a sound bundle;
    RegistryError: no answer.
    """
    manifest, name = verify(folder)
    about = {BUNDLE: name, "parent": manifest.parent or "", "feature_hash": manifest.feature_hash}
    about |= {f"table.{table}": str(version) for table, version in manifest.tables.items()}
    with client.asking(), warnings.catch_warnings():
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
    client.tag(settings, version, {**about, **(tags or {})})
    return version


def fetch(settings: RegistrySettings, version: str, work: Path) -> Bundle:
    """Download a version into `work` and load its bundle, after both were verified. MLflow runs no code of it.

    Raises BundleError: the model is not one that `register` makes, its bundle is not sound, or not the registered one.
    """
    bundle = client.version_of(settings, version).tags.get(BUNDLE, "")
    return bundles.load(bundle_folder(fetch_model(settings, version, bundle, work)))


def promote(folder: Path, settings: Settings, batch: pd.DataFrame, evaluate: Evaluate, work: Path) -> Decision:
    """Register the bundle in `folder` and make it the champion if it is better than the present one.

    The version is downloaded from the registry into `work`, verified, loaded as any consumer would, and has to answer
    `batch` (requests as in consumer.SIGNATURE). Then `evaluate(challenger, champion)` measures both on the newest time
    slice. The alias moves if the gain is above 0 in at least `registry.confidence` of the resamples, or if there is no
    champion. Otherwise the outcome is `refused`. Both bundles passed to `evaluate` lie under `work`. A champion that
    another process sets meanwhile is compared with, too.

    Raises BundleError: a bundle that is not sound or does not answer; the version is tagged as refused. RegistryError:
    no answer. RefusedError: another process holds the lock of the copies in `work`.
    """
    # Without a run, MLflow would put the files into the working folder.
    inside = nullcontext() if mlflow.active_run() else tracking.run(settings, "bundle", "register", {}, {})
    with inside:
        version = register(folder, settings.registry)
    return challenge(version, settings, batch, evaluate, work)


def challenge(
    version: str, settings: Settings, batch: pd.DataFrame, evaluate: Evaluate | None, work: Path, why: str = ""
) -> Decision:
    """Make a registered version the champion as `promote` does; without `evaluate` it is compared with nothing."""
    names = settings.registry
    try:
        challenger = fetch(names, version, work)
        _answers(work / version, batch)
    except BundleError as error:
        reason = str(error).rstrip(".")
        _refuse(names, Decision(outcome=REFUSED, version=version, bundle="", previous=None, reason=reason))
        raise
    for _ in range(TRIES):
        decision = _decide(challenger, version, settings, evaluate, work, why)
        describe(names, version, challenger, decision)  # before the alias moves: nothing may fail after that
        if decision.outcome == REFUSED:
            return _refuse(names, decision)
        if alias.move(settings, decision):
            return decision
    reason = f"the {names.alias} changed during each of {TRIES} comparisons"
    gone = Decision(outcome=REFUSED, version=version, bundle=challenger.id, previous=decision.previous, reason=reason)
    return _refuse(names, gone)


def _decide(
    challenger: Bundle, version: str, settings: Settings, evaluate: Evaluate | None, work: Path, why: str
) -> Decision:
    """Compare with the present champion; decides, and writes nothing but what an entered move still lacks."""
    names = settings.registry
    _, present = moves.settle(names)
    if present is None or evaluate is None:
        previous = None if present is None else str(present.version)
        reason = "there was no champion" if present is None else f"by hand, without a comparison: {why}"
        return Decision(outcome=PROMOTED, version=version, bundle=challenger.id, previous=previous, reason=reason)
    previous = str(present.version)
    found = compare(evaluate(challenger, fetch(names, previous, work)), settings.seed, names.resamples)
    better = found.gain > 0 and found.ahead >= names.confidence
    stays = f"{found.sentence()}, wanted {names.confidence:.0%}; version {previous} stays {names.alias}"
    return Decision(
        outcome=PROMOTED if better else REFUSED,
        version=version,
        bundle=challenger.id,
        previous=previous,
        reason=found.sentence() if better else stays,
        comparison=found,
    )


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


def _refuse(settings: RegistrySettings, decision: Decision) -> Decision:
    client.tag(settings, decision.version, alias.fields_of(decision, REFUSED))
    return decision
