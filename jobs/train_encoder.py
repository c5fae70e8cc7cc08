"""Train the encoder on what lies before --date: continue from the champion's, or from the beginning.

Without a champion a base is trained first, on what lies before the ranker's labels; the encoder continues from it. The
base may begin with another domain's encoder (encoder.start).
"""

from __future__ import annotations

import argparse
import sys

from recsys import flow
from recsys.encoder import job as encoders
from recsys.job import Context, Job, day_argument, run
from recsys.registry import tracking
from recsys.registry.champion import champion
from recsys.registry.origin import origin
from recsys.tables import EVENTS, ITEMS


def arguments(parser: argparse.ArgumentParser) -> None:
    """The job's own options."""
    day_argument(parser, "learn from what lies before it")
    parser.add_argument("--full", action="store_true", help="from the beginning, even where there is a champion")


CURVES = ["loss", "recall", "ndcg", "coverage"]
JOB = Job(**flow.contract("train_encoder"), about=__doc__, arguments=arguments)


def main(context: Context) -> None:
    """Keep the base and the encoder in the artifacts' folder, named after --date; both are MLflow runs."""
    settings, day = context.settings, context.day
    start = None if context.arguments.full else champion(settings)
    view = context.warehouse.view()
    read = {table.name: view.versions[table.name] for table in (EVENTS, ITEMS) if view.has(table)}
    params = {**settings.encoder.model_dump(), "seed": settings.seed, "day": day, "warm": start is not None}
    if start is not None:
        encoders.keep_base(settings, day, start.encoder)
    else:
        with tracking.run(settings, "encoder", f"{day}-base", params, read):
            logs = encoders.train_base(view, settings, day, tracking.log_epoch, origin(settings))
            tracking.log_curves(logs, CURVES)
    with tracking.run(settings, "encoder", day.isoformat(), params, read):
        tracking.log_curves(encoders.train_encoder(view, settings, day, tracking.log_epoch), CURVES)


if __name__ == "__main__":
    sys.exit(run(JOB, main))
