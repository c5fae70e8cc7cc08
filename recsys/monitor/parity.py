"""The rates of the nightly parity check, in MLflow: a metric for each kind, table and feature."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import asdict
from datetime import date

import mlflow

from recsys.config import Settings
from recsys.features.parity import KINDS, Compared
from recsys.io import View
from recsys.log import event
from recsys.registry import tracking
from recsys.tables import EVENTS, ITEM_FEATURES, USER_PROFILES

MODEL = "parity"
log = logging.getLogger(__name__)


def rates(found: Sequence[Compared]) -> dict[str, float]:
    """`KIND/TABLE/FEATURE` -> share of the compared rows; nothing where none was compared."""
    return {f"{kind}/{one.table}/{one.feature}": rate for one in found for kind, rate in one.rates.items()}


def publish(settings: Settings, view: View, day: date, found: Sequence[Compared]) -> None:
    """A run of the experiment `parity`, named by the day: rates as metrics, counts as `parity.json`.

    One line of the log says how many values differ, as a warning where there are any.
    """
    read = (EVENTS, USER_PROFILES, ITEM_FEATURES)
    versions = {table.name: view.versions[table.name] for table in read if view.has(table)}
    params = {"day": day, "share": settings.evaluate.parity}
    with tracking.run(settings, MODEL, day.isoformat(), params, versions):
        mlflow.log_metrics(rates(found))
        mlflow.log_dict({"features": [asdict(one) for one in found]}, "parity.json")
    differing = sum(getattr(one, kind) for one in found for kind in KINDS)
    values, level = sum(one.rows for one in found), logging.WARNING if differing else logging.INFO
    event(log, "parity", level, day=day.isoformat(), values=values, differing=differing)
