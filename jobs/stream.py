"""Stream behaviours: `source -> events` (with rejected rows and item tiles) and `events -> user_profiles`.

Users whose profile changes get a new vector by the champion's encoder in the same batch (`stream.embed`).
With --trigger available-now it reads what is there and ends; with an interval both queries run until SIGTERM.
"""

from __future__ import annotations

import argparse
import sys

from pyspark.errors import StreamingQueryException

from recsys import flow, queries
from recsys.events import ingest
from recsys.features import stream
from recsys.features.definitions import profiles_table
from recsys.job import Context, Job, run
from recsys.registry.stream import following
from recsys.settings.item import users_of_items
from recsys.tables import BATCHES, EVENTS, REJECTED_EVENTS, tiles_table


def arguments(parser: argparse.ArgumentParser) -> None:
    """The job's own options."""
    parser.add_argument("--trigger", default=queries.AVAILABLE_NOW, help="available-now, or an interval: '5 seconds'")


JOB = Job(**flow.contract("stream"), about=__doc__, arguments=arguments)


def main(context: Context) -> None:
    """Run both queries: one after the other for available-now, side by side for an interval."""
    settings, warehouse, trigger = context.settings, context.warehouse, context.arguments.trigger
    queries.log_progress(context.spark)
    tiles = tiles_table(users_of_items(settings.features.item))
    for table in (EVENTS, REJECTED_EVENTS, tiles, profiles_table(settings.features), BATCHES):
        warehouse.create(table)  # before two queries side by side could both create one
    profiles = stream.serving_checkpoint(warehouse, settings)
    point = queries.checkpoint(warehouse, settings.checkpoints, ingest.QUERY)
    rows, write = ingest.ingest_stream(warehouse, context.mapping, settings, point.epoch, point.began, point.pending)
    running = [queries.start(rows, write, name=ingest.QUERY, point=point, trigger=trigger)]
    if trigger == queries.AVAILABLE_NOW:
        queries.wait(running)
    with following(settings) as vectors:
        state, append = stream.profiles_stream(warehouse, settings, profiles, vectors)
        running.append(queries.start(state, append, name=stream.QUERY, point=profiles, trigger=trigger, mode="update"))
        try:
            queries.wait(running)
        except StreamingQueryException:
            stream.check_served(warehouse, profiles.epoch)  # then it ended because of that
            raise


if __name__ == "__main__":
    sys.exit(run(JOB, main))
