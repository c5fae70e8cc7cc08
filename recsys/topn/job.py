"""Every active user's Top-N into its table."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from pathlib import Path

from pyspark.sql import functions as F

from recsys.config import Settings
from recsys.features.snapshots import write_snapshots
from recsys.io import Warehouse
from recsys.tables import RECOMMENDATIONS, USER_PROFILES
from recsys.topn.spark import ModelPaths, recommend_users

JOB = "recommend"


def write_recommendations(
    warehouse: Warehouse, settings: Settings, encoder: Path, ranker: Path, bundle: str, at: datetime, folder: str
) -> None:
    """Append the lists of the users with an event in the `topn.active_days` before `at`, a moment with its zone.

    Item features are those of the full hour at or before `at`; the snapshot file is written into `folder`.
    """
    view, started = warehouse.view(), datetime.now(timezone.utc)
    hour = at.astimezone(timezone.utc).replace(minute=0, second=0, microsecond=0)
    ((_, snapshot),) = write_snapshots(view, [hour], settings, folder)
    profiles = view.latest(USER_PROFILES, ("recent", "as_of"))
    active = profiles.where(F.col("as_of") >= F.lit(at - timedelta(days=settings.topn.active_days)))
    paths = ModelPaths(encoder=str(encoder), ranker=str(ranker), snapshot=snapshot)
    rows = recommend_users(active, paths, bundle, at, settings)
    commit = warehouse.next_batch(JOB)
    version = warehouse.write(RECOMMENDATIONS, commit.stamp(rows), commit)
    warehouse.finish(commit, {RECOMMENDATIONS.name: version}, started)
