"""`user_profiles` anew from `events`, as an epoch that no reader sees until it is whole; then the switch to it.

Until the switch the rows of `batches` that tell of the new epoch name no table, so readers and the running stream go on
with the old one. The switch is one more row, which names the table under the new epoch: readers see one or the other.
"""

from __future__ import annotations

import logging
from datetime import datetime, timezone

from recsys import checkpoints, queries
from recsys.config import Settings
from recsys.errors import NoDataError, RecsysError
from recsys.features import stream
from recsys.features.definitions import profiles_table
from recsys.io import Commit, Warehouse
from recsys.log import event
from recsys.tables import USER_PROFILES

JOB = "rebuild"
log = logging.getLogger(__name__)


def rebuild(warehouse: Warehouse, settings: Settings, anew: bool = False) -> int:
    """Build the next epoch and switch to it; returns the epoch that readers see then.

    What an interrupted rebuild with the same settings has done is kept. Nothing is done where what readers see was
    begun with these settings, unless `anew`. NoDataError: there are no profiles yet. RecsysError: it was stopped.
    """
    served = stream.served_epoch(warehouse)
    if served is None:
        raise NoDataError(f"{USER_PROFILES.name!r} has no rows yet: run jobs/stream.py, with any settings.")
    if not anew and _begun_with(warehouse, settings, served):
        event(log, "nothing to rebuild: what readers see was begun with these settings", epoch=served)
        return served
    epoch = _next_epoch(warehouse, settings, served)
    event(log, "rebuilding", table=USER_PROFILES.name, epoch=epoch, served=served)
    while (batches := _catch_up(warehouse, settings, epoch)) > 1:  # more came while these were computed
        event(log, "caught up", epoch=epoch, batches=batches)
    _switch(warehouse, settings, epoch)
    return epoch


def _begun_with(warehouse: Warehouse, settings: Settings, epoch: int) -> bool:
    path = checkpoints.path_of(settings.checkpoints, stream.QUERY, epoch)
    return checkpoints.differing(warehouse.spark, path, stream.rests_on(settings)) == []


def _next_epoch(warehouse: Warehouse, settings: Settings, served: int) -> int:
    """The newest epoch, if a rebuild with these settings has begun it and not ended; else one above all others."""
    newest = checkpoints.newest_epoch(warehouse.spark, settings.checkpoints, stream.QUERY)
    if newest is not None and newest > served and _begun_with(warehouse, settings, newest):
        return newest
    return max(served, -1 if newest is None else newest) + 1


def _catch_up(warehouse: Warehouse, settings: Settings, epoch: int) -> int:
    """Take in all events that are there now; the number of batches it took."""
    point = checkpoints.checkpoint(warehouse, settings.checkpoints, stream.QUERY, epoch=epoch)
    checkpoints.agree(warehouse.spark, point, stream.rests_on(settings))
    state, write = stream.profiles_stream(warehouse, settings, point, serving=False, limit=_limit(settings))
    running = queries.start(
        state, write, name=f"{JOB} {stream.QUERY}", point=point, trigger=queries.AVAILABLE_NOW, mode="update"
    )
    signals = queries.wait([running])
    if signals:
        raise RecsysError(f"stopped by {signals[0]} before the switch: run jobs/rebuild.py again, it will go on.")
    done = checkpoints.checkpoint(warehouse, settings.checkpoints, stream.QUERY, epoch=epoch).done
    return (-1 if done is None else done) - (-1 if point.done is None else point.done)


def _limit(settings: Settings) -> tuple[str, str]:
    return "maxBytesPerTrigger", f"{settings.stream.rebuild_mb}m"


def _switch(warehouse: Warehouse, settings: Settings, epoch: int) -> None:
    version = warehouse.version(profiles_table(settings.features))
    commit = Commit(query=JOB, epoch=epoch, batch=0)
    warehouse.finish(commit, {USER_PROFILES.name: version}, datetime.now(timezone.utc))
    event(log, "readers see the new epoch", table=USER_PROFILES.name, epoch=epoch, version=version)
