"""The query `events -> user_profiles`: the state of the users that a batch touched, with their features, appended."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timezone

from pyspark.sql import DataFrame, Observation
from pyspark.sql import functions as F

from recsys.checkpoints import Checkpoint, agree, checkpoint
from recsys.config import Settings
from recsys.errors import NoDataError, RefusedError
from recsys.features.definitions import feature_hash, profile_features_of, profiles_table
from recsys.features.state import profile_state, with_user_features
from recsys.io import Accounting, Commit, Warehouse
from recsys.log import event
from recsys.tables import EVENTS, USER_PROFILES, Table

QUERY = "user_profiles"
STATE = 2  # raise it when the aggregation's state changes and no setting does: Spark cannot go on with the older one
Derive = Callable[[DataFrame], Mapping[Table, DataFrame]]  # new rows of user_profiles -> rows of further tables
log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Profiles:
    """What one micro-batch of the query needs."""

    warehouse: Warehouse
    settings: Settings
    epoch: int
    pending: int | None  # the batch that an earlier run began
    serving: bool  # else no reader sees the epoch yet: its rows in `batches` name no table
    derive: Derive | None = None  # what else the same batch writes of the users that it touched

    def __call__(self, batch: DataFrame, number: int) -> None:
        """Append the touched users' rows, and what is derived from them, and commit.

        RefusedError: readers see a newer epoch.
        """
        if self.serving:
            check_served(self.warehouse, self.epoch)
        commit = Commit(query=QUERY, epoch=self.epoch, batch=number, replayed=number == self.pending)
        started = datetime.now(timezone.utc)
        table, count = profiles_table(self.settings.features), Observation()
        users = batch.observe(count, F.count("*").alias("users"))
        if commit.replayed and self.warehouse.written(table, commit):
            # The write would be skipped, and with it the plan that moves the state on.
            users.write.format("noop").mode("overwrite").save()
        else:
            self.warehouse.write(table, with_user_features(users, self.settings, commit.columns), commit)
        touched = int(count.get["users"])
        versions = {USER_PROFILES.name: self.warehouse.version(table)} | self._derived(table, commit)
        versions = versions if self.serving else {}
        self.warehouse.finish(commit, versions, started, Accounting(rows_in=touched, accepted=touched))
        event(log, "batch committed", query=QUERY, batch=number, users=touched)

    def _derived(self, table: Table, commit: Commit) -> dict[str, int]:
        """Of the rows as they were written: run from its plan again, the state would be computed twice."""
        made = {} if self.derive is None else self.derive(self.warehouse.rows(table, commit))
        return self.warehouse.write_all(made, commit) if made else {}


def served_epoch(warehouse: Warehouse) -> int | None:
    """The epoch of `user_profiles` that readers see; None: none yet."""
    try:
        return warehouse.view().epoch(USER_PROFILES)
    except NoDataError:
        return None


def check_served(warehouse: Warehouse, epoch: int) -> None:
    """RefusedError where readers have gone on to a newer epoch: nobody would see what is written under this one."""
    served = served_epoch(warehouse)
    if served is not None and served > epoch:
        raise RefusedError(
            f"readers see epoch {served} of {USER_PROFILES.name!r} since jobs/rebuild.py ended, and this stream writes "
            f"epoch {epoch}: start jobs/stream.py again, with the settings of that rebuild."
        )


def serving_checkpoint(warehouse: Warehouse, settings: Settings) -> Checkpoint:
    """The checkpoint behind the rows that readers see, or before there are any, the newest.

    Raises RefusedError: it was begun with other settings; it is gone.
    """
    served = served_epoch(warehouse)
    point = checkpoint(warehouse, settings.checkpoints, QUERY, epoch=served)
    if served is not None and point.done is None and point.pending is None:
        raise RefusedError(
            f"{point.path!r}, the checkpoint behind what readers see of {USER_PROFILES.name!r}, is gone: run "
            "jobs/rebuild.py, which makes a new one from `events`."
        )
    agree(warehouse.spark, point, rests_on(settings))
    return point


def rests_on(settings: Settings) -> dict[str, str]:
    """The settings that the query's state and rows are a function of, beside the events."""
    names = (feature.name for feature in profile_features_of(settings.features))
    return {
        "features.k": str(settings.features.k),
        "the behaviours": ", ".join(settings.behaviours),
        "the engaged behaviours": ", ".join(settings.engaged()),
        "the features": ", ".join(names),
        "their definitions": f"{feature_hash(profile_features_of(settings.features))}-{STATE}",
    }


def profiles_stream(
    warehouse: Warehouse,
    settings: Settings,
    point: Checkpoint,
    derive: Derive | None = None,
    *,
    serving: bool = True,
    limit: tuple[str, str] | None = None,
) -> tuple[DataFrame, Profiles]:
    """The query's plan (update mode) and the function that writes its micro-batches.

    `derive` gets the rows of user_profiles that a batch has written and gives rows of further tables, which are written
    in the same batch, under the same commit point. `limit` is Delta's option for the size of a batch and its value, by
    default of stream.max_events_files.
    """
    name, value = limit or ("maxFilesPerTrigger", str(settings.stream.max_events_files))
    reader = warehouse.spark.readStream.format("delta").option("skipChangeCommits", "true").option(name, value)
    # By user before anything is aggregated: a user's buffer has room for K behaviours, however few there are, so it is
    # to be made once in a batch and never sorted or sent.
    events = reader.load(warehouse.path(EVENTS)).repartition("user_id")
    state = profile_state(events, settings)
    write = Profiles(
        warehouse=warehouse,
        settings=settings,
        epoch=point.epoch,
        pending=point.pending,
        serving=serving,
        derive=derive,
    )
    return state, write
