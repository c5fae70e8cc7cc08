"""The night's challenger: ranker trained on what is new, bundle, comparison with the champion, alias."""

from __future__ import annotations

import logging
import uuid
from dataclasses import asdict
from datetime import date, timedelta
from pathlib import Path

import mlflow
import pandas as pd
import pyarrow as pa
import torch
from pyspark.sql import functions as F

from recsys.config import Settings
from recsys.days import hours_of
from recsys.encoder.job import encoders_of, read_encoder, steps_of
from recsys.features.definitions import feature_names
from recsys.features.item import ItemSnapshot
from recsys.features.snapshots import write_snapshots
from recsys.io import View, Warehouse
from recsys.log import event
from recsys.monitor.explained import log_explained
from recsys.monitor.paired import paired_ndcg
from recsys.monitor.selection import log_selection
from recsys.paths import local_folder
from recsys.ranking.gate import broken
from recsys.ranking.held import head_figures, place_figures
from recsys.ranking.job import (
    as_examples,
    example_rows,
    pinned_of,
    replayed_rows,
    steps_again,
    write_examples,
)
from recsys.ranking.pinned import Pinned
from recsys.ranking.select import train_selected
from recsys.ranking.start import check_start
from recsys.ranking.train import EpochLog, Examples, best_epoch
from recsys.ranking.trained import TrainedRanker
from recsys.registry import alias, tracking
from recsys.registry import bundle as bundles
from recsys.registry.alias import Decision
from recsys.registry.bundle import Bundle
from recsys.registry.compare import Paired
from recsys.registry.kept import registry_folder
from recsys.registry.promote import Evaluate, promote
from recsys.tables import EVENTS, USER_PROFILES
from recsys.topn.spark import ModelPaths

MODEL = "ranker"
REQUESTS = 20  # real requests that a new version has to answer before its alias may move
log = logging.getLogger(__name__)


def train_and_challenge(
    warehouse: Warehouse, settings: Settings, day: date, champion: Bundle | None, pinned: Pinned | None = None
) -> Decision:
    """Train the ranker on the labels that the day's base encoder has not seen, and let the new bundle challenge.

    With a `champion` its ranker is the start. Encoder and ranker know nothing of the business day `day`: on it both
    bundles are compared. Everything is kept in one MLflow run, and what the examples were made of also in
    `artifacts/examples/DAY.json`; with `pinned`, such a file of an earlier run, they are made as they were then.
    Raises NoDataError: no encoders for the day (train them first), or no labels. BundleError: the champion's ranker
    reads other inputs than the settings want. RefusedError, VersionGoneError: what is pinned can not be made again.

    Where what is new is too little or broken (`ranker.gate`), nothing is trained: the decision is a refusal without a
    version.
    """
    names = feature_names(settings.features)
    start = None if champion is None else champion.ranker
    check_start(start, settings.ranker, names, tuple(settings.behaviours))
    encoder = read_encoder(encoders_of(settings, day).encoder, day)
    steps = steps_again(pinned) if pinned else steps_of(settings, day)
    first, last = steps[0].since, steps[-1].until
    versions = write_examples(warehouse, settings, steps, pinned)
    rows = example_rows(warehouse.view(), first, last, attended=settings.ranker.attention > 0)
    older = rows.slice(0, 0) if start is None else replayed_rows(warehouse.view(), rows, first, settings)
    found, learned = (
        as_examples(table, settings.ranker.tasks, settings.behaviours)
        for table in (rows, pa.concat_tables([older, rows]))
    )
    made = pinned_of(warehouse, settings, steps, versions, rows)
    _keep_pinned(made, pinned, settings, day)
    params = {**settings.ranker.model_dump(), "seed": settings.seed, "warm": start is not None, "day": day}
    params |= {"labels_from": first, "labels_to": last, "examples": len(found.y), "examples_sha256": made.sha256}
    params |= {"replayed_examples": older.num_rows}
    torch.set_num_threads(settings.threads)
    with tracking.run(settings, MODEL, day.isoformat(), params, versions):
        mlflow.log_dict(made.model_dump(mode="json"), "examples.json")
        if why := _unsound(found, start, settings):
            decision = Decision(outcome=alias.REFUSED, version="", bundle="", previous=None, reason=why)
        else:
            ranker = _train(found, learned, settings, names, start)
            view = warehouse.view()
            test, serve = _snapshots(view, settings, day)
            folder = local_folder(settings.artifacts) / "bundles" / f"{day}-{uuid.uuid4().hex[:8]}"
            parent = None if champion is None else champion.id
            snapshot = ItemSnapshot.load(Path(serve), settings.features)
            bundles.save(folder, encoder, ranker, snapshot, settings, versions, parent)
            judge = _judge(view, settings, day, test)
            decision = promote(folder, settings, _requests(view), judge, registry_folder(settings))
        _keep(decision)
    event(log, "decision", outcome=decision.outcome, version=decision.version, reason=decision.reason)
    return decision


