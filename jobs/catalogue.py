"""Bring the catalogue up to date: from its own file, or derived from events."""

from __future__ import annotations

import sys
from datetime import datetime, timezone

from pyspark.sql import functions as F

from recsys import flow
from recsys.events import catalogue
from recsys.job import Context, Job, run
from recsys.tables import EVENTS, ITEMS

JOB = Job(**flow.contract("catalogue"), about=__doc__)


def main(context: Context) -> None:
    """Write the table `items` anew, with the spans that ended and those that began."""
    warehouse, settings = context.warehouse, context.settings
    view, started = warehouse.view(), datetime.now(timezone.utc)
    file = catalogue.catalogue_file(context.mapping, settings.source, settings.catalogue)
    present = view.read(ITEMS) if view.has(ITEMS) else None
    rows = (
        catalogue.from_file(context.spark, context.mapping, file) if file else catalogue.from_events(view.read(EVENTS))
    )
    spec = context.mapping.catalogue
    if file and spec and spec.changed:
        items = catalogue.continued(present, rows)
    else:
        items = catalogue.changed(present, rows, F.lit(started))
    commit = warehouse.next_batch(JOB.name)
    version = warehouse.write(ITEMS, items, commit, mode="overwrite")
    warehouse.finish(commit, {ITEMS.name: version}, started)


if __name__ == "__main__":
    sys.exit(run(JOB, main))
