"""Follow `user_profiles` into the online store, from which the server answers by user id.

With --trigger available-now it puts what is there and ends; with an interval it follows until SIGTERM. A store that is
empty is filled from the beginning.
"""

from __future__ import annotations

import argparse
import sys
from contextlib import closing

from pyspark.errors import StreamingQueryException

from recsys import queries
from recsys.job import Context, Job, run
from recsys.serving.spark import Put, check_followed, followed_epoch, from_the_beginning, profiles_stream, query_of
from recsys.serving.stores import open_store
from recsys.tables import USER_PROFILES


def arguments(parser: argparse.ArgumentParser) -> None:
    """The job's own options."""
    parser.add_argument("--trigger", default=queries.AVAILABLE_NOW, help="available-now, or an interval: '1 second'")
    parser.add_argument("--rebuild", action="store_true", help="read all profiles again")


JOB = Job(name="online", about=__doc__, reads=(USER_PROFILES.name,), writes=("online_store",), arguments=arguments)


def main(context: Context) -> None:
    """Run the query."""
    settings, warehouse = context.settings, context.warehouse
    queries.log_progress(context.spark)
    epoch = followed_epoch(warehouse)
    rows, name = profiles_stream(warehouse), query_of(settings.serving.store, epoch)
    with closing(open_store(settings, create=True)) as store:
        again = from_the_beginning(store, asked=context.arguments.rebuild)
        point = queries.checkpoint(warehouse, settings.checkpoints, name, again)
        trigger = context.arguments.trigger
        put = Put(store=store, warehouse=warehouse, epoch=epoch)
        try:
            queries.wait([queries.start(rows, put, name=name, point=point, trigger=trigger)])
        except StreamingQueryException:
            check_followed(warehouse, epoch)  # then it ended because of that
            raise


if __name__ == "__main__":
    sys.exit(run(JOB, main))