def _keep_pinned(made: Pinned, pinned: Pinned | None, settings: Settings, day: date) -> None:
    """In a file of the day; what was made again must be what it was."""
    if pinned:
        pinned.agree(made)
    else:
        made.save(local_folder(settings.artifacts) / "examples" / f"{day}.json")


def _unsound(found: Examples, start: TrainedRanker | None, settings: Settings) -> str:
    """Only an increment is held against what was before: a full training is what a changed world calls for."""
    if start is None:
        return ""
    return broken(start.shape.seen, start.names, found.x, found.y, found.request, settings.ranker.gate)


def _train(
    found: Examples, learned: Examples, settings: Settings, names: tuple[str, ...], start: TrainedRanker | None
) -> TrainedRanker:
    """The ranker of what is `learned`; its curves, choice of features, and what `found`, the new ones, say of it."""
    event(log, "training the ranker", examples=len(learned.y), positives=int(learned.y.sum()), warm=start is not None)
    ranker, logs = train_selected(learned, settings.ranker, settings.seed, names, start, _say)
    tracking.log_curves(logs, ["loss", "validation_logloss", "validation_auc"])
    if start is None and ranker.shape.selection is not None:
        log_selection(ranker.shape.selection)
    log_explained(ranker, found, settings)
    figures = head_figures(ranker, found, settings.ranker) | place_figures(ranker)
    mlflow.log_metrics({name: value for name, value in figures.items() if value == value})
    mlflow.log_metrics({"best_epoch": best_epoch(logs), "trained_examples": len(learned.y)})
    return ranker


def paths_of(bundle: Bundle, snapshot: str) -> ModelPaths:
    """Where executors read a bundle's models, with the item snapshot of the moment in question."""
    encoder, ranker = bundle.folder / bundles.ENCODER, bundle.folder / bundles.RANKER
    return ModelPaths(encoder=str(encoder), ranker=str(ranker), snapshot=snapshot)


def snapshots_folder(settings: Settings) -> str:
    """Where item snapshots lie, one file an hour."""
    return str(local_folder(settings.artifacts) / "snapshots")


def _snapshots(view: View, settings: Settings, day: date) -> tuple[str, str]:
    """Item snapshots at the start of the day, which the test may know, and at its end, which consumers get."""
    hours = [hours_of(d, settings.timezone)[0] for d in (day, day + timedelta(days=1))]
    test, serve = write_snapshots(view, hours, settings, snapshots_folder(settings))
    return test[1], serve[1]


def _judge(view: View, settings: Settings, day: date, snapshot: str) -> Evaluate:
    def judge(challenger: Bundle, champion: Bundle) -> Paired:
        paths = [paths_of(bundle, snapshot) for bundle in (challenger, champion)]
        return paired_ndcg(view.read(EVENTS), day, paths[0], paths[1], settings)

    return judge


def _requests(view: View) -> pd.DataFrame:
    """A few users' behaviours as a consumer would send them."""
    rows = view.read(USER_PROFILES).select("recent").where(F.size("recent") > 0).limit(REQUESTS).toArrow()
    fields = ("behaviour", "item_id", "price_minor", "quantity", "value")
    sent = [
        [{"event_time": one["event_time"].isoformat(), **{name: one[name] for name in fields}} for one in row]
        for row in rows["recent"].to_pylist()
    ]
    frame: pd.DataFrame = pd.DataFrame({"recent": sent})
    return frame


def _keep(decision: Decision) -> None:
    """The decision in the active run: how the bundles compared, and what became of the new one."""
    tags = {
        "decision.outcome": decision.outcome,
        "decision.version": decision.version,
        "decision.reason": decision.reason,
    }
    mlflow.set_tags(tags)
    if decision.comparison is not None:
        figures = asdict(decision.comparison)
        mlflow.log_metrics({f"compare.{k}": float(v) for k, v in figures.items() if isinstance(v, int | float)})


def _say(epoch: EpochLog) -> None:
    tracking.log_epoch(epoch)
    reached = round(epoch.validation_auc, 4)
    if epoch.epoch == 0:  # the weights that training starts from, which no loss has led to
        event(log, "ranker at the start", logging.INFO, validation_auc=reached)
        return
    event(log, "ranker epoch", logging.INFO, epoch=epoch.epoch, loss=round(epoch.loss, 4), validation_auc=reached)
